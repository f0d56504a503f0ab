"""Sending dead letters to their topic: metadata only, for whoever wants to be told at once."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import pyarrow as pa
from confluent_kafka import KafkaException, Producer

from tokentide_schemas import topics
from tokentide_schemas.kafka_settings import kafka_client


class DeadLetterTopic:
    """A producer of the dead-letter topic. A letter may come twice there; the table has it once."""

    def __init__(self, bootstrap_servers: str) -> None:
        self._producer = Producer({**kafka_client(bootstrap_servers), "enable.idempotence": True, "linger.ms": 5})

    def send(self, letters: Sequence[pa.Table], meanwhile: Callable[[], None]) -> None:
        """Returns when Kafka has all of them; calls `meanwhile` about once a second until then.

        Raises KafkaException when Kafka refuses one.
        """
        failures: list[str] = []

        def delivered(error: Any, _message: Any) -> None:
            if error is not None:
                failures.append(str(error))

        for table in letters:
            for row in table.to_pylist():
                key = f"{row['topic']}/{row['partition']}/{row['offset']}/{row['row']}"
                self._produce(key, json.dumps(row, default=str), delivered, meanwhile)
        while self._producer.flush(1.0):
            meanwhile()
        if failures:
            raise KafkaException(f"dead letters were not accepted by Kafka: {failures[0]}")

    def _produce(self, key: str, value: str, delivered: Any, meanwhile: Callable[[], None]) -> None:
        while True:
            try:
                self._producer.produce(topics.DEAD_LETTERS, key=key, value=value, on_delivery=delivered)
                self._producer.poll(0)
                return
            except BufferError:
                # The client's queue is full: a large batch of refusals must slow down here, not fail.
                self._producer.poll(1.0)
                meanwhile()
