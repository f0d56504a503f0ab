"""Golden exports through ledger, Kafka, sinks and worker: each request counted once, however often it is imported."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import clickhouse_connect
import pytest

from end_to_end.harness import TOKENTIDE, Stack, wait_until
from producers.importing.goldens import GOLDEN, HASH_KEY, NAMES, YESTERDAY, copy_to, differences, expected, moved
from tokentide_schemas.event import COLUMNS

pytestmark = pytest.mark.embedded
PATIENT = ("--timeout-s", "120")
"""Machines that run tests may be busy."""


@pytest.fixture(autouse=True)
def hash_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKENTIDE_EMITTER_HASH_KEY", HASH_KEY)


def imported(stack: Stack, *arguments: str, status: int = 0) -> dict[str, Any]:
    """`tokentide import`, and the counts that it tells."""
    result = stack.run("import", *arguments, *PATIENT, "--format", "json", check=False)
    assert result.returncode == status, f"{result.returncode}: {result.stdout}\n{result.stderr}"
    counts: dict[str, Any] = json.loads(result.stdout)
    return counts


def stored(stack: Stack, gateway: str) -> list[dict[str, Any]]:
    columns = [name for name in COLUMNS if name != "event_id"]
    found = stack.rows(f"SELECT {', '.join(columns)} FROM events WHERE gateway = '{gateway}' ORDER BY occurred_at")
    return [dict(zip(columns, row, strict=True)) for row in found]


def expect_counted_once(stack: Stack, gateway: str, wanted: list[dict[str, Any]], cube_filter: str = "") -> None:
    wait_until(
        lambda: len(stored(stack, gateway)) >= len(wanted), f"{len(wanted)} events of {gateway} in the store", 120
    )
    rows = stored(stack, gateway)
    assert len(rows) == len(wanted)
    for row, full in zip(rows, wanted, strict=True):
        assert not differences(row, {**full, "gateway": gateway})


def sums(stack: Stack, table: str, models: str) -> tuple[int, int]:
    return tuple(stack.rows(f"SELECT sum(requests), sum(total_tokens) FROM {table} WHERE model LIKE '{models}'")[0])


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_golden_export_is_stored_field_by_field_and_importing_it_again_adds_nothing(
    stack: Stack, tmp_path: Path, name: str
) -> None:
    gateway, path, wanted = f"import {name}", copy_to(tmp_path, name), expected(name)
    command = (*NAMES[name][:1], str(path), *NAMES[name][1:], "--gateway", gateway)
    first = imported(stack, *command)
    assert (first["new_events"], first["acknowledged_events"], first["bad_rows"]) == (len(wanted), len(wanted), 0)
    again = imported(stack, *command)
    assert (again["new_events"], again["repeated"]) == (0, len(wanted))
    expect_counted_once(stack, gateway, wanted)


def activity(rows: list[tuple[str, int]], model: str) -> str:
    """A log export of (generation id, second of the day)."""
    header = (GOLDEN / "openrouter-activity.csv").read_text().splitlines()[0]
    lines = [
        f"{generation},{YESTERDAY:%Y-%m-%d} {s // 3600:02}:{s // 60 % 60:02}:{s % 60:02}.000,0.001,0,0,0,0,100,10,0,0,"
        f"{model},OpenAI,standard,false,false,,stop,stop,1000,,false,,"
        for generation, s in rows
    ]
    return "\n".join([header, *lines]) + "\n"


@pytest.mark.long
def test_a_killed_import_and_overlapping_exports_count_each_row_once_in_raw_and_rollups(
    stack: Stack, tmp_path: Path
) -> None:
    model = f"import-test/killed-{uuid.uuid4().hex[:8]}"
    rows = [(f"gen-{model}-{n}", n % 3_000) for n in range(12_000)]
    whole, part = tmp_path / "whole.csv", tmp_path / "part.csv"
    whole.write_text(activity(rows, model))
    # Overlaps, in another order, and has one row twice.
    part.write_text(activity([*reversed(rows[9_000:]), rows[5], rows[5], (f"gen-{model}-last", 7)], model))
    ledger = tmp_path / "ledger.sqlite"
    files = ("openrouter", str(whole), str(part), "--ledger", str(ledger), *PATIENT)
    command = ("import", *files, "--data-dir", str(stack.data_dir))
    killed = 0
    for _ in range(3):
        process = subprocess.Popen([*TOKENTIDE, *command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        before = envelopes(ledger)
        try:
            wait_until(
                lambda: process.poll() is not None or envelopes(ledger) > before,  # noqa: B023
                "the next journaled block",
                180,
            )
        finally:
            process.kill()
            process.wait()
        killed += process.returncode == -signal.SIGKILL
    assert killed
    counts = imported(stack, *files[:-2])
    assert counts["rows"] == len(rows) + 3_003
    unique = len(rows) + 1
    expected_sums = (unique, unique * 110)
    wait_until(lambda: sums(stack, "rollup_1m", model) == expected_sums, "the minutes", 120)
    raw = f"SELECT count(), sum(total_tokens) FROM usage WHERE model = '{model}'"
    wait_until(lambda: tuple(stack.rows(raw)[0]) == expected_sums, "the raw events", 60)

    # Without the ledger the store is asked.
    ledger.unlink()
    counts = imported(stack, "openrouter", str(part), "--ledger", str(ledger))
    assert (counts["new_events"], counts["already_in_store"]) == (0, 3_003)
    stack.verify()
    assert sums(stack, "rollup_1m", model) == sums(stack, "rollup_1h", model) == expected_sums


def envelopes(ledger: Path) -> int:
    """Journaled so far, as another process can see it: the size of what is written."""
    journal = ledger.with_name(ledger.name + "-wal")
    return sum(path.stat().st_size for path in (ledger, journal) if path.exists()) // 300_000


@pytest.mark.slow
def test_rows_of_months_ago_are_counted_in_the_hours_and_verification_holds(stack: Stack, tmp_path: Path) -> None:
    model = f"import-test/old-{uuid.uuid4().hex[:8]}"
    path = tmp_path / "old.csv"
    path.write_text(
        activity([(f"gen-{model}-{n}", n) for n in range(50)], model).replace(f"{YESTERDAY:%Y-%m-%d}", "2025-03-01")
    )
    assert imported(stack, "openrouter", str(path))["acknowledged_events"] == 50
    wait_until(lambda: sums(stack, "rollup_1h", model) == (50, 5_500), "the hours", 120)
    assert imported(stack, "openrouter", str(path))["repeated"] == 50
    stack.verify()


class Other:
    """A second ClickHouse, which OpenRouter writes to."""

    def __init__(self, stack: Stack, directory: Path) -> None:
        ready = directory / "ready.json"
        environment = {k: v for k, v in os.environ.items() if not k.startswith("TOKENTIDE_STORE")}
        command = [TOKENTIDE[0], "-m", "tokentide_deploy.store", "--data-dir", str(directory / "data"), "--port", "0"]
        with (directory / "store.log").open("wb") as log:
            self.process = subprocess.Popen(
                [*command, "--ready-file", str(ready)], stdout=log, stderr=log, env=environment
            )
        wait_until(ready.exists, "the second store")
        port = json.loads(ready.read_text())["port"]
        self.client = clickhouse_connect.get_client(
            host="127.0.0.1", port=port, username="tokentide", database="tokentide"
        )
        self.url = f"http://tokentide@127.0.0.1:{port}/tokentide"

    def insert(self, lines: str) -> None:
        self.client.raw_insert("OPENROUTER_TRACES", insert_block=lines.encode(), fmt="JSONEachRow")

    def stop(self) -> None:
        self.client.close()
        self.process.terminate()
        self.process.wait(60)


@pytest.fixture
def other(stack: Stack, tmp_path: Path) -> Iterator[Other]:
    store = Other(stack, tmp_path)
    store.client.command((GOLDEN / "openrouter-traces.sql").read_text())
    yield store
    store.stop()


@pytest.mark.slow
def test_the_table_that_openrouter_writes_is_imported_once_and_then_followed(
    stack: Stack, tmp_path: Path, other: Other
) -> None:
    gateway = "import openrouter-traces"
    wanted = expected("openrouter-traces.ndjson")
    lines = moved((GOLDEN / "openrouter-traces.ndjson").read_text())
    other.insert(lines)
    ledger = str(tmp_path / "ledger.sqlite")
    command = ("traces", "--from", other.url, "--ledger", ledger, "--gateway", gateway)
    counts = imported(stack, *command)
    assert (counts["rows"], counts["new_events"]) == (5, 2)
    assert counts["not_requests"] == {
        "a span that is no generation": 1,
        "a span inside a generation": 1,
        "OpenRouter's test of the connection": 1,
    }
    assert counts["columns_missing"] == []
    assert imported(stack, *command)["repeated"] == 2
    expect_counted_once(stack, gateway, wanted)

    follower = subprocess.Popen(
        [
            *TOKENTIDE,
            "import",
            *command,
            "--data-dir",
            str(stack.data_dir),
            "--follow",
            "--poll-s",
            "0.2",
            "--format",
            "json",
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        # One that is new, and one that comes late: older than rows that were read before.
        template = lines.splitlines()[0]
        new = template.replace("12:03:00.123", "12:09:00.000").replace("ffff", "newer").replace("5b8e", "6b8e")
        late = template.replace("12:03:00.123", "12:01:30.000").replace("ffff", "later").replace("5b8e", "8b8e")
        other.insert(new)
        wait_until(lambda: len(stored(stack, gateway)) == 3, "the new row", 60)
        other.insert(late)
        wait_until(lambda: len(stored(stack, gateway)) == 4, "the late row", 60)
    finally:
        follower.send_signal(signal.SIGTERM)
        output, errors = follower.communicate(timeout=60)
    assert follower.returncode == 0, errors
    assert json.loads(output)["new_events"] == 2
    stack.verify()


def test_a_table_with_few_columns_is_read_as_far_as_it_goes_and_what_is_missing_is_said(
    stack: Stack, tmp_path: Path, other: Other
) -> None:
    other.client.command(
        "CREATE TABLE few (timestamp DateTime64(3, 'Asia/Tokyo'), trace_id String, span_type String, "
        "attributes Map(String, String), input String) ENGINE = MergeTree ORDER BY timestamp"
    )
    moment = f"{YESTERDAY:%Y-%m-%d} 12:05:00.000"
    other.client.command(
        f"INSERT INTO few VALUES (toDateTime64('{moment}', 3, 'UTC'), 'a', 'GENERATION', map('gen_ai.request.model', "
        "'openai/gpt-4o', 'gen_ai.usage.input_tokens', '10', 'gen_ai.usage.output_tokens', '5', 'gen_ai.prompt', "
        "'GOLDEN-MARKER'), 'GOLDEN-MARKER')"
    )
    ledger = str(tmp_path / "ledger.sqlite")
    arguments = ("traces", "--from", other.url, "--table", "few", "--ledger", ledger, "--dry-run")
    counts = imported(stack, *arguments)
    assert (counts["new_events"], counts["tokens"]) == (1, 15)
    assert counts["first_at"] == f"{YESTERDAY:%Y-%m-%d}T12:05:00.000+00:00"
    assert {"MODEL", "PROVIDER_NAME", "TOTAL_COST"} <= set(counts["columns_missing"])
    assert "GOLDEN-MARKER" not in stack.run("import", *arguments).stdout
