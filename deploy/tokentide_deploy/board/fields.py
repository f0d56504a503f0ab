"""A query's result as fields that the browser draws: a name, a kind, and a column of plain JSON values."""

from __future__ import annotations

import datetime as dt
import json
import re
import zoneinfo
from collections.abc import Callable, Sequence
from typing import Any, Final, Literal

FieldKind = Literal["time", "number", "string", "boolean"]
MAX_ROWS: Final = 20_000
"""More rows than anybody reads or a screen has points; the browser says when rows were left out."""

_WRAPPER: Final = re.compile(r"^(?:Nullable|LowCardinality)\((.*)\)$")
_NUMBER: Final = re.compile(r"^(?:U?Int\d+|Float\d+|Decimal)")


def field_kind(clickhouse_type: str) -> FieldKind:
    """How the browser treats a column of this type."""
    inner = _inner(clickhouse_type)
    if inner.startswith("Date"):
        return "time"
    if inner == "Bool":
        return "boolean"
    return "number" if _NUMBER.match(inner) else "string"


def fields_of(columns: Sequence[tuple[str, str]], rows: Sequence[Sequence[Any]], timezone: str) -> list[dict[str, Any]]:
    """One field a column, of the first MAX_ROWS rows. Times become milliseconds since 1970.

    A calendar day has no zone: it becomes the reader's midnight, so that it is shown as that day.
    """
    shown = rows[:MAX_ROWS]
    found = []
    for position, (name, clickhouse_type) in enumerate(columns):
        read = _reader(_inner(clickhouse_type), zoneinfo.ZoneInfo(timezone))
        values = [None if row[position] is None else read(row[position]) for row in shown]
        found.append({"name": name, "kind": field_kind(clickhouse_type), "values": values})
    return found


def _inner(clickhouse_type: str) -> str:
    while wrapped := _WRAPPER.match(clickhouse_type):
        clickhouse_type = wrapped[1]
    return clickhouse_type


def _reader(inner: str, zone: zoneinfo.ZoneInfo) -> Callable[[Any], Any]:
    if inner.startswith("DateTime"):
        return lambda value: round(float(value) * 1000)
    if inner.startswith("Date"):
        return lambda value: round(dt.datetime.fromisoformat(value).replace(tzinfo=zone).timestamp() * 1000)
    if _NUMBER.match(inner):
        return lambda value: float(value) if isinstance(value, str) else value
    if inner == "Bool":
        return bool
    return lambda value: value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
