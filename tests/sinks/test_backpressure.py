"""A store that is slow, away or refusing: reading pauses, memory stays, the lag shows, then all is there once."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa
import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient

from chaos.http_message import Message
from chaos.store_proxy import StoreProxy
from end_to_end.harness import wait_until
from sinks.stored_world import World, running_world, usage
from tokentide_deploy.embedded_kafka import EmbeddedKafka
from tokentide_deploy.kafka_topics import ensure_topics
from tokentide_schemas import topics
from tokentide_schemas.arrow import EVENT_SCHEMA, table_from_events
from tokentide_schemas.envelope import CONTENT_TYPE_ARROW, encode_arrow, headers_for
from tokentide_sinks.events_sink import READ_RECORDS
from tokentide_sinks.kafka import GROUP_EVENTS

pytestmark = [pytest.mark.slow, pytest.mark.embedded]

ROWS = 500
"""Rows of one record."""
MAX_ROWS = 20_000
"""Rows of one insert, here."""
MAX_POLL_S = 8
OUTAGE_S = 1.5 * MAX_POLL_S
MIB = 1024 * 1024
TOO_MANY_PARTS = b"Code: 252. DB::Exception: Too many parts (300) in all of them. (TOO_MANY_PARTS) (version 25.8.2.1)\n"


class TroubledStore(StoreProxy):
    """Answers inserts late, or refuses them as a ClickHouse does that cannot merge as fast as it is written to."""

    def __init__(self, upstream_port: int) -> None:
        super().__init__(upstream_port, 1)
        self.delay_s = 0.0
        self.has_too_many_parts = False
        self.refusals = 0

    async def _pass_on(
        self,
        request: Message,
        from_store: asyncio.StreamReader,
        to_store: asyncio.StreamWriter,
        writer: asyncio.StreamWriter,
    ) -> None:
        if request.inserts_into is not None:
            await asyncio.sleep(self.delay_s)
            if self.has_too_many_parts:
                self.refusals += 1
                head = f"HTTP/1.1 500 Internal Server Error\r\nContent-Length: {len(TOO_MANY_PARTS)}\r\n"
                writer.write(head.encode() + b"X-ClickHouse-Exception-Code: 252\r\n\r\n" + TOO_MANY_PARTS)
                await writer.drain()
                return
        await super()._pass_on(request, from_store, to_store, writer)


class Sink:
    """The raw sink as a process of its own, with the store behind the proxy."""

    def __init__(self, folder: Path, kafka: EmbeddedKafka, store: World) -> None:
        self.kafka, self.store = kafka, store
        self.proxy = TroubledStore(store.process.port)
        self._status_file = folder / "status.json"
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self._producer = Producer({"bootstrap.servers": kafka.bootstrap_servers, "queue.buffering.max.kbytes": 262_144})
        self._sent = 0
        table = table_from_events([usage(input_uncached_tokens=i) for i in range(ROWS)])
        self._table = table.drop_columns(["event_id"])
        self._columns = table.column_names
        self._name = f"producer-{folder.name}"

    def start(self) -> None:
        self.proxy.start()
        environment = {
            **os.environ,
            "TOKENTIDE_KAFKA_BOOTSTRAP_SERVERS": self.kafka.bootstrap_servers,
            "TOKENTIDE_CLICKHOUSE_URL": f"http://tokentide@127.0.0.1:{self.proxy.port}/tokentide",
            "TOKENTIDE_STATUS_FILE": str(self._status_file),
            "TOKENTIDE_READY_FILE": str(self._folder / "ready.json"),
            "TOKENTIDE_SINK_MAX_ROWS": str(MAX_ROWS),
            "TOKENTIDE_SINK_MAX_WAIT_S": "0.2",
            "TOKENTIDE_KAFKA_SESSION_TIMEOUT_S": "6",
            "TOKENTIDE_KAFKA_MAX_POLL_INTERVAL_S": str(MAX_POLL_S),
        }
        with (self._folder / "sink.log").open("wb") as log:
            command = [sys.executable, "-m", "tokentide_sinks", "events"]
            self._process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        wait_until((self._folder / "ready.json").exists, "the sink to be ready")

    def stop(self) -> None:
        assert self._process is not None
        self._process.terminate()
        self._process.wait(30)
        self.proxy.stop()

    def send(self, records: int) -> None:
        """Records with random event ids, acknowledged."""
        for _ in range(records):
            ids = pa.FixedSizeBinaryArray.from_buffers(pa.binary(16), ROWS, [None, pa.py_buffer(os.urandom(16 * ROWS))])
            table = self._table.append_column("event_id", ids).select(self._columns)
            table = pa.Table.from_arrays(table.columns, schema=EVENT_SCHEMA)
            headers: Any = headers_for(CONTENT_TYPE_ARROW, ROWS, self._name, self._sent)
            self._producer.produce(topics.USAGE, encode_arrow(table), partition=0, headers=headers)
            self._sent += 1
        assert self._producer.flush(30) == 0

    def status(self) -> dict[str, Any]:
        status: dict[str, Any] = json.loads(self._status_file.read_text())
        return status

    @property
    def rss(self) -> int:
        assert self._process is not None
        return int(psutil.Process(self._process.pid).memory_info().rss)

    def members(self) -> list[str]:
        admin = AdminClient({"bootstrap.servers": self.kafka.bootstrap_servers})
        group = admin.describe_consumer_groups([GROUP_EVENTS])[GROUP_EVENTS].result()
        return [member.member_id for member in group.members]

    def everything_is_stored_once(self) -> None:
        """In raw and ledger. Rows are told apart by their place, so nothing hides behind a merge."""
        rows = self._sent * ROWS
        count = f"SELECT count() FROM events WHERE producer_id = '{self._name}'"
        wait_until(lambda: self.store.value(count) >= rows, "all rows", 240)
        wait_until(lambda: self.status()["lag_records"] == 0, "no lag in the status")
        found = self.store.rows(
            "SELECT count(), uniqExact(event_id), uniqExact(producer_sequence), max(producer_sequence) FROM events "
            f"WHERE producer_id = '{self._name}'"
        )
        assert found == [(rows, rows, self._sent, self._sent - 1)]
        ledger = self.store.rows(
            "SELECT count(), sum(stored_events), sum(duplicate_events), sum(rejected_events) FROM ingest_ledger FINAL "
            f"WHERE producer_id = '{self._name}'"
        )
        assert ledger == [(self._sent, rows, 0, 0)]


@pytest.fixture(scope="module")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedKafka]:
    with EmbeddedKafka(tmp_path_factory.mktemp("backpressure") / "kafka") as running:
        ensure_topics(running.bootstrap_servers, 1)
        yield running


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with running_world(tmp_path_factory.mktemp("store")) as world:
        yield world


@pytest.fixture
def sink(tmp_path: Path, kafka: EmbeddedKafka, store: World) -> Iterator[Sink]:
    sink = Sink(tmp_path, kafka, store)
    sink.start()
    try:
        sink.send(20)
        sink.everything_is_stored_once()
        yield sink
    finally:
        sink.stop()


@contextmanager
def away(sink: Sink) -> Iterator[None]:
    sink.proxy.refuse()
    yield
    sink.proxy.accept()


@contextmanager
def too_many_parts(sink: Sink) -> Iterator[None]:
    sink.proxy.has_too_many_parts = True
    yield
    assert sink.proxy.refusals > 1
    sink.proxy.has_too_many_parts = False


@pytest.mark.parametrize("trouble", [away, too_many_parts])
def test_while_the_store_takes_nothing_reading_pauses_and_afterwards_nothing_is_missing(
    sink: Sink, trouble: Any
) -> None:
    bound = MAX_ROWS + READ_RECORDS * ROWS
    members = sink.members()
    with trouble(sink):
        sink.send(READ_RECORDS)
        wait_until(lambda: sink.status()["waiting_for_store"], "the sink to pause")
        settled = time.monotonic()
        before, beginning = sink.rss, sink.status()
        # As a gateway would go on: several times what may wait in memory.
        while time.monotonic() - settled < OUTAGE_S:
            sink.send(100)
            wait_until(lambda: time.time() * 1000 - sink.status()["updated_at_ms"] < 2_500, "a status of now", 5)
            assert sink.status()["waiting_rows"] <= bound
            time.sleep(0.5)
        last = sink.status()
        assert last["waiting_for_store"]
        assert last["waiting_rows"] == beginning["waiting_rows"], "nothing more was read"
        assert last["stored_events_total"] == beginning["stored_events_total"]
        assert last["lag_records"] > beginning["lag_records"] + 1_000
        assert last["lag_records"] * ROWS > 3 * bound
        assert sink.rss - before < 30 * MIB
        assert sink.members() == members, "it was put out of its group"
    sink.everything_is_stored_once()
    assert sink.members() == members


def test_a_slow_store_makes_inserts_large_and_not_memory(sink: Sink) -> None:
    bound = MAX_ROWS + READ_RECORDS * ROWS
    inserts = sink.status()["inserts_total"]
    sink.proxy.delay_s = 0.5
    sink.send(READ_RECORDS)
    before = sink.rss
    highest = lag = 0
    for _ in range(20):
        sink.send(60)
        status = sink.status()
        assert status["waiting_rows"] <= bound
        highest, lag = max(highest, sink.rss), max(lag, status["lag_records"])
        time.sleep(0.1)
    assert lag > 0
    # The client prefetches up to 64 MiB; the rest is two blocks of the bound, one read and one on its way.
    assert highest - before < 256 * MIB
    sink.proxy.delay_s = 0.0
    sink.everything_is_stored_once()
    records = READ_RECORDS + 20 * 60
    assert sink.status()["inserts_total"] - inserts <= records * ROWS / MAX_ROWS + 5
