"""Every part under its own user with the rights that `tokentide deploy grants` gives it, and no others."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import clickhouse_connect
import pytest
from clickhouse_connect.driver.exceptions import ClickHouseError

from deploy.secure_kafka import make_authority, secure_kafka
from end_to_end.harness import TOKENTIDE, wait_until
from tokentide_deploy.commands.up_components import clickhouse_answers
from tokentide_deploy.grants.kafka_acls import user_of
from tokentide_deploy.grants.plan import Choice, apply_plan, plan
from tokentide_deploy.grants.users import KAFKA_PASSWORD, STORE_PASSWORD
from tokentide_deploy.ports import free_ports
from tokentide_deploy.stack_state import ClickHouseAccount
from tokentide_producers.emitter import Emitter

pytestmark = [pytest.mark.embedded, pytest.mark.long, pytest.mark.timeout(1800)]
PARTS = ("worker", "shares", "events-sink", "rollups-sink", "maintenance", "alerts", "notify")
EVENTS = 300
TESTS = Path(__file__).parents[1]


@contextmanager
def store_with_roles(folder: Path, secrets: Path) -> Iterator[int]:
    """The port of a store that knows a user for each part."""
    (port,) = free_ports(1)
    argv = [sys.executable, "-m", "deploy.store_with_roles", "--data-dir", str(folder), "--port", str(port)]
    variables = {
        "PYTHONPATH": str(TESTS),
        "TOKENTIDE_TEST_SECRETS": str(secrets),
        "TOKENTIDE_STORE_WRITER_PASSWORD": "nobody-uses-it",
        "TOKENTIDE_STORE_READER_PASSWORD": "nor-this",
    }
    process = subprocess.Popen(argv, env={**os.environ, **variables})
    account = ClickHouseAccount(host="127.0.0.1", port=port, user="tokentide", password="")
    try:
        wait_until(lambda: clickhouse_answers(account), "the store", 120)
        yield port
    finally:
        process.terminate()
        process.wait(60)


class Installation:
    """Commands and parts, each with what it may know."""

    def __init__(self, folder: Path, secrets: Path, common: Mapping[str, str]) -> None:
        self.folder = folder
        self.secrets = secrets
        self.common = dict(common)
        self.running: dict[str, subprocess.Popen[bytes]] = {}

    def environment(self, part: str) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("TOKENTIDE_")}
        # A part that never connects to Kafka has no login there.
        login = ("TOKENTIDE_KAFKA_SECURITY_PROTOCOL", "TOKENTIDE_KAFKA_SASL_MECHANISM", "TOKENTIDE_KAFKA_SSL_CA_FILE")
        has_login = (self.secrets / part / KAFKA_PASSWORD).exists()
        return {
            **kept,
            **{name: value for name, value in self.common.items() if has_login or name not in login},
            "TOKENTIDE_SECRETS_DIR": str(self.secrets / part),
            "TOKENTIDE_DATA_DIR": str(self.folder / part),
            "TOKENTIDE_READY_FILE": str(self.folder / f"{part}.ready"),
        }

    def command(self, part: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """One command as that part's user."""
        return subprocess.run(
            [*TOKENTIDE, *arguments], env=self.environment(part), capture_output=True, text=True, timeout=300
        )

    def start(self, part: str) -> None:
        (self.folder / part).mkdir()
        with (self.folder / f"{part}.log").open("wb") as log:
            self.running[part] = subprocess.Popen(
                [*TOKENTIDE, "run", part], env=self.environment(part), stdout=log, stderr=log
            )

    def is_ready(self, part: str) -> bool:
        assert self.running[part].poll() is None, (self.folder / f"{part}.log").read_text()[-3000:]
        return (self.folder / f"{part}.ready").exists()

    def stop(self) -> None:
        for process in self.running.values():
            process.terminate()
        for process in self.running.values():
            process.wait(60)

    def client(self, part: str, port: int) -> Any:
        """ClickHouse as that part's user."""
        password = (self.secrets / part / STORE_PASSWORD).read_text()
        return clickhouse_connect.get_client(
            host="127.0.0.1", port=port, username=user_of(part), password=password, database="tokentide"
        )


