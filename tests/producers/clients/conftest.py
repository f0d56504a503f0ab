"""Clients of a provider on this machine, an emitter and a Kafka for them, and the events that arrive there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import anthropic
import openai
import pytest
from confluent_kafka import Consumer, TopicPartition

from producers.conftest import MockKafka
from producers.upstream.answers import MARKER
from producers.upstream.server import Upstream
from tokentide_producers.clients import instrument
from tokentide_producers.emitter import Emitter
from tokentide_producers.settings import EmitterSettings, SenderSettings
from tokentide_schemas.block import assemble
from tokentide_schemas.envelope import Record, decode
from tokentide_schemas.topics import USAGE

Events = Callable[[], list[dict[str, Any]]]


@pytest.fixture(scope="session")
def topic() -> MockKafka:
    return MockKafka()


@pytest.fixture(scope="session")
def emitter(topic: MockKafka) -> Iterator[Emitter]:
    """One for all tests: it reads the catalogue, which takes seconds."""
    settings = EmitterSettings(hash_key="secret of these tests", sender=SenderSettings(linger_ms=0))
    with Emitter(topic.bootstrap_servers, gateway="gw-clients", settings=settings) as one:
        yield one


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with Upstream() as one:
        yield one


@pytest.fixture
def client(upstream: Upstream, emitter: Emitter) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{upstream.url}/v1", api_key="none", max_retries=0) as one:
        yield instrument(one, emitter)


@pytest.fixture
def claude(upstream: Upstream, emitter: Emitter) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=upstream.url, api_key="none", max_retries=0) as one:
        yield instrument(one, emitter)


@pytest.fixture(scope="session")
def reader(topic: MockKafka) -> Iterator[Consumer]:
    consumer = Consumer({"bootstrap.servers": topic.bootstrap_servers, "group.id": "t", "fetch.wait.max.ms": 10})
    consumer.assign([TopicPartition(USAGE, partition, 0) for partition in range(topic.partitions)])
    yield consumer
    consumer.close()


@pytest.fixture
def emitted(reader: Consumer, emitter: Emitter) -> Events:
    """The events that have arrived since the last look; no text of a prompt or an answer is in their records."""

    def take() -> list[dict[str, Any]]:
        assert emitter.flush(60)
        records = []
        while len(taken) < emitter.stats().envelopes:
            message = reader.poll(30)
            assert message is not None and message.error() is None and message.value() is not None
            assert MARKER.encode() not in message.value()
            place = message.partition() or 0, message.offset() or 0
            headers = dict(message.headers() or [])
            if headers["tokentide-producer"] != emitter.producer_id.encode():
                continue
            taken.add(place)
            records.append(Record(*place, message.timestamp()[1], message.value(), headers))
        envelopes = [decode(one) for one in records]
        if not envelopes:
            return []
        block = assemble(envelopes)
        assert not any(block.rejections)
        rows: list[dict[str, Any]] = block.table.to_pylist()
        return sorted(rows, key=lambda row: row["event_id"])

    taken = _taken.setdefault(emitter.producer_id, set())
    take()
    return take


_taken: dict[str, set[tuple[int, int]]] = {}
