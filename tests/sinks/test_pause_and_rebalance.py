"""A sink that waits for the store while its group rebalances must not leave partitions paused for ever."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from confluent_kafka import Consumer, Producer

from end_to_end.harness import wait_until
from tokentide_deploy.embedded_kafka import EmbeddedKafka
from tokentide_deploy.kafka_topics import ensure_topics
from tokentide_schemas import topics
from tokentide_schemas.rollups import HEADER_KIND, KIND_PROGRESS, Progress
from tokentide_sinks.kafka import GROUP_ROLLUPS, consumer_config
from tokentide_sinks.rollups_sink import RollupsSink
from tokentide_sinks.settings import SinkSettings
from tokentide_sinks.store import StoreUnavailableError

pytestmark = pytest.mark.long


class StoreThatGoesAway:
    """Remembers the newest progress of each partition; refuses while `away` is set."""

    def __init__(self) -> None:
        self.away = threading.Event()
        self.refused = 0
        self.applied: dict[int, int] = {}

    def insert(self, table: str, rows: pa.Table, _token: str | None = None) -> None:
        if self.away.is_set():
            self.refused += 1
            raise StoreUnavailableError("away")
        if table == "stream_watermarks":
            for row in rows.to_pylist():
                self.applied[row["partition"]] = max(row["applied_offset"], self.applied.get(row["partition"], 0))


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


@pytest.mark.embedded
@pytest.mark.slow
def test_partitions_flow_again_after_a_rebalance_that_came_while_the_store_was_away(tmp_path: Path) -> None:
    with EmbeddedKafka(tmp_path / "kafka") as kafka:
        ensure_topics(kafka.bootstrap_servers, 2)
        settings = SinkSettings(
            kafka_bootstrap_servers=kafka.bootstrap_servers, sink_max_wait_s=0.1, kafka_session_timeout_s=6
        )
        store, stop = StoreThatGoesAway(), threading.Event()
        sink = RollupsSink(settings, store, stop)  # type: ignore[arg-type]
        thread = threading.Thread(target=sink.run, args=(lambda: None, lambda _status: None))
        thread.start()
        producer = Producer({"bootstrap.servers": kafka.bootstrap_servers})
        try:
            for partition in (0, 1):
                report(producer, partition, 1)
            wait_until(lambda: store.applied == {0: 1, 1: 1}, "the first reports")
            store.away.set()
            for partition in (0, 1):
                report(producer, partition, 2)
            wait_until(lambda: store.refused > 0, "the sink to wait for the store")
            guest = Consumer(consumer_config(settings, GROUP_ROLLUPS))
            guest.subscribe([topics.ROLLUPS])
            wait_until(lambda: guest.poll(0.1) is None and bool(guest.assignment()), "a rebalance")
            guest.close()
            store.away.clear()
            for partition in (0, 1):
                report(producer, partition, 3)
            wait_until(lambda: store.applied == {0: 3, 1: 3}, "the reports from after the rebalance", 60)
        finally:
            stop.set()
            thread.join(30)
