"""Exactness of inserts: Arrow types, deduplication tokens, kill -9."""

from __future__ import annotations

import datetime as dt
import io
import signal
import threading
import uuid
from typing import Any

import httpx
import pyarrow as pa
import pytest

DEDUPLICATED = "ENGINE = MergeTree ORDER BY a SETTINGS non_replicated_deduplication_window = 1000"


def arrow_stream(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()


@pytest.mark.parametrize("index_type", [pa.int16(), pa.int32()], ids=str)
def test_the_events_arrow_types_arrive_unchanged(store: Any, table: str, index_type: pa.DataType) -> None:
    event_id = uuid.UUID("01234567-89ab-7cde-8f01-23456789abcd")
    store.execute(
        f"CREATE TABLE {table} (id UUID, raw FixedString(16), model LowCardinality(String), "
        "at DateTime64(3, 'UTC'), first_ms Nullable(UInt32), cost Nullable(Int64)) ENGINE = MergeTree ORDER BY id"
    )
    rows = pa.table(
        {
            "id": pa.array([event_id.bytes] * 2, pa.binary(16)),
            "raw": pa.array([event_id.bytes] * 2, pa.binary(16)),
            "model": pa.DictionaryArray.from_arrays(pa.array([1, 0], index_type), pa.array(["a", "b"])),
            "at": pa.array([1_700_000_000_123, 0], pa.timestamp("ms", "UTC")),
            "first_ms": pa.array([None, 7], pa.uint32()),
            "cost": pa.array([-5, None], pa.int64()),
        }
    )
    with store.client() as client:
        client.insert_arrow(table, rows)
        stored = client.query(f"SELECT id, hex(raw), model, at, first_ms, cost FROM {table} ORDER BY model DESC")
    assert stored.result_rows[0][:3] == (event_id, event_id.hex.upper(), "b")
    assert stored.result_rows[0][3].replace(tzinfo=dt.UTC) == dt.datetime(2023, 11, 14, 22, 13, 20, 123000, dt.UTC)
    assert stored.result_rows[0][4:] == (None, -5)
    assert stored.result_rows[1][2:] == ("a", stored.result_rows[1][3], 7, None)
    assert (
        store.execute(f"SELECT DISTINCT toString(id), UUIDNumToString(raw) FROM {table}") == f"{event_id}\t{event_id}"
    )


def test_the_same_token_is_stored_once(store: Any, table: str) -> None:
    store.execute(f"CREATE TABLE {table} (a UInt32) {DEDUPLICATED}")
    for token in ("one", "one", "two", "one"):
        store.execute(f"INSERT INTO {table} VALUES (1)", insert_deduplication_token=token)
    assert store.execute(f"SELECT count() FROM {table}") == "2"


def test_a_token_does_not_leak_to_the_next_insert_of_the_connection(store: Any, table: str) -> None:
    store.execute(f"CREATE TABLE {table} (a UInt32) {DEDUPLICATED}")
    with store.client() as client:
        settings = {"insert_deduplication_token": "t", "insert_deduplicate": 1}
        client.insert(table, [[1]], column_names=["a"], settings=settings)
        client.insert(table, [[2]], column_names=["a"])
        client.insert(table, [[3]], column_names=["a"])
    assert store.execute(f"SELECT groupArray(a) FROM (SELECT a FROM {table} ORDER BY a)") == "[1,2,3]"


def test_a_token_does_not_leak_inside_a_session(store: Any, table: str) -> None:
    store.execute(f"CREATE TABLE {table} (a UInt32) {DEDUPLICATED}")
    store.execute("SET max_block_size = 1000", session_id="tokens")
    store.execute(f"INSERT INTO {table} VALUES (1)", session_id="tokens", insert_deduplication_token="t")
    store.execute(f"INSERT INTO {table} VALUES (2)", session_id="tokens")
    assert store.execute("SELECT getSetting('insert_deduplication_token')", session_id="tokens") == ""
    assert store.execute(f"SELECT count() FROM {table}") == "2"


def test_tokens_survive_a_kill_and_a_restart(start_store: Any) -> None:
    store = start_store()
    store.execute(f"CREATE TABLE t (a UInt32) {DEDUPLICATED}")
    store.execute("INSERT INTO t VALUES (1)", insert_deduplication_token="first")
    store.signal(signal.SIGKILL)
    store.start()
    store.execute("INSERT INTO t VALUES (1)", insert_deduplication_token="first")
    store.execute("INSERT INTO t VALUES (2)", insert_deduplication_token="second")
    assert store.execute("SELECT groupArray(a) FROM (SELECT a FROM t ORDER BY a)") == "[1,2]"


class Writer:
    """Inserts numbered batches until the store is gone; knows which it was told are stored."""

    ROWS = 5_000

    def __init__(self, store: Any, number: int) -> None:
        self._store = store
        self._number = number
        self.acknowledged: list[int] = []
        self.attempted = -1
        self._thread = threading.Thread(target=self._run)

    def insert(self, batch: int) -> None:
        rows = pa.table(
            {
                "a": pa.array(range(batch * self.ROWS, (batch + 1) * self.ROWS), pa.uint32()),
                "writer": pa.array([self._number] * self.ROWS, pa.uint8()),
                "batch": pa.array([batch] * self.ROWS, pa.uint32()),
            }
        )
        response = self._store.post(
            arrow_stream(rows),
            query="INSERT INTO t FORMAT ArrowStream",
            insert_deduplication_token=f"{self._number}-{batch}",
        )
        response.raise_for_status()

    def _run(self) -> None:
        for batch in range(10_000):
            self.attempted = batch
            try:
                self.insert(batch)
            except httpx.TransportError:
                return
            self.acknowledged.append(batch)

    def start(self) -> None:
        self._thread.start()

    def join(self) -> None:
        self._thread.join(60)
        assert not self._thread.is_alive()


@pytest.mark.slow
def test_a_kill_during_inserts_loses_and_splits_nothing(start_store: Any, eventually: Any) -> None:
    store = start_store()
    store.execute(f"CREATE TABLE t (a UInt32, writer UInt8, batch UInt32) {DEDUPLICATED}")
    writers = [Writer(store, number) for number in range(2)]
    for writer in writers:
        writer.start()
    eventually(lambda: all(len(writer.acknowledged) >= 15 for writer in writers), "both writers got going")
    store.signal(signal.SIGKILL)
    for writer in writers:
        writer.join()
    store.start()
    stored = {
        tuple(map(int, line.split("\t")))
        for line in store.execute("SELECT writer, batch, count(), uniqExact(a) FROM t GROUP BY ALL").splitlines()
    }
    assert {(rows, distinct) for _, _, rows, distinct in stored} == {(Writer.ROWS, Writer.ROWS)}  # none partial
    present = {(writer, batch) for writer, batch, _, _ in stored}
    for number, writer in enumerate(writers):
        assert {(number, batch) for batch in writer.acknowledged} <= present  # none lost
        writer.insert(writer.attempted)  # the retry of the one without an answer
    expected = sum((writer.attempted + 1) * Writer.ROWS for writer in writers)
    assert store.execute("SELECT count() FROM t") == str(expected)
    assert store.execute("SELECT count() FROM (SELECT DISTINCT writer, a FROM t)") == str(expected)


def test_a_body_larger_than_many_slices_is_streamed_whole(store: Any, table: str) -> None:
    store.execute(f"CREATE TABLE {table} (a UInt64, s String) ENGINE = MergeTree ORDER BY a")
    line = b"%d\t" + b"x" * 1000 + b"\n"
    rows = 40_000

    def body() -> Any:
        for number in range(rows):
            yield line % number

    response = httpx.post(
        store.url, params={"query": f"INSERT INTO tokentide.{table} FORMAT TSV"}, content=body(), timeout=60
    )
    assert response.status_code == 200
    assert response.headers["X-ClickHouse-Summary"].find(f'"written_rows": "{rows}"') > 0
    assert (
        store.execute(f"SELECT count(), uniqExact(a), sum(length(s)) FROM {table}") == f"{rows}\t{rows}\t{rows * 1000}"
    )


def test_a_client_that_dies_during_its_insert_stores_nothing(store: Any, table: str, eventually: Any) -> None:
    store.execute(f"CREATE TABLE {table} (a UInt64) ENGINE = MergeTree ORDER BY a")

    def body() -> Any:
        yield b"1\n" * 1_000_000
        raise ConnectionAbortedError

    with pytest.raises(ConnectionAbortedError):
        httpx.post(store.url, params={"query": f"INSERT INTO tokentide.{table} FORMAT TSV"}, content=body())
    eventually(
        lambda: "tokentide_store_running_queries 0" in httpx.get(store.url + "/metrics").text, "the insert has ended"
    )
    assert store.execute(f"SELECT count() FROM {table}") == "0"


def test_arrow_dictionaries_with_duplicates_are_a_clean_error(store: Any, table: str) -> None:
    store.execute(f"CREATE TABLE {table} (s LowCardinality(String)) ENGINE = MergeTree ORDER BY s")
    rows = pa.table({"s": pa.DictionaryArray.from_arrays(pa.array([0, 1], pa.int16()), pa.array(["a", "a"]))})
    response = store.post(arrow_stream(rows), query=f"INSERT INTO {table} FORMAT ArrowStream")
    assert response.headers["X-ClickHouse-Exception-Code"] == "117"
    assert store.execute(f"SELECT count() FROM {table}") == "0"
