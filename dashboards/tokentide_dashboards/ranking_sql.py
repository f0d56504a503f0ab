"""SQL of the rankings: a window of a day, a week or a month against the ones before it, in whole hours or days.

The window ends with the last full hour (day) or the last full UTC day (week: 7 days, month: 30 days) of the range. A
day is read from the hourly tier, the others from the daily one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from tokentide_dashboards.partial_sums import presummed
from tokentide_dashboards.period_sql import LABELS

WINDOWS: Final = ("day", "week", "month")
DEFAULT_WINDOW: Final = "week"
EARLIER_WINDOWS: Final = 3
"""Trending compares with the mean of so many windows before."""
ROWS: Final = 50

_CHOSEN: Final = "${window:singlequote}"
UNIT_S: Final = f"if({_CHOSEN} = 'day', 3600, 86400)"
# Not transform(): the engine does not calculate it before it reads, and would read every window there is.
LENGTH_S: Final = f"multiIf({_CHOSEN} = 'day', 86400, {_CHOSEN} = 'month', 2592000, 604800)"
END_S: Final = f"intDiv(toUnixTimestamp(least($__toTime, now())), {UNIT_S}) * {UNIT_S}"


def _time(windows_back: int) -> str:
    return f"toDateTime({END_S} - {windows_back} * {LENGTH_S}, 'UTC')"


START: Final = _time(1)
END: Final = _time(0)


def grouped(stem: str, key: str, sums: Mapping[str, str], where: Sequence[str] = ()) -> str:
    """Rows (name, age, the sums): age 0 is the window, 1 the one before it, up to the earliest that trending needs."""
    columns = ", ".join(f"{sql} AS {name}" for name, sql in sums.items())
    age = f"intDiv(toUnixTimestamp({END}) - 1 - toUnixTimestamp(unit_start), {LENGTH_S})"
    return "\nUNION ALL\n".join(
        f"SELECT {key} AS name, toUInt8({age}) AS age, min(unit_start) AS first_start, {columns}\n"
        f"FROM\n(\n    {_units(stem, tier, comparison, [key, *sums.values()], where)}\n)\nGROUP BY name, age"
        for tier, comparison in (("1h", "="), ("1d", "!="))
    )


def _units(stem: str, tier: str, comparison: str, uses: Sequence[str], where: Sequence[str]) -> str:
    in_windows = f"p.window_start >= {_time(1 + EARLIER_WINDOWS)} AND p.window_start < {END}"
    return presummed(
        stem, tier, window="p.window_start", window_name="unit_start",
        where_window=f"{_CHOSEN} {comparison} 'day' AND {in_windows}", uses=uses, where=where,
    )  # fmt: skip


def _by_name(stem: str, dimension: str) -> str:
    sums = {"tokens": "sum(total_tokens)", "attempts": "sum(requests)"}
    return f"""SELECT
        name,
        sumIf(tokens, age = 0) AS current_tokens,
        sumIf(attempts, age = 0) AS current_attempts,
        sumIf(tokens, age = 1) AS previous_tokens,
        sumIf(tokens, age BETWEEN 1 AND {EARLIER_WINDOWS}) / {EARLIER_WINDOWS} AS earlier_mean,
        min(min(first_start)) OVER () AS reaches_back_to
    FROM
    (
        {grouped(stem, LABELS.get(dimension, dimension), sums)}
    )
    GROUP BY name"""


# A store whose rows begin after the second unit of a window does not know that window.
def _is_known(windows_back: int) -> str:
    return f"reaches_back_to < {_time(windows_back)} + 2 * {UNIT_S}"


def leaderboard(stem: str, dimension: str, title: str) -> str:
    """Rank, name, tokens, share, and the change against the window before."""
    return f"""SELECT
    row_number() OVER (ORDER BY current_tokens DESC, name) AS "Rank",
    name AS "{title}",
    current_tokens AS "Tokens",
    current_tokens / nullIf(sum(current_tokens) OVER (), 0) AS "Share",
    if({_is_known(2)}, current_tokens / nullIf(previous_tokens, 0) - 1, NULL) AS "Change",
    if(
        {_is_known(2)},
        100 * ("Share" - previous_tokens / nullIf(sum(previous_tokens) OVER (), 0)),
        NULL
    ) AS "Share change",
    current_attempts AS "Requests"
