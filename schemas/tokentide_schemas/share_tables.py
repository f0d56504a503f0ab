"""ClickHouse tables and views of the shares topic. Pure text."""

from __future__ import annotations

from typing import Final

from tokentide_schemas.shares import HOUR_S, MEASURES, MINUTE_S, SCHEMA

SHARES_LIVE_TABLE: Final = "shares_live"
SHARES_FINAL_TABLE: Final = "shares_final"
LIVE_DAYS: Final = 1
FINAL_MINUTES_DAYS: Final = 35

_CODECS: Final = {
    "window_start": ("DateTime('UTC')", "Delta, ZSTD(1)"),
    "as_of": ("DateTime64(3, 'UTC')", "Delta, ZSTD(1)"),
    "horizon_s": ("UInt32", "ZSTD(1)"),
    "dimension": ("LowCardinality(String)", "ZSTD(1)"),
    "key": ("LowCardinality(String)", "ZSTD(1)"),
    "rank": ("UInt32", "T64, ZSTD(1)"),
    "mover_rank": ("UInt32", "T64, ZSTD(1)"),
    "version": ("UInt64", "ZSTD(1)"),
    "emitted_at": ("DateTime64(3, 'UTC')", "Delta, ZSTD(1)"),
    **dict.fromkeys((*MEASURES, *(f"previous_{name}" for name in MEASURES)), ("Int64", "T64, ZSTD(1)")),
}
_SHARE: Final = ("Nullable(Float64)", "ZSTD(1)")


def _columns() -> str:
    lines = []
    for name in SCHEMA.names:
        if name != "is_final":
            kind, codec = _CODECS.get(name, _SHARE)
            lines.append(f"    {name} {kind} CODEC({codec})")
    return ",\n".join(lines)


SHARES_LIVE: Final = f"""CREATE TABLE IF NOT EXISTS {SHARES_LIVE_TABLE}
(
{_columns()}
)
ENGINE = ReplacingMergeTree(version)
ORDER BY (horizon_s, dimension, key)
TTL toDateTime(emitted_at) + INTERVAL {LIVE_DAYS} DAY"""
"""Shares of the rolling windows: one row for each horizon, dimension and key. `shares_now` holds what is current."""

SHARES_FINAL: Final = f"""CREATE TABLE IF NOT EXISTS {SHARES_FINAL_TABLE}
(
{_columns()}
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYYYYMM(window_start)
ORDER BY (horizon_s, window_start, dimension, key)
TTL window_start + INTERVAL {FINAL_MINUTES_DAYS} DAY DELETE WHERE horizon_s = {MINUTE_S}"""
"""Shares of closed minutes and hours, read through `shares_1m` and `shares_1h`. Hours are kept for ever."""

_READ: Final = ",\n    ".join(name for name in SCHEMA.names if name not in ("is_final", "horizon_s"))
_NOW: Final = ",\n    ".join(name for name in SCHEMA.names if name != "is_final")


def _final_view(name: str, horizon_s: int) -> str:
    # A window's newest publication has all of its keys: one that is in an older one only has gone with a new catalogue.
    return f"""CREATE OR REPLACE VIEW {name} AS
SELECT
    {_READ}
FROM {SHARES_FINAL_TABLE} FINAL
WHERE horizon_s = {horizon_s} AND (window_start, version) IN (
    SELECT window_start, max(version) FROM {SHARES_FINAL_TABLE} WHERE horizon_s = {horizon_s} GROUP BY window_start
)"""


SHARES_1M_VIEW: Final = _final_view("shares_1m", MINUTE_S)
SHARES_1H_VIEW: Final = _final_view("shares_1h", HOUR_S)
SHARES_NOW_VIEW: Final = f"""CREATE OR REPLACE VIEW shares_now AS
SELECT
    {_NOW}
FROM {SHARES_LIVE_TABLE} FINAL
WHERE version = (SELECT max(version) FROM {SHARES_LIVE_TABLE})"""
"""The newest live shares. A key that has left both windows is still in the table, but no longer here."""


def share_statements() -> list[str]:
    """Tables and views in the order in which an empty database needs them."""
    return [SHARES_LIVE, SHARES_FINAL, SHARES_NOW_VIEW, SHARES_1M_VIEW, SHARES_1H_VIEW]
