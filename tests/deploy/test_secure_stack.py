"""The whole platform over TLS: a Kafka with SASL_SSL and a store behind TLS; no secret in a process list or a log."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from deploy.secure_kafka import HOST, PASSWORD, make_authority, secure_kafka, tls_front
from end_to_end.harness import Stack, wait_until
from tokentide_deploy.commands.up_components import clickhouse_answers
from tokentide_deploy.ports import free_ports
from tokentide_deploy.stack_state import ClickHouseAccount, load_stack
from tokentide_producers.emitter import Emitter

pytestmark = [pytest.mark.embedded, pytest.mark.long]
STORE_PASSWORD = "store-pass-w0rd-of-the-test"


@pytest.fixture
def store_port(tmp_path: Path) -> Iterator[int]:
    (port,) = free_ports(1)
    argv = [sys.executable, "-m", "tokentide_deploy.store", "--data-dir", str(tmp_path / "store"), "--port", str(port)]
    variables = {
        "TOKENTIDE_STORE_WRITER_PASSWORD": STORE_PASSWORD,
        "TOKENTIDE_STORE_READER_PASSWORD": STORE_PASSWORD,
    }
    process = subprocess.Popen(argv, env={**os.environ, **variables}, stderr=subprocess.DEVNULL)
    account = ClickHouseAccount(host=HOST, port=port, user="tokentide", password=STORE_PASSWORD)
    try:
        wait_until(lambda: clickhouse_answers(account), "the store", 120)
        yield port
    finally:
        process.terminate()
        process.wait(60)


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-512"])
def test_events_are_stored_and_proved_over_tls_and_no_secret_shows(
    mechanism: str, store_port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority, ca_file = make_authority(tmp_path)
    with secure_kafka(tmp_path / "broker", authority, ca_file) as kafka, tls_front(authority, store_port) as tls_port:
        variables = kafka.variables(
            mechanism,
            TOKENTIDE_CLICKHOUSE_USER="tokentide",
            TOKENTIDE_CLICKHOUSE_PASSWORD=STORE_PASSWORD,
            TOKENTIDE_CLICKHOUSE_CA_FILE=str(ca_file),
        )
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        url = f"https://{HOST}:{tls_port}/tokentide"
        with Stack(tmp_path / "data", "--kafka", kafka.servers, "--clickhouse", url) as stack:
            with Emitter(kafka.servers, gateway="secure") as emitter:
                for _ in range(100):
                    emitter.emit(
                        request_model="gpt-4o",
                        provider="openai",
                        outcome="ok",
                        input_uncached_tokens=3,
                        output_tokens=2,
                        usage_reported=True,
                    )
                assert emitter.flush(120)
            report = stack.verify()
            assert sum(one["ledger_stored"] for one in report["accounts"]) == 100
            doctor = stack.run("doctor", check=False)
            assert "✓ Kafka accepts our user" in doctor.stdout and "✓ ClickHouse's TLS fits" in doctor.stdout
            pids = [one.pid for one in load_stack(stack.data_dir).components.values() if one.pid]
            shown = [" ".join(psutil.Process(pid).cmdline()) for pid in pids]
            assert len(shown) >= 8
        logs = "".join(path.read_text(errors="replace") for path in (tmp_path / "data" / "logs").iterdir())
        said = [*shown, logs, doctor.stdout, doctor.stderr]
        assert not any(secret in text for text in said for secret in (PASSWORD, STORE_PASSWORD))