FROM
(
    {_by_name(stem, dimension)}
)
WHERE current_tokens > 0 OR previous_tokens > 0
ORDER BY "Rank"
LIMIT {ROWS}"""


def trending(stem: str, dimension: str, title: str) -> str:
    """Who grew: the window's tokens minus the mean of the windows before it. Who did not grow is left out."""
    return f"""SELECT
    name AS "{title}",
    current_tokens - earlier_mean AS "More tokens",
    current_tokens AS "Tokens",
    current_tokens / nullIf(earlier_mean, 0) - 1 AS "Growth"
FROM
(
    {_by_name(stem, dimension)}
)
WHERE {_is_known(1 + EARLIER_WINDOWS)} AND current_tokens > earlier_mean
ORDER BY "More tokens" DESC, name
LIMIT {ROWS}"""


def categories() -> str:
    """Leaderboard of the labelled tokens, scaled up."""
    rows = grouped("rollup", "category", {"tokens": "sum(weighted_tokens_milli) / 1000"}, ["category != ''"])
    return f"""SELECT
    name AS "Category",
    current_tokens AS "Tokens",
    current_tokens / nullIf(sum(current_tokens) OVER (), 0) AS "Share",
    100 * ("Share" - previous_tokens / nullIf(sum(previous_tokens) OVER (), 0)) AS "Share change"
FROM
(
    SELECT name, sumIf(tokens, age = 0) AS current_tokens, sumIf(tokens, age = 1) AS previous_tokens
    FROM
    (
        {rows}
    )
    GROUP BY name
)
WHERE current_tokens > 0
ORDER BY current_tokens DESC, name
LIMIT {ROWS}"""


def tool_calls() -> str:
    """Models by requests that ended in a tool call."""
    rows = grouped(
        "rollup", LABELS["model"],
        {"calls": "sum(tool_call_requests)", "call_tokens": "sum(tool_call_tokens)", "attempts": "sum(requests)"},
    )  # fmt: skip
    return f"""SELECT
    name AS "Model",
    sum(calls) AS "Requests",
    sum(call_tokens) AS "Tokens",
    sum(calls) / nullIf(sum(attempts), 0) AS "Of its requests"
FROM
(
    {rows}
)
WHERE age = 0
GROUP BY name
HAVING sum(calls) > 0
ORDER BY "Requests" DESC, name
LIMIT {ROWS}"""


def images() -> str:
    """Models by image tokens."""
    rows = grouped("rollup", LABELS["model"], {"tokens": "sum(image_tokens)"}, ["image_tokens > 0"])
    return f"""SELECT
    name AS "Model", sum(tokens) AS "Image tokens", sum(tokens) / nullIf(sum(sum(tokens)) OVER (), 0) AS "Share"
FROM
(
    {rows}
)
WHERE age = 0
GROUP BY name
ORDER BY "Image tokens" DESC, name
LIMIT {ROWS}"""


def speed() -> str:
    """Models by mean time to first token and share of errors, of those with the most requests."""
    sums = {
        "attempts": "sum(requests)",
        "errors": "sumIf(requests, outcome = 'error')",
        "first_ms": "sum(time_to_first_token_ms_sum)",
        "first_known": "sum(time_to_first_token_known_requests)",
        "whole_ms": "sum(latency_ms_sum)",
        "whole_known": "sum(latency_known_requests)",
    }
    return f"""SELECT
    name AS "Model",
    sum(attempts) AS "Requests",
    sum(first_ms) / nullIf(sum(first_known), 0) AS "First token",
    sum(whole_ms) / nullIf(sum(whole_known), 0) AS "Latency",
    sum(errors) / nullIf(sum(attempts), 0) AS "Errors"
FROM
(
    {grouped("rollup", LABELS["model"], sums)}
)
WHERE age = 0
GROUP BY name
ORDER BY "Requests" DESC, name
LIMIT {ROWS}"""


def languages() -> str:
    """Requests and tokens by language, from raw events of the window's last day."""
    return f"""SELECT
    if(language = '', '(unknown)', language) AS "Language",
    count() AS "Requests",
    sum(total_tokens) AS "Tokens",
    "Tokens" / nullIf(sum("Tokens") OVER (), 0) AS "Share"
FROM usage
WHERE occurred_at >= toDateTime64({END} - 86400, 3, 'UTC') AND occurred_at < toDateTime64({END}, 3, 'UTC')
GROUP BY language
ORDER BY "Tokens" DESC, "Language"
LIMIT {ROWS}"""


def lengths(bucket: str, title: str) -> str:
    """Requests by a length bucket in the window's last hour."""
    return f"""SELECT
    {bucket}_estimate AS "{title}",
    sum(requests) AS "Requests",
    "Requests" / nullIf(sum("Requests") OVER (), 0) AS "Share"
FROM rollup_request_size_1m
WHERE window_start >= {END} - 3600 AND window_start < {END} AND {bucket}_estimate IS NOT NULL
GROUP BY {bucket}_estimate
ORDER BY {bucket}_estimate"""
