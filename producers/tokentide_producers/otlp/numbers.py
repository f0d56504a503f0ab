"""Attribute values as numbers: senders write them as numbers or as text. None: there is no usable number. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, Final

_COUNT: Final = re.compile(r"[0-9]{1,18}")
_NANO: Final = 10**9
_MAX_NANOUSD: Final = 2**62
_MAX_USD_EXPONENT: Final = 12


def first(attributes: Mapping[str, Any], keys: tuple[str, ...]) -> Any:
    """The value of the first name that is there, None without any."""
    for key in keys:
        value = attributes.get(key)
        if value is not None:
            return value
    return None


def first_text(attributes: Mapping[str, Any], keys: tuple[str, ...]) -> str:
    """The first text that is not empty, '' without any."""
    for key in keys:
        value = attributes.get(key)
        if isinstance(value, str) and value:
            return value
    return ""


def first_count(attributes: Mapping[str, Any], keys: tuple[str, ...]) -> int | None:
    """The first whole number from 0 up."""
    for key in keys:
        number = as_count(attributes.get(key))
        if number is not None:
            return number
    return None


def as_count(value: Any) -> int | None:
    """A whole number from 0 up; None for anything else, so that what is unknown does not become a number."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value if value >= 0 else None
    if isinstance(value, float):
        return int(value) if math.isfinite(value) and value >= 0 and value.is_integer() else None
    return int(value) if isinstance(value, str) and _COUNT.fullmatch(value) else None


def as_duration(value: Any) -> float | None:
    """A finite number from 0 up."""
    if isinstance(value, bool):
        return None
    try:
        number = float(value) if isinstance(value, int | float | str) else math.nan
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) and number >= 0 else None


def usd_to_nanousd(value: Any) -> int | None:
    """Dollars as whole nano-USD, rounded half even from the decimal digits that were sent."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        exact = Decimal(repr(value) if isinstance(value, float) else value)
        # Asked before the digits are written out: an exponent of nine digits would fill the memory.
        if not exact.is_finite() or exact.adjusted() > _MAX_USD_EXPONENT:
            return None
        nanousd = int((exact * _NANO).to_integral_value())
    except (InvalidOperation, ValueError, OverflowError):
        return None
    return nanousd if abs(nanousd) <= _MAX_NANOUSD else None
