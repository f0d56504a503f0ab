"""Cells of exports as values: the same cell is text in CSV, a number in JSON, a typed value in Parquet. Pure."""

from __future__ import annotations

import datetime as dt
import json
import math
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

from tokentide_producers.importing.problems import RowError
from tokentide_producers.otlp.numbers import usd_to_nanousd
from tokentide_schemas.event import MAX_COUNT32

Row = Mapping[str, Any]

_COUNT: Final = re.compile(r"[0-9]{1,12}(\.0*)?")
_SURE_DIGITS: Final = 10
"""Numbers with fewer digits fit."""
_NULLS: Final = frozenset({"", "null", "NULL", "None", "\\N"})
_TRUE: Final = frozenset({"true", "t", "1", "yes"})
_FALSE: Final = frozenset({"false", "f", "0", "no"})
_PLAIN_LABEL_CHARS: Final = 256
_ISO: Final = re.compile(
    r"^(\d{4}-\d{2}-\d{2})[ T](\d{2}:\d{2})(:\d{2})?(?:[.,](\d{1,9}))?\s*(Z|z|UTC|[+-]\d{2}(?::?\d{2})?)?$"
)
_EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MS: Final = dt.timedelta(milliseconds=1)
_UNITS_MS: Final = {"s": Decimal(1000), "ms": Decimal(1), "us": Decimal("0.001"), "ns": Decimal("0.000001")}
_MAX_MS: Final = 253_000_000_000_000


def is_absent(value: Any) -> bool:
    """Whether the source has no value here."""
    if type(value) is str:
        return value in _NULLS or value.strip() in _NULLS
    return value is None or (isinstance(value, float) and math.isnan(value))


def text(row: Row, column: str) -> str:
    """The cell as a label, '' without a value. Raises RowError for control characters and for more than a label."""
    value = row.get(column)
    # Most cells are plain right texts; everything else takes the long way.
    if type(value) is str and value.isalnum() and len(value) <= _PLAIN_LABEL_CHARS and value not in _NULLS:
        return value
    if is_absent(value):
        return ""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, str | int | float) or isinstance(value, bool):
        raise RowError(column, "a text is expected here")
    found = str(value).strip()
    if len(found) > _PLAIN_LABEL_CHARS:
        raise RowError(column, f"has over {_PLAIN_LABEL_CHARS} characters; is it the right column?")
    if not found.isprintable():
        raise RowError(column, "holds control characters; is it the right column?")
    return found


def required_text(row: Row, column: str) -> str:
    """The cell as a label. Raises RowError without a value."""
    found = text(row, column)
    if not found:
        raise RowError(column, "is empty; a value is needed")
    return found


def count(row: Row, column: str) -> int | None:
    """A whole number from 0 up, None without a value. Raises RowError for anything else."""
    value = row.get(column)
    if type(value) is str and value.isdecimal() and value.isascii() and len(value) < _SURE_DIGITS:
        return int(value)
    if is_absent(value):
        return None
    if isinstance(value, bool):
        raise RowError(column, "is not a number")
    if isinstance(value, float | Decimal):
        if not math.isfinite(value) or value != int(value):
            raise RowError(column, "is not a whole number")
        value = int(value)
    if isinstance(value, str):
        trimmed = value.strip()
        if trimmed.startswith("-"):
            raise RowError(column, "is negative; counts start at 0")
        if not _COUNT.fullmatch(trimmed):
            raise RowError(column, "is not a whole number; is it the right column?")
        value = int(trimmed.partition(".")[0])
    if not isinstance(value, int):
        raise RowError(column, "is not a number")
    if not 0 <= value <= MAX_COUNT32:
        raise RowError(column, "is negative; counts start at 0" if value < 0 else f"is over the limit of {MAX_COUNT32}")
    return value


def milliseconds(row: Row, column: str) -> int | None:
    """A duration in milliseconds, rounded, None without a value. Raises RowError."""
    value = row.get(column)
    if is_absent(value):
        return None
    try:
        number = float(value) if isinstance(value, str | int | float | Decimal) else math.nan
    except ValueError:
        number = math.nan
    if isinstance(value, bool) or not math.isfinite(number) or not 0 <= number <= MAX_COUNT32:
        raise RowError(column, "is not a duration in milliseconds from 0 up")
    return round(number)


