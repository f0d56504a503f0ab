"""Calendar periods that begin where the reader lives, from rollups whose days are UTC's. SQL fragments.

A UTC day lies in one of the reader's periods as a whole, or the reader's midnight cuts it. Whole ones are read from the
daily tier, the cut ones from the hourly tier, and an hour that a zone with half or quarter hours cuts from minutes.
Where minutes are no longer kept, such an hour counts in the period that begins in it: every window is in one period,
so that the periods always add up to the range.
"""

from __future__ import annotations

from typing import Final

from tokentide_dashboards.partial_sums import TimePiece, part

PERIODS: Final = ("hour", "day", "week", "month")
DEFAULT_PERIOD: Final = "week"
MINUTES_KEPT_DAYS: Final = 61
"""Minutes are complete for so long at least: a shorter retention deletes them to the row, which `min` shows."""

_CHOSEN: Final = "${period:singlequote}"
_ZONE_OF_DASHBOARD: Final = "${__timezone}"
ZONE: Final = f"if('{_ZONE_OF_DASHBOARD}' IN ('', 'utc'), 'UTC', '{_ZONE_OF_DASHBOARD}')"
"""The reader's time zone: the board's choice, Grafana's global variable."""
# Hours are UTC's for everybody: a rollup of hours has no others.
_PERIOD_ZONE: Final = f"if({_CHOSEN} = 'hour', 'UTC', {ZONE})"


def beginning(moment: str) -> str:
    """The beginning of the period in which `moment` (SQL of a DateTime) lies."""
    return f"toDateTime(dateTrunc({_CHOSEN}, {moment}, {_PERIOD_ZONE}), {_PERIOD_ZONE})"


RANGE_START: Final = beginning("$__fromTime")
"""The range begins with the period in which its own start lies, so that the first period is whole."""

_FIRST_DAY: Final = f"toUnixTimestamp(toStartOfDay({RANGE_START}, 'UTC'))"
_DAYS: Final = (
    f"SELECT toDateTime({_FIRST_DAY} + 86400 * number, 'UTC') AS day "
    f"FROM numbers(toUInt64(intDiv(toUnixTimestamp($__toTime) - {_FIRST_DAY}, 86400) + 1))"
)
# A day that is still going on has nothing after the end of the range.
_IS_WHOLE: Final = (
    f"{_CHOSEN} != 'hour' AND {beginning('day')} = {beginning('day + 86399')} "
    "AND (day + 86399 <= $__toTime OR day + 86400 > now())"
)
_HOURS: Final = f"SELECT day + 3600 * arrayJoin(range(24)) AS hour FROM ({_DAYS}) WHERE NOT ({_IS_WHOLE})"
_IS_CUT: Final = f"{beginning('hour')} != {beginning('hour + 3599')}"


def pieces(stem: str) -> list[TimePiece]:
    """What to read of the rollups `stem` for the range, each window in its period."""
    minutes = part(stem, "1m").partials_table
    kept = f"hour >= (SELECT greatest(min(window_start) + 86400, now() - {MINUTES_KEPT_DAYS * 86_400}) FROM {minutes})"
    from_minutes = f"{_IS_CUT} AND {kept}"
    in_range = f"p.window_start >= {RANGE_START} AND p.window_start <= $__toTime"
    return [
        TimePiece(
            "1d", beginning("p.window_start"),
            f"{_CHOSEN} != 'hour' AND {in_range} AND p.window_start IN (SELECT day FROM ({_DAYS}) WHERE {_IS_WHOLE})",
        ),
        TimePiece(
            "1h", beginning("p.window_start + 3599"),
            f"p.window_start > {RANGE_START} - 3600 AND p.window_start <= $__toTime "
            f"AND p.window_start IN (SELECT hour FROM ({_HOURS}) WHERE NOT ({from_minutes}))",
        ),
        TimePiece(
            "1m", beginning("p.window_start"),
            f"{in_range} AND p.window_start IN "
            f"(SELECT hour + 60 * arrayJoin(range(60)) FROM ({_HOURS}) WHERE {from_minutes})",
        ),
    ]  # fmt: skip
