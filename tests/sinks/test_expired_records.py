"""Records that the topic deletes before they are stored: said loudly, and verify fails until somebody takes note."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource, ResourceType

from end_to_end.harness import wait_until
from sinks.stored_world import World
from sinks.test_pause_and_rebalance import use
from tokentide_deploy.embedded_kafka import EmbeddedKafka
from tokentide_deploy.kafka_topics import ensure_topics
from tokentide_deploy.verify.run import Verifier
from tokentide_schemas import topics
from tokentide_sinks.dlq import Filter
from tokentide_sinks.dlq_io import DeadLetters
from tokentide_sinks.events_sink import EventsSink
from tokentide_sinks.settings import SinkSettings
from tokentide_sinks.store import Store

pytestmark = [pytest.mark.slow, pytest.mark.embedded]


@contextmanager
def running_sink(kafka: EmbeddedKafka, store: Store) -> Iterator[list[dict[str, Any]]]:
    said: list[dict[str, Any]] = []
    stop = threading.Event()
    settings = SinkSettings(kafka_bootstrap_servers=kafka.bootstrap_servers, sink_max_wait_s=0.1)
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(EventsSink(settings, store, stop).run, lambda: None, said.append)
        try:
            yield said
        finally:
            stop.set()
            future.result(30)


def losses(kafka: EmbeddedKafka, store: Store) -> list[str]:
    # Without cubes: there is no worker here that could have counted.
    report = Verifier(kafka.bootstrap_servers, store, wait_s=0, cubes=()).run()
    return [one.what for one in report.findings if "LOST" in one.what]


def test_what_the_topic_deleted_unread_is_a_dead_letter_and_a_failed_verification(
    tmp_path: Path, world: World, caplog: pytest.LogCaptureFixture
) -> None:
    # The sink's thread and the test's each need a connection.
    own = Store(f"http://tokentide@127.0.0.1:{world.process.port}/tokentide")
    with EmbeddedKafka(tmp_path / "kafka") as kafka:
        ensure_topics(kafka.bootstrap_servers, 1)
        admin = AdminClient({"bootstrap.servers": kafka.bootstrap_servers})
        producer = Producer({"bootstrap.servers": kafka.bootstrap_servers})
        resource = ConfigResource(ResourceType.TOPIC, topics.USAGE)  # type: ignore[attr-defined]
        limits = admin.describe_configs([resource])[resource].result()
        assert limits["retention.bytes"].value == "-1", "only time may expire records"

        def send(records: int) -> None:
            for _ in range(records):
                use(producer, 0)

        def delete_before(offset: int) -> None:
            for future in admin.delete_records([TopicPartition(topics.USAGE, 0, offset)]).values():
                future.result()

        with running_sink(kafka, world.store):
            send(3)
            wait_until(lambda: own.rows("SELECT count() FROM ingest_ledger")[0][0] == 3, "three records")
        send(5)
        delete_before(6)
        assert losses(kafka, own) == [
            "LOST: offsets 3 to 5 were deleted by the topic before the raw sink read them; start it, and give the "
            "topic more retention"
        ]
        letters = "SELECT offset, events, detail FROM dead_letters_open WHERE reason = 'expired' ORDER BY offset"
        with caplog.at_level(logging.ERROR), running_sink(kafka, world.store) as said:
            wait_until(lambda: own.rows("SELECT count() FROM ingest_ledger FINAL")[0][0] == 5, "the two that are left")
            wait_until(lambda: said[-1]["expired_records_total"] == 3, "the loss in the status")
            assert "LOST: the topic deleted offsets 3 to 5" in caplog.text
        assert own.rows(letters) == [(3, 3, "records 3 to 5 were deleted unread")]

        # To a partition to which nothing comes any more, it shows as well.
        send(2)
        delete_before(10)
        with running_sink(kafka, world.store):
            wait_until(lambda: len(own.rows(letters)) == 2, "the second loss")
        assert own.rows(letters)[1] == (8, 2, "records 8 to 9 were deleted unread")
        assert len(losses(kafka, own)) == 2
        discarded = DeadLetters(own, kafka.bootstrap_servers).discard(Filter(reason="expired"), "me", "noted", False)
        assert discarded.letters == 2
        assert losses(kafka, own) == []
        own.close()
