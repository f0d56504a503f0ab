"""A panel's SQL as Grafana would send it: its variables and the ClickHouse plugin's macros, expanded without Grafana.

The order is Grafana's: `$__conditionalAll` and the variables in the browser, then the time macros in the plugin's
backend. Only the macros that mean the same in every plugin version since 4.18 are known; other `$__names` stay as they
are, as in the plugin, and ClickHouse then names them in its error.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from tokentide_dashboards.tiers_needed import without_needless_tiers

ALL: Final = "$__all"
"""The value of a variable whose "All" is picked."""

VariableValue = str | Sequence[str]


class MacroError(ValueError):
    """The SQL uses a macro or variable in a way that Grafana would refuse or send broken."""


@dataclass(frozen=True, slots=True)
class TimeRange:
    """What the dashboard looks at: both ends in milliseconds since 1970, the width of one drawn point, and the reader's
    time zone, an IANA name or `utc`."""

    from_ms: int
    to_ms: int
    interval_ms: int = 60_000
    timezone: str = "utc"

    def __post_init__(self) -> None:
        if self.from_ms > self.to_ms:
            raise MacroError(f"the time range ends ({self.to_ms} ms) before it begins ({self.from_ms} ms)")

    @property
    def interval_s(self) -> int:
        """Whole seconds of the interval, at least one."""
        return max(self.interval_ms // 1000, 1)


def expand(
    sql: str,
    time_range: TimeRange,
    variables: Mapping[str, VariableValue] | None = None,
    options: Mapping[str, Sequence[str]] | None = None,
) -> str:
    """`sql` ready for ClickHouse.

    `variables`: current value of each variable: a text, several texts, or `ALL`.
    `options`: the values that `ALL` stands for, needed only for a variable that `$__conditionalAll` does not guard.
    Raises MacroError for a wrong number of macro arguments, unbalanced brackets, an unknown variable format, or `ALL`
    without options.
    """
    values = variables or {}
    guarded = expand_conditional_all(sql, values)
    guarded = without_needless_tiers(guarded, time_range.timezone, values)
    zoned = _TIMEZONE.sub(lambda _: time_range.timezone, guarded)
    return expand_macros(interpolate(zoned, values, options or {}), time_range)


# --- the browser's part: variables


_VARIABLE: Final = re.compile(r"\$\{(?P<braced>\w+)(?::(?P<format>\w+))?\}|\$(?P<bare>\w+)")
_TIMEZONE: Final = re.compile(r"\$\{__timezone\}|\$__timezone\b")
"""Grafana's global variable, which the browser puts in: `utc` or the zone's name."""
_CONDITIONAL_ALL: Final = "$__conditionalAll"


def expand_conditional_all(sql: str, variables: Mapping[str, VariableValue]) -> str:
    """Replace `$__conditionalAll(condition, $v)` by `1=1` where `$v` is empty or "All", else by the condition."""
    while (start := sql.rfind(f"{_CONDITIONAL_ALL}(")) != -1:
        arguments, end = _arguments(sql, start + len(_CONDITIONAL_ALL))
        if len(arguments) != 2 or not (variable := _VARIABLE.search(arguments[1])):
            raise MacroError(f"{_CONDITIONAL_ALL} takes a condition and a variable, got {sql[start:end]!r}")
        name = variable["braced"] or variable["bare"]
        if name not in variables:
            raise MacroError(f"{_CONDITIONAL_ALL}: the dashboard has no variable {name!r}")
        condition = "1=1" if _is_all(variables[name]) else arguments[0]
        sql = sql[:start] + condition + sql[end:]
    return sql


def interpolate(
    sql: str, variables: Mapping[str, VariableValue], options: Mapping[str, Sequence[str]] | None = None
) -> str:
    """Put the variables' values in. Unknown names stay; inside strings values are put in too, as Grafana does."""

    def value_of(match: re.Match[str]) -> str:
        name = match["braced"] or match["bare"]
        if name.startswith("__") or name not in variables:
            return match.group()
        current = variables[name]
        if not isinstance(current, str):
            values = list(current)
        else:
            values = [current]
        if values == [ALL]:
            if options is None or name not in options:
                raise MacroError(
                    f"variable {name!r} is set to All: guard its condition with {_CONDITIONAL_ALL} or give its options"
                )
            values = list(options[name])
        return _formatted(values, match["format"], several=len(values) > 1 or not isinstance(current, str))

    return _VARIABLE.sub(value_of, sql)


def _is_all(value: VariableValue) -> bool:
    return value in ("", ALL) if isinstance(value, str) else list(value) in ([], [""], [ALL])


def _quoted(text: str, quote: str) -> str:
    # Grafana leaves a backslash alone, and ClickHouse would then read it as an escape: the value would match nothing,
    # or swallow the closing quote. Escaping it is the one difference from Grafana.
    escaped = text.replace("\\", "\\\\").replace(quote, f"\\{quote}")
    return f"{quote}{escaped}{quote}"


