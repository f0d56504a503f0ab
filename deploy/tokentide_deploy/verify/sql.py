"""The questions that verification asks ClickHouse, as text. Pure."""

from __future__ import annotations

from typing import Final

from tokentide_schemas.cubes import MEASURES, Cube

LEDGER_SQL: Final = """
SELECT partition, count(), min(offset), max(offset), sum(events), sum(stored_events), sum(duplicate_events),
    sum(rejected_events)
FROM ingest_ledger FINAL
WHERE topic = {topic:String} AND epoch = {epoch:String}
    AND offset < transform(toUInt16(partition), {partitions:Array(UInt16)}, {ends:Array(UInt64)}, toUInt64(0))
GROUP BY partition
"""

RAW_SQL: Final = """
SELECT kafka_partition, count() FROM events
WHERE kafka_topic = {topic:String}
    AND kafka_offset < transform(
        toUInt16(kafka_partition), {partitions:Array(UInt16)}, {ends:Array(UInt64)}, toUInt64(0)
    )
GROUP BY kafka_partition
"""

DEAD_LETTERS_SQL: Final = """
SELECT partition, sum(events) FROM dead_letters FINAL
WHERE topic = {topic:String} AND epoch = {epoch:String}
    AND offset < transform(toUInt16(partition), {partitions:Array(UInt16)}, {ends:Array(UInt64)}, toUInt64(0))
GROUP BY partition
"""

WORKER_SQL: Final = """
SELECT partition, max(applied_offset), toUnixTimestamp64Milli(max(watermark)) FROM stream_watermarks
WHERE topic = {topic:String} AND epoch = {epoch:String}
GROUP BY partition
"""


def _windows(column: str, until_s: int | None) -> str:
    return "1" if until_s is None else f"{column} < toDateTime({until_s}, 'UTC')"


def rolled_up(cube: Cube, until_s: int | None) -> str:
    """The cube's totals from its partials, for windows that start before `until_s` (seconds since 1970 UTC)."""
    keys = ", ".join(("window_start", *(f"toString({d}) AS {d}" for d in cube.dimensions)))
    names = ", ".join(("window_start", *cube.dimensions))
    sums = ", ".join(f"toInt64(sum(p.{m.name})) AS {m.name}" for m in MEASURES)
    return (
        f"SELECT {keys}, {sums} FROM {cube.partials_table} AS p FINAL "
        f"WHERE {_windows('window_start', until_s)} GROUP BY {names}"
    )


def grouped_raw(cube: Cube, until_s: int | None) -> str:
    """The same totals, counted over the raw events."""
    window = f"toStartOfInterval(toDateTime(e.occurred_at, 'UTC'), INTERVAL {cube.window_s} SECOND)"
    keys = ", ".join((f"{window} AS window_start", *(f"toString(e.{d}) AS {d}" for d in cube.dimensions)))
    names = ", ".join(("window_start", *cube.dimensions))
    sums = ", ".join(f"toInt64({m.sql}) AS {m.name}_" for m in MEASURES)
    inner = f"SELECT {keys}, {sums} FROM events AS e WHERE {_windows(window, until_s)} GROUP BY {names}"
    outer = ", ".join(("window_start", *cube.dimensions, *(f"{m.name}_ AS {m.name}" for m in MEASURES)))
    return f"SELECT {outer} FROM ({inner})"


def differences(cube: Cube, until_s: int | None, limit: int) -> str:
    """Groups whose rollup and raw totals differ: keys, then requests and tokens on both sides, worst first."""
    keys = ("window_start", *cube.dimensions)
    names = [m.name for m in MEASURES]
    fingerprint = f"cityHash64({', '.join(names)})"
    tokens = " + ".join(n for n in names if n in _TOKEN_NAMES)
    side = "SELECT {keys}, requests, {tokens} AS tokens, {fingerprint} AS fingerprint, {side} AS side FROM ({sql})"
    sides = " UNION ALL ".join(
        side.format(keys=", ".join(keys), tokens=tokens, fingerprint=fingerprint, side=number, sql=sql)
        for number, sql in ((0, rolled_up(cube, until_s)), (1, grouped_raw(cube, until_s)))
    )
    return (
        f"SELECT {', '.join(keys)}, sumIf(requests, side = 0) AS rollup_requests, "
        f"sumIf(requests, side = 1) AS raw_requests, sumIf(tokens, side = 0) AS rollup_tokens, "
        f"sumIf(tokens, side = 1) AS raw_tokens, count() OVER () AS groups FROM ({sides}) "
        f"GROUP BY {', '.join(keys)} HAVING count() != 2 OR uniqExact(fingerprint) != 1 "
        f"ORDER BY abs(rollup_requests - raw_requests) DESC, {', '.join(keys)} LIMIT {limit}"
    )


_TOKEN_NAMES: Final = frozenset(m.name for m in MEASURES if m.name.startswith(("input_", "output_")))


def windows(cube: Cube, until_s: int | None) -> str:
    """How many windows a comparison covers."""
    return f"SELECT uniqExact(window_start) FROM {cube.partials_table} WHERE {_windows('window_start', until_s)}"
