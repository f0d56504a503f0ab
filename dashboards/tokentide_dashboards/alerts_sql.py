"""SQL about alerts: which go on, what they were, how soon they were found, and who was told."""

from __future__ import annotations

from typing import Final

MARKED: Final = 100
"""Alerts that are marked in other dashboards' charts: more would hide what they are about."""
HISTORY_ROWS: Final = 200

_BEGIN: Final = "started_at >= $__fromTime AND started_at <= $__toTime"
_CHOSEN: Final = (
    "$__conditionalAll(severity IN (${severity:singlequote}), $severity) "
    "AND $__conditionalAll(rule IN (${rule:singlequote}), $rule)"
)
_WAS_FIRING: Final = "(state = 'firing' OR state = 'resolved' AND firing_at IS NOT NULL)"
_IN_RANGE: Final = f"FROM alerts\nWHERE {_BEGIN} AND {_WAS_FIRING} AND {_CHOSEN}"
_GOES_ON: Final = f"FROM alerts\nWHERE state = 'firing' AND {_CHOSEN}"
_SEVERITY_RANK: Final = "indexOf(['critical', 'warning', 'info'], severity)"
_KIND: Final = "replaceAll(kind, '_', ' ')"
_FOUND_AFTER_S: Final = "dateDiff('second', started_at, detected_at)"
_LASTED_S: Final = "dateDiff('second', started_at, coalesce(resolved_at, now64(3)))"

MARKS: Final = f"""SELECT
    started_at AS time,
    coalesce(resolved_at, least(now64(3), toDateTime64($__toTime, 3))) AS timeEnd,
    concat({_KIND}, if(direction = 'up', ' ↑ ', ' ↓ '), keys[1]) AS title,
    summary AS text,
    [severity, kind, rule] AS tags
FROM alerts
WHERE started_at <= $__toTime AND coalesce(resolved_at, now64(3)) >= $__fromTime
    AND {_WAS_FIRING} AND NOT is_silenced
ORDER BY time DESC, title
LIMIT {MARKED}"""
"""What goes on or went on in the range, as regions."""


def choices(column: str) -> str:
    """Options of a variable: the values that the range's alerts have."""
    return f"SELECT DISTINCT {column} AS name\nFROM alerts\nWHERE {_BEGIN} OR state = 'firing'\nORDER BY name"


FIRING: Final = f"SELECT count() AS value\n{_GOES_ON} AND NOT is_silenced"
FIRING_CRITICAL: Final = f"{FIRING} AND severity = 'critical'"
FIRING_SILENCED: Final = f"SELECT count() AS value\n{_GOES_ON} AND is_silenced"
COUNT: Final = f"SELECT count() AS value\n{_IN_RANGE}"
MEDIAN_FOUND_AFTER: Final = f"SELECT if(count() > 0, median({_FOUND_AFTER_S}), NULL) AS value\n{_IN_RANGE}"

_DELIVERIES: Final = "FROM alert_deliveries FINAL\nWHERE $__timeFilter_ms(attempted_at)"
NOT_TOLD: Final = f"""SELECT count() AS value
{_DELIVERIES} AND outcome IN ('retrying', 'refused', 'given_up')"""

FIRING_NOW: Final = f"""SELECT
    started_at AS "Since",
    severity AS "Severity",
    {_KIND} AS "Kind",
    keys[1] AS "Key",
    concat(dimension, if(scope = '', '', concat(' in ', scope))) AS "Where",
    rule AS "Rule",
    silenced_by AS "Silenced by",
    summary AS "What"
{_GOES_ON}
ORDER BY is_silenced, {_SEVERITY_RANK}, started_at DESC, "Key"
LIMIT {HISTORY_ROWS}"""

HISTORY: Final = f"""SELECT
    started_at AS "Began",
    {_LASTED_S} AS "Lasted",
    state AS "State",
    severity AS "Severity",
    {_KIND} AS "Kind",
    keys[1] AS "Key",
    if(unit = 'nanousd', change / 1e9, change) AS "Change",
    if(unit = 'nanousd', 'USD', unit) AS "Unit",
    concat(dimension, if(scope = '', '', concat(' in ', scope))) AS "Where",
    rule AS "Rule",
    {_FOUND_AFTER_S} AS "Found after"
{_IN_RANGE}
ORDER BY started_at DESC, "Key"
LIMIT {HISTORY_ROWS}"""

ATTRIBUTION: Final = f"""SELECT
    started_at AS "Began",
    concat({_KIND}, ' ', keys[1]) AS "Alert",
    part.key AS "Who",
    part.change_pp AS "Change in pp",
    part.before AS "Before",
    part.after AS "After",
    part.mix_change AS "By mix",
    part.volume_change AS "By volume"
FROM
(
    SELECT started_at, kind, keys, alert_id, arrayJoin(contributions) AS part
    {_IN_RANGE}
)
ORDER BY started_at DESC, alert_id, abs(coalesce(part.change_pp, 0)) DESC, part.key
LIMIT {HISTORY_ROWS}"""

BY_RULE: Final = f"""SELECT
    rule AS "Rule",
    count() AS "Alerts",
    countIf(state = 'firing') AS "Going on",
    countIf(is_silenced) AS "Silenced",
    median({_FOUND_AFTER_S}) AS "Found after",
    median({_LASTED_S}) AS "Lasted"
{_IN_RANGE}
GROUP BY rule
ORDER BY "Alerts" DESC, rule"""

SILENCED: Final = f"""SELECT
    started_at AS "Began",
    state AS "State",
    severity AS "Severity",
    {_KIND} AS "Kind",
    keys[1] AS "Key",
    silenced_by AS "Silenced by",
    summary AS "What"
{_IN_RANGE} AND is_silenced
ORDER BY started_at DESC, "Key"
LIMIT {HISTORY_ROWS}"""


def over_time(name: str, column: str) -> str:
    """Alerts that began in each point, by a column."""
    return f"""SELECT $__timeInterval(started_at) AS time, {column} AS {name}, count() AS Value
{_IN_RANGE}
GROUP BY time, {name}
ORDER BY time, {name}"""


BY_KIND_OVER_TIME: Final = over_time("alert_kind", _KIND)
BY_SEVERITY_OVER_TIME: Final = over_time("alert_severity", "severity")
FOUND_AFTER_OVER_TIME: Final = f"""SELECT
    $__timeInterval(started_at) AS time, {_KIND} AS alert_kind, max({_FOUND_AFTER_S}) AS Value
{_IN_RANGE}
GROUP BY time, alert_kind
ORDER BY time, alert_kind"""

BY_RECEIVER: Final = f"""SELECT
    receiver AS "Receiver",
    any(receiver_type) AS "Type",
    countIf(outcome = 'delivered') AS "Told",
    countIf(outcome = 'retrying') AS "Waiting",
    countIf(outcome IN ('refused', 'given_up')) AS "Not told",
    countIf(outcome = 'superseded') AS "Ended first",
    maxIf(attempts, outcome != 'superseded') AS "Attempts",
    max(attempted_at) AS "Newest",
    argMax(error, attempted_at) AS "Newest error"
{_DELIVERIES}
GROUP BY receiver
ORDER BY receiver"""

TROUBLE: Final = f"""SELECT
    attempted_at AS "Time",
    receiver AS "Receiver",
    state AS "State",
    replaceAll(outcome, '_', ' ') AS "Outcome",
    attempts AS "Attempts",
    http_status AS "HTTP",
    error AS "Error"
{_DELIVERIES} AND outcome != 'delivered'
ORDER BY attempted_at DESC, receiver
LIMIT {HISTORY_ROWS}"""
