"""Creating the platform's topics, and saying clearly when one is not as it must be."""

from __future__ import annotations

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]  # exported at run time

from tokentide_schemas.kafka_settings import kafka_client
from tokentide_schemas.topics import topics


class TopicSetupError(Exception):
    """Topics cannot be created or do not fit."""


def ensure_topics(
    bootstrap_servers: str, partitions: int, replication_factor: int = 1, timeout_s: float = 30.0
) -> list[str]:
    """Create the topics that are missing and return their names. Existing topics are left as they are.

    Raises TopicSetupError when the broker refuses, or when topics that must be partitioned alike are not.
    """
    admin = AdminClient({**kafka_client(bootstrap_servers), "log_level": 0})
    try:
        present = admin.list_topics(timeout=timeout_s).topics
    except KafkaException as error:
        raise TopicSetupError(f"Kafka at {bootstrap_servers} does not answer: {error}") from error
    shared = {len(present[t.name].partitions) for t in topics() if t.partitions is None and t.name in present}
    if len(shared) > 1:
        raise TopicSetupError(
            "the usage, rollup and checkpoint topics must have the same number of partitions; found "
            + ", ".join(f"{t.name}: {len(present[t.name].partitions)}" for t in topics() if t.name in present)
        )
    count = shared.pop() if shared else partitions
    missing = [t for t in topics() if t.name not in present]
    requests = [NewTopic(t.name, t.partitions or count, replication_factor, config=dict(t.config)) for t in missing]
    if not requests:
        return []
    for name, future in admin.create_topics(requests, request_timeout=timeout_s).items():
        try:
            future.result()
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise TopicSetupError(f"topic {name} cannot be created: {error}") from error
    return [t.name for t in missing]
