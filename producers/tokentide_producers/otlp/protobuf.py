"""Spans out of an OTLP export in protobuf."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tokentide_producers.otlp import names
from tokentide_producers.otlp.names import Kind, kind_of
from tokentide_producers.otlp.spans import Attributes, OtlpError, Span


def spans_of(body: bytes) -> Iterator[Span]:
    """All spans of an ExportTraceServiceRequest. Raises OtlpError before the first one when it is not that."""
    try:
        request = ExportTraceServiceRequest.FromString(body)
    except DecodeError:
        raise OtlpError("the body is not an ExportTraceServiceRequest in protobuf") from None
    return _spans(request)


def _spans(request: ExportTraceServiceRequest) -> Iterator[Span]:
    for group in request.resource_spans:
        resource = _attributes(group.resource.attributes).values
        for scoped in group.scope_spans:
            scope = scoped.scope.name
            for span in scoped.spans:
                yield _span(span, resource, scope)


def _span(span: Any, resource: dict[str, Any], scope: str) -> Span:
    found = _attributes(span.attributes)
    made = Span(
        trace_id=span.trace_id,
        span_id=span.span_id,
        parent_span_id=span.parent_span_id,
        name=span.name,
        kind=span.kind,
        start_ns=span.start_time_unix_nano,
        end_ns=span.end_time_unix_nano,
        status=span.status.code,
        resource=resource,
        scope=scope,
        attributes=found.values,
        tool_calls=len(found.tool_calls),
        tools_offered=len(found.tools_offered),
        content_attributes=found.content,
    )
    for event in span.events:
        if event.name in names.FIRST_TOKEN_EVENTS:
            made.first_token_ns = made.first_token_ns or event.time_unix_nano
            continue
        inner = _attributes(event.attributes)
        made.content_attributes += inner.content
        if event.name == names.EXCEPTION_EVENT:
            made.exception_type = str(inner.values.get("exception.type", ""))
    return made


def _attributes(pairs: Iterable[Any]) -> Attributes:
    found = Attributes()
    for pair in pairs:
        kind, which = kind_of(pair.key)
        if kind is Kind.WANTED:
            value = _value(pair.value)
            if value is not None:
                found.values[pair.key] = value
        elif kind is not Kind.OTHER:
            found.content += 1
            if kind is Kind.TOOL_CALL:
                found.tool_calls.add(which)
            elif kind is Kind.TOOL_OFFERED:
                found.tools_offered.add(which)
    return found


def _value(value: Any) -> Any:
    which = value.WhichOneof("value")
    if which in ("string_value", "int_value", "double_value", "bool_value"):
        return getattr(value, which)
    if which == "array_value":
        return [item.string_value for item in value.array_value.values if item.HasField("string_value")]
    return None
