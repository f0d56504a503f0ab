"""SQL fragments over `rollup_1m` that several panels share, so that each figure has one definition.

What counts as a complete minute (`complete_end` is the exclusive end of the last one):

- the minute in which the range or the present ends is still filling, so is one that ended less than ten seconds ago;
- the newest stored minute is still filling while its rows change, as when the pipeline catches up from behind.
"""

from __future__ import annotations

from typing import Final, Literal

from tokentide_dashboards.partial_sums import names
from tokentide_schemas.cubes import DAY_S, MODEL_CUBE

Dimension = Literal["model", "category", "provider"]

RATE_MINUTES: Final = 5
"""A rate "now" is the mean over this many complete minutes: long enough to be steady, short enough to be now."""
SETTLING_S: Final = 10
"""Seconds after a minute's end until its events have arrived and been stored."""
LEADING_SERIES: Final = 10
"""Groups that a chart draws by name; the rest is one series."""
OTHER: Final = "(other)"

LABELS: Final[dict[Dimension, str]] = {
    "model": "if(model = '', '(none)', model)",
    "category": "if(category = '', '(unlabelled)', category)",
    "provider": "provider",
}
"""A dimension as the reader sees it: an empty name has a name, which a variable can select."""

FILTERS: Final = "\n    AND ".join(
    f"$__conditionalAll({label} IN (${{{dimension}:singlequote}}), ${dimension})"
    for dimension, label in sorted(LABELS.items())
)
"""What the dashboard's variables select."""

# A row that a newer version replaces was emitted before it, so the versions need not be told apart.
COMPLETE_MINUTES: Final = f"""(
        SELECT tuple(count() > 0, min(window_start), max(tuple(window_start, emitted_at)))
        FROM {MODEL_CUBE.partials_table}
        WHERE $__timeFilter(window_start)
            AND window_start >= (SELECT max(counted_from) FROM stream_coverage WHERE cube = '{MODEL_CUBE.name}')
    ) AS stored,
    stored.1 AS has_rows,
    stored.2 AS first_minute,
    stored.3.1 AS newest_minute,
    stored.3.2 > now64(3) - toIntervalSecond({SETTLING_S}) AS newest_is_changing,
    toStartOfMinute(least($__toTime, now() - {SETTLING_S})) AS clock_end,
    if(newest_is_changing, least(clock_end, newest_minute), clock_end) AS complete_end"""
"""Names for a WITH clause: `has_rows`, `first_minute`, `newest_minute`, `complete_end`."""


def rate(value: str) -> str:
    """`value` (an expression over rollup rows, with `minutes` in scope) over the last complete minutes; NULL if none.

    A store that is younger than five minutes is divided by the minutes it has. When none of the five minutes has a row
    nothing is known: the gateways may be idle or the pipeline may stand, so the result is NULL and not zero.
    """
    return f"""WITH
    {COMPLETE_MINUTES},
    greatest(complete_end - {RATE_MINUTES * 60}, first_minute) AS rate_start,
    (toInt64(toUnixTimestamp(complete_end)) - toInt64(toUnixTimestamp(rate_start))) / 60 AS minutes
SELECT if(has_rows AND minutes > 0 AND newest_minute >= rate_start, {value}, NULL) AS value
FROM rollup_1m
WHERE window_start >= rate_start AND window_start < complete_end
    AND {FILTERS}"""


def ratio(numerator: str, denominator: str = "sum(requests)") -> str:
    """A share over the whole range; NULL when there is nothing to divide by."""
    return f"""SELECT if({denominator} > 0, {numerator} / {denominator}, NULL) AS value
FROM rollup_1m
WHERE $__timeFilter(window_start)
    AND {FILTERS}"""


def over_time(dimension: Dimension, value: str) -> str:
    """Time series of the leading groups by tokens and of the rest, complete minutes only.

    `value` may use `tokens` (of the group in the point), `all_tokens` (of the point) and `minutes` (that the point
    covers). Points without a row between two that have some are zero; before the first and after the last is nothing.
    """
    label = LABELS[dimension]
    return f"""WITH
    {COMPLETE_MINUTES},
    (
        SELECT groupArray(name)
        FROM
        (
            SELECT {label} AS name, sum(total_tokens) AS tokens
            FROM rollup_1m
            WHERE $__timeFilter(window_start) AND window_start < complete_end
                AND {FILTERS}
            GROUP BY name
            ORDER BY tokens DESC, name
            LIMIT {LEADING_SERIES + 1}
        )
    ) AS names,
    arraySlice(names, 1, {LEADING_SERIES}) AS leading,
    if(length(names) > {LEADING_SERIES}, arrayPushBack(leading, '{OTHER}'), leading) AS series,
    toStartOfMinute($__fromTime + 59) AS complete_start,
    by_name[name] AS tokens,
    arraySum(mapValues(by_name)) AS all_tokens,
    (toInt64(toUnixTimestamp(least(time + $__interval_s, complete_end)))
        - toInt64(toUnixTimestamp(greatest(time, complete_start)))) / 60 AS minutes
SELECT time, name AS {dimension}, {value} AS Value
FROM
(
    SELECT
        $__timeInterval(window_start) AS time,
        sumMap(map(if(has(leading, {label}), {label}, '{OTHER}'), total_tokens)) AS by_name
    FROM rollup_1m
    WHERE $__timeFilter(window_start) AND window_start < complete_end
        AND {FILTERS}
    GROUP BY time
    ORDER BY time WITH FILL STEP toIntervalSecond($__interval_s)
)
ARRAY JOIN series AS name
ORDER BY time, indexOf(series, name)"""


def options(dimension: Dimension) -> str:
    """The values that a variable offers: those that the range holds, in whole days when it is longer than a day."""
    is_long = f"$__toTime - $__fromTime > {DAY_S}"
    day = "toStartOfDay($__fromTime, 'UTC')"
    minutes = f"NOT ({is_long}) AND $__timeFilter(p.window_start)"
    days = f"{is_long} AND p.window_start >= {day} AND p.window_start <= $__toTime"
    return f"""SELECT DISTINCT name
FROM
(
{names("rollup", "1m", dimension, LABELS[dimension], minutes)}
UNION ALL
{names("rollup", "1d", dimension, LABELS[dimension], days)}
)
ORDER BY name"""
