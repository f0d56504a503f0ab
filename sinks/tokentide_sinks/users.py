"""Counting distinct users from stored events, range by range of the ledger; repeating a range changes nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from tokentide_schemas.columns import NO_HASH
from tokentide_schemas.user_tables import CHUNK_RECORDS
from tokentide_sinks.store import Store

CHUNKS_AT_ONCE: Final = 10
"""Bounds the rows of one statement: at 500 events a record, ten million."""
CLOCK_MARGIN_S: Final = 3_600
"""How far the broker's clock may be ahead of the sink's."""

_NOBODY: Final = f"toFixedString(unhex('{NO_HASH.hex()}'), 16)"


@dataclass(frozen=True, slots=True)
class Work:
    """Records of one partition that the raw sink has stored: whole chunks, the last one possibly not full yet.

    fresh: the first of them that was not counted before. Counts of a chunk are absolute, so they begin with `first`;
    sets of users only need what is fresh.
    """

    topic: str
    epoch: str
    partition: int
    first: int
    last: int
    fresh: int = 0


def plan(topic: str, epoch: str, partition: int, counted: int, stored: int) -> Work | None:
    """The next records to count. counted, stored: last offset of either, -1 for none. None when all are counted.

    Starts at the beginning of a chunk, so that its counts come out absolute.
    """
    if stored <= counted:
        return None
    first = (counted + 1) // CHUNK_RECORDS * CHUNK_RECORDS
    last = min(stored, first + CHUNKS_AT_ONCE * CHUNK_RECORDS - 1)
    return Work(topic, epoch, partition, first, last, counted + 1)


def statements(work: Work) -> list[str]:
    """The inserts of one piece of work, in order; the last one records that it is done."""
    rows, fresh = _rows(work, work.first), _rows(work, max(work.first, work.fresh))
    day = "toDate(occurred_at, 'UTC') AS day"
    source = f"'{work.topic}', '{work.epoch}', {work.partition}"
    chunk = f"intDiv(kafka_offset, {CHUNK_RECORDS})"
    return [
        "INSERT INTO user_months (month, model, user_hash) SELECT DISTINCT "
        f"toStartOfMonth(toDate(occurred_at, 'UTC')), model, user_hash {fresh} AND user_hash != {_NOBODY}",
        f"INSERT INTO users_1d (day, model, users) SELECT {day}, model, uniqCombined64State(17)(user_hash) "
        f"{fresh} AND user_hash != {_NOBODY} GROUP BY day, model",
        "INSERT INTO user_requests_1d (day, model, topic, epoch, partition, chunk, requests, requests_without_user, "
        f"last_offset) SELECT {day}, model, {source}, {chunk} AS chunk, count(), countIf(user_hash = {_NOBODY}), "
        f"least((chunk + 1) * {CHUNK_RECORDS} - 1, {work.last}) {rows} GROUP BY day, model, chunk",
        "INSERT INTO user_progress (topic, epoch, partition, last_offset, recorded_at) "
        f"VALUES ({source}, {work.last}, now64(3))",
    ]


def _rows(work: Work, first: int) -> str:
    """The rows of records first..last of the work."""
    ledger = (
        f"FROM ingest_ledger WHERE topic = '{work.topic}' AND epoch = '{work.epoch}' "
        f"AND partition = {work.partition} AND offset BETWEEN {first} AND {work.last}"
    )
    # An event is stored after the broker has it and before the ledger says so; the topic's earlier incarnations, with
    # the same offsets, are outside. And the table is sorted by occurred_at: a count must not read all of it.
    return (
        f"FROM events WHERE kafka_topic = '{work.topic}' AND kafka_partition = {work.partition} "
        f"AND kafka_offset BETWEEN {first} AND {work.last} "
        f"AND ingested_at BETWEEN (SELECT min(appended_at) - INTERVAL {CLOCK_MARGIN_S} SECOND {ledger}) "
        f"AND (SELECT max(recorded_at) {ledger}) "
        f"AND occurred_at >= (SELECT min(oldest_occurred_at) {ledger})"
    )


def pending(store: Store) -> list[Work]:
    """What is stored and not counted yet, at most one piece a partition. Raises StoreError."""
    rows = store.rows(
        "SELECT l.topic, l.epoch, l.partition, max(l.offset), any(p.counted) FROM ingest_ledger AS l "
        "LEFT JOIN (SELECT topic, epoch, partition, max(toInt64(last_offset)) + 1 AS counted FROM user_progress "
        "GROUP BY topic, epoch, partition) AS p ON p.topic = l.topic AND p.epoch = l.epoch "
        "AND p.partition = l.partition GROUP BY l.topic, l.epoch, l.partition ORDER BY l.topic, l.epoch, l.partition"
    )
    # `counted` is the number of the next record, 0 where the join found nothing.
    found = (plan(str(t), str(e), int(p), int(counted) - 1, int(stored)) for t, e, p, stored, counted in rows)
    return [work for work in found if work is not None]


def count_users(store: Store) -> int:
    """Count what is pending, one piece for each partition; returns how many pieces that were. Raises StoreError."""
    works = pending(store)
    for work in works:
        for statement in statements(work):
            store.command(statement)
    return len(works)
