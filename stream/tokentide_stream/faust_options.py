"""Settings of our Faust applications. The reasons are measured facts about Faust 0.15.3."""

from __future__ import annotations

from typing import Any

from tokentide_schemas import topics
from tokentide_stream.settings import StreamSettings


def faust_options(settings: StreamSettings, partitions: int) -> dict[str, Any]:
    """Keyword arguments of `faust.App` besides its id. partitions: of the topic that is read."""
    return {
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
