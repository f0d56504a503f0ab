"""Settings of our Faust applications. The reasons are measured facts about Faust 0.15.3."""

from __future__ import annotations

from typing import Any

import faust

from tokentide_schemas import topics
from tokentide_schemas.kafka_settings import KafkaSecurity
from tokentide_schemas.settings import read_settings
from tokentide_stream.settings import StreamSettings


def faust_options(settings: StreamSettings, partitions: int) -> dict[str, Any]:
    """Keyword arguments of `faust.App` besides its id. partitions: of the topic that is read."""
    return {
        **_credentials(),
        "broker": ";".join(f"kafka://{server}" for server in settings.kafka_bootstrap_servers.split(",")),
        "store": "memory://",
        "datadir": str(settings.data_dir / "faust"),
        "key_serializer": "raw",
        "value_serializer": "raw",
        "web_enabled": False,
        "topic_disable_leader": True,
        "topic_partitions": partitions,
        # Envelopes are large: a short buffer bounds memory, and under pressure Faust sleeps a whole second anyway.
        "stream_buffer_maxsize": 64,
        "stream_wait_empty": False,
        # Faust commits inline in the fetch loop every N messages; the interval alone is enough here.
        "broker_commit_every": 1_000_000_000,
        "broker_commit_interval": 1.0,
        # A killed worker holds its partitions until its session ends.
        "broker_session_timeout": settings.kafka_session_timeout_s,
        "broker_heartbeat_interval": settings.kafka_session_timeout_s / 3,
        "broker_max_poll_interval": 300.0,
        "consumer_max_fetch_size": topics.MAX_CHECKPOINT_BYTES,
        "consumer_auto_offset_reset": "earliest",
        "producer_linger": 0.02,
        "producer_max_batch_size": 262_144,
        "producer_max_request_size": topics.MAX_CHECKPOINT_BYTES,
        # Values come compressed: rows as Arrow bodies, checkpoints whole.
        "producer_compression_type": None,
        "producer_acks": -1,
    }


def _credentials() -> dict[str, Any]:
    """TLS and SASL for aiokafka; empty without either. Raises SettingsError, OSError for files that cannot be read."""
    security = read_settings(KafkaSecurity)
    context = security.ssl_context()
    if security.uses_sasl:
        sasl = faust.SASLCredentials(
            username=security.sasl_username,
            password=security.sasl_password.get_secret_value(),
            mechanism=security.sasl_mechanism,
            ssl_context=context,
        )
        return {"broker_credentials": sasl}
    return {"broker_credentials": faust.SSLCredentials(context)} if context is not None else {}
