"""A Kafka for the producers' tests: the mock cluster inside librdkafka, which speaks the real protocol over TCP."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from tokentide_schemas.envelope import Record
from tokentide_schemas.topics import USAGE

PARTITIONS = 4
"""Of every topic of the mock cluster."""
BROKER = """
import sys
from confluent_kafka import Producer
owner = Producer({"bootstrap.servers": "unused", "test.mock.num.brokers": 1, "log_level": 0})
broker = next(iter(owner.list_topics(sys.argv[1], timeout=10).brokers.values()))
print(f"{broker.host}:{broker.port}", flush=True)
sys.stdin.read()
"""


def records_of(servers: str, timeout_s: float = 20.0) -> list[Record]:
    """Everything in the usage topic, in order of partition and offset."""
    consumer = Consumer({"bootstrap.servers": servers, "group.id": "test", "enable.auto.commit": False})
    found = []
    try:
        for partition in range(PARTITIONS):
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


class MockKafka:
    """A broker that lives as long as this object; topics have four partitions."""

    def __init__(self) -> None:
        # The cluster belongs to this client, whose bootstrap servers are the brokers' real addresses.
        self._owner = Producer({"bootstrap.servers": "unused", "test.mock.num.brokers": 1, "log_level": 0})
        metadata = self._owner.list_topics(USAGE, timeout=10)
        broker = next(iter(metadata.brokers.values()))
        self.bootstrap_servers = f"{broker.host}:{broker.port}"
        self.partitions = len(metadata.topics[USAGE].partitions)
        assert self.partitions == PARTITIONS

    def records(self) -> list[Record]:
        """Everything in the usage topic, in order of partition and offset."""
        return records_of(self.bootstrap_servers)


class Broker:
    """A broker in a process of its own, which a test can stop and continue by its `pid`."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", BROKER, USAGE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        self.servers = self._process.stdout.readline().strip()
        self.pid = self._process.pid

    def records(self) -> list[Record]:
        """Everything in the usage topic, in order of partition and offset."""
        return records_of(self.servers)

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()


@pytest.fixture
def broker() -> Iterator[Broker]:
    one = Broker()
    try:
        yield one
    finally:
        one.close()


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
