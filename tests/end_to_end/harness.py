"""A running embedded stack as a test sees it: started and asked by the commands that users type."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self

import clickhouse_connect
from confluent_kafka import Producer

from tokentide_deploy.stack_state import load_stack
from tokentide_schemas import topics

TOKENTIDE = [sys.executable, "-m", "tokentide_deploy.cli"]


def wait_until(condition: Callable[[], bool], what: str, timeout_s: float = 60.0, pause_s: float = 0.1) -> None:
    """Poll until the condition holds; fail with what was waited for."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"waited {timeout_s:g} s for {what}"
        time.sleep(pause_s)


class Stack:
    """`tokentide up --headless` on a data directory of its own and free ports."""

    def __init__(self, data_dir: Path, *arguments: str) -> None:
        self.data_dir = data_dir
        self.arguments = arguments
        self.command = TOKENTIDE
        self.process: subprocess.Popen[str] | None = None
        self.ready: dict[str, Any] = {}
        self._client: Any = None

    def start(self) -> Self:
        """Start and wait for the line that says that it is ready."""
        command = [*self.command, "up", "--headless", "--data-dir", str(self.data_dir), "--port-base", "0"]
        self.process = subprocess.Popen(
            [*command, *self.arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            _, errors = self.process.communicate(timeout=60)
            raise AssertionError(f"tokentide up ended with status {self.process.returncode}:\n{errors}")
        self.ready = json.loads(line)
        return self

    def stop(self) -> int:
        """Ctrl-C, and the exit status."""
        if self.process is None:
            return 0
        if self._client is not None:
            self._client.close()
            self._client = None
        self.process.send_signal(signal.SIGINT)
        self.process.communicate(timeout=120)
        status = self.process.returncode
        self.process = None
        return status

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def kafka(self) -> str:
        """host:port of the broker."""
        return str(self.ready["kafka_bootstrap_servers"])

    def run(self, *arguments: str, check: bool = True, **options: Any) -> subprocess.CompletedProcess[str]:
        """A tokentide command against this stack."""
        result = subprocess.run(
            [*self.command, *arguments, "--data-dir", str(self.data_dir)],
            capture_output=True,
            text=True,
            timeout=180,
            env={**os.environ, "COLUMNS": "120", "NO_COLOR": "1"},
            **options,
        )
        if check:
            assert result.returncode == 0, f"{arguments}: {result.returncode}\n{result.stdout}\n{result.stderr}"
        return result

    def verify(self) -> dict[str, Any]:
        """`tokentide verify --format json`; fails when the invariants do not hold."""
        result = self.run("verify", "--format", "json", "--wait-s", "90", check=False)
        assert result.returncode in (0, 1) and result.stdout, f"{result.returncode}: {result.stderr}"
        report: dict[str, Any] = json.loads(result.stdout)
        assert report["holds"], report["findings"]
        return report

    def rows(self, sql: str) -> Sequence[Sequence[Any]]:
        """Rows of a query, by an unmodified ClickHouse client."""
        if self._client is None:
            account = self.ready["clickhouse_writer"]
            self._client = clickhouse_connect.get_client(
                host=account["host"],
                port=account["port"],
                username=account["user"],
                password=account["password"],
                database=account["database"],
                autogenerate_session_id=False,
            )
        found: Sequence[Sequence[Any]] = self._client.query(sql).result_rows
        return found

    def value(self, sql: str) -> Any:
        """The first value of a query's first row."""
        return self.rows(sql)[0][0]

    def pid(self, component: str) -> int:
        """The present process of a component."""
        pid = load_stack(self.data_dir).components[component].pid
        assert pid is not None, f"{component} is not running"
        return pid

    def kill(self, component: str) -> None:
        """kill -9, then wait until the supervisor has put another process in its place."""
        pid = self.pid(component)
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: self._replaced(component, pid), f"the restart of {component}", 120)

    def _replaced(self, component: str, pid: int) -> bool:
        return load_stack(self.data_dir).components[component].pid not in (None, pid)

    def send(self, value: bytes | None, headers: list[tuple[str, bytes]] | None = None, partition: int = 0) -> None:
        """One record to the usage topic, by a plain Kafka producer; returns when the broker has it."""
        producer = Producer({"bootstrap.servers": self.kafka})
        failures: list[str] = []
        producer.produce(
            topics.USAGE,
            value=value,
            headers=headers or [],
            partition=partition,
            on_delivery=lambda error, _message: failures.append(str(error)) if error else None,
        )
        assert producer.flush(30) == 0
        assert not failures, failures
