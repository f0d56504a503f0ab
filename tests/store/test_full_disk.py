"""A disk that fills up while the store writes: what was acknowledged is there, what was not can be sent again."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from chaos.full_disk import SmallDisk

ROWS = 2_000
ROUNDS = 5
SENDERS = 4


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[SmallDisk]:
    disk = SmallDisk(tmp_path / "data", size_mib=400)
    if not disk.is_available:
        pytest.skip(f"NO SMALL FILE SYSTEM CAN BE MOUNTED HERE, so no full disk is tested: {disk.why_not}")
    try:
        yield disk
    finally:
        disk.unmount()


@pytest.fixture
def store_on_it(small_disk: SmallDisk, store_process: Any) -> Iterator[Any]:
    store = store_process(small_disk.folder.parent, "--memory-limit-bytes", str(2 << 30))
    try:
        yield store.start()
    finally:
        small_disk.free()
        store.stop()


def test_what_was_acknowledged_while_the_disk_filled_up_is_stored_once(small_disk: SmallDisk, store_on_it: Any) -> None:
    store = store_on_it
    columns = ", ".join(f"c{n} UInt64" for n in range(30))
    store.execute(
        f"CREATE TABLE tokentide.t (batch UInt64, {columns}) ENGINE = MergeTree ORDER BY batch "
        "SETTINGS non_replicated_deduplication_window = 1000"
    )
    acknowledged: set[int] = set()
    refused: list[str] = []
    done = threading.Event()

    def insert(first: int) -> None:
        values = ", ".join(f"rand64({n})" for n in range(30))
        for batch in itertools.count(first, SENDERS):
            sql = (
                f"INSERT INTO tokentide.t SETTINGS insert_deduplication_token = '{batch}' "
                f"SELECT {batch}, {values} FROM numbers({ROWS})"
            )
            # Like a sink: the same batch under the same token until it is acknowledged.
            while not done.is_set():
                try:
                    answer = store.post(sql)
                except Exception as error:  # noqa: BLE001 - the store is started again below
                    refused.append(type(error).__name__)
                    time.sleep(0.1)
                    continue
                if answer.status_code == 200:
                    acknowledged.add(batch)
                    break
                assert "NOT_ENOUGH_SPACE" in answer.text, answer.text
                refused.append("NOT_ENOUGH_SPACE")
                time.sleep(0.05)
            if done.is_set():
                return

    senders = [threading.Thread(target=insert, args=(first,)) for first in range(SENDERS)]
    for sender in senders:
        sender.start()
    try:
        for _ in range(ROUNDS):
            before = len(acknowledged)
            small_disk.fill()
            refusals = len(refused)
            _wait(lambda refusals=refusals: len(refused) > refusals, store)
            small_disk.free()
            _wait(lambda before=before: len(acknowledged) > before + 5, store)
    finally:
        done.set()
        for sender in senders:
            sender.join()
    counted = store.execute(
        f"SELECT batch, count() FROM tokentide.t GROUP BY batch HAVING count() != {ROWS} FORMAT TSV"
    )
    assert counted == ""
    stored = {int(line) for line in store.execute("SELECT DISTINCT batch FROM tokentide.t").split()}
    assert acknowledged - stored == set()
    assert "NOT_ENOUGH_SPACE" in refused


def _wait(condition: Any, store: Any, timeout_s: float = 60.0) -> None:
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, "the store does not go on"
        if store.process.poll() is not None:
            # What its supervisor does after a merge was cut off.
            store.start()
        time.sleep(0.05)
