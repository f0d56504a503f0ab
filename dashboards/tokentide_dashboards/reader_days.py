"""Calendar periods that begin where the reader lives, from rollups whose days are UTC's. SQL fragments.

A UTC day lies in one of the reader's periods as a whole, or the reader's midnight cuts it. Whole ones are read from the
daily tier, the cut ones from the hourly tier, and an hour that a zone with half or quarter hours cuts from minutes.
Where minutes are no longer kept, such an hour counts in the period that begins in it: every window is in one period,
so that the periods always add up to the range.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from tokentide_dashboards.partial_sums import TimePiece, part
from tokentide_dashboards.tiers_needed import marked

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


def beginning(moment: str, zone: str = _PERIOD_ZONE) -> str:
    """The beginning of the period in which `moment` (SQL of a DateTime) lies."""
    return f"toDateTime(dateTrunc({_CHOSEN}, {moment}, {zone}), {zone})"


RANGE_START: Final = beginning("$__fromTime")
"""The range begins with the period in which its own start lies, so that the first period is whole."""


_WINTER_S: Final = 1_767_225_600
_SUMMER_S: Final = 1_782_864_000
"""A moment in January and one in July: some zones have parts of hours in one of them only."""


@dataclass(frozen=True, slots=True)
class Windows:
    """What to read: pieces of tiers, and the text of a WITH clause with what their conditions name."""

    pieces: list[TimePiece]
    scalars: list[str]


def periods(stem: str) -> Windows:
    """What to read of the rollups `stem` for the dashboard's range, each window in its period."""

    def period_of(moment: str) -> str:
        return beginning(moment, "reader_zone")

    return windows(stem, period_of, period_of("$__fromTime"), "$__toTime", f"{_CHOSEN} = 'hour'", _PERIOD_ZONE)


def windows(
    stem: str, period_of: Callable[[str], str], start: str, last: str, hours_only: str, zone: str = ZONE
) -> Windows:
    """What to read of the rollups `stem` from `start` to `last` (SQL of DateTimes), each window in its period.

    period_of: SQL of a moment -> SQL of its period, which never falls with time; hours_only: a constant condition under
    which days are not read. All may name `reader_zone`. Conditions that are constant keep the engine from looking at
    tiers that nothing needs: that takes longer than reading them. Names for constants keep the query short.
    """
    offsets = (f"timezoneOffset(toDateTime({moment_s}, reader_zone))" for moment_s in (_WINTER_S, _SUMMER_S))
    has_minutes = " OR ".join(f"{offset_s} % 3600 != 0" for offset_s in offsets)
    scalars = [
        f"{zone} AS reader_zone",
        "reader_zone = 'UTC' AS reader_in_utc",
        f"{hours_only} AS reader_hours_only",
        f"NOT reader_hours_only AND ({has_minutes}) AS reader_has_cut_hours",
        f"{start} AS reader_start",
        f"{last} AS reader_last",
    ]
    first_day = "toUnixTimestamp(toStartOfDay(reader_start, 'UTC'))"
    # A day that is still going on has nothing after the end of the range.
    days = f"""(
        SELECT (groupArrayIf(day, is_whole), groupArrayIf(day, NOT is_whole))
        FROM
        (
            SELECT
                toDateTime({first_day} + 86400 * number, 'UTC') AS day,
                day >= reader_start AND {period_of("day")} = {period_of("day + 86399")}
                    AND (day + 86399 <= reader_last OR day + 86400 > now()) AS is_whole
            FROM numbers(toUInt64(intDiv(toUnixTimestamp(reader_last) - {first_day}, 86400) + 1))
            WHERE NOT reader_in_utc AND NOT reader_hours_only
        )
    ) AS reader_days"""
    minutes = part(stem, "1m").partials_table
    cut_hours = f"""(
        SELECT groupArray(hour)
        FROM (SELECT arrayJoin(reader_days.2) + 3600 * arrayJoin(range(24)) AS hour)
        WHERE reader_has_cut_hours AND {period_of("hour")} != {period_of("hour + 3599")} AND hour >=
        (
            SELECT greatest(min(window_start) + 86400, now() - {MINUTES_KEPT_DAYS * 86_400})
            FROM {minutes}
            WHERE reader_has_cut_hours
        )
    ) AS reader_cut_hours"""
    in_range = "p.window_start >= reader_start AND p.window_start <= reader_last"
    pieces = [
        TimePiece(
            "1d", period_of("p.window_start"),
            in_range + marked("zone", " AND (reader_in_utc OR p.window_start IN (SELECT arrayJoin(reader_days.1)))"),
            "NOT reader_hours_only", "days",
        ),
        TimePiece(
            "1h", period_of("p.window_start + 3599"),
            "p.window_start > reader_start - 3600 AND p.window_start <= reader_last"
            + marked(
                "zone",
                " AND (reader_hours_only OR p.window_start IN "
                "(SELECT arrayJoin(reader_days.2) + 3600 * arrayJoin(range(24))))",
            )
            + marked(
                "minutes",
                " AND (NOT reader_has_cut_hours OR p.window_start NOT IN (SELECT arrayJoin(reader_cut_hours)))",
            ),
            "(reader_hours_only OR NOT reader_in_utc)", "hours",
        ),
        TimePiece(
            "1m", period_of("p.window_start"),
            f"{in_range} AND p.window_start IN (SELECT arrayJoin(reader_cut_hours) + 60 * arrayJoin(range(60)))",
            "reader_has_cut_hours", "minutes",
        ),
    ]  # fmt: skip
    return Windows(
        pieces, [", ".join(scalars), marked("zone", f",\n    {days}"), marked("minutes", f",\n    {cut_hours}")]
    )
