"""A broker that stops answering long enough for records to be given up, and comes back."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest
from confluent_kafka import Consumer, TopicPartition

from tokentide_producers.emitter import Emitter
from tokentide_producers.settings import EmitterSettings, SenderSettings
from tokentide_schemas.envelope import Record, decode
from tokentide_schemas.identity import SeenEnvelopes
from tokentide_schemas.topics import USAGE

Wait = Callable[[Callable[[], bool]], None]
BROKER = """
import sys
from confluent_kafka import Producer
owner = Producer({"bootstrap.servers": "unused", "test.mock.num.brokers": 1, "log_level": 0})
broker = next(iter(owner.list_topics(sys.argv[1], timeout=10).brokers.values()))
print(f"{broker.host}:{broker.port}", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def broker() -> Iterator[tuple[str, int]]:
    """Address and process id of a broker in a process of its own, which a test can stop and continue."""
    process = subprocess.Popen(
        [sys.executable, "-c", BROKER, USAGE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip(), process.pid
    finally:
        process.kill()
        process.communicate()


def all_records(servers: str) -> list[Record]:
    consumer = Consumer({"bootstrap.servers": servers, "group.id": "test", "enable.auto.commit": False})
    found = []
    try:
        for partition in range(4):
            place = TopicPartition(USAGE, partition, 0)
            _low, high = consumer.get_watermark_offsets(place, timeout=10)
            consumer.assign([place])
            taken, deadline_s = 0, time.monotonic() + 20
            while taken < high:
                assert time.monotonic() < deadline_s
                message = consumer.poll(0.5)
                if message is not None and not message.error():
                    taken = (message.offset() or 0) + 1
                    headers = dict(message.headers() or [])
                    found.append(Record(partition, taken - 1, 1_800_000_000_000, message.value(), headers))
    finally:
        consumer.close()
    return found


def test_records_that_were_given_up_are_sent_again_with_their_identity_and_partition(
    broker: tuple[str, int], wait_until: Wait
) -> None:
    servers, pid = broker
    settings = EmitterSettings(batch_events=5, sender=SenderSettings(delivery_timeout_ms=1_000, linger_ms=5))
    emitter = Emitter(servers, settings=settings)
    sent = []

    def emit(count: int) -> None:
        for _ in range(count):
            sent.append(str(len(sent)))
            assert emitter.emit(
                request_id=sent[-1],
                request_model="m",
                provider="p",
                input_uncached_tokens=1,
                output_tokens=1,
                usage_reported=True,
                outcome="ok",
            )

    emit(50)
    assert emitter.flush(20)
    os.kill(pid, signal.SIGSTOP)
    try:
        emit(50)
        wait_until(lambda: emitter.stats().retries > 0)
        assert emitter.stats().in_flight == 50
        assert "TIMED_OUT" in emitter.stats().last_error.upper()
        emit(20)
    finally:
        os.kill(pid, signal.SIGCONT)
    assert emitter.flush(60)
    assert emitter.close()
    stats = emitter.stats()
    assert (stats.acknowledged, stats.in_flight, dict(stats.dropped)) == (len(sent), 0, {})

    seen = [SeenEnvelopes() for _ in range(4)]
    stored = []
    numbers: dict[int, set[int]] = {}
    for record in all_records(servers):
        envelope = decode(record)
        assert envelope.identity is not None and envelope.table is not None
        numbers.setdefault(record.partition, set()).add(envelope.identity.sequence)
        if seen[record.partition].admit(envelope.identity.producer_id, envelope.identity.sequence, 0):
            stored += envelope.table.column("request_id").to_pylist()
    assert sorted(stored, key=int) == sent
    assert all(found == set(range(len(found))) for found in numbers.values())
