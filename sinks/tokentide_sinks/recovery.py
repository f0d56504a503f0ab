"""Taking up a partition: the envelopes that it has delivered, from the ledger."""

from __future__ import annotations

from typing import Final

from tokentide_schemas.identity import IDENTITY_HORIZON_MS, SeenEnvelopes
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


def load_seen(store: Store, topic: str, epoch: str, partition: int, before_offset: int) -> SeenEnvelopes:
    """The identities that a partition delivered below an offset: what was known when that offset was first read."""
    parameters = {"topic": topic, "epoch": epoch, "partition": partition, "before": before_offset}
    newest_ms = int(store.rows(NEWEST_SQL, parameters)[0][0])
    seen = SeenEnvelopes()
    runs = store.rows(RUNS_SQL, {**parameters, "since_ms": newest_ms - IDENTITY_HORIZON_MS})
    for producer_id, first, last, appended_ms in runs:
        seen.restore(str(producer_id), int(first), int(last), int(appended_ms))
    return seen
