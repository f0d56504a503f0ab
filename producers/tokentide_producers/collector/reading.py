"""A request's body to rows: which format it is in, and who reads it. Pure but for the clock that it is given."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from tokentide_producers.collector import cloudevents
from tokentide_producers.collector.arrow_events import rows_of
from tokentide_producers.collector.intake import EventReader, Intake
from tokentide_producers.collector.json_events import lines, parsed
from tokentide_producers.collector.problems import ProblemError
from tokentide_producers.otlp import json_encoding, protobuf
from tokentide_producers.otlp.mapping import Naming, SpanError, event_fields
from tokentide_producers.otlp.model_calls import OPENROUTER
from tokentide_producers.otlp.replies import JSON as OTLP_JSON
from tokentide_producers.otlp.replies import PROTOBUF as OTLP_PROTOBUF
from tokentide_producers.otlp.spans import OtlpError, Span
from tokentide_schemas.envelope import CONTENT_TYPE_ARROW, CONTENT_TYPE_JSON, CONTENT_TYPE_NDJSON

EVENT_TYPES: Final = (
    *(CONTENT_TYPE_JSON, CONTENT_TYPE_NDJSON, "application/ndjson", "application/jsonl"),
    *(cloudevents.STRUCTURED, cloudevents.BATCH, CONTENT_TYPE_ARROW),
)
OTLP_TYPES: Final = (OTLP_PROTOBUF, OTLP_JSON)
MAX_KEY_CHARS: Final = 256


def events_in(
    body: bytes, content_type: str, headers: Mapping[str, str], reader: EventReader, now_ms: int, max_events: int
) -> Intake:
    """The events of POST /v1/events. Raises ProblemError for a request that cannot be read at all."""
    key = headers.get("idempotency-key", "").strip()
    if len(key) > MAX_KEY_CHARS:
        raise ProblemError(400, "Idempotency-Key too long", f"it has at most {MAX_KEY_CHARS} characters")
    dropped = 0
    if content_type == CONTENT_TYPE_ARROW:
        events: Any
        events, dropped = rows_of(body, max_events)
    elif content_type in (CONTENT_TYPE_NDJSON, "application/ndjson", "application/jsonl"):
        if body.count(b"\n") > 2 * max_events:
            raise ProblemError(413, "Too many events", f"one request has at most {max_events}")
        events = lines(body)
    elif content_type in (cloudevents.STRUCTURED, cloudevents.BATCH):
        events = cloudevents.events_of(_bounded(parsed(body), max_events))
    elif content_type == CONTENT_TYPE_JSON:
        document = _bounded(parsed(body), max_events)
        if cloudevents.is_binary(headers):
            events = [cloudevents.from_binary(headers, document)]
        else:
            events = document if isinstance(document, list) else [document]
    else:
        named = "there is no Content-Type" if not content_type else "this Content-Type is not known here"
        raise ProblemError(415, "Unsupported Content-Type", f"{named}: send one of {', '.join(EVENT_TYPES)}")
    intake = reader.read(events, now_ms, key)
    intake.content_fields += dropped
    if not intake.events:
        raise ProblemError(400, "No events", "the body has no event: send at least one")
    if intake.events > max_events:
        raise ProblemError(413, "Too many events", f"one request has at most {max_events}")
    return intake


def spans_in(
    body: bytes, content_type: str, reader: EventReader, naming: Naming, now_ms: int, *, from_openrouter: bool
) -> Intake:
    """The model calls of an OTLP export. Raises ProblemError 400 for what is none, 415 for another encoding."""
    intake = Intake()
    try:
        for index, span in enumerate(_spans(body, content_type)):
            if from_openrouter:
                span.scope = OPENROUTER
            intake.content_fields += span.content_attributes
            _add(intake, index, span, reader, naming, now_ms)
    except OtlpError as error:
        raise ProblemError(400, "Not an OTLP export", f"{error}; nothing of this request was stored") from None
    return intake


def _spans(body: bytes, content_type: str) -> Iterator[Span]:
    if content_type == OTLP_PROTOBUF:
        return protobuf.spans_of(body)
    if content_type == OTLP_JSON:
        return json_encoding.spans_of(parsed(body))
    named = "there is no Content-Type" if not content_type else "this Content-Type is not known here"
    raise ProblemError(415, "Unsupported Content-Type", f"{named}: send one of {', '.join(OTLP_TYPES)}")


def _add(intake: Intake, index: int, span: Span, reader: EventReader, naming: Naming, now_ms: int) -> None:
    try:
        fields = event_fields(span, naming)
    except SpanError as error:
        intake.events += 1
        intake.reject(index, error.field, error.reason, str(error))
        return
    if fields is None:
        intake.ignored += 1
        return
    intake.events += 1
    reader.add(intake, index, fields, now_ms)


def _bounded(document: Any, max_events: int) -> Any:
    if isinstance(document, list) and len(document) > max_events:
        raise ProblemError(413, "Too many events", f"one request has at most {max_events}, this one {len(document)}")
    return document
