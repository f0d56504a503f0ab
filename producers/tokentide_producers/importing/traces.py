"""Rows of OPENROUTER_TRACES, the table that OpenRouter's Broadcast writes into a user's ClickHouse. Pure.

The table's definition is not published, so the columns that exist are read, under the names that OpenRouter's own
example queries use, and what has no column comes out of ATTRIBUTES, of which only known names are asked for. INPUT,
OUTPUT, METADATA and MODEL_PARAMETERS are never read.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Final

from tokentide_producers.importing import cells
from tokentide_producers.importing.cells import Row
from tokentide_producers.importing.events import Context, Request
from tokentide_producers.importing.openrouter import GATEWAY, NAMESPACE
from tokentide_producers.importing.problems import NotARequestError, RowError
from tokentide_producers.otlp import names
from tokentide_producers.otlp.mapping import SpanError, event_fields
from tokentide_producers.otlp.model_calls import CONNECTION_TEST, OPENROUTER, OPENROUTER_ROOT
from tokentide_producers.otlp.numbers import as_duration, first_text
from tokentide_producers.otlp.spans import ERROR_STATUS, Span

TABLE: Final = "OPENROUTER_TRACES"
GENERATION: Final = "GENERATION"
HAS_PARENT: Final = "has_parent_in_table"
"""A column that the query adds: the span's parent is in the table as well."""
ATTRIBUTES: Final = "ATTRIBUTES"
TIME: Final = "TIMESTAMP"

# Column -> the attribute that it stands for. A column that exists and has a value goes before ATTRIBUTES.
_ATTRIBUTE_OF: Final = {
    "USER_ID": "user.id",
    "SESSION_ID": "session.id",
    "PROVIDER_NAME": "trace.metadata.openrouter.provider_name",
    "API_KEY_NAME": "trace.metadata.openrouter.api_key_name",
    "PROMPT_TOKENS": "gen_ai.usage.input_tokens",
    "INPUT_TOKENS": "gen_ai.usage.input_tokens",
    "COMPLETION_TOKENS": "gen_ai.usage.output_tokens",
    "OUTPUT_TOKENS": "gen_ai.usage.output_tokens",
    "TOTAL_TOKENS": "gen_ai.usage.total_tokens",
    "CACHED_TOKENS": "gen_ai.usage.cache_read.input_tokens",
    "REASONING_TOKENS": "gen_ai.usage.reasoning.output_tokens",
    "TOTAL_COST": "gen_ai.usage.total_cost",
    "FINISH_REASON": "gen_ai.response.finish_reason",
    "TIME_TO_FIRST_TOKEN_MS": "trace.metadata.openrouter.first_token_ms",
}
_NUMBERS: Final = frozenset(name for name in _ATTRIBUTE_OF if name.endswith(("TOKENS", "COST", "_MS")))
COLUMNS: Final = (
    *(TIME, "START_TIME", "END_TIME", "DURATION_MS", "TRACE_ID", "SPAN_ID", "PARENT_SPAN_ID", "SPAN_TYPE"),
    *("SPAN_NAME", "NAME", "STATUS", "LEVEL", "MODEL", "REQUEST_MODEL", "GENERATION_ID", "APP_NAME"),
    *_ATTRIBUTE_OF,
)
"""Columns that are read where they exist. OpenRouter's pages name those of `NAMED`; the others are likely."""
NAMED: Final = (
    *("TIMESTAMP", "TRACE_ID", "USER_ID", "SESSION_ID", "MODEL", "PROVIDER_NAME", "API_KEY_NAME", "STATUS", "LEVEL"),
    *("SPAN_TYPE", "FINISH_REASON", "PROMPT_TOKENS", "COMPLETION_TOKENS", "TOTAL_TOKENS", "TOTAL_COST", "DURATION_MS"),
    ATTRIBUTES,
)
WANTED_ATTRIBUTES: Final = tuple(sorted(names.WANTED - {names.SERVICE_NAME, names.REGION}))


