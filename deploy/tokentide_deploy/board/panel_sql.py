"""A target's SQL made ready for the store: variables judged, days moved to the reader's time zone, macros expanded."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from tokentide_dashboards.macros import (
    ALL,
    MacroError,
    TimeRange,
    VariableValue,
    expand,
    expand_conditional_all,
)
from tokentide_deploy.board.errors import RequestError
from tokentide_deploy.board.view import View

DAY_MS: Final = 86_400_000
OptionsOf = Callable[[str], Sequence[str]]
"""The values that a variable offers, by its name."""

_REFERENCE: Final = re.compile(r"\$\{(?P<braced>\w+)(?::(?P<format>\w+))?\}|\$(?!__)(?P<bare>\w+)")
_ESCAPED: Final = ("singlequote", "sqlstring", "doublequote")
_INTERVAL_MACRO: Final = re.compile(r"\$__timeInterval\(")
_FILL_STEP: Final = re.compile(
    r"\bSTEP\s+(?:toIntervalSecond\(\s*\$__interval_s\s*\)|INTERVAL\s+\$__interval_s\s+SECOND\b|\$__interval_s\b)",
    re.IGNORECASE,
)
_UTC_DAYS: Final = re.compile(
    r"\b(?:\w*_1d\b|toStartOfDay\(|toStartOfWeek\(|toMonday\(|toStartOfMonth\(|toDate\(|dateTrunc\()", re.IGNORECASE
)


def variable_values(view: View, variables: Mapping[str, Mapping[str, Any]]) -> dict[str, VariableValue]:
    """Every variable's value: the browser's, else the dashboard's own. Raises RequestError for an unknown name."""
    if unknown := sorted(set(view.variables) - set(variables)):
        raise RequestError(f"the dashboard has no variable {', '.join(unknown)}")
    values: dict[str, VariableValue] = {}
    for name, variable in variables.items():
        chosen = view.variables.get(name) or _default(variable)
        if variable.get("multi") or variable.get("includeAll"):
            values[name] = ALL if chosen == [ALL] else chosen
        else:
            values[name] = chosen[0] if chosen else ""
    return values


def _default(variable: Mapping[str, Any]) -> list[str]:
    if variable["type"] in ("constant", "textbox"):
        return [str(variable.get("query", ""))]
    value = (variable.get("current") or {}).get("value")
    if value is None or value == []:
        return [ALL] if variable.get("includeAll") else [option for option, _ in static_options(variable)][:1]
    return [str(one) for one in value] if isinstance(value, list) else [str(value)]


def static_options(variable: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Value and text of a variable's fixed options; empty for one whose options a query gives."""
    if listed := [one for one in variable.get("options") or () if one.get("value") != ALL]:
        return [(str(one["value"]), str(one["text"])) for one in listed]
    if variable["type"] not in ("custom", "interval"):
        return []
    found = []
    for part in re.split(r"(?<!\\),", str(variable.get("query", ""))):
        text, colon, value = part.replace("\\,", ",").strip().partition(" : ")
        if text:
            found.append((value.strip() if colon else text, text.strip()))
    return found


def ready_sql(
    sql: str,
    view: View,
    interval_ms: int,
    variables: Mapping[str, Mapping[str, Any]],
    options_of: OptionsOf,
) -> str:
    """The SQL that the store is sent.

    Text from the browser gets into it as an escaped string only: where a variable stands without quotes, its value has
    to be one of its options. Raises RequestError.
    """
    values = variable_values(view, variables)
    time_range = TimeRange(view.from_ms, view.to_ms, interval_ms, view.timezone)
    try:
        guarded = expand_conditional_all(sql, values)
        options: dict[str, Sequence[str]] = {}
        for found in _REFERENCE.finditer(guarded):
            name = found["braced"] or found["bare"]
            if name not in values:
                continue
            value = values[name]
            if value == ALL:
                all_value = variables[name].get("allValue")
                options[name] = [all_value] if all_value else list(options_of(name))
            elif found["format"] not in _ESCAPED:
                _require_options(name, value, variables[name], options_of)
        return expand(in_time_zone(guarded, view.timezone, interval_ms), time_range, values, options)
    except MacroError as error:
        raise RequestError(f"the panel's SQL cannot be expanded: {error}", 422) from error


def _require_options(name: str, value: VariableValue, variable: Mapping[str, Any], options_of: OptionsOf) -> None:
    chosen = [value] if isinstance(value, str) else list(value)
    fixed = [option for option, _ in static_options(variable)]
    # The dashboard's own default is as trustworthy as its SQL.
    offered = {*fixed, *_default(variable)} if fixed or variable["type"] != "query" else {*options_of(name)}
    if foreign := [one for one in chosen if one not in offered]:
        raise RequestError(f"{foreign[0][:100]!r} is not one of the options of {name}")


def in_time_zone(sql: str, timezone: str, interval_ms: int) -> str:
    """Points of whole days begin at the reader's midnight; other SQL stays as it is.

    Grafana's macro counts days from 1970 in UTC. Summer time makes some days 23 or 25 hours long, so the fill step has
    to be days, too.
    """
    if timezone == "UTC" or interval_ms % DAY_MS or not _INTERVAL_MACRO.search(sql) or has_utc_days(sql):
        return sql
    days = interval_ms // DAY_MS
    sql = _FILL_STEP.sub(f"STEP toIntervalDay({days})", sql)
    while found := _INTERVAL_MACRO.search(sql):
        end = _closing_bracket(sql, found.end() - 1)
        column = sql[found.end() : end]
        local = f"toStartOfInterval(toDateTime({column}, '{timezone}'), toIntervalDay({days}))"
        sql = sql[: found.start()] + local + sql[end + 1 :]
    return sql


def has_utc_days(sql: str) -> bool:
    """True when the SQL itself speaks of days, weeks or months without the dashboard's time zone: they are UTC's."""
    return "__timezone" not in sql and bool(_UTC_DAYS.search(sql))


def _closing_bracket(sql: str, opening: int) -> int:
    depth = 0
    for position in range(opening, len(sql)):
        depth += {"(": 1, ")": -1}.get(sql[position], 0)
        if depth == 0:
            return position
    raise RequestError("the bracket after $__timeInterval is never closed", 422)
