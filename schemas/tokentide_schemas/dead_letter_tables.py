"""Dead letters in ClickHouse: what was refused and why, and what somebody decided about it. Pure text."""

from __future__ import annotations

from typing import Final

ORIGIN_KEY: Final = ("topic", "epoch", "partition", "offset", "row")
"""What names a dead letter: topic and its id, partition, offset, and the row in the record (-1: the whole record)."""

DEAD_LETTERS: Final = f"""CREATE TABLE IF NOT EXISTS dead_letters
(
    topic LowCardinality(String) CODEC(ZSTD(1)),
    epoch LowCardinality(String) CODEC(ZSTD(1)),
    partition UInt16 CODEC(ZSTD(1)),
    offset UInt64 CODEC(ZSTD(1)),
    row Int32 CODEC(ZSTD(1)),
    reason LowCardinality(String) CODEC(ZSTD(1)),
    detail String CODEC(ZSTD(1)),
    events UInt32 CODEC(ZSTD(1)),
    producer_id LowCardinality(String) CODEC(ZSTD(1)),
    producer_sequence Nullable(UInt64) CODEC(ZSTD(1)),
    appended_at DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    occurred_at Nullable(DateTime64(3, 'UTC')) CODEC(ZSTD(1)),
    revision UInt32 CODEC(ZSTD(1)),
    rejected_at DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1))
)
ENGINE = ReplacingMergeTree(revision)
PARTITION BY toYYYYMM(appended_at)
ORDER BY ({", ".join(ORIGIN_KEY)})"""
"""One row for each refused event, or for a whole refused record (row = -1). Never content.

`occurred_at` only where the store refused the row (`store_rejected`): those events are in the rollups. `revision` is 0
as the sink wrote it; a replay that takes in a part of a whole record replaces the letter by those of its refused rows.
"""

DEAD_LETTER_MARKS: Final = f"""CREATE TABLE IF NOT EXISTS dead_letter_marks
(
    topic LowCardinality(String) CODEC(ZSTD(1)),
    epoch LowCardinality(String) CODEC(ZSTD(1)),
    partition UInt16 CODEC(ZSTD(1)),
    offset UInt64 CODEC(ZSTD(1)),
    row Int32 CODEC(ZSTD(1)),
    status LowCardinality(String) CODEC(ZSTD(1)),
    marked_by String CODEC(ZSTD(1)),
    why String CODEC(ZSTD(1)),
    marked_at DateTime64(3, 'UTC') CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree(marked_at)
ORDER BY ({", ".join(ORIGIN_KEY)})"""
"""The newest decision about a dead letter: replayed or discarded, by whom, when and why. Without a row it is open."""

_KEYS: Final = " AND ".join(f"d.{name} = m.{name}" for name in ORIGIN_KEY)

DEAD_LETTER_STATUS: Final = f"""CREATE OR REPLACE VIEW dead_letter_status AS
SELECT
    d.topic AS topic, d.epoch AS epoch, d.partition AS partition, d.offset AS offset, d.row AS row,
    d.reason AS reason, d.detail AS detail, d.events AS events, d.producer_id AS producer_id,
    d.producer_sequence AS producer_sequence, d.appended_at AS appended_at, d.occurred_at AS occurred_at,
    d.rejected_at AS rejected_at, if(m.status = '', 'open', m.status) AS status, m.marked_by AS marked_by,
    m.why AS why, m.marked_at AS marked_at
FROM (SELECT * FROM dead_letters FINAL WHERE events > 0) AS d
LEFT JOIN (SELECT * FROM dead_letter_marks FINAL) AS m ON {_KEYS}"""
"""Every dead letter with what became of it: open, replayed or discarded."""

DEAD_LETTERS_OPEN: Final = """CREATE OR REPLACE VIEW dead_letters_open AS
SELECT * EXCEPT (status, marked_by, why, marked_at) FROM dead_letter_status WHERE status = 'open'"""
"""Dead letters about which nothing was decided."""

DEAD_LETTER_STATEMENTS: Final = (DEAD_LETTERS, DEAD_LETTER_MARKS, DEAD_LETTER_STATUS, DEAD_LETTERS_OPEN)
