"""Kafka as the sinks use it: consumer settings, topic ids, records."""

from __future__ import annotations

from typing import Any, Final

from confluent_kafka import KafkaError, Message, TopicCollection
from confluent_kafka.admin import AdminClient

from tokentide_schemas import topics
from tokentide_schemas.envelope import Record
from tokentide_schemas.kafka_settings import kafka_client
from tokentide_sinks.settings import ConsumerSettings

GROUP_EVENTS: Final = "tokentide-sink-events-v1"
GROUP_ROLLUPS: Final = "tokentide-sink-rollups-v1"

FENCED: Final = frozenset(
    {
        KafkaError.ILLEGAL_GENERATION,
        KafkaError.UNKNOWN_MEMBER_ID,
        KafkaError.REBALANCE_IN_PROGRESS,
        KafkaError.FENCED_INSTANCE_ID,
        KafkaError._ASSIGNMENT_LOST,
    }
)
"""Commit errors that say: the partition is somebody else's now."""


class TopicError(Exception):
    """A topic is missing or cannot be read."""


def consumer_config(settings: ConsumerSettings, group: str) -> dict[str, Any]:
    """A consumer that fetches large, stays in its group through long inserts, and commits only when told."""
    return {
        **kafka_client(settings.kafka_bootstrap_servers),
        "group.id": group,
        "client.id": group,
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "auto.offset.reset": "earliest",
        "session.timeout.ms": settings.kafka_session_timeout_s * 1000,
        "max.poll.interval.ms": settings.kafka_max_poll_interval_s * 1000,
        "fetch.min.bytes": 1,
        "fetch.wait.max.ms": 100,
        "fetch.max.bytes": 16 * 1024 * 1024,
        "max.partition.fetch.bytes": topics.MAX_RECORD_BYTES,
        "message.max.bytes": topics.MAX_RECORD_BYTES * 2,
        "queued.max.messages.kbytes": 65_536,
        "queued.min.messages": 10_000,
        # The default of 1,000 ms idles a fast consumer with a short queue.
        "fetch.queue.backoff.ms": 10,
        "partition.assignment.strategy": "range",
    }


def topic_id(bootstrap_servers: str, topic: str, timeout_s: float = 30.0) -> str:
    """A topic's id, which changes when a topic is deleted and made anew. Raises TopicError."""
    admin = AdminClient({**kafka_client(bootstrap_servers), "log_level": 0})
    try:
        description = admin.describe_topics(TopicCollection([topic]), request_timeout=timeout_s)[topic].result()
    except Exception as error:
        raise TopicError(
            f"cannot read topic {topic} on {bootstrap_servers}: {error}; run `tokentide up` or create it"
        ) from error
    return str(description.topic_id)


def record_of(message: Message) -> Record:
    """A consumed message as a record of the usage topic."""
    _, timestamp_ms = message.timestamp()
    headers = message.headers() or []
    pairs = headers.items() if isinstance(headers, dict) else headers
    return Record(
        partition=message.partition() or 0,
        offset=message.offset() or 0,
        appended_at_ms=timestamp_ms,
        value=message.value(),
        headers={name: value if isinstance(value, bytes) else str(value or "").encode() for name, value in pairs},
    )