def test_every_part_works_with_its_own_rights_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secrets = tmp_path / "secrets"
    plan("clickhouse", Choice(secrets=secrets))
    authority, ca_file = make_authority(tmp_path)
    with (
        secure_kafka(tmp_path / "broker", authority, ca_file) as kafka,
        store_with_roles(tmp_path / "store", secrets) as port,
    ):
        for name, value in kafka.variables("PLAIN", TOKENTIDE_KAFKA_BOOTSTRAP_SERVERS=kafka.servers).items():
            monkeypatch.setenv(name, value)
        apply_plan(plan("kafka", Choice(secrets=secrets)))
        common = {
            "TOKENTIDE_KAFKA_BOOTSTRAP_SERVERS": kafka.servers,
            "TOKENTIDE_KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
            "TOKENTIDE_KAFKA_SASL_MECHANISM": "SCRAM-SHA-512",
            "TOKENTIDE_KAFKA_SSL_CA_FILE": str(ca_file),
            "TOKENTIDE_CLICKHOUSE_URL": f"http://127.0.0.1:{port}/tokentide",
        }
        installation = Installation(tmp_path, secrets, common)
        migrated = installation.command("migrate", "migrate", "--partitions", "2")
        assert migrated.returncode == 0, migrated.stdout + migrated.stderr
        try:
            for part in PARTS:
                installation.start(part)
            for part in PARTS:
                wait_until(lambda part=part: installation.is_ready(part), f"{part} to be ready", 180)  # type: ignore[misc]

            monkeypatch.setenv("TOKENTIDE_KAFKA_SASL_MECHANISM", "SCRAM-SHA-512")
            monkeypatch.setenv("TOKENTIDE_KAFKA_SASL_USERNAME", user_of("gateway"))
            monkeypatch.setenv("TOKENTIDE_KAFKA_SASL_PASSWORD", (secrets / "gateway" / KAFKA_PASSWORD).read_text())
            with Emitter(kafka.servers, gateway="granted") as emitter:
                for number in range(EVENTS):
                    emitter.emit(
                        request_model="gpt-4o",
                        provider="openai",
                        outcome="ok",
                        input_uncached_tokens=number,
                        output_tokens=1,
                        usage_reported=True,
                    )
                assert emitter.flush(120)

            board = installation.client("board", port)
            wait_until(lambda: board.query("SELECT count() FROM usage").result_rows == [(EVENTS,)], "raw events", 120)
            for table in ("rollup_1m", "user_progress", "shares_now", "stream_watermarks", "pipeline_samples"):
                wait_until(
                    lambda table=table: board.query(f"SELECT count() FROM {table}").result_rows[0][0] > 0,  # type: ignore[misc]
                    f"rows in {table}",
                    180,
                )
            verified = installation.command("verify", "verify", "--wait-s", "120")
            assert verified.returncode == 0, verified.stdout + verified.stderr
            seen = installation.command("verify", "doctor").stdout
            assert "✓ Topics are there" in seen and "✓ Every consumer group has a member" in seen, seen
            assert all(installation.is_ready(part) for part in PARTS)

            for part, statement in (
                ("board", "INSERT INTO events (gateway) VALUES ('x')"),
                ("board", "TRUNCATE TABLE events"),
                ("verify", "ALTER TABLE events DELETE WHERE 1"),
                ("events-sink", "DROP TABLE events"),
                ("events-sink", "SELECT count() FROM alert_changes"),
                ("rollups-sink", "INSERT INTO events (gateway) VALUES ('x')"),
                ("maintenance", "CREATE TABLE mine (a Int8) ENGINE = Memory"),
            ):
                with pytest.raises(ClickHouseError, match=r"(?i)not enough privileges|ACCESS_DENIED"):
                    installation.client(part, port).command(statement)
        finally:
            installation.stop()
        logs = "\n".join((tmp_path / f"{part}.log").read_text(errors="replace") for part in PARTS)
        denied = [line for line in logs.splitlines() if "uthorization" in line or "ACCESS_DENIED" in line]
        assert not denied, denied[:5]
