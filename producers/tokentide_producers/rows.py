"""Fields of one event to a row, in microseconds. Pure: time is an argument.

Plainly right values are taken as they are. Anything else goes through `UsageEvent`, which converts what can be
converted and explains what is wrong: there is one definition of a valid event, and this is a short cut to its answer.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any, Final
from uuid import UUID

from pydantic import ValidationError

from tokentide_producers.batcher import Row
from tokentide_producers.quick_rows import (
    COUNT,
    FLAG,
    HASH,
    ID,
    INSTANT,
    LABEL,
    RATIO,
    SHAPES,
    TEXT,
    QuickRow,
    quick_row,
)
from tokentide_schemas import columns as c
from tokentide_schemas.arrow import NAMES
from tokentide_schemas.columns import TextEnum
from tokentide_schemas.envelope import Reason, explain
from tokentide_schemas.event import CLOSED_LABELS, COLUMNS, MAX_LABEL_CHARS, REQUIRED, Source, UsageEvent, default_of

PLACE: Final[dict[str, int]] = {name: place for place, name in enumerate(NAMES)}
ROW_BYTES: Final = 192
"""Estimated bytes of a row without its text: numbers, ids and dictionary indices."""
MAX_ROW_BYTES: Final = ROW_BYTES + MAX_LABEL_CHARS * sum(
    column in (c.LABEL, c.WIDE_LABEL, c.TEXT) for column in COLUMNS.values()
)
"""What a row is estimated at most."""
KNOWN_LABELS: Final = 20_000
"""Label values remembered as right for each field; beyond it the memory starts again, so that it stays bounded."""

_EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MS: Final = dt.timedelta(milliseconds=1)
_COUNT, _LABEL, _FLAG, _HASH, _TEXT, _RATIO, _OTHER = COUNT, LABEL, FLAG, HASH, TEXT, RATIO, 8
_OCCURRED_AT: Final = PLACE["occurred_at"]
# `occurred_at` is the time of the call when it is left out, because the call follows the response.
_MUST_BE_GIVEN: Final = REQUIRED - {"occurred_at"}
_OPTIONAL: Final = frozenset(name for name, column in COLUMNS.items() if column.clickhouse.startswith("Nullable"))
_RANGES: Final = {
    c.COUNT8: (0, 2**8 - 1),
    c.COUNT16: (0, 2**16 - 1),
    c.COUNT32: (0, 2**32 - 1),
    c.OPTIONAL_COUNT32: (0, 2**32 - 1),
    c.MONEY: (-(2**62), 2**62),
}

# A complete event, to ask the model about one value at a time.
_COMPLETE: Final[dict[str, Any]] = {
    "request_model": "m",
    "provider": "p",
    "occurred_at": "2026-01-01T00:00:00Z",
    "input_uncached_tokens": 0,
    "output_tokens": 0,
    "usage_reported": True,
    "outcome": "ok",
}


class InvalidEventError(Exception):
    """The fields are not a usage event. The message names the field and what to do, and holds no value."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


