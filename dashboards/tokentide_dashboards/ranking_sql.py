"""SQL of the rankings: a window of a day, a week or a month against the ones before it.

A day is the last 24 full hours; weeks (7 days) and months (30 days) end with the last full day of the reader's zone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from tokentide_dashboards.partial_sums import part, presummed_pieces
from tokentide_dashboards.period_sql import LABELS
from tokentide_dashboards.reader_days import ZONE, windows

WINDOWS: Final = ("day", "week", "month")
DEFAULT_WINDOW: Final = "week"
EARLIER_WINDOWS: Final = 3
"""Trending compares with the mean of so many windows before."""
ROWS: Final = 50

_CHOSEN: Final = "${window:singlequote}"
_IS_DAY: Final = f"{_CHOSEN} = 'day'"
# Not transform(): the engine does not calculate it before it reads, and would read every window there is.
_DAYS: Final = f"multiIf({_IS_DAY}, 1, {_CHOSEN} = 'month', 30, 7)"
_NOW: Final = "least($__toTime, now())"
_END_S: Final = (
    f"if({_IS_DAY}, intDiv(toUnixTimestamp({_NOW}), 3600) * 3600, toUnixTimestamp(toStartOfDay({_NOW}, {ZONE})))"
)
END: Final = f"toDateTime({_END_S}, 'UTC')"


def _time(windows_back: int) -> str:
    """The window's end, or the beginning of the one so many back. Days are the calendar's: some have 23 hours."""
    midnight = f"toUnixTimestamp(subtractDays(toDateTime({_END_S}, {ZONE}), {windows_back} * {_DAYS}))"
    return f"toDateTime(if({_IS_DAY}, {_END_S} - {windows_back} * 86400, {midnight}), 'UTC')"


START: Final = _time(1)


def _age(moment: str) -> str:
    """0 in the window, 1 in the one before it, -1 after its end. Divided from one window later on: intDiv cuts to 0."""
    days = f"dateDiff('day', toDate({moment}, {ZONE}), toDate({END}, {ZONE})) - 1 + {_DAYS}"
    seconds = f"toInt64({_END_S}) - 1 - toInt64(toUnixTimestamp({moment})) + 86400"
    return f"toInt8(if({_IS_DAY}, intDiv({seconds}, 86400), intDiv({days}, {_DAYS})) - 1)"


def grouped(stem: str, key: str, sums: Mapping[str, str], where: Sequence[str] = ()) -> str:
    """Rows (name, age, the sums): age 0 is the window, 1 the one before it, up to the earliest that trending needs."""
    columns = ", ".join(f"{sql} AS {name}" for name, sql in sums.items())
    read = windows(stem, _age, _time(1 + EARLIER_WINDOWS), f"({END} - 1)", _IS_DAY)
    rows = presummed_pieces(
        stem, read.pieces, window_name="age", uses=[key, "age", *sums.values()], where=where, scalars=read.scalars
    )
    return f"SELECT {key} AS name, age, {columns}\nFROM\n(\n    {rows}\n)\nGROUP BY name, age"


def _by_name(stem: str, dimension: str) -> str:
    sums = {"tokens": "sum(total_tokens)", "attempts": "sum(requests)"}
    return f"""SELECT
        name,
        sumIf(tokens, age = 0) AS current_tokens,
        sumIf(attempts, age = 0) AS current_attempts,
        sumIf(tokens, age = 1) AS previous_tokens,
        sumIf(tokens, age BETWEEN 1 AND {EARLIER_WINDOWS}) / {EARLIER_WINDOWS} AS earlier_mean
    FROM
    (
        {grouped(stem, LABELS.get(dimension, dimension), sums)}
    )
    GROUP BY name"""


def _is_known(stem: str, windows_back: int) -> str:
    """A store whose hours begin later than two hours into a day, two days into a longer window, does not know it."""
    hours = part(stem, "1h")
    counted = f"SELECT max(counted_from) FROM stream_coverage WHERE cube = '{hours.name}'"
    begun = f"(SELECT greatest(min(window_start), ({counted})) FROM {hours.partials_table})"
    return f"{begun} < {_time(windows_back)} + if({_IS_DAY}, 7200, 172800)"


def leaderboard(stem: str, dimension: str, title: str) -> str:
    """Rank, name, tokens, share, and the change against the window before."""
    return f"""SELECT
    row_number() OVER (ORDER BY current_tokens DESC, name) AS "Rank",
    name AS "{title}",
    current_tokens AS "Tokens",
    current_tokens / nullIf(sum(current_tokens) OVER (), 0) AS "Share",
    if({_is_known(stem, 2)}, current_tokens / nullIf(previous_tokens, 0) - 1, NULL) AS "Change",
    if(
        {_is_known(stem, 2)},
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
WHERE {_is_known(stem, 1 + EARLIER_WINDOWS)} AND current_tokens > earlier_mean
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
