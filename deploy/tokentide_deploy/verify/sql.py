"""The questions that verification asks ClickHouse, as text. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from tokentide_schemas.cubes import MEASURES_BY_NAME, Cube
from tokentide_schemas.dimensions import DERIVED, OTHER, dimension_sql
from tokentide_schemas.event import TOKEN_BUCKETS

LEDGER_SQL: Final = """
SELECT partition, count(), min(offset), max(offset), sum(events), sum(stored_events), sum(duplicate_events),
    sum(rejected_events),
    sumIf(stored_events, oldest_occurred_at >= fromUnixTimestamp64Milli({raw_from_ms:Int64}))
FROM ingest_ledger FINAL
WHERE topic = {topic:String} AND epoch = {epoch:String}
    AND offset >= transform(toUInt16(partition), {partitions:Array(UInt16)}, {starts:Array(UInt64)}, toUInt64(0))
    AND offset < transform(toUInt16(partition), {partitions:Array(UInt16)}, {ends:Array(UInt64)}, toUInt64(0))
GROUP BY partition
"""

_EXPIRING: Final = """
    SELECT partition, offset FROM ingest_ledger FINAL
    WHERE topic = {topic:String} AND epoch = {epoch:String}
        AND oldest_occurred_at < fromUnixTimestamp64Milli({raw_from_ms:Int64})
"""
"""Records with an event that the raw table may have let go of."""

RAW_SQL: Final = (
    """
SELECT kafka_partition, count() FROM events
WHERE kafka_topic = {topic:String}
    AND kafka_offset < transform(
        toUInt16(kafka_partition), {partitions:Array(UInt16)}, {ends:Array(UInt64)}, toUInt64(0)
    )
    AND kafka_offset >= transform(
        toUInt16(kafka_partition), {partitions:Array(UInt16)}, {starts:Array(UInt64)}, toUInt64(0)
    )
    AND (kafka_partition, kafka_offset) NOT IN ("""
    + _EXPIRING
    + """)
GROUP BY kafka_partition
"""
)

ERASED_SQL: Final = (
    """
SELECT partition, sum(events) FROM erasures FINAL
WHERE topic = {topic:String}
    AND offset < transform(toUInt16(partition), {partitions:Array(UInt16)}, {ends:Array(UInt64)}, toUInt64(0))
    AND offset >= transform(toUInt16(partition), {partitions:Array(UInt16)}, {starts:Array(UInt64)}, toUInt64(0))
    AND (partition, offset) NOT IN ("""
    + _EXPIRING
    + """)
GROUP BY partition
"""
)

TTL_SQL: Final = """
SELECT replaceOne(name, '_local', ''), engine_full FROM system.tables
WHERE database = currentDatabase() AND engine LIKE '%MergeTree'
"""

DEAD_LETTERS_SQL: Final = """
SELECT partition, sum(events) FROM dead_letters FINAL
WHERE topic = {topic:String} AND epoch = {epoch:String} AND reason != 'expired'
    AND offset < transform(toUInt16(partition), {partitions:Array(UInt16)}, {ends:Array(UInt64)}, toUInt64(0))
    AND offset >= transform(toUInt16(partition), {partitions:Array(UInt16)}, {starts:Array(UInt64)}, toUInt64(0))
GROUP BY partition
"""

EXPIRED_SQL: Final = """
SELECT partition, offset, events, status FROM dead_letter_status
WHERE topic = {topic:String} AND epoch = {epoch:String} AND reason = 'expired'
ORDER BY partition, offset
"""
"""Runs of records that the topic deleted before they were stored; `events` counts the records."""

WORKER_SQL: Final = """
SELECT partition, max(applied_offset), toUnixTimestamp64Milli(max(published_watermark)), max(published_offset)
FROM stream_watermarks
WHERE topic = {topic:String} AND epoch = {epoch:String}
GROUP BY partition
"""


LACKING: Final = (
    "SELECT window_start, toUInt64(events) AS events FROM erasures FINAL UNION ALL "
    "SELECT toStartOfMinute(toDateTime(assumeNotNull(occurred_at), 'UTC')) AS window_start, toUInt64(1) AS events "
    "FROM dead_letter_status WHERE reason = 'store_rejected' AND status != 'replayed'"
)
"""Events that are in the rollups and not in the raw table: erased ones, and those that the store alone refused."""


@dataclass(frozen=True, slots=True)
class Span:
    """Windows to compare, by their start in seconds since 1970 UTC: from `from_s` on and before `until_s`.

    erased: the windows that have erased or store-refused events, or all others. Their rollups keep what raw has lost.
    without: dimensions that are summed over, because some of their values are counted as `__other__`.
    """

    from_s: int | None = None
    until_s: int | None = None
    erased: bool = False
    without: tuple[str, ...] = ()

    def dimensions(self, cube: Cube) -> tuple[str, ...]:
        """What the totals of a cube are compared by."""
        return tuple(name for name in cube.dimensions if name not in self.without)


def _windows(column: str, span: Span, window_s: int) -> str:
    start = f"toStartOfInterval(window_start, INTERVAL {window_s} SECOND)"
    found = [f"{column} {'' if span.erased else 'NOT '}IN (SELECT {start} FROM ({LACKING}))"]
    if span.from_s is not None:
        found.append(f"{column} >= toDateTime({span.from_s}, 'UTC')")
    if span.until_s is not None:
        found.append(f"{column} < toDateTime({span.until_s}, 'UTC')")
    return " AND ".join(found)


def rolled_up(cube: Cube, span: Span) -> str:
    """The cube's totals from its partials, for the windows of the span."""
    dimensions = span.dimensions(cube)
    keys = ", ".join(("window_start", *(d if d in DERIVED else f"toString({d}) AS {d}" for d in dimensions)))
    names = ", ".join(("window_start", *dimensions))
    sums = ", ".join(f"toInt64(sum(p.{name})) AS {name}" for name in cube.measures)
    return (
        f"SELECT {keys}, {sums} FROM {cube.partials_table} AS p FINAL "
        f"WHERE {_windows('window_start', span, cube.window_s)} GROUP BY {names}"
    )


