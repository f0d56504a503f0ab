"""Taking up a partition: what it has delivered and how much of it was refused, from the ledger."""

from __future__ import annotations

from typing import Final

from tokentide_schemas.event_ids import MAX_EVENT_IDS, Delivered, SeenEventIds, split_ids
from tokentide_schemas.identity import IDENTITY_HORIZON_MS, SeenEnvelopes
from tokentide_sinks.limits import RefusalLimits, RefusalWatch
from tokentide_sinks.store import Store

RUNS_SQL: Final = """
SELECT producer_id, min(sequence), max(sequence), max(appended_ms)
FROM
(
    SELECT
        producer_id,
        assumeNotNull(producer_sequence) AS sequence,
        toUnixTimestamp64Milli(max(appended_at)) AS appended_ms,
        toInt64(sequence) - row_number() OVER (PARTITION BY producer_id ORDER BY sequence) AS run
    FROM ingest_ledger
    WHERE topic = {topic:String} AND epoch = {epoch:String} AND partition = {partition:UInt16}
        AND offset < {before:UInt64} AND admitted
        AND appended_at >= fromUnixTimestamp64Milli({since_ms:Int64})
    GROUP BY producer_id, sequence
)
GROUP BY producer_id, run
"""
"""Contiguous runs of sequences by producer: numbers minus their rank are equal within a run."""

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
    newest_ms = int(store.rows(NEWEST_SQL, parameters)[0][0])
    seen = SeenEnvelopes()
    runs = store.rows(RUNS_SQL, {**parameters, "since_ms": newest_ms - IDENTITY_HORIZON_MS})
    for producer_id, first, last, appended_ms in runs:
        seen.restore(str(producer_id), int(first), int(last), int(appended_ms))
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