def nanousd(row: Row, column: str) -> int | None:
    """Dollars as whole nano-USD, None without a value. Raises RowError."""
    value = row.get(column)
    if is_absent(value):
        return None
    if isinstance(value, Decimal):
        value = str(value)
    found = usd_to_nanousd(value.strip() if isinstance(value, str) else value)
    if found is None or found < 0:
        raise RowError(column, "is not an amount of dollars from 0 up")
    return found


def flag(row: Row, column: str) -> bool | None:
    """True or false, None without a value. Raises RowError."""
    value = row.get(column)
    if is_absent(value):
        return None
    if isinstance(value, bool):
        return value
    word = str(value).strip().lower()
    if word in _TRUE:
        return True
    if word in _FALSE:
        return False
    raise RowError(column, "is not true or false")


def document(row: Row, column: str) -> dict[str, Any]:
    """A JSON object, given as such or as text; empty without a value. Raises RowError."""
    value = row.get(column)
    if is_absent(value):
        return {}
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            raise RowError(column, "is not JSON") from None
    if isinstance(value, list) and not value:
        return {}
    if not isinstance(value, dict):
        raise RowError(column, "a JSON object is expected here")
    return value


def instant_ms(row: Row, column: str, zone: dt.tzinfo | None, unit: str = "iso") -> int | None:
    """Milliseconds since 1970 UTC, rounded down, None without a value. Raises RowError.

    zone: of times that are written without one; None refuses them. unit: iso, or s, ms, us, ns since 1970.
    """
    value = row.get(column)
    if is_absent(value):
        return None
    if isinstance(value, dt.datetime):
        return _ms_of(value, column, zone)
    if unit != "iso":
        return _since_1970(value, column, unit)
    if not isinstance(value, str):
        raise RowError(column, "is a number; say its unit (s, ms, us or ns since 1970)")
    found = _ISO.match(value.strip())
    if not found:
        raise RowError(column, "is not a time such as 2026-01-31 12:00:00.123 or 2026-01-31T12:00:00Z")
    day, minute, second, fraction, offset = found.groups()
    offset = "" if offset is None else "+00:00" if offset in ("Z", "z", "UTC") else offset
    if len(offset) == 3:
        offset += ":00"
    try:
        moment = dt.datetime.fromisoformat(
            f"{day}T{minute}{second or ':00'}.{(fraction or '0')[:6].ljust(6, '0')}{offset}"
        )
    except ValueError:
        raise RowError(column, "is not a time of the calendar") from None
    return _ms_of(moment, column, zone)


def _ms_of(moment: dt.datetime, column: str, zone: dt.tzinfo | None) -> int:
    if moment.tzinfo is None:
        if zone is None:
            raise RowError(column, "has no time zone; say which with --time-zone, such as UTC or Europe/Berlin")
        moment = moment.replace(tzinfo=zone)
        # A wall clock jumps over an hour in spring: such a time did not happen, so the zone is the wrong one.
        if moment.astimezone(dt.UTC).astimezone(zone).replace(tzinfo=None) != moment.replace(tzinfo=None):
            raise RowError(
                column, "does not exist in this time zone (the clocks were put forward); is it the right zone?"
            )
    return (moment - _EPOCH) // _MS


def _since_1970(value: Any, column: str, unit: str) -> int:
    try:
        number = Decimal(str(value).strip()) if not isinstance(value, bool) else Decimal("NaN")
    except ArithmeticError:
        number = Decimal("NaN")
    if not number.is_finite() or number.adjusted() > 20:
        raise RowError(column, f"is not a number of {unit} since 1970")
    found = math.floor(number * _UNITS_MS[unit])
    if not 0 <= found < _MAX_MS:
        raise RowError(column, f"is outside the calendar as {unit} since 1970; is it another unit?")
    return found
