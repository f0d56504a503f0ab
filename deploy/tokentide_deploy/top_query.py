"""What `tokentide top` asks the store: SQL over `rollup_1m`, and its rows as values. No IO."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from tokentide_dashboards.macros import TimeRange, expand_macros
from tokentide_dashboards.rollup_sql import COMPLETE_MINUTES, LABELS

Dimension = Literal["model", "category", "provider"]
MINUTE_S = 60


@dataclass(frozen=True, slots=True)
class Window:
    """The stored minutes to show, [from_s, to_s) in seconds since 1970, and the window of the same length before it.

    `previous_from_s` is None when there is nothing to compare with: all stored time, a fixed beginning, or a store that
    does not reach back far enough. `is_rolling`: the window moves with the clock.
    """

    from_s: int
    to_s: int
    minutes: float
    previous_from_s: int | None
    title: str
    is_rolling: bool


@dataclass(frozen=True, slots=True)
class Sums:
    """Exact sums over a window; `previous_tokens` over the one before."""

    requests: int = 0
    tokens: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    errors: int = 0
    cost_nanousd: int = 0
    cost_unknown_requests: int = 0
    usage_missing_requests: int = 0
    previous_tokens: int = 0

    def __add__(self, other: Sums) -> Sums:
        return Sums(*(getattr(self, name) + getattr(other, name) for name in Sums.__slots__))


@dataclass(frozen=True, slots=True)
class Extent:
    """Everything that the store holds: its first minute, the end of its last, both in seconds, and the requests."""

    first_s: int
    end_s: int
    stored_minutes: int
    requests: int


@dataclass(frozen=True, slots=True)
class Frame:
    """One picture: for each dimension the groups by name, and what they cover. `window` is None for an empty store."""

    taken_at: dt.datetime
    window: Window | None
    groups: dict[Dimension, dict[str, Sums]] = field(default_factory=dict)
    extent: Extent | None = None

    @property
    def total(self) -> Sums:
        """The sum over all groups, which is the same for each dimension."""
        for groups in self.groups.values():
            return sum(groups.values(), Sums())
        return Sums()


EXTENT_SQL = """SELECT
    toUnixTimestamp(min(window_start)), toUnixTimestamp(max(window_start)) + 60, uniqExact(window_start), sum(requests)
FROM rollup_1m
WHERE window_start >= toDateTime({from_s})"""


def extent_sql(from_s: int = 0) -> str:
    """One row: what is stored from `from_s` on."""
    return EXTENT_SQL.format(from_s=from_s)


def extent_from(row: Sequence[Any]) -> Extent | None:
    """The row of `extent_sql`; None when nothing is stored."""
    first_s, end_s, minutes, requests = (int(value) for value in row)
    return Extent(first_s, end_s, minutes, requests) if minutes else None


def complete_end_sql(now_s: int, minutes: int) -> str:
    """One row: the end of the last complete minute, as the dashboards define it, and whether the store reaches back.

    It does when something was stored at or before the beginning of the window before the shown one.
    """
    seconds = minutes * MINUTE_S
    complete = expand_macros(COMPLETE_MINUTES, TimeRange((now_s - seconds) * 1000, now_s * 1000))
    return f"""WITH
    {complete},
    complete_end - {2 * seconds} AS previous_from
SELECT
    toUnixTimestamp(complete_end),
    (
        SELECT count() > 0
        FROM rollup_1m
        WHERE window_start >= previous_from - {seconds} AND window_start <= previous_from
    )"""


def rolling_window(complete_end_s: int, reaches_back: bool, minutes: int) -> Window:
    """The last `minutes` complete minutes."""
    from_s = complete_end_s - minutes * MINUTE_S
    previous = from_s - minutes * MINUTE_S if reaches_back else None
    title = f"last {minutes} min to {_clock(complete_end_s)}"
    return Window(from_s, complete_end_s, float(minutes), previous, title, is_rolling=True)


def stored_window(extent: Extent, since_s: int | None) -> Window:
    """All stored minutes, or all since a moment, the still filling one included; rates are over the stored minutes."""
    span = f"{_clock(extent.first_s)} to {_clock(extent.end_s)}, {extent.stored_minutes:,} stored min"
    title = f"all stored: {span}" if since_s is None else f"since {_clock(since_s)}: {span}"
    return Window(extent.first_s, extent.end_s, float(extent.stored_minutes), None, title, is_rolling=False)


def filling_window(extent: Extent, now_s: int) -> Window:
    """What is stored since events began to come, when no minute is complete yet; rates are over the time so far."""
    seconds = max(1, min(now_s, extent.end_s) - extent.first_s)
    title = f"first events, {_clock(extent.first_s)} and still filling"
    return Window(extent.first_s, extent.end_s, seconds / MINUTE_S, None, title, is_rolling=True)


def groups_sql(window: Window, dimensions: Sequence[Dimension]) -> str:
    """Rows (dimension, name, sums in the order of `Sums`) of the window, from one reading of the rollup."""
    entries = ", ".join(f"('{name}', {LABELS[name]})" for name in dimensions)
    begin_s = window.from_s if window.previous_from_s is None else window.previous_from_s
    return f"""SELECT
    entry.1 AS dimension,
    entry.2 AS name,
    sumIf(requests, is_current),
    sumIf(total_tokens, is_current),
    sumIf(input_uncached_tokens + input_cache_read_tokens + input_cache_write_tokens, is_current),
    sumIf(output_tokens + output_reasoning_tokens, is_current),
    sumIf(requests, is_current AND outcome = 'error'),
    sumIf(cost_nanousd, is_current),
    sumIf(cost_unknown_requests, is_current),
    sumIf(usage_missing_requests, is_current),
    sumIf(total_tokens, NOT is_current)
FROM
(
    SELECT *, window_start >= toDateTime({window.from_s}) AS is_current
    FROM rollup_1m
    WHERE window_start >= toDateTime({begin_s}) AND window_start < toDateTime({window.to_s})
)
ARRAY JOIN [{entries}] AS entry
GROUP BY dimension, name"""


def groups_from(rows: Sequence[Sequence[Any]], dimensions: Sequence[Dimension]) -> dict[Dimension, dict[str, Sums]]:
    """The rows of `groups_sql`."""
    groups: dict[Dimension, dict[str, Sums]] = {dimension: {} for dimension in dimensions}
    for dimension, name, *sums in rows:
        groups[dimension][name] = Sums(*(int(value) for value in sums))
    return groups


def _clock(at_s: int) -> str:
    return dt.datetime.fromtimestamp(at_s, dt.UTC).strftime("%Y-%m-%d %H:%M UTC")
