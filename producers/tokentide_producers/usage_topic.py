"""What the simulator asks of the usage topic before it begins."""

from __future__ import annotations

from typing import Final

from confluent_kafka import Consumer, TopicPartition

from tokentide_schemas.kafka_settings import kafka_client

_TIMEOUT_S: Final = 30.0


def has_records(bootstrap_servers: str, topic: str) -> bool:
    """True when anything was ever written to the topic. Raises KafkaException when Kafka does not answer."""
    settings = {**kafka_client(bootstrap_servers), "group.id": "tokentide-simulator", "enable.auto.commit": False}
    consumer = Consumer(settings)
    try:
        partitions = consumer.list_topics(topic, timeout=_TIMEOUT_S).topics[topic].partitions
        ends = (consumer.get_watermark_offsets(TopicPartition(topic, one), timeout=_TIMEOUT_S) for one in partitions)
        return any(end is not None and end[1] > 0 for end in ends)
    finally:
        consumer.close()
