"""One Kafka and one collector for the tests of a module that does not disturb them."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from producers.collector.serving import HASH_KEY, Topic, running_collector
from producers.conftest import MockKafka


@pytest.fixture(scope="module")
def topic() -> Topic:
    return Topic(MockKafka())


@pytest.fixture(scope="module")
def collector(topic: Topic) -> Iterator[httpx.Client]:
    with running_collector(topic.bootstrap_servers, hash_key=HASH_KEY) as client:
        yield client


@pytest.fixture
def fresh(topic: Topic) -> Topic:
    """The topic from here on."""
    topic.take()
    return topic
