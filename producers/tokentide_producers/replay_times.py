"""Written times to milliseconds since 1970, whole columns at once. Pure."""

from __future__ import annotations

import datetime as dt
from enum import StrEnum
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

UNREADABLE: Final = np.iinfo(np.int64).min
"""Stands for a value that is not a time."""

_ISO: Final = (
    r"^\s*(?P<second>\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}:\d{2})(?:[.,](?P<fraction>\d{1,12}))?"
    r"\s*(?P<zone>Z|z|UTC|[+-]\d{2}:?\d{2})?\s*$"
)
_NUMBER: Final = r"^\s*\d{1,15}(?:\.\d+)?\s*$"

Ints = npt.NDArray[np.int64]


class TimestampUnit(StrEnum):
    """How times are written: ISO 8601 (UTC where no zone is written), or seconds or milliseconds since 1970."""

    ISO = "iso"
    S = "s"
    MS = "ms"


def parse_times(values: pa.Array, unit: TimestampUnit) -> Ints:
    """Milliseconds since 1970 UTC of a text column, rounded down; UNREADABLE where a value is not such a time."""
    if unit is TimestampUnit.ISO:
        return _parse_iso(values)
    matches = pc.fill_null(pc.match_substring_regex(values, _NUMBER), False)
    numbers = (
        pc.if_else(matches, pc.utf8_trim_whitespace(values), "0").cast(pa.float64()).to_numpy(zero_copy_only=False)
    )
    if unit is TimestampUnit.S:
        # By way of whole microseconds: 1700000000.123 is a little less than that as a binary number.
        numbers = np.floor(np.round(numbers * 1e6) / 1e3)
    out: Ints = np.floor(numbers).astype(np.int64)
    out[~matches.to_numpy(zero_copy_only=False)] = UNREADABLE
    return out


def _parse_iso(values: pa.Array) -> Ints:
    parts = pc.extract_regex(values, _ISO)
    is_time = pc.is_valid(parts).to_numpy(zero_copy_only=False)
    seconds = _seconds(pc.struct_field(parts, "second"), is_time)
    fraction = pc.utf8_slice_codeunits(pc.utf8_rpad(pc.struct_field(parts, "fraction"), 3, "0"), 0, 3)
    ms = pc.fill_null(fraction, "000").cast(pa.int64()).to_numpy(zero_copy_only=False)
    zones = pc.fill_null(pc.struct_field(parts, "zone"), "").dictionary_encode()
    offsets = np.array([_offset_ms(zone) for zone in zones.dictionary.to_pylist()], np.int64)
    out: Ints = seconds * 1000 + ms - offsets[zones.indices.to_numpy(zero_copy_only=False)]
    out[~is_time | (seconds == UNREADABLE)] = UNREADABLE
    return out


def _seconds(values: pa.Array, is_time: npt.NDArray[np.bool_]) -> Ints:
    try:
        seconds: Ints = values.cast(pa.timestamp("s")).cast(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False)
        return seconds
    except pa.ArrowInvalid:
        # One of them is of the right form and yet no time (a 13th month): look at each.
        return np.array([_second(value) for value in values.to_pylist()], np.int64)


def _second(value: str | None) -> int:
    try:
        return int(dt.datetime.fromisoformat(value or "").replace(tzinfo=dt.UTC).timestamp())
    except ValueError:
        return int(UNREADABLE)


def _offset_ms(zone: str) -> int:
    if zone in ("", "Z", "z", "UTC"):
        return 0
    hours, minutes = int(zone[1:3]), int(zone[-2:])
    return (1 if zone[0] == "+" else -1) * (hours * 60 + minutes) * 60_000
