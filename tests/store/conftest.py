"""A real store process for each test session, and more for the tests that kill theirs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import clickhouse_connect
import httpx
import pytest

START_TIMEOUT_S = 60.0
WRITER_PASSWORD = "writer's pass"
READER_PASSWORD = "reader:pass"


def wait_for(condition: Callable[[], Any], what: str, timeout_s: float = 30.0) -> Any:
    """Returns the condition's first true value; fails after ``timeout_s``."""
    deadline_s = time.monotonic() + timeout_s
    while time.monotonic() < deadline_s:
        if value := condition():
            return value
        time.sleep(0.02)
    raise AssertionError(f"not within {timeout_s} s: {what}")


class StoreProcess:
    """One store process on one directory; may be started again after it ended."""

    def __init__(self, directory: Path, *arguments: str, passwords: bool = False) -> None:
        self.data_dir = directory / "data"
        self.ready_file = directory / "ready.json"
        self.log_file = directory / "store.log"
        self._arguments = arguments
        self._environment = {**os.environ}
        self._environment.pop("TOKENTIDE_STORE_WRITER_PASSWORD", None)
        self._environment.pop("TOKENTIDE_STORE_READER_PASSWORD", None)
        if passwords:
            self._environment["TOKENTIDE_STORE_WRITER_PASSWORD"] = WRITER_PASSWORD
            self._environment["TOKENTIDE_STORE_READER_PASSWORD"] = READER_PASSWORD
        self.process: subprocess.Popen[bytes] | None = None
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def start(self) -> StoreProcess:
        self.ready_file.unlink(missing_ok=True)
        command = [sys.executable, "-m", "tokentide_deploy.store", "--data-dir", str(self.data_dir), "--port", "0"]
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(
                [*command, "--ready-file", str(self.ready_file), *self._arguments],
                stdout=log,
                stderr=log,
                env=self._environment,
            )

        def is_ready() -> bool:
            assert self.process is not None
            assert self.process.poll() is None, self.log_file.read_text()
            return self.ready_file.exists()

        wait_for(is_ready, f"the store on {self.data_dir} is ready", START_TIMEOUT_S)
        self.port = json.loads(self.ready_file.read_text())["port"]
        return self

    def signal(self, number: signal.Signals) -> int:
        """Sends the signal and waits for the end; returns the exit status."""
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(60)

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            try:
                self.signal(signal.SIGTERM)
            except subprocess.TimeoutExpired:
                self.signal(signal.SIGKILL)

    def client(self, **options: Any) -> Any:
        return clickhouse_connect.get_client(
            host="127.0.0.1", port=self.port, **{"username": "tokentide", "database": "tokentide", **options}
        )

    def post(self, sql: str | bytes, headers: dict[str, str] | None = None, **parameters: str) -> httpx.Response:
        merged = {"database": "tokentide", **parameters}
        return httpx.post(self.url, params=merged, content=sql, headers=headers, timeout=60)

    def execute(self, sql: str, **parameters: str) -> str:
        """Runs a statement as the writer and returns its text; fails the test on an error."""
        response = self.post(sql, **parameters)
        assert response.status_code == 200, response.text
        return response.text.rstrip("\n")


@pytest.fixture(scope="session")
def store_process() -> type[StoreProcess]:
    """The class, for fixtures that manage a store themselves."""
    return StoreProcess


@pytest.fixture
def start_store(tmp_path: Path) -> Iterator[Callable[..., StoreProcess]]:
    """Starts store processes of the test's own, and stops them at its end."""
    started: list[StoreProcess] = []

    def start(*arguments: str, passwords: bool = False) -> StoreProcess:
        directory = tmp_path / f"store{len(started)}"
        directory.mkdir()
        store = StoreProcess(directory, *arguments, passwords=passwords)
        started.append(store)
        return store.start()

    yield start
    for store in started:
        store.stop()


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StoreProcess]:
    """The store that the tests share; each takes tables of its own."""
    process = StoreProcess(tmp_path_factory.mktemp("store"))
    try:
        yield process.start()
    finally:
        process.stop()


@pytest.fixture
def table() -> str:
    """A table name that no other test uses."""
    return f"t_{uuid.uuid4().hex[:12]}"


@pytest.fixture
def eventually() -> Callable[..., Any]:
    return wait_for