def _formatted(values: Sequence[str], variable_format: str | None, several: bool) -> str:
    match variable_format:
        case "singlequote" | "sqlstring":
            return ",".join(_quoted(value, "'") for value in values)
        case "doublequote":
            return ",".join(_quoted(value, '"') for value in values)
        case "csv" | "raw":
            return ",".join(values)
        case None:
            # The plugin's own default: quotes around several values, none around one, and nothing is escaped.
            return ",".join(f"'{value}'" for value in values) if several else "".join(values)
        case _:
            raise MacroError(f"variable format {variable_format!r} is not known; use singlequote")


# --- the plugin's backend: macros


_QUOTED_OR_COMMENT: Final = re.compile(
    r"""'(?:\\.|''|[^'\\])*'|`(?:\\.|``|[^`\\])*`|"(?:\\.|""|[^"\\])*"|(?P<comment>--[^\n]*|/\*.*?\*/)""", re.DOTALL
)
_MACRO: Final = re.compile(r"\$__(\w+)")


def _seconds(ms: int) -> str:
    return f"toDateTime({ms // 1000})"


def _milliseconds(ms: int) -> str:
    return f"fromUnixTimestamp64Milli({ms})"


def _day(ms: int) -> str:
    return f"toDate('{dt.datetime.fromtimestamp(ms // 1000, dt.UTC):%Y-%m-%d}')"


def _between(column: str, time_range: TimeRange, literal: Callable[[int], str]) -> str:
    return f"{column} >= {literal(time_range.from_ms)} AND {column} <= {literal(time_range.to_ms)}"


def _date_and_time(r: TimeRange, columns: Sequence[str]) -> str:
    return f"({_between(columns[0], r, _day)}) AND ({_between(columns[1], r, _seconds)})"


_Expansion = Callable[[TimeRange, Sequence[str]], str]
MACROS: Final[dict[str, tuple[int, _Expansion]]] = {
    "fromTime": (0, lambda r, _: _seconds(r.from_ms)),
    "toTime": (0, lambda r, _: _seconds(r.to_ms)),
    "fromTime_ms": (0, lambda r, _: _milliseconds(r.from_ms)),
    "toTime_ms": (0, lambda r, _: _milliseconds(r.to_ms)),
    "timeFilter": (1, lambda r, a: _between(a[0], r, _seconds)),
    "timeFilter_ms": (1, lambda r, a: _between(a[0], r, _milliseconds)),
    "dateFilter": (1, lambda r, a: _between(a[0], r, _day)),
    "dateTimeFilter": (2, _date_and_time),
    "dt": (2, _date_and_time),
    "timeInterval": (1, lambda r, a: f"toStartOfInterval(toDateTime({a[0]}), INTERVAL {r.interval_s} second)"),
    "timeInterval_ms": (
        1,
        lambda r, a: f"toStartOfInterval(toDateTime64({a[0]}, 3), INTERVAL {max(r.interval_ms, 1)} millisecond)",
    ),
    "interval_s": (0, lambda r, _: str(r.interval_s)),
}
"""Name without `$__`: number of arguments, and the text that replaces the call."""


def expand_macros(sql: str, time_range: TimeRange) -> str:
    """Expand the time macros. Comments are blanked first; a macro's arguments are expanded before the macro itself."""
    sql = _QUOTED_OR_COMMENT.sub(lambda m: " " * len(m.group()) if m["comment"] else m.group(), sql)
    # From right to left, so that an inner macro, which begins later, is text by the time its outer one is read.
    for start, name in reversed([(m.start(), m[1]) for m in _MACRO.finditer(sql)]):
        if name not in MACROS:
            continue
        wanted, replacement = MACROS[name]
        name_end = start + len("$__") + len(name)
        called = wanted > 0 or sql[name_end : name_end + 2] == "()"
        if wanted and sql[name_end : name_end + 1] != "(":
            raise MacroError(f"$__{name} takes {wanted} argument(s) in brackets, got none")
        arguments, end = _arguments(sql, name_end) if called else ([], name_end)
        if len(arguments) != wanted:
            raise MacroError(f"$__{name} takes {wanted} argument(s), got {len(arguments)}: {sql[start:end]!r}")
        sql = sql[:start] + replacement(time_range, arguments) + sql[end:]
    return sql


def _arguments(sql: str, opening: int) -> tuple[list[str], int]:
    """Top-level arguments of the call whose bracket is at `opening`, and the position after its closing bracket."""
    arguments: list[str] = []
    depth, begin, position = 0, opening + 1, opening
    while position < len(sql):
        if quoted := _QUOTED_OR_COMMENT.match(sql, position):
            position = quoted.end()
            continue
        character = sql[position]
        if character == "(":
            depth += 1
        elif character == ")":
            depth -= 1
        if (character == "," and depth == 1) or depth == 0:
            arguments.append(sql[begin:position].strip())
            begin = position + 1
        if depth == 0:
            return ([] if arguments == [""] else arguments), position + 1
        position += 1
    raise MacroError(f"the bracket after {sql[max(0, opening - 30) : opening]!r} is never closed")
