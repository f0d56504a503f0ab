"""A seeded store and a board over it, as processes, for all tests of the board."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.board.chromium import Chromium, find
from tests.board.seeded_board import seed
from tests.store.conftest import READER_PASSWORD, WRITER_PASSWORD, StoreProcess

DAY_MS = 86_400_000


class Board:
    """A board process on a free port."""

    def __init__(self, folder: Path, clickhouse_url: str, *arguments: str, token: str = "") -> None:
        self.ready_file = folder / "board.ready.json"
        self.log_file = folder / "board.log"
        environment = {
            **os.environ,
            "TOKENTIDE_BOARD_CLICKHOUSE_URL": clickhouse_url,
            "TOKENTIDE_READY_FILE": str(self.ready_file),
            "TOKENTIDE_BOARD_TOKEN": token,
        }
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tokentide_deploy.board", *arguments], env=environment, stdout=log, stderr=log
            )
        deadline_s = time.monotonic() + 30
        while not self.ready_file.exists():
            assert self.process.poll() is None, self.log_file.read_text()
            assert time.monotonic() < deadline_s, "the board is not ready within 30 s"
            time.sleep(0.02)
        port = httpx.Response(200, content=self.ready_file.read_bytes()).json()["port"]
        self.url = f"http://127.0.0.1:{port}"
        self.http = httpx.Client(base_url=self.url, timeout=60)

    def view(self, days: float = 1, **changes: Any) -> dict[str, Any]:
        """A request's body: the newest `days` of time."""
        now_ms = round(time.time() * 1000)
        return {"from_ms": round(now_ms - days * DAY_MS), "to_ms": now_ms, "points": 300, **changes}

    def panel(self, uid: str, panel_id: int, view: dict[str, Any]) -> httpx.Response:
        return self.http.post(f"/api/boards/{uid}/panels/{panel_id}", json=view)

    def stop(self) -> int:
        self.http.close()
        self.process.terminate()
        return self.process.wait(15)


@pytest.fixture(scope="session")
def board_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StoreProcess]:
    store = StoreProcess(tmp_path_factory.mktemp("board-store"), passwords=True).start()
    try:
        seed(f"http://tokentide:{WRITER_PASSWORD}@127.0.0.1:{store.port}/tokentide")
        yield store
    finally:
        store.stop()


@pytest.fixture(scope="session")
def reader_url(board_store: StoreProcess) -> str:
    return f"http://reader:{READER_PASSWORD}@127.0.0.1:{board_store.port}/tokentide"


@pytest.fixture(scope="session")
def board(reader_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Board]:
    running = Board(tmp_path_factory.mktemp("board"), reader_url)
    try:
        yield running
    finally:
        running.stop()


@pytest.fixture
def start_board(reader_url: str, tmp_path: Path) -> Iterator[Callable[..., Board]]:
    """Starts boards of the test's own, and stops them at its end."""
    started: list[Board] = []

    def start(*arguments: str, clickhouse_url: str = reader_url, **options: Any) -> Board:
        folder = tmp_path / f"board{len(started)}"
        folder.mkdir()
        started.append(Board(folder, clickhouse_url, *arguments, **options))
        return started[-1]

    yield start
    for running in started:
        running.stop()


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    path = find()
    if path is None:
        pytest.skip("NO CHROMIUM: the board's pages are NOT tested; install chromium or set TOKENTIDE_CHROMIUM")
    with Chromium(path, tmp_path_factory.mktemp("chromium")) as browser:
        yield browser
