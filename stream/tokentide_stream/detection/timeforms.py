"""Times in any usual form, as seconds since the epoch. Pure."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

_UNIX_UNITS = ((1e17, 1e-9), (1e14, 1e-6), (1e11, 1e-3))
"""A number of at least so much counts in that unit of seconds: nothing before 1973 is meant in milliseconds."""


def epoch_seconds(value: Any) -> float:
    """A datetime (naive is UTC), date, numpy datetime64, number (s, ms, us or ns by its size) or ISO 8601 text.

    Raises ValueError or TypeError for anything else; NaN for a missing time.
    """
    if isinstance(value, dt.datetime):
        return (value if value.tzinfo else value.replace(tzinfo=dt.UTC)).timestamp()
    if isinstance(value, dt.date):
        return dt.datetime(value.year, value.month, value.day, tzinfo=dt.UTC).timestamp()
    if isinstance(value, np.datetime64):
        return float("nan") if np.isnat(value) else float(value.astype("datetime64[ns]").astype(np.int64)) / 1e9
    if isinstance(value, int | float | np.integer | np.floating):
        number = float(value)
        for least, unit in _UNIX_UNITS:
            if abs(number) >= least:
                return number * unit
        return number
    if isinstance(value, str | np.str_):
        return _from_text(str(value).strip())
    if value is None:
        return float("nan")
    raise TypeError(f"time {value!r} of type {type(value).__name__}: give a datetime, datetime64, number or ISO text")


def _from_text(text: str) -> float:
    try:
        return epoch_seconds(dt.datetime.fromisoformat(text))
    except ValueError:
        pass
    try:
        return epoch_seconds(float(text))
    except ValueError:
        raise ValueError(f"time {text!r} is neither ISO 8601 nor a number") from None


def all_epoch_seconds(values: Iterable[Any]) -> npt.NDArray[np.float64]:
    """As `epoch_seconds`, for many; an error names the place."""
    if isinstance(values, np.ndarray) and np.issubdtype(values.dtype, np.datetime64):
        seconds = values.astype("datetime64[ns]").astype(np.int64) / 1e9
        return np.where(np.isnat(values), np.nan, seconds)
    found = []
    for place, value in enumerate(values):
        try:
            found.append(epoch_seconds(value))
        except (TypeError, ValueError) as error:
            raise type(error)(f"timestamp {place}: {error}") from None
    return np.array(found, dtype=np.float64)
