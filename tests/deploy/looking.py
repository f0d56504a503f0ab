"""A store with known rows, and the command line, for the tests of the commands that look."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import clickhouse_connect

from tokentide_schemas.clickhouse import statements
from tokentide_schemas.cubes import CUBES

START_TIMEOUT_S = 60.0
TRACE_START_S = 1_700_158_500
"""2023-11-16 18:15 UTC."""

_RUN = """
import sys
from tokentide_deploy import cli
cli.COMMANDS.setdefault(sys.argv[1], "")
cli.main()
"""

_COLUMNS = (
    "window_start, model, provider, category, outcome, source_epoch, source_partition, segment, version, requests, "
    "usage_missing_requests, input_uncached_tokens, input_cache_read_tokens, output_tokens, output_reasoning_tokens, "
    "cost_nanousd, cost_unknown_requests, emitted_at"
)


def command_line(*arguments: str) -> list[str]:
    """A process's arguments that run `tokentide ...`."""
    return [sys.executable, "-c", _RUN, *arguments]


def tokentide(*arguments: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run `tokentide ...` to its end."""
    return subprocess.run(
        command_line(*arguments),
        capture_output=True,
        text=True,
        input=stdin if stdin is not None else "",
        timeout=300,
        env={**os.environ, "COLUMNS": "80"},
    )


class Store:
    """A running store process."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.reader_url = f"http://reader:@127.0.0.1:{port}/tokentide"
        self.writer_url = f"http://default:@127.0.0.1:{port}/tokentide"

    def execute(self, *sql: str) -> None:
        client = clickhouse_connect.get_client(host="127.0.0.1", port=self.port, username="default", password="")
        client.command("CREATE DATABASE IF NOT EXISTS tokentide")
        client.database = "tokentide"
        for statement in sql:
            client.command(statement)
        client.close()

    def make_tables(self) -> None:
        self.execute(*statements(CUBES))

    def insert_partials(self, *rows: str) -> None:
        self.execute(f"INSERT INTO rollup_model_partials ({_COLUMNS}) VALUES {', '.join(rows)}")


def partial(
    at_s: int,
    model: str,
    category: str,
    *,
    requests: int,
    tokens_in: int,
    tokens_out: int,
    cached: int = 0,
    reasoning: int = 0,
    outcome: str = "ok",
    cost_nanousd: int = 0,
    without_cost: int = 0,
    without_usage: int = 0,
) -> str:
    """A row of partials, as SQL."""
    return (
        f"({at_s}, '{model}', 'azure', '{category}', '{outcome}', 'e', 0, 0, 1, {requests}, {without_usage}, "
        f"{tokens_in}, {cached}, {tokens_out}, {reasoning}, {cost_nanousd}, {without_cost}, now64(3) - 3600)"
    )


@contextmanager
def running_store(directory: Path, port: int = 0) -> Iterator[Store]:
    """Start a store process on `directory`, and stop it at the end."""
    ready_file = directory / "ready.json"
    ready_file.unlink(missing_ok=True)
    with (directory / "store.log").open("ab") as log:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "tokentide_deploy.store", "--data-dir", str(directory / "data")),
                *("--port", str(port), "--ready-file", str(ready_file)),
            ],
            stdout=log,
            stderr=log,
        )
    try:
        deadline_s = time.monotonic() + START_TIMEOUT_S
        while not ready_file.exists():
            assert process.poll() is None, (directory / "store.log").read_text()
            assert time.monotonic() < deadline_s, "the store did not become ready"
            time.sleep(0.02)
        yield Store(int(json.loads(ready_file.read_text())["port"]))
    finally:
        process.terminate()
        process.wait(timeout=120)
