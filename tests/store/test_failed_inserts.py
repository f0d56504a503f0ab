"""An insert that the engine could not store is never acknowledged. chDB's streaming insert fails both of these."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tokentide_deploy.store.spool import Spool
from tokentide_deploy.store.sqltext import INFILE_MARK, insert_from_file, outline

DISK_MIB = 192


def test_an_insert_that_violates_a_constraint_is_refused(store: Any, table: str) -> None:
    store.execute(f"CREATE TABLE {table} (a UInt32, CONSTRAINT small CHECK a < 10) ENGINE = MergeTree ORDER BY a")
    answer = store.post(b"1\n100\n", query=f"INSERT INTO {table} FORMAT TSV")
    assert answer.status_code == 500
    assert "Code: 469" in answer.text
    assert answer.headers["x-clickhouse-exception-code"] == "469"
    assert store.execute(f"SELECT count() FROM {table}") == "0"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MIB}m,mode=700", "tokentide-test", str(folder)]
    if sys.platform != "linux" or os.geteuid() != 0 or subprocess.run(command, capture_output=True).returncode != 0:
        pytest.skip("a small file system cannot be mounted here")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(folder: Path) -> Path:
    ballast = folder / "ballast"
    with ballast.open("wb") as file:
        end = 0
        for piece_bytes in (1 << 24, 1 << 20, 1 << 15):
            with contextlib.suppress(OSError):
                while True:
                    os.posix_fallocate(file.fileno(), end, piece_bytes)
                    end += piece_bytes
    return ballast


def test_an_insert_on_a_full_disk_is_refused_and_succeeds_once_there_is_room(
    small_disk: Path, store_process: Any
) -> None:
    store = store_process(small_disk).start()
    try:
        store.execute(
            "CREATE TABLE t (a UInt32) ENGINE = MergeTree ORDER BY a SETTINGS non_replicated_deduplication_window = 100"
        )
        rows = "\n".join(map(str, range(50_000))).encode()
        ballast = fill(small_disk)
        request = {"query": "INSERT INTO t FORMAT TSV", "insert_deduplication_token": "once"}
        answer = store.post(rows, **request)
        assert answer.status_code == 500
        assert "NOT_ENOUGH_SPACE" in answer.text
        ballast.unlink()
        assert store.execute("SELECT count() FROM t") == "0"
        for _ in range(2):
            assert store.post(rows, **request).status_code == 200
        assert store.execute("SELECT count() FROM t") == "50000"
    finally:
        store.stop()


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("INSERT INTO t", "INSERT INTO t FROM INFILE X COMPRESSION 'none' FORMAT TSV"),
        ("INSERT INTO t (a, b)", "INSERT INTO t (a, b) FROM INFILE X COMPRESSION 'none' FORMAT TSV"),
        ("INSERT INTO t -- note", "INSERT INTO t -- note FROM INFILE X COMPRESSION 'none' FORMAT TSV"),
        (
            "INSERT INTO t (a) SETTINGS async_insert = 0",
            "INSERT INTO t (a) FROM INFILE X COMPRESSION 'none' SETTINGS async_insert = 0 FORMAT TSV",
        ),
        (
            "INSERT INTO d.settings (a) SETTINGS x = 1",
            "INSERT INTO d.settings (a) FROM INFILE X COMPRESSION 'none' SETTINGS x = 1 FORMAT TSV",
        ),
        ("INSERT INTO settings", "INSERT INTO settings FROM INFILE X COMPRESSION 'none' FORMAT TSV"),
        ("INSERT INTO TABLE settings", "INSERT INTO TABLE settings FROM INFILE X COMPRESSION 'none' FORMAT TSV"),
    ],
)
def test_the_file_clause_goes_before_the_settings(sql: str, expected: str) -> None:
    statement = outline(f"{sql} FORMAT TSV\n1".encode() if "--" not in sql else f"{sql}\nFORMAT TSV\n1".encode())
    made = insert_from_file(sql.encode(), statement, "TSV").decode().replace(INFILE_MARK, "X")
    assert made.split() == expected.split()


def test_an_insert_with_settings_and_a_table_named_settings_works(store: Any) -> None:
    store.execute("CREATE TABLE IF NOT EXISTS settings (a UInt32) ENGINE = MergeTree ORDER BY a")
    store.execute("INSERT INTO settings (a) SETTINGS async_insert = 0 VALUES (1), (2)")
    store.post(b"3\n", query="INSERT INTO settings SETTINGS async_insert = 0 FORMAT TSV").raise_for_status()
    assert store.execute("SELECT sum(a) FROM settings") == "6"
    store.execute("DROP TABLE settings")


def test_many_rows_are_held_on_disk_and_leave_nothing_behind(tmp_path: Path) -> None:
    with Spool(tmp_path, memory_bytes=100) as spool:
        pieces = [bytes([number]) * 70 for number in range(4)]
        for piece in pieces:
            spool.append(piece)
        assert Path(spool.path).read_bytes() == b"".join(pieces)
        assert Path(spool.path).parent == tmp_path
    assert list(tmp_path.iterdir()) == []


def test_few_rows_are_held_in_memory(tmp_path: Path) -> None:
    if not hasattr(os, "memfd_create"):
        pytest.skip("no files in memory on this system")
    with Spool(tmp_path) as spool:
        spool.append(b"abc")
        assert Path(spool.path).read_bytes() == b"abc"
        assert list(tmp_path.iterdir()) == []
