"""Taking up a partition: what it has delivered and how much of it was refused, from the ledger."""

from __future__ import annotations

from typing import Final

from tokentide_schemas.event_ids import MAX_EVENT_IDS, Delivered, SeenEventIds, split_ids
from tokentide_schemas.identity import DAY_MS, HORIZON_DAYS, MAX_STRETCHES, SeenEnvelopes, clock_day
from tokentide_sinks.limits import RefusalLimits, RefusalWatch
from tokentide_sinks.store import Store

_OF_PARTITION: Final = """
    FROM ingest_ledger FINAL
    WHERE topic = {topic:String} AND epoch = {epoch:String} AND partition = {partition:UInt16}
        AND offset < {before:UInt64} AND producer_id != '' AND (admitted OR duplicate_events > 0)
"""
"""Records with an identity that could be read: those that move the partition's clock."""

CLOCK_SQL: Final = f"SELECT toUnixTimestamp64Milli(max(appended_at)) {_OF_PARTITION}"

STRETCHES_SQL: Final = f"""
SELECT producer_id, min(sequence), max(sequence), any(day), min(offset) AS begins
FROM
(
    SELECT producer_id, sequence, day, offset, sum(breaks) OVER (
        PARTITION BY producer_id ORDER BY offset ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS stretch
    FROM
    (
        SELECT producer_id, sequence, day, offset,
            NOT (lagInFrame(sequence + 1) OVER before = sequence AND lagInFrame(day) OVER before = day) AS breaks
        FROM
        (
            SELECT producer_id, assumeNotNull(producer_sequence) AS sequence, offset, admitted,
                intDiv(max(toUnixTimestamp64Milli(appended_at)) OVER (
                    ORDER BY offset ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW), {DAY_MS}) AS day
            {_OF_PARTITION}
                AND offset >= (
                    SELECT min(offset) {_OF_PARTITION} AND appended_at >= fromUnixTimestamp64Milli({{since_ms:Int64}})
                )
        )
        WHERE admitted
        WINDOW before AS (PARTITION BY producer_id ORDER BY offset ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)
    )
)
GROUP BY producer_id, stretch
ORDER BY begins DESC
LIMIT {MAX_STRETCHES} BY producer_id
"""
"""What identity.py remembers, newest first. Before the first record of the oldest day the clock was in earlier days."""

NEWEST_SQL: Final = """
SELECT toUnixTimestamp64Milli(max(appended_at)) FROM ingest_ledger
WHERE topic = {topic:String} AND epoch = {epoch:String} AND partition = {partition:UInt16} AND offset < {before:UInt64}
"""


EVENT_IDS_SQL: Final = """
SELECT offset, hex(ids)
FROM
(
    SELECT offset, ids, sum(length(ids)) OVER (ORDER BY offset DESC) - length(ids) AS newer_bytes
    FROM
    (
        SELECT offset, any(sender_event_ids) AS ids FROM ingest_ledger
        WHERE topic = {topic:String} AND epoch = {epoch:String} AND partition = {partition:UInt16}
            AND offset < {before:UInt64} AND sender_event_ids != ''
        GROUP BY offset ORDER BY offset DESC LIMIT {ids:UInt64}
    )
)
WHERE newer_bytes < 16 * {ids:UInt64}
ORDER BY offset
"""
"""The newest records with sender-given event ids, as many as hold `ids` of them together."""

REFUSED_SQL: Final = """
SELECT intDiv(toUnixTimestamp64Milli(appended_at), 1000) AS second, count(), sum(rejected_events / events)
FROM ingest_ledger FINAL
WHERE topic = {topic:String} AND epoch = {epoch:String} AND partition = {partition:UInt16} AND offset < {before:UInt64}
    AND appended_at >= fromUnixTimestamp64Milli({since_ms:Int64}) AND events > 0
GROUP BY second ORDER BY second
"""

CONSECUTIVE_SQL: Final = """
SELECT count() FROM ingest_ledger FINAL
WHERE topic = {topic:String} AND epoch = {epoch:String} AND partition = {partition:UInt16} AND offset < {before:UInt64}
    AND offset >= (
        SELECT max(offset) + 1 FROM ingest_ledger
        WHERE topic = {topic:String} AND epoch = {epoch:String} AND partition = {partition:UInt16}
            AND offset < {before:UInt64} AND rejected_events < events
    )
    AND rejected_events = events
"""


END_SQL: Final = """
SELECT max(offset) + 1, count() FROM ingest_ledger
WHERE topic = {topic:String} AND epoch = {epoch:String} AND partition = {partition:UInt16}
"""


def load_end(store: Store, topic: str, epoch: str, partition: int) -> int:
    """The offset behind the last one that the ledger has; 0 when it has none."""
    end, records = store.rows(END_SQL, {"topic": topic, "epoch": epoch, "partition": partition})[0]
    return int(end) if records else 0


def load_delivered(store: Store, topic: str, epoch: str, partition: int, before_offset: int) -> Delivered:
    """What a partition delivered below an offset: what was known when that offset was first read."""
    parameters = {"topic": topic, "epoch": epoch, "partition": partition, "before": before_offset}
    clock_ms = int(store.rows(CLOCK_SQL, parameters)[0][0])
    seen = SeenEnvelopes()
    seen.restore_clock(clock_ms)
    since_ms = max(0, clock_day(clock_ms) - HORIZON_DAYS) * DAY_MS
    stretches = store.rows(STRETCHES_SQL, {**parameters, "since_ms": since_ms})
    for producer_id, first, last, day, _ in reversed(stretches):
        seen.restore(str(producer_id), int(first), int(last), int(day))
    event_ids = SeenEventIds()
    for offset, ids in store.rows(EVENT_IDS_SQL, {**parameters, "ids": MAX_EVENT_IDS}):
        event_ids.restore(int(offset), split_ids(bytes.fromhex(ids)))
    return Delivered(seen, event_ids)


def load_watch(
    store: Store, topic: str, epoch: str, partition: int, before_offset: int, limits: RefusalLimits
) -> RefusalWatch:
    """How much of a partition was refused below an offset, so that a restart does not begin to count anew."""
    parameters = {"topic": topic, "epoch": epoch, "partition": partition, "before": before_offset}
    newest_ms = int(store.rows(NEWEST_SQL, parameters)[0][0])
    watch = RefusalWatch(limits)
    since_ms = max(0, newest_ms - limits.window_s * 1000)
    for second, records, refused in store.rows(REFUSED_SQL, {**parameters, "since_ms": since_ms}):
        watch.restore(int(second), int(records), float(refused))
    watch.restore_consecutive(int(store.rows(CONSECUTIVE_SQL, parameters)[0][0]))
    return watch