def grouped_raw(cube: Cube, span: Span) -> str:
    """The same totals, counted over the raw events."""
    window = f"toStartOfInterval(toDateTime(e.occurred_at, 'UTC'), INTERVAL {cube.window_s} SECOND)"
    dimensions = span.dimensions(cube)
    keys = ", ".join((f"{window} AS window_start", *(f"{dimension_sql(d, 'e')} AS {d}" for d in dimensions)))
    names = ", ".join(("window_start", *dimensions))
    sums = ", ".join(f"toInt64({MEASURES_BY_NAME[name].sql}) AS {name}_" for name in cube.measures)
    inner = f"SELECT {keys}, {sums} FROM events AS e WHERE {_windows(window, span, cube.window_s)} GROUP BY {names}"
    outer = ", ".join(("window_start", *dimensions, *(f"{name}_ AS {name}" for name in cube.measures)))
    return f"SELECT {outer} FROM ({inner})"


def differences(cube: Cube, span: Span, limit: int) -> str:
    """Groups whose rollup and raw totals differ: keys, then requests and tokens on both sides, worst first."""
    keys = ("window_start", *span.dimensions(cube))
    fingerprint = f"cityHash64({', '.join(cube.measures)})"
    tokens = " + ".join(name for name in cube.measures if name in TOKEN_BUCKETS) or "toInt64(0)"
    side = "SELECT {keys}, requests, {tokens} AS tokens, {fingerprint} AS fingerprint, {side} AS side FROM ({sql})"
    sides = " UNION ALL ".join(
        side.format(keys=", ".join(keys), tokens=tokens, fingerprint=fingerprint, side=number, sql=sql)
        for number, sql in ((0, rolled_up(cube, span)), (1, grouped_raw(cube, span)))
    )
    return (
        f"SELECT {', '.join(keys)}, sumIf(requests, side = 0) AS rollup_requests, "
        f"sumIf(requests, side = 1) AS raw_requests, sumIf(tokens, side = 0) AS rollup_tokens, "
        f"sumIf(tokens, side = 1) AS raw_tokens, count() OVER () AS groups FROM ({sides}) "
        f"GROUP BY {', '.join(keys)} HAVING count() != 2 OR uniqExact(fingerprint) != 1 "
        f"ORDER BY abs(rollup_requests - raw_requests) DESC, {', '.join(keys)} LIMIT {limit}"
    )


COVERAGE_SQL: Final = "SELECT cube, toUnixTimestamp(max(counted_from)) FROM stream_coverage GROUP BY `cube`"
"""Cube or tier -> start of the first window that every partition counted from its first event."""


def folded(cube: Cube, span: Span) -> str:
    """For each guarded dimension in the cube's order: whether some of its values are counted as `__other__`."""
    flags = ", ".join(f"max({name} = '{OTHER}')" for name in cube.guarded)
    return f"SELECT {flags} FROM {cube.partials_table} WHERE {_windows('window_start', span, cube.window_s)}"


def windows(cube: Cube, span: Span) -> str:
    """How many windows a comparison covers."""
    where = _windows("window_start", span, cube.window_s)
    return f"SELECT uniqExact(window_start) FROM {cube.partials_table} WHERE {where}"


def erased_windows(cube: Cube, span: Span) -> str:
    """Windows that an erasure has touched where rollup is not raw plus erased: start, and the three counts."""
    touched = replace(span, erased=True)
    window = f"toStartOfInterval(toDateTime(occurred_at, 'UTC'), INTERVAL {cube.window_s} SECOND)"
    start = f"toStartOfInterval(window_start, INTERVAL {cube.window_s} SECOND)"
    sides = " UNION ALL ".join(
        (
            f"SELECT window_start AS w, toInt64(sum(requests)) AS n, 0 AS side FROM {cube.partials_table} FINAL "
            f"WHERE {_windows('window_start', touched, cube.window_s)} GROUP BY w",
            f"SELECT {window} AS w, toInt64(count()) AS n, 1 AS side FROM events "
            f"WHERE {_windows(window, touched, cube.window_s)} GROUP BY w",
            f"SELECT {start} AS w, toInt64(sum(events)) AS n, 2 AS side FROM ({LACKING}) "
            f"WHERE {_windows(start, touched, cube.window_s)} GROUP BY w",
        )
    )
    return (
        "SELECT w, sumIf(n, side = 0) AS rollup, sumIf(n, side = 1) AS raw, sumIf(n, side = 2) AS erased "
        f"FROM ({sides}) GROUP BY w HAVING rollup != raw + erased ORDER BY w"
    )
