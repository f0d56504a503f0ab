"""A Kafka for the producers' tests: the mock cluster inside librdkafka, which speaks the real protocol over TCP."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from tokentide_schemas.envelope import Record
from tokentide_schemas.topics import USAGE


class MockKafka:
    """A broker that lives as long as this object; topics have four partitions."""

    def __init__(self) -> None:
        # The cluster belongs to this client, whose bootstrap servers are the brokers' real addresses.
        self._owner = Producer({"bootstrap.servers": "unused", "test.mock.num.brokers": 1, "log_level": 0})
        metadata = self._owner.list_topics(USAGE, timeout=10)
        broker = next(iter(metadata.brokers.values()))
        self.bootstrap_servers = f"{broker.host}:{broker.port}"
        self.partitions = len(metadata.topics[USAGE].partitions)

    def records(self, timeout_s: float = 20.0) -> list[Record]:
        """Everything in the usage topic, in order of partition and offset."""
        settings = {"bootstrap.servers": self.bootstrap_servers, "group.id": "test", "enable.auto.commit": False}
        consumer = Consumer(settings)
        found = []
        try:
            for partition in range(self.partitions):
                place = TopicPartition(USAGE, partition, 0)
                _low, high = consumer.get_watermark_offsets(place, timeout=10)
                consumer.assign([place])
                deadline_s = time.monotonic() + timeout_s
                taken = 0
                while taken < high:
                    assert time.monotonic() < deadline_s, f"partition {partition}: {taken} of {high} records read"
                    message = consumer.poll(0.5)
                    if message is None or message.error():
                        continue
                    taken = (message.offset() or 0) + 1
                    headers = dict(message.headers() or [])
                    appended_at_ms = time.time_ns() // 1_000_000
                    found.append(Record(partition, message.offset() or 0, appended_at_ms, message.value(), headers))
        finally:
            consumer.close()
        return found


@pytest.fixture
def kafka() -> MockKafka:
    return MockKafka()


@pytest.fixture
def wait_until() -> Callable[[Callable[[], bool]], None]:
    def wait(condition: Callable[[], bool], timeout_s: float = 20.0) -> None:
        deadline_s = time.monotonic() + timeout_s
        while not condition():
            assert time.monotonic() < deadline_s, "the condition did not come true in time"
            time.sleep(0.01)

    return wait