class Traces:
    """One row is one span; requests are the root spans of generations."""

    name = "openrouter-traces"
    columns = (*COLUMNS, ATTRIBUTES, HAS_PARENT)
    required = ((TIME,), ("TRACE_ID",), ("MODEL", ATTRIBUTES))

    def request(self, row: Row, context: Context) -> Request:
        """One generation. Its time is END_TIME, else START_TIME and DURATION_MS, else TIMESTAMP."""
        name = _request_name(row)
        attributes = _attributes(row)
        source_id = cells.text(row, "GENERATION_ID") or first_text(attributes, names.RESPONSE_ID)
        trace, span_id = cells.text(row, "TRACE_ID"), cells.text(row, "SPAN_ID")
        if not source_id:
            if not trace:
                raise RowError("TRACE_ID", "is empty, and ATTRIBUTES has no gen_ai.response.id; nothing identifies it")
            source_id = f"trace {trace} {span_id}"
        start_ms, end_ms = _times(row, context)
        status = (cells.text(row, "STATUS") or cells.text(row, "LEVEL")).lower()
        span = Span(
            trace_id=_id(trace, 16),
            span_id=_id(span_id or name, 8),
            parent_span_id=b"",
            name=OPENROUTER_ROOT,
            kind=3,
            start_ns=start_ms * 1_000_000 if start_ms is not None else 0,
            end_ns=end_ms * 1_000_000,
            status=ERROR_STATUS if status == "error" else 1,
            resource={names.SERVICE_NAME: OPENROUTER},
            scope=OPENROUTER,
            attributes=attributes,
        )
        try:
            fields = event_fields(span, context.naming)
        except SpanError as error:
            raise RowError(error.field, str(error)) from None
        if fields is None:
            raise NotARequestError("a span that is no generation")
        del fields["event_id"], fields["occurred_at"], fields["source"]
        fields["request_id"] = source_id if not source_id.startswith("trace ") else trace
        if app := cells.text(row, "APP_NAME"):
            fields["app"] = app
        fields["gateway"] = GATEWAY
        return Request(NAMESPACE, source_id, end_ms, fields)


def _request_name(row: Row) -> str:
    """The span's name. Raises NotARequestError for spans that are no requests."""
    name = cells.text(row, "SPAN_NAME") or cells.text(row, "NAME")
    if name == CONNECTION_TEST or CONNECTION_TEST in (cells.text(row, "TRACE_ID"), cells.text(row, "MODEL")):
        raise NotARequestError("OpenRouter's test of the connection")
    kind = cells.text(row, "SPAN_TYPE").upper()
    if kind and kind != GENERATION:
        raise NotARequestError("a span that is no generation")
    is_inner = name == "generation" or name.startswith("provider attempt ")
    if is_inner or cells.flag(row, HAS_PARENT):
        raise NotARequestError("a span inside a generation")
    if not kind and name and name != OPENROUTER_ROOT:
        raise NotARequestError("a span that is no generation")
    return name


def _attributes(row: Row) -> dict[str, Any]:
    given = row.get(ATTRIBUTES)
    if isinstance(given, str):
        given = cells.document(row, ATTRIBUTES)
    found: dict[str, Any] = {}
    for name, value in (given or {}).items() if isinstance(given, Mapping) else ():
        if name in names.WANTED and value is not None:
            found[name] = value
    for column, attribute in _ATTRIBUTE_OF.items():
        value = row.get(column)
        if not cells.is_absent(value):
            found[attribute] = str(value) if column in _NUMBERS and not isinstance(value, int | float) else value
    model = cells.text(row, "MODEL")
    if model:
        found.setdefault("gen_ai.request.model", cells.text(row, "REQUEST_MODEL") or model)
        found.setdefault("gen_ai.response.model", model)
    return found


def _times(row: Row, context: Context) -> tuple[int | None, int]:
    moment, start, end = (cells.instant_ms(row, name, context.zone) for name in (TIME, "START_TIME", "END_TIME"))
    duration = as_duration(row.get("DURATION_MS"))
    if end is None and start is not None and duration is not None:
        end = start + round(duration)
    if end is None:
        end = moment
    if end is None:
        raise RowError(TIME, "is empty; a time is needed")
    if start is None and duration is not None:
        start = end - round(duration)
    return start, end


def _id(text: str, size: int) -> bytes:
    """The id's bytes; a trace id that a user chose may be any text, then a hash of it."""
    try:
        raw = bytes.fromhex(text)
    except ValueError:
        raw = b""
    return raw if len(raw) == size else hashlib.blake2b(text.encode(), digest_size=size).digest()


def attributes_of(raw: Any) -> dict[str, Any]:
    """ATTRIBUTES as the query gives them, a list of (name, JSON) pairs, as values; what is no JSON is text."""
    found: dict[str, Any] = {}
    for name, value in raw or ():
        try:
            found[name] = json.loads(value)
        except ValueError:
            found[name] = value
    return found
