"""Spans out of an OTLP export in JSON. Numbers may be JSON numbers or text: senders differ."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from tokentide_producers.otlp import names
from tokentide_producers.otlp.names import Kind, kind_of
from tokentide_producers.otlp.spans import Attributes, OtlpError, Span

_MAX_ID_CHARS: Final = 32
_MAX_NAME_CHARS: Final = 256
# OTLP's JSON has numbers here, protobuf's own mapping has names.
_KIND_NAMES: Final = {"SPAN_KIND_INTERNAL": 1, "SPAN_KIND_SERVER": 2, "SPAN_KIND_CLIENT": 3}
_STATUS_NAMES: Final = {"STATUS_CODE_UNSET": 0, "STATUS_CODE_OK": 1, "STATUS_CODE_ERROR": 2}
_INTEGER: Final = re.compile(r"-?[0-9]{1,20}")


def spans_of(document: Any) -> Iterator[Span]:
    """All spans of a parsed export. Raises OtlpError where it is not shaped like one."""
    groups = _member(document, "the body").get("resourceSpans")
    for group in _objects(groups, "resourceSpans"):
        resource = _attributes(_member(group.get("resource") or {}, "resource").get("attributes"), "resource").values
        for scoped in _objects(group.get("scopeSpans", group.get("instrumentationLibrarySpans")), "scopeSpans"):
            scope = _text(_member(scoped.get("scope") or {}, "scope").get("name"))
            for span in _objects(scoped.get("spans"), "spans"):
                yield _span(span, resource, scope)


def _span(span: dict[str, Any], resource: dict[str, Any], scope: str) -> Span:
    found = _attributes(span.get("attributes"), "span")
    made = Span(
        trace_id=_id(span.get("traceId")),
        span_id=_id(span.get("spanId")),
        parent_span_id=_id(span.get("parentSpanId")),
        name=_text(span.get("name")),
        kind=_kind(span.get("kind")),
        start_ns=_unsigned(span.get("startTimeUnixNano")),
        end_ns=_unsigned(span.get("endTimeUnixNano")),
        status=_status(span.get("status")),
        resource=resource,
        scope=scope,
        attributes=found.values,
        tool_calls=len(found.tool_calls),
        tools_offered=len(found.tools_offered),
        content_attributes=found.content,
    )
    for event in _objects(span.get("events"), "events"):
        name = event.get("name")
        if isinstance(name, str) and name in names.FIRST_TOKEN_EVENTS:
            made.first_token_ns = made.first_token_ns or _unsigned(event.get("timeUnixNano"))
            continue
        inner = _attributes(event.get("attributes"), "event")
        made.content_attributes += inner.content
        if name == names.EXCEPTION_EVENT:
            made.exception_type = _text(inner.values.get("exception.type"))
    return made


def _attributes(pairs: Any, where: str) -> Attributes:
    found = Attributes()
    for pair in _objects(pairs, f"attributes of a {where}"):
        key = pair.get("key")
        if not isinstance(key, str):
            raise OtlpError(f"attributes of a {where}: each needs a key that is text")
        kind, which = kind_of(key)
        if kind is Kind.WANTED:
            value = _value(pair.get("value"))
            if value is not None:
                found.values[key] = value
        elif kind is not Kind.OTHER:
            found.content += 1
            if kind is Kind.TOOL_CALL:
                found.tool_calls.add(which)
            elif kind is Kind.TOOL_OFFERED:
                found.tools_offered.add(which)
    return found


def _value(value: Any) -> Any:
    if not isinstance(value, dict):
        return None
    for name, given in value.items():
        if name == "stringValue":
            return given if isinstance(given, str) else None
        if name == "intValue":
            return _integer(given)
        if name == "doubleValue":
            return given if isinstance(given, int | float) and not isinstance(given, bool) else _text(given) or None
        if name == "boolValue":
            return given if isinstance(given, bool) else None
        if name == "arrayValue":
            items = _objects(_member(given, "arrayValue").get("values"), "values of an arrayValue")
            return [text for item in items if isinstance(text := item.get("stringValue"), str)]
    return None


def _member(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise OtlpError(f"{where}: a JSON object is expected")
    return value


def _objects(value: Any, where: str) -> list[dict[str, Any]]:
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise OtlpError(f"{where}: a list of JSON objects is expected")
    return value


def _text(value: Any) -> str:
    return value[:_MAX_NAME_CHARS] if isinstance(value, str) else ""


def _integer(value: Any) -> int | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    if isinstance(value, float):
        return int(value) if value.is_integer() else None
    return int(value) if isinstance(value, str) and _INTEGER.fullmatch(value) else None


def _unsigned(value: Any) -> int:
    number = _integer(value)
    return number if number is not None and 0 <= number < 2**64 else 0


def _id(value: Any) -> bytes:
    """Ids are hexadecimal in OTLP's JSON, other than in protobuf's own mapping."""
    if not isinstance(value, str) or len(value) > _MAX_ID_CHARS:
        return b""
    try:
        return bytes.fromhex(value)
    except ValueError:
        return b""


def _kind(value: Any) -> int:
    return _KIND_NAMES[value] if isinstance(value, str) and value in _KIND_NAMES else _integer(value) or 0


def _status(value: Any) -> int:
    code = value.get("code") if isinstance(value, dict) else None
    return _STATUS_NAMES[code] if isinstance(code, str) and code in _STATUS_NAMES else _integer(code) or 0
