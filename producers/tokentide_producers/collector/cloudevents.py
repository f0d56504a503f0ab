"""CloudEvents 1.0 around usage events: structured, batched, binary. Pure.

The event's `id` and `source` together identify it, as CloudEvents says, and become its `event_id` where the data has
none; `time` becomes `occurred_at` where the data has none.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import unquote

from tokentide_producers.collector.json_events import BadEvent
from tokentide_producers.otlp.identity import stable_event_id
from tokentide_schemas.rejections import Reason

STRUCTURED: Final = "application/cloudevents+json"
BATCH: Final = "application/cloudevents-batch+json"
HEADER_PREFIX: Final = "ce-"
_REQUIRED: Final = ("specversion", "id", "source", "type")
_JSON_TYPE: Final = re.compile(r"(application|text)/(.+\+)?json(\s*;.*)?", re.I)


def events_of(document: Any) -> Iterator[Any]:
    """The data of one event or of a batch, each a dict for the intake or a BadEvent."""
    for item in document if isinstance(document, list) else [document]:
        yield (
            _unwrapped(item)
            if isinstance(item, dict)
            else BadEvent(Reason.INVALID_VALUE, "", "each CloudEvent is a JSON object")
        )


def is_binary(headers: Mapping[str, str]) -> bool:
    """Binary mode: the attributes are headers and the body is the data."""
    return "ce-specversion" in headers


def from_binary(headers: Mapping[str, str], data: Any) -> Any:
    """The data of an event in binary mode, with what its headers say."""
    attributes = {
        name[len(HEADER_PREFIX) :]: unquote(value) for name, value in headers.items() if name.startswith(HEADER_PREFIX)
    }
    return _unwrapped({**attributes, "data": data})


def _unwrapped(event: dict[str, Any]) -> Any:
    missing = [name for name in _REQUIRED if not isinstance(event.get(name), str) or not event[name]]
    if missing:
        return BadEvent(Reason.MISSING_FIELD, missing[0], f"CloudEvents needs as text: {', '.join(missing)}")
    if not event["specversion"].startswith("1."):
        return BadEvent(Reason.INVALID_VALUE, "specversion", "send CloudEvents 1.0")
    content_type = event.get("datacontenttype", "application/json")
    if not isinstance(content_type, str) or not _JSON_TYPE.fullmatch(content_type):
        return BadEvent(Reason.INVALID_VALUE, "datacontenttype", "data is the usage event in JSON")
    data = event.get("data")
    if not isinstance(data, dict):
        return BadEvent(Reason.INVALID_VALUE, "data", "data is one JSON object, the usage event")
    fields = dict(data)
    if "occurred_at" not in fields and isinstance(event.get("time"), str):
        fields["occurred_at"] = event["time"]
    if fields.get("event_id") is None:
        # The event's own time is not read yet; ids need not be in its order to be the same again.
        fields["event_id"] = stable_event_id(0, b"cloudevents", event["source"].encode(), event["id"].encode())
    return fields