class RowBuilder:
    """Builds rows with one producer's defaults (its name, region and kind). Raises ValidationError for bad ones."""

    def __init__(self, *, gateway: str = "", gateway_region: str = "", source: Source = Source.SDK) -> None:
        self._defaults = {"gateway": gateway, "gateway_region": gateway_region, "source": source}
        UsageEvent.model_validate({**_COMPLETE, **self._defaults})
        self._template: Row = [None if n in REQUIRED or n == "event_id" else default_of(n) for n in NAMES]
        for name, value in self._defaults.items():
            self._template[PLACE[name]] = str(value)
        self._specs = {name: _spec(name) for name in NAMES}
        self._quick: dict[tuple[str, ...], QuickRow | None] = {}

    def from_fields(self, fields: Mapping[str, Any], now_ms: int) -> tuple[Row, int]:
        """The row of one event and its estimated bytes. Raises InvalidEventError."""
        shape = tuple(fields)
        if shape not in self._quick and len(self._quick) < SHAPES:
            self._quick[shape] = self._quick_row(shape)
        quick = self._quick.get(shape)
        try:
            made = quick(fields, now_ms) if quick is not None else None
        except TypeError:
            # A value that cannot be looked up.
            made = None
        return self._carefully(fields, now_ms) if made is None else made

    def _quick_row(self, shape: tuple[str, ...]) -> QuickRow | None:
        if not set(shape) >= _MUST_BE_GIVEN:
            return None
        return quick_row(
            shape,
            self._specs,
            optional=_OPTIONAL,
            template=self._template,
            occurred_at=_OCCURRED_AT,
            row_bytes=ROW_BYTES,
            hash_bytes=c.HASH_BYTES,
            max_chars=MAX_LABEL_CHARS,
        )

    def _carefully(self, fields: Mapping[str, Any], now_ms: int) -> tuple[Row, int]:
        row = self._template.copy()
        size = ROW_BYTES
        specs = self._specs
        try:
            for name, value in fields.items():
                place, kind, limit = specs[name]
                if kind == _COUNT:
                    low, high = limit
                    if (type(value) is not int or not low <= value <= high) and not (
                        value is None and name in _OPTIONAL
                    ):
                        return self._checked(fields, now_ms)
                elif kind == _LABEL:
                    if value not in limit and not _learn(name, value, limit):
                        return self._checked(fields, now_ms)
                    size += len(value)
                elif kind == _FLAG:
                    if value is not True and value is not False:
                        return self._checked(fields, now_ms)
                elif kind == _HASH:
                    if type(value) is not bytes or len(value) != c.HASH_BYTES:
                        return self._checked(fields, now_ms)
                elif kind == _TEXT:
                    if type(value) is not str or len(value) > MAX_LABEL_CHARS or not value.isprintable():
                        return self._checked(fields, now_ms)
                    size += len(value)
                elif kind == _RATIO:
                    if type(value) is not float or not 0.0 <= value <= 1.0:
                        return self._checked(fields, now_ms)
                elif place == _OCCURRED_AT and type(value) is dt.datetime and value.tzinfo is dt.UTC:
                    row[place] = (value - _EPOCH) // _MS
                    continue
                elif name == "event_id" and type(value) is UUID and value.int:
                    row[place] = value.bytes
                    continue
                else:
                    return self._checked(fields, now_ms)
                row[place] = value
        except (KeyError, TypeError):
            # An unknown field or a value that cannot be looked up: the model says what is wrong with it.
            return self._checked(fields, now_ms)
        if row[_OCCURRED_AT] is None:
            row[_OCCURRED_AT] = now_ms
        if not fields.keys() >= _MUST_BE_GIVEN:
            return self._checked(fields, now_ms)
        return row, size

    def _checked(self, fields: Mapping[str, Any], now_ms: int) -> tuple[Row, int]:
        given = {"occurred_at": _EPOCH + now_ms * _MS, **self._defaults, **fields}
        try:
            event = UsageEvent.model_validate(given)
        except ValidationError as error:
            reason, detail = explain(error)
            if reason is Reason.UNKNOWN_FIELD:
                detail += _did_you_mean(fields)
            raise InvalidEventError(reason, detail) from None
        return self.from_event(event)

    def from_event(self, event: UsageEvent) -> tuple[Row, int]:
        """The row of a validated event: its own values, also where they are the model's defaults."""
        row = [getattr(event, name) for name in NAMES]
        size = ROW_BYTES
        for place, value in enumerate(row):
            if isinstance(value, str):
                size += len(value)
                if isinstance(value, TextEnum):
                    row[place] = value.value
        row[_OCCURRED_AT] = (event.occurred_at - _EPOCH) // _MS
        row[PLACE["event_id"]] = event.event_id.bytes if event.event_id is not None else None
        return row, size


def _did_you_mean(fields: Mapping[str, Any]) -> str:
    """Our own names that are near the unknown ones; the unknown names may be anything and are not repeated."""
    near = [get_close_matches(name, NAMES, n=1) for name in fields if name not in PLACE]
    return "".join(f"; did you mean {match[0]}?" for match in near if match)


def _spec(name: str) -> tuple[int, int, Any]:
    column = COLUMNS[name]
    place = PLACE[name]
    if name in ("occurred_at", "event_id"):
        return place, INSTANT if name == "occurred_at" else ID, None
    if column in (c.LABEL, c.WIDE_LABEL):
        return place, _LABEL, CLOSED_LABELS.get(name, set())
    if column is c.FLAG:
        return place, _FLAG, None
    if column is c.HASH16:
        return place, _HASH, None
    if column is c.TEXT:
        return place, _TEXT, None
    if column in _RANGES:
        return place, _COUNT, _RANGES[column]
    if column in (c.RATIO, c.OPTIONAL_RATIO):
        return place, _RATIO, None
    return place, _OTHER, None


def _learn(name: str, value: Any, known: Any) -> bool:
    """Ask the model once about a new label value; a right one is remembered in `known`."""
    if not isinstance(value, str) or isinstance(known, frozenset):
        return False
    try:
        UsageEvent.model_validate({**_COMPLETE, name: value})
    except ValidationError:
        return False
    if len(known) >= KNOWN_LABELS:
        known.clear()
    known.add(value)
    return True
