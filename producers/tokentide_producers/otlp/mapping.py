"""One span of a model call to the fields of one usage event. Pure: names and hashes come in as functions."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from tokentide_producers.otlp import names
from tokentide_producers.otlp.endings import ending_of, finish_reason_of
from tokentide_producers.otlp.identity import stable_event_id
from tokentide_producers.otlp.model_calls import is_openrouter, operation_of
from tokentide_producers.otlp.numbers import as_duration, first, first_count, first_text, usd_to_nanousd
from tokentide_producers.otlp.spans import Span
from tokentide_producers.otlp.usage import usage_of
from tokentide_schemas.event import MAX_COUNT32, CategorySource, CostSource, Outcome, Source
from tokentide_schemas.rejections import Reason

UNKNOWN_PROVIDER: Final = "unknown"
_EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_NS_PER_MS: Final = 1_000_000
_TRACE_ID_BYTES: Final = 16
_SPAN_ID_BYTES: Final = 8
_MAX_MS: Final = 253_000_000_000_000
"""The year 9987: what is beyond is no time that Python can hold."""


@dataclass(frozen=True, slots=True)
class Naming:
    """model: from the requested and the answering model to the canonical one. provider: to the catalogue's name.
    hashed: an identifier's keyed hash."""

    model: Callable[[str, str], str]
    provider: Callable[[str], str]
    hashed: Callable[[str], bytes]


class SpanError(Exception):
    """The span is a model call and cannot become an event. No values in the message."""

    def __init__(self, reason: Reason, field: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.field = field


def event_fields(span: Span, naming: Naming) -> dict[str, Any] | None:
    """The fields of the event, for `RowBuilder`; None when the span is no model call. Raises SpanError.

    `occurred_at` is the span's end. `event_id` follows from trace and span id, so an exporter's retry is recognised.
    """
    operation = operation_of(span)
    if not operation:
        return None
    if len(span.trace_id) != _TRACE_ID_BYTES or len(span.span_id) != _SPAN_ID_BYTES:
        raise SpanError(Reason.INVALID_VALUE, "event_id", "trace id and span id need 16 and 8 bytes")
    end_ns = span.end_ns or span.start_ns
    occurred_ms = end_ns // _NS_PER_MS
    if not 0 < occurred_ms < _MAX_MS:
        raise SpanError(Reason.INVALID_VALUE, "occurred_at", "endTimeUnixNano is absent or outside the calendar")
    attributes = span.attributes
    from_openrouter = is_openrouter(span)
    answered_by = first_text(attributes, names.RESPONSE_MODEL)
    asked_for = first_text(attributes, names.REQUEST_MODEL) or answered_by
    if not asked_for:
        raise SpanError(Reason.MISSING_FIELD, "request_model", "give gen_ai.request.model")
    host = first_text(attributes, names.OPENROUTER_HOST) if from_openrouter else ""
    provider = host or first_text(attributes, names.PROVIDER)
    usage = usage_of(attributes, operation)
    finish_reason = finish_reason_of(attributes)
    outcome, error_type, http_status = ending_of(span, finish_reason)
    fields: dict[str, Any] = {
        "event_id": stable_event_id(occurred_ms, span.trace_id, span.span_id),
        "occurred_at": _EPOCH + dt.timedelta(milliseconds=occurred_ms),
        "source": Source.OPENROUTER.value if from_openrouter else Source.OTLP.value,
        "operation": operation,
        "request_id": first_text(attributes, names.RESPONSE_ID) or span.trace_id.hex(),
        "request_model": asked_for,
        "model": naming.model(asked_for, answered_by),
        "provider": naming.provider(provider) if provider else UNKNOWN_PROVIDER,
        "session_hash": naming.hashed(first_text(attributes, names.SESSION)),
        "user_hash": naming.hashed(first_text(attributes, names.USER)),
        "api_key_hash": naming.hashed(first_text(attributes, names.API_KEY)),
        "input_uncached_tokens": usage.input_uncached,
        "input_cache_read_tokens": usage.input_cache_read,
        "input_cache_write_tokens": usage.input_cache_write,
        "output_tokens": usage.output,
        "output_reasoning_tokens": usage.output_reasoning,
        "audio_tokens": usage.audio,
        "usage_reported": usage.is_reported,
        "outcome": outcome.value,
        "finish_reason": finish_reason,
        "error_type": error_type,
        "http_status": http_status,
        "tool_calls": min(span.tool_calls, 2**16 - 1),
        "tools_offered": min(span.tools_offered, 2**16 - 1),
    }
    _add_cost(fields, attributes)
    _add_speed(fields, span)
    _add_own(fields, span, from_openrouter)
    attempt = first_count(attributes, names.RESEND_COUNT)
    if attempt is not None:
        fields["attempt"] = min(attempt, 255)
    return fields


def _add_cost(fields: dict[str, Any], attributes: Mapping[str, Any]) -> None:
    nanousd = usd_to_nanousd(first(attributes, names.COST_USD))
    # An error without usage is given as a cost of nothing by some; that is not known to be free.
    if nanousd is not None and (nanousd or fields["usage_reported"] or fields["outcome"] == Outcome.OK.value):
        fields["cost_nanousd"] = nanousd
        fields["cost_source"] = CostSource.REPORTED.value


def _add_speed(fields: dict[str, Any], span: Span) -> None:
    if 0 < span.start_ns <= span.end_ns:
        fields["latency_ms"] = min((span.end_ns - span.start_ns) // _NS_PER_MS, MAX_COUNT32)
    first_ms = None
    seconds = as_duration(first(span.attributes, names.FIRST_CHUNK_S))
    milliseconds = as_duration(first(span.attributes, names.FIRST_TOKEN_MS))
    if seconds is not None:
        first_ms = round(seconds * 1000)
    elif milliseconds is not None:
        first_ms = round(milliseconds)
    elif 0 < span.start_ns <= span.first_token_ns:
        first_ms = (span.first_token_ns - span.start_ns) // _NS_PER_MS
    if first_ms is not None:
        fields["time_to_first_token_ms"] = min(first_ms, MAX_COUNT32)
    streamed = first(span.attributes, names.STREAMED)
    fields["streamed"] = streamed if isinstance(streamed, bool) else first_ms is not None


def _add_own(fields: dict[str, Any], span: Span, from_openrouter: bool) -> None:
    """What a span or its resource says in our own words, and what a resource says of the sender."""
    service = span.resource.get(names.SERVICE_NAME)
    if isinstance(service, str) and not from_openrouter and not service.startswith("unknown_service"):
        fields["app"] = service
    region = span.resource.get(names.REGION)
    if isinstance(region, str):
        fields["gateway_region"] = region
    for group in (span.resource, span.attributes):
        for name in names.OWN_TEXT:
            value = group.get(names.OWN_PREFIX + name)
            if isinstance(value, str):
                fields[name] = value
    found: dict[str, Any] = {
        "route": first_text(span.attributes, names.ROUTE),
        "referer": next(iter(_texts(span, names.REFERER)), ""),
        "tags": _texts(span, names.TAGS),
    }
    if any(found.values()):
        fields["category_input"] = found
    if fields.get("category"):
        fields["category_source"] = CategorySource.GATEWAY.value


def _texts(span: Span, candidates: tuple[str, ...]) -> list[str]:
    """The texts of the first attribute that has any: one text, or a list of them."""
    for name in candidates:
        value = span.attributes.get(name)
        texts = [value] if isinstance(value, str) else value if isinstance(value, list) else []
        found = [text for text in texts if isinstance(text, str) and text]
        if found:
            return found
    return []
