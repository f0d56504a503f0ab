"""sentry-arroyo: batches by Reduce, a task for each, offsets committed behind it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from arroyo.backends.kafka import KafkaConsumer
from arroyo.backends.kafka.configuration import build_kafka_consumer_configuration
from arroyo.processing.processor import StreamProcessor
from arroyo.processing.strategies import CommitOffsets, Reduce, RunTask
from arroyo.processing.strategies.abstract import ProcessingStrategyFactory
from arroyo.types import Topic
from job import GROUP, ROWS, SERVERS, TOPIC, WAIT_S, client, count, insert_counts, insert_raw

store = client()


def gather(batch: list[bytes], value: Any) -> list[bytes]:
    batch.append(value.payload.value)
    return batch


def write(message: Any) -> None:
    values = message.payload
    if values:
        insert_raw(store, values)
        insert_counts(store, count(values))


class Factory(ProcessingStrategyFactory[Any]):
    def create_with_partitions(self, commit: Any, partitions: Mapping[Any, int]) -> Any:
        return Reduce(ROWS, WAIT_S, gather, list, RunTask(write, CommitOffsets(commit)))


consumer = KafkaConsumer(
    build_kafka_consumer_configuration(
        {},
        GROUP,
        auto_offset_reset="earliest",
        bootstrap_servers=[SERVERS],
        queued_max_messages_kbytes=262_144,
        queued_min_messages=200_000,
    )
)
StreamProcessor(consumer, Topic(TOPIC), Factory()).run()
