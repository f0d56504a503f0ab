"""Kafka topics: their names, the settings that exactness depends on, and the headers of an envelope."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

USAGE: Final = "tokentide.usage.v1"
ROLLUPS: Final = "tokentide.rollups.v1"
DEAD_LETTERS: Final = "tokentide.dead-letters.v1"
ALERTS: Final = "tokentide.alerts.v1"
SHARES: Final = "tokentide.shares.v1"
STREAM_APP_ID: Final = "tokentide-stream-v1"
CHECKPOINT_TABLE: Final = "checkpoints"
CHECKPOINTS: Final = f"{STREAM_APP_ID}-{CHECKPOINT_TABLE}-changelog"
"""Changelog of the worker's checkpoint table; the name is Faust's convention."""
SHARES_APP_ID: Final = "tokentide-shares-v1"
SHARES_CHECKPOINTS: Final = f"{SHARES_APP_ID}-{CHECKPOINT_TABLE}-changelog"
"""The same of the process that merges the global windows."""

MAX_CHECKPOINT_BYTES: Final = 32 * 1024 * 1024

MAX_RECORD_BYTES: Final = 8 * 1024 * 1024
DAY_MS: Final = 86_400_000

HEADER_CONTENT_TYPE: Final = "content-type"
HEADER_SCHEMA: Final = "tokentide-schema"
HEADER_COUNT: Final = "tokentide-count"
HEADER_PRODUCER: Final = "tokentide-producer"
HEADER_SEQUENCE: Final = "tokentide-sequence"
HEADER_REPAIR: Final = "tokentide-repair"
REPAIR_RAW: Final = b"raw"
"""Value of HEADER_REPAIR: the events are in the rollups already and only the raw table lacks them."""


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic to create: partitions None means the stack's partition count."""

    name: str
    partitions: int | None
    config: Mapping[str, str] = field(default_factory=dict)


def topics(usage_retention_ms: int = 7 * DAY_MS) -> tuple[Topic, ...]:
    """Every topic of the platform.

    The usage topic stamps records with the broker's append time: the guard against timestamps from the future must
    decide the same way for the raw sink, for the worker and at every replay, so its clock has to be in the log.
    """
    checkpoints = {
        "cleanup.policy": "compact",
        "max.message.bytes": str(MAX_CHECKPOINT_BYTES),
        "segment.bytes": str(2 * MAX_CHECKPOINT_BYTES),
        "min.cleanable.dirty.ratio": "0.1",
        "max.compaction.lag.ms": str(10 * 60_000),
    }
    size = {"max.message.bytes": str(MAX_RECORD_BYTES)}
    # By time alone: a broker's limit by size would delete unread what was accepted while the store is away. What the
    # worker makes of it goes to the store by the same kind of way, and has to wait there for as long.
    kept = {**size, "retention.ms": str(usage_retention_ms), "retention.bytes": "-1"}
    return (
        Topic(
            USAGE,
            None,
            {**kept, "message.timestamp.type": "LogAppendTime"},
        ),
        Topic(ROLLUPS, None, kept),
        Topic(DEAD_LETTERS, 1, {**size, "retention.ms": str(30 * DAY_MS)}),
        Topic(ALERTS, 1, {**size, "retention.ms": str(30 * DAY_MS)}),
        Topic(SHARES, 1, kept),
        Topic(CHECKPOINTS, None, checkpoints),
        Topic(SHARES_CHECKPOINTS, None, checkpoints),
    )
