"""Rows of any form as windows of sums. Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from tokentide_stream.detection.findings import Sums
from tokentide_stream.detection.timeforms import epoch_seconds

_FIELDS = ("window_start", "key", "requests", "tokens", "scope", "cost")
_NAMES = {
    "window_start": ("window_start", "window", "timestamp", "time", "ts"),
    "key": ("key", "model", "name"),
    "requests": ("requests", "request_count", "count"),
    "tokens": ("tokens", "total_tokens"),
    "scope": ("scope",),
    "cost": ("cost", "cost_nanousd", "spend"),
}
_COLUMN_WISE = ("to_dicts", "to_pylist")

Windows = dict[str, dict[float, dict[str, Sums]]]


def windows_by_scope(rows: Any) -> tuple[Windows, dict[float, Any]]:
    """scope -> time in epoch seconds -> key -> sums; and each time as it was given.

    Raises ValueError that names the row where one cannot be read.
    """
    windows: Windows = {}
    given: dict[float, Any] = {}
    for number, row in enumerate(_iterate(rows)):
        try:
            at, key, requests, tokens, scope, cost = _fields(row)
            time_s = epoch_seconds(at)
            requests, tokens = _amount("requests", requests), _amount("tokens", tokens)
            cost = None if cost is None or cost != cost else _amount("cost", cost)
        except (TypeError, ValueError, KeyError, AttributeError, IndexError, OverflowError) as error:
            raise ValueError(
                f"row {number} of the share rows cannot be read ({error}): give (window_start, key, requests, tokens"
                "[, scope[, cost]]) or the same names as columns"
            ) from error
        if not np.isfinite(time_s):
            raise ValueError(f"row {number} of the share rows has no window_start: drop it or give it one")
        given.setdefault(time_s, at)
        keys = windows.setdefault("" if scope is None else str(scope), {}).setdefault(time_s, {})
        name = "" if key is None else str(key)
        old = keys.get(name)
        if old is not None:
            both = None if old.cost is None and cost is None else (old.cost or 0.0) + (cost or 0.0)
            keys[name] = Sums(old.requests + requests, old.tokens + tokens, both)
        else:
            keys[name] = Sums(requests, tokens, cost)
    return windows, given


def infer_window_s(times_s: Iterable[float]) -> int:
    """The usual distance of neighbouring windows, from one minute to one day; a minute where there is only one."""
    ordered = np.unique(np.fromiter(times_s, dtype=np.float64))
    if ordered.size < 2:
        return 60
    steps = np.diff(ordered)
    values, counts = np.unique(np.rint(steps), return_counts=True)
    return int(np.clip(values[np.argmax(counts)], 60, 86_400))


def _amount(name: str, value: Any) -> float:
    """A missing one (None, NaN) is nothing."""
    number = 0.0 if value is None else float(value)
    if number != number:
        return 0.0
    if number < 0 or number == float("inf"):
        raise ValueError(f"{name} is {value}, and can only be a finite number of 0 or more")
    return number


def _iterate(rows: Any) -> Iterable[Any]:
    for method in _COLUMN_WISE:
        if hasattr(rows, method):
            return getattr(rows, method)()  # type: ignore[no-any-return]
    if hasattr(rows, "to_dict") and hasattr(rows, "columns"):
        return rows.to_dict("records")  # type: ignore[no-any-return]
    if isinstance(rows, Mapping):
        names = list(rows)
        lengths = {str(name): len(column) for name, column in rows.items()}
        if len(set(lengths.values())) > 1:
            raise ValueError(f"columns of the share rows have different lengths: {lengths}")
        return [dict(zip(names, values, strict=True)) for values in zip(*rows.values(), strict=True)]
    if isinstance(rows, str | bytes) or not isinstance(rows, Iterable):
        raise ValueError(f"share rows are {type(rows).__name__}: give an iterable of rows, or a table")
    return rows


def _fields(row: Any) -> tuple[Any, Any, Any, Any, Any, Any]:
    if isinstance(row, Mapping):
        return _named(row)
    if hasattr(row, "_asdict"):
        return _named(row._asdict())
    if dataclasses.is_dataclass(row) or hasattr(row, "window_start"):
        return _named({name: getattr(row, name) for names in _NAMES.values() for name in names if hasattr(row, name)})
    values = (*row, None, None)
    return values[0], values[1], values[2], values[3], values[4], values[5]


def _named(row: Mapping[str, Any]) -> tuple[Any, Any, Any, Any, Any, Any]:
    found = []
    for field in _FIELDS:
        name = next((name for name in _NAMES[field] if name in row), None)
        if name is None and field in ("window_start", "key", "requests"):
            raise KeyError(f"column {field} is missing")
        found.append(None if name is None else row[name])
    return found[0], found[1], found[2], found[3], found[4], found[5]
