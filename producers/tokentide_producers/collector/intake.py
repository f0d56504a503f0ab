"""Fields from anybody to rows: content dropped and counted, each event judged by itself. Pure: time is an argument."""

from __future__ import annotations

import contextlib
import datetime as dt
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

from pydantic import ValidationError

from tokentide_producers.batcher import Row
from tokentide_producers.collector.json_events import BadEvent
from tokentide_producers.collector.labelling import CATEGORY_INPUT, WITHOUT_RULES, CategoryInputError, Labelling
from tokentide_producers.otlp.identity import stable_event_id
from tokentide_producers.rows import PLACE, InvalidEventError, RowBuilder
from tokentide_schemas.block import MAX_CLOCK_SKEW_MS
from tokentide_schemas.event import CONTENT_FIELDS, EARLIEST_OCCURRED_AT, Source, UsageEvent
from tokentide_schemas.rejections import Reason, shown

MAX_LISTED: Final = 1_000
"""Rejections that an answer lists one by one; the rest is in its count."""

_UTC_TIME: Final = re.compile(r"\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}:\d{2}(\.\d{1,6})?[Zz]", re.ASCII)
_UUID: Final = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_HASH: Final = re.compile(r"[0-9a-fA-F]{32}")
_HASH_FIELDS: Final = ("user_hash", "session_hash", "api_key_hash")
_EARLIEST_MS: Final = int(EARLIEST_OCCURRED_AT.timestamp() * 1000)
_OCCURRED_AT: Final = PLACE["occurred_at"]
_EVENT_ID: Final = PLACE["event_id"]
_GATEWAY: Final = PLACE["gateway"]
_OWN: Final = PLACE.keys()
_KINDS: Final = {Reason.UNKNOWN_FIELD: "extra_forbidden", Reason.MISSING_FIELD: "missing"}
_HINTS: Final = {
    Reason.UNKNOWN_FIELD: "docs/events.md lists the fields",
    Reason.TIMESTAMP_IN_FUTURE: f"at most {MAX_CLOCK_SKEW_MS // 60_000} minutes ahead of the clock here: set the clock",
    Reason.TIMESTAMP_TOO_OLD: f"before {EARLIEST_OCCURRED_AT:%Y-%m-%d}: is it in seconds where milliseconds are meant?",
}


@dataclass(frozen=True, slots=True)
class Rejected:
    """One event that was not accepted. index: its place in the request, from 0. hint: what to do."""

    index: int
    field: str
    reason: Reason
    hint: str

    def as_json(self) -> dict[str, Any]:
        """As the answer lists it."""
        return {"index": self.index, "field": self.field, "reason": self.reason.value, "hint": self.hint}


@dataclass(slots=True)
class Intake:
    """What a request's events came to. sizes: estimated bytes of each row. content_fields: dropped, unread."""

    rows: list[Row] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    rejections: list[Rejected] = field(default_factory=list)
    content_fields: int = 0
    ignored: int = 0
    events: int = 0

    def reject(self, index: int, where: str, reason: Reason, hint: str) -> None:
        """Note one event that is not accepted."""
        self.rejections.append(Rejected(index, where, reason, hint or _HINTS.get(reason, "")))


class EventReader:
    """Builds rows for one gateway's requests. gateway: stamped where an event names none. labelling: by rules."""

    def __init__(self, gateway: str = "", source: Source = Source.HTTP, labelling: Labelling = WITHOUT_RULES) -> None:
        self._gateway = gateway
        self._labelling = labelling
        self._rows = RowBuilder(gateway=gateway, source=source)
        self._defaults = {"gateway": gateway, "source": source}

    def read(self, events: Iterable[Any], now_ms: int, idempotency_key: str = "") -> Intake:
        """Judge events one by one. idempotency_key: gives those without an id one that follows from it."""
        intake = Intake()
        for index, event in enumerate(events):
            intake.events += 1
            if isinstance(event, BadEvent):
                intake.reject(index, event.field, event.reason, event.hint)
            elif not isinstance(event, dict):
                intake.reject(index, "", Reason.INVALID_VALUE, "each event is a JSON object")
            else:
                row = self.add(intake, index, event, now_ms)
                if row is not None and row[_EVENT_ID] is None and idempotency_key:
                    row[_EVENT_ID] = self._derived(row[_OCCURRED_AT], idempotency_key, index)
        return intake

    def add(self, intake: Intake, index: int, event: dict[str, Any], now_ms: int) -> Row | None:
        """One event into the intake: its row, or None and a rejection. Changes `event`."""
        if not event.keys() <= _OWN:
            for name in [name for name in event if isinstance(name, str) and name.lower() in CONTENT_FIELDS]:
                del event[name]
                intake.content_fields += 1
        try:
            intake.content_fields += self._labelling.apply(event, self._gateway)
        except CategoryInputError as error:
            intake.reject(index, CATEGORY_INPUT, Reason.INVALID_VALUE, str(error))
            return None
        if "occurred_at" not in event:
            intake.reject(index, "occurred_at", Reason.MISSING_FIELD, "required and absent: occurred_at")
            return None
        try:
            row, size = self._rows.from_fields(_plain(event), now_ms)
        except InvalidEventError as error:
            intake.reject(index, self._field_of(event, error.reason), error.reason, str(error))
            return None
        occurred_ms = row[_OCCURRED_AT]
        if occurred_ms > now_ms + MAX_CLOCK_SKEW_MS:
            intake.reject(index, "occurred_at", Reason.TIMESTAMP_IN_FUTURE, "")
        elif occurred_ms < _EARLIEST_MS:
            intake.reject(index, "occurred_at", Reason.TIMESTAMP_TOO_OLD, "")
        else:
            row[_GATEWAY] = row[_GATEWAY] or self._gateway
            intake.rows.append(row)
            intake.sizes.append(size)
            return row
        return None

    def _derived(self, occurred_ms: int, key: str, index: int) -> bytes:
        # By gateway, not by token: a retry may come with the token that replaced the first one.
        parts = (b"idempotency-key", self._gateway.encode(), key.encode("utf-8", "replace"), b"%d" % index)
        return stable_event_id(occurred_ms, *parts).bytes

    def _field_of(self, event: Mapping[str, Any], reason: Reason) -> str:
        """The first field that the model refuses for this reason; '' when its name is not ours to repeat."""
        try:
            UsageEvent.model_validate({**self._defaults, **event})
        except ValidationError as error:
            kind = _KINDS.get(reason)
            for item in error.errors(include_input=False, include_url=False, include_context=False):
                if item["loc"] and (kind is None or item["type"] == kind):
                    name = str(item["loc"][0])
                    return name if name in _OWN or shown(name) == name.lower() else ""
        return ""


def _plain(event: dict[str, Any]) -> dict[str, Any]:
    """The usual forms of times, ids and hashes in JSON as the values that need no further look."""
    value = event["occurred_at"]
    if type(value) is str and _UTC_TIME.fullmatch(value):
        # A month 13 stays text: the model says what is wrong with it.
        with contextlib.suppress(ValueError):
            event["occurred_at"] = dt.datetime.fromisoformat(value.upper())
    value = event.get("event_id")
    if type(value) is str and _UUID.fullmatch(value):
        event["event_id"] = UUID(value)
    for name in _HASH_FIELDS:
        value = event.get(name)
        if type(value) is str and _HASH.fullmatch(value):
            event[name] = bytes.fromhex(value)
    return event
