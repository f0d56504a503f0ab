"""Removing one user's rows: the statements, and what cannot be removed. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

MINUTE: Final = "toStartOfMinute(toDateTime(occurred_at, 'UTC'))"

USER_TABLES_SQL: Final = """
SELECT c.table FROM system.columns AS c
INNER JOIN system.tables AS t ON t.database = c.database AND t.name = c.table
WHERE c.database = currentDatabase() AND c.name = 'user_hash' AND c.type = 'FixedString(16)'
    AND (t.engine LIKE '%MergeTree' OR t.engine = 'Distributed')
    AND c.table NOT IN ('events', 'erasures') AND c.table NOT LIKE '%\\_local'
ORDER BY c.table
"""
"""Tables besides the raw one that hold a row for each user."""

KEPT: Final = (
    "Rollups, shares and alerts keep the requests, tokens and costs as sums; they hold no user.",
    "Sets of users for distinct counts (users_1d) keep the hash's trace until their rows expire; no user can be read "
    "back from them.",
    "Kafka keeps the sent records until the topic's own retention has passed. A copy elsewhere (backup, export, a "
    "gateway's spool) is not reached by this command.",
    "The table erasures keeps that rows of this hash were removed, when and how many, so that verify adds up.",
)
"""What stays, for the person who has to answer for it."""


def is_user(hashes: Iterable[bytes]) -> str:
    """Condition on `user_hash`."""
    values = ", ".join(f"toFixedString(unhex('{value.hex()}'), 16)" for value in hashes)
    return f"user_hash IN ({values})"


def is_erasable(hashes: Sequence[bytes], until_ms: int) -> str:
    """Condition on `events`: what is counted, recorded and removed is the same set, whatever comes in meanwhile."""
    return f"{is_user(hashes)} AND ingested_at <= fromUnixTimestamp64Milli(toInt64({until_ms}))"


def record_statement(condition: str, erased_at_ms: int) -> str:
    """Writes down what is about to be removed."""
    return (
        "INSERT INTO erasures (erased_at, user_hash, topic, partition, offset, window_start, events) "
        f"SELECT fromUnixTimestamp64Milli(toInt64({erased_at_ms})), user_hash, kafka_topic, kafka_partition, "
        f"kafka_offset, {MINUTE} AS minute, count() FROM events WHERE {condition} "
        "GROUP BY user_hash, kafka_topic, kafka_partition, kafka_offset, minute"
    )


def delete_statement(table: str, condition: str) -> str:
    """Rewrites the parts that hold such rows: afterwards they are on no disk of the store."""
    return f"ALTER TABLE {table} DELETE WHERE {condition}"
