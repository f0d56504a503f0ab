"""A sink that waits for the store while its group rebalances must not leave partitions paused for ever."""

from __future__ import annotations

import datetime as dt
import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from confluent_kafka import Consumer, Producer

from end_to_end.harness import wait_until
from tokentide_deploy.embedded_kafka import EmbeddedKafka
from tokentide_deploy.kafka_topics import ensure_topics
from tokentide_schemas import topics
from tokentide_schemas.envelope import CONTENT_TYPE_NDJSON
from tokentide_schemas.rollups import HEADER_KIND, KIND_PROGRESS, Progress
from tokentide_sinks.events_sink import EventsSink
from tokentide_sinks.kafka import GROUP_EVENTS, GROUP_ROLLUPS, consumer_config
from tokentide_sinks.recovery import CLOCK_SQL, CONSECUTIVE_SQL, END_SQL, NEWEST_SQL
from tokentide_sinks.rollups_sink import RollupsSink
from tokentide_sinks.settings import SinkSettings
from tokentide_sinks.store import StoreUnavailableError

pytestmark = pytest.mark.slow


class StoreThatGoesAway:
    """Remembers the newest progress of each partition and every raw row's place; refuses while `away` is set."""

    def __init__(self) -> None:
        self.away = threading.Event()
        self.refused = 0
        self.applied: dict[int, int] = {}
        self.stored: list[tuple[int, int]] = []
        self.taken: dict[str, list[tuple[int, int]]] = {}

    def insert(self, table: str, rows: pa.Table, token: str | None = None) -> None:
        self._answer()
        if table == "stream_watermarks":
            for row in rows.to_pylist():
                self.applied[row["partition"]] = max(row["applied_offset"], self.applied.get(row["partition"], 0))
        if table == "events":
            columns = (rows.column(name).to_pylist() for name in ("kafka_partition", "kafka_offset"))
            places = list(zip(*columns, strict=True))
            # A range that is repeated has its token: a store takes it once, and it must be the same range.
            assert token is not None
            if token in self.taken:
                assert self.taken[token] == places
                return
            self.taken[token] = places
            self.stored += places

    def rows(self, sql: str, _parameters: Any = None) -> list[tuple[int, ...]]:
        """What an empty ledger says."""
        self._answer()
        return [(0, 0)] if sql in (END_SQL, CLOCK_SQL, NEWEST_SQL, CONSECUTIVE_SQL) else []

    def counters(self) -> dict[str, float]:
        """As of a store that counts nothing."""
        return {}

    def _answer(self) -> None:
        if self.away.is_set():
            self.refused += 1
            raise StoreUnavailableError("away")


def report(producer: Producer, partition: int, offset: int) -> None:
    progress = Progress(
        topic=topics.USAGE,
        epoch="epoch",
        partition=partition,
        applied_offset=offset,
        end_offset=offset + 1,
        watermark_ms=1,
        applied_events=offset,
        emitted_at_ms=1,
        lag_ms=0,
        counted_offset=offset,
        published_offset=offset,
        published_watermark_ms=1,
        counted_from_s={},
    )
    headers: Any = [(HEADER_KIND, KIND_PROGRESS)]
    producer.produce(topics.ROLLUPS, progress.model_dump_json(), partition=partition, headers=headers)
    assert producer.flush(30) == 0


def use(producer: Producer, partition: int) -> None:
    event = {
        "occurred_at": dt.datetime.now(dt.UTC).isoformat(),
        "request_model": "m",
        "provider": "p",
        "input_uncached_tokens": 1,
        "output_tokens": 1,
        "usage_reported": True,
        "outcome": "ok",
    }
    headers: Any = [(topics.HEADER_CONTENT_TYPE, CONTENT_TYPE_NDJSON)]
    producer.produce(topics.USAGE, json.dumps(event), partition=partition, headers=headers)
    assert producer.flush(30) == 0


@contextmanager
def rebalance(settings: SinkSettings, group: str, topic: str) -> Iterator[None]:
    """Another member comes, gets a partition, and goes at the end. What it is given it does not touch."""
    guest = Consumer(consumer_config(settings, group))
    guest.subscribe([topic])
    wait_until(lambda: guest.poll(0.1) is None and bool(guest.assignment()), "a rebalance")
    try:
        yield
    finally:
        guest.close()


@pytest.fixture
def kafka(tmp_path: Path) -> Iterator[EmbeddedKafka]:
    with EmbeddedKafka(tmp_path / "kafka") as running:
        ensure_topics(running.bootstrap_servers, 2)
        yield running


@pytest.fixture
def settings(kafka: EmbeddedKafka) -> SinkSettings:
    return SinkSettings(kafka_bootstrap_servers=kafka.bootstrap_servers, sink_max_wait_s=0.1, kafka_session_timeout_s=6)


@contextmanager
def running(sink: EventsSink | RollupsSink, stop: threading.Event) -> Iterator[list[dict[str, Any]]]:
    """The sink in a thread, and what it says of itself. Whatever it raised is raised here."""
    said: list[dict[str, Any]] = []
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(sink.run, lambda: None, said.append)
        try:
            yield said
        finally:
            stop.set()
            future.result(30)


@pytest.mark.embedded
def test_rollup_partitions_flow_again_after_a_rebalance_that_came_while_the_store_was_away(
    kafka: EmbeddedKafka, settings: SinkSettings
) -> None:
    store, stop = StoreThatGoesAway(), threading.Event()
    producer = Producer({"bootstrap.servers": kafka.bootstrap_servers})
    with running(RollupsSink(settings, store, stop), stop):  # type: ignore[arg-type]
        for offset in (1, 2):
            for partition in (0, 1):
                report(producer, partition, offset)
            if offset == 1:
                wait_until(lambda: store.applied == {0: 1, 1: 1}, "the first reports")
                store.away.set()
        wait_until(lambda: store.refused > 0, "the sink to wait for the store")
        with rebalance(settings, GROUP_ROLLUPS, topics.ROLLUPS):
            pass
        store.away.clear()
        for partition in (0, 1):
            report(producer, partition, 3)
        wait_until(lambda: store.applied == {0: 3, 1: 3}, "the reports from after the rebalance", 30)


@pytest.mark.embedded
def test_raw_partitions_lose_and_double_nothing_in_rebalances_that_come_while_the_store_is_away(
    kafka: EmbeddedKafka, settings: SinkSettings
) -> None:
    store, stop = StoreThatGoesAway(), threading.Event()
    producer = Producer({"bootstrap.servers": kafka.bootstrap_servers})
    sent = []

    def send() -> None:
        sent.extend([(0, len(sent) // 2), (1, len(sent) // 2)])
        use(producer, 0)
        use(producer, 1)

    with running(EventsSink(settings, store, stop), stop) as said:  # type: ignore[arg-type]
        send()
        wait_until(lambda: sorted(store.stored) == sorted(sent), "the first events")
        for _ in range(3):
            store.away.set()
            refused = store.refused
            send()
            wait_until(lambda before=refused: store.refused > before, "the sink to wait for the store")  # type: ignore[misc]
            with rebalance(settings, GROUP_EVENTS, topics.USAGE):
                send()
            refused = store.refused
            wait_until(lambda before=refused: store.refused > before, "the sink to wait with all partitions again")  # type: ignore[misc]
            send()
            store.away.clear()
            wait_until(lambda: len(store.stored) >= len(sent), "the events from around the rebalance", 30)
            assert sorted(store.stored) == sorted(sent)
        wait_until(lambda: said[-1]["lag_records"] == 0, "no lag in the status")
        assert said[-1]["expired_records_total"] == 0
