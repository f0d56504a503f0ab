"""What `tokentide forget` leaves behind: that rows were removed, how many and from where. Pure text."""

from __future__ import annotations

from typing import Final

ERASURES: Final = """CREATE TABLE IF NOT EXISTS erasures
(
    erased_at DateTime64(3, 'UTC') CODEC(ZSTD(1)),
    user_hash FixedString(16) CODEC(ZSTD(1)),
    topic LowCardinality(String) CODEC(ZSTD(1)),
    partition UInt16 CODEC(ZSTD(1)),
    offset UInt64 CODEC(ZSTD(1)),
    window_start DateTime('UTC') CODEC(ZSTD(1)),
    events UInt64 CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree(events)
ORDER BY (topic, partition, offset, user_hash, window_start)"""
"""Removed raw events by record and minute, written before they are removed. Of two rows the larger count is right: an
erasure that a crash interrupted is repeated, and finds fewer rows the second time."""
