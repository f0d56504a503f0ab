"""The alerts topic: what was said so far, and saying more.

A window's changes and the progress report after them are one Kafka transaction, so a crash leaves both or none, and a
second engine that starts makes the first one's next transaction fail.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient
from pydantic import ValidationError

from tokentide_schemas import topics
from tokentide_schemas.alerts import HEADER_KIND, KIND_CHANGE, KIND_PROGRESS, AlertChange, EngineProgress
from tokentide_schemas.crash_points import reach
from tokentide_schemas.kafka_settings import kafka_client
from tokentide_stream.alerting.clock import LogEnd

log = logging.getLogger(__name__)

TRANSACTIONAL_ID: Final = "tokentide-alerts-v1"
TIMEOUT_S: Final = 30.0


class AlertsTopicError(Exception):
    """Kafka did not do it now; starting again from what the topic says is safe."""


@dataclass(frozen=True, slots=True)
class Said:
    """The topic's content. evaluated_until: end of the last window that was evaluated, None for a new topic."""

    changes: list[AlertChange]
    evaluated_until: dt.datetime | None


class Topics:
    """What the engine reads from Kafka. AlertsTopicError from every method."""

    def __init__(self, bootstrap_servers: str) -> None:
        self._servers = bootstrap_servers
        self._consumer = Consumer(
            {
                **kafka_client(bootstrap_servers),
                "group.id": TRANSACTIONAL_ID,
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "isolation.level": "read_committed",
                "auto.offset.reset": "earliest",
            }
        )

    def close(self) -> None:
        """End the connection."""
        self._consumer.close()

    def usage_epoch(self) -> tuple[str, int]:
        """The usage topic's id, which changes when it is made anew, and its partition count."""
        admin = AdminClient({**kafka_client(self._servers), "log_level": 0})
        try:
            found = admin.describe_topics(TopicCollection([topics.USAGE]), request_timeout=TIMEOUT_S)
            description = found[topics.USAGE].result()
        except Exception as error:
            raise AlertsTopicError(f"cannot read topic {topics.USAGE} on {self._servers}: {error}") from error
        return str(description.topic_id), len(description.partitions)

    def usage_ends(self, partitions: int) -> dict[int, LogEnd]:
        """First and next offset of each partition of the usage topic."""
        try:
            return {
                number: LogEnd(*self._consumer.get_watermark_offsets(TopicPartition(topics.USAGE, number), TIMEOUT_S))
                for number in range(partitions)
            }
        except KafkaException as error:
            raise AlertsTopicError(f"Kafka did not say where the usage topic ends: {error}") from error

    def read(self) -> Said:
        """The alerts topic from its beginning to its end."""
        changes: list[AlertChange] = []
        until: dt.datetime | None = None
        self._consumer.assign([TopicPartition(topics.ALERTS, 0, 0)])
        try:
            while True:
                messages = self._consumer.consume(1_000, timeout=TIMEOUT_S)
                if not messages:
                    raise AlertsTopicError(f"topic {topics.ALERTS}: nothing came within {TIMEOUT_S:.0f} s")
                for message in messages:
                    error = message.error()
                    if error is not None and error.code() == KafkaError._PARTITION_EOF:
                        return Said(changes, until)
                    if error is not None:
                        raise AlertsTopicError(f"topic {topics.ALERTS}: {error}")
                    taken = _taken(message)
                    if isinstance(taken, AlertChange):
                        changes.append(taken)
                    elif taken is not None:
                        until = taken.evaluated_until
        except KafkaException as error:
            raise AlertsTopicError(f"topic {topics.ALERTS}: {error}") from error
        finally:
            self._consumer.unassign()


def _taken(message: Message) -> AlertChange | EngineProgress | None:
    headers = message.headers() or []
    kind = dict(headers if isinstance(headers, list) else headers.items()).get(HEADER_KIND)
    try:
        if kind == KIND_CHANGE:
            return AlertChange.model_validate_json(message.value() or b"")
        if kind == KIND_PROGRESS:
            return EngineProgress.model_validate_json(message.value() or b"")
    except ValidationError as problem:
        # Of another version: it cannot be said again by mistake, since its id is not known either.
        log.error("%s@%s cannot be read and is passed over: %s", topics.ALERTS, message.offset(), problem)
    return None


class AlertsPublisher:
    """Appends to the alerts topic. Only the newest of several can. AlertsTopicError from every method."""

    def __init__(self, bootstrap_servers: str, transactional_id: str = TRANSACTIONAL_ID) -> None:
        self._producer = Producer(
            {
                **kafka_client(bootstrap_servers),
                "transactional.id": transactional_id,
                "transaction.timeout.ms": 60_000,
                "acks": "all",
                "linger.ms": 0,
            }
        )
        self._plain = Producer({**kafka_client(bootstrap_servers), "acks": "all", "linger.ms": 0})

    def begin(self) -> None:
        """Take over: what another engine has not committed is gone, and it cannot commit from here on."""
        try:
            self._producer.init_transactions(TIMEOUT_S)
        except KafkaException as error:
            raise AlertsTopicError(f"Kafka transactions do not begin: {error}") from error

    def publish(self, changes: Sequence[AlertChange], progress: EngineProgress) -> None:
        """Say what a window has changed, and that it is evaluated; both or neither is in the topic."""
        reach("alerts:before-publish")
        try:
            self._producer.begin_transaction()
            for change in changes:
                self._send(KIND_CHANGE, str(change.alert_id).encode(), change.model_dump_json().encode())
            self._send(KIND_PROGRESS, KIND_PROGRESS, progress.model_dump_json().encode())
            if changes:
                self._producer.flush(TIMEOUT_S)
            reach("alerts:after-changes")
            self._producer.commit_transaction(TIMEOUT_S)
        except (KafkaException, BufferError) as error:
            raise AlertsTopicError(f"the window's changes were not committed: {error}") from error
        reach("alerts:after-commit")
        # A transaction ends with an offset that has no record. Who counts offsets to find the topic's end, as the
        # notifier and every lag do, needs a record after it.
        self._plain.produce(
            topics.ALERTS,
            value=progress.model_dump_json().encode(),
            key=KIND_PROGRESS,
            partition=0,
            headers=[(HEADER_KIND, KIND_PROGRESS)],
        )
        self._plain.poll(0)

    def _send(self, kind: bytes, key: bytes, value: bytes) -> None:
        self._producer.produce(topics.ALERTS, value=value, key=key, partition=0, headers=[(HEADER_KIND, kind)])
