"""The envelope: one Kafka record that carries a micro-batch of usage events, read and written here and nowhere else.

`decode` turns one record into columns or says why it cannot; it never raises for bad input and never puts a value of
the input into a message, because values may be prompt text. The same record gives the same answer in every process and
at every replay: the raw sink and the worker rely on it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

import pyarrow as pa
from pydantic import ValidationError

from tokentide_schemas import topics
from tokentide_schemas.arrow import EVENT_SCHEMA, NAMES, table_from_events
from tokentide_schemas.columns import TextEnum
from tokentide_schemas.event import CONTENT_FIELDS, SCHEMA_VERSION, UsageEvent

CONTENT_TYPE_ARROW: Final = "application/vnd.apache.arrow.stream"
CONTENT_TYPE_NDJSON: Final = "application/x-ndjson"
CONTENT_TYPE_JSON: Final = "application/json"

MAX_EVENTS: Final = 100_000
"""Events in one envelope; more is refused so that one record cannot exhaust a reader's memory."""
MAX_PRODUCER_CHARS: Final = 64


class Reason(TextEnum):
    """Why an event or a whole envelope was not accepted. Every rejection has one; each is a label in metrics."""

    EMPTY = "empty"
    INVALID_HEADER = "invalid_header"
    UNSUPPORTED_CONTENT_TYPE = "unsupported_content_type"
    UNSUPPORTED_SCHEMA = "unsupported_schema"
    TOO_LARGE = "too_large"
    COUNT_MISMATCH = "count_mismatch"
    INVALID_ARROW = "invalid_arrow"
    INVALID_JSON = "invalid_json"
    CONTENT_FIELD = "content_field"
    UNKNOWN_FIELD = "unknown_field"
    MISSING_FIELD = "missing_field"
    INVALID_VALUE = "invalid_value"
    TIMESTAMP_IN_FUTURE = "timestamp_in_future"
    TIMESTAMP_TOO_OLD = "timestamp_too_old"
    STORE_REJECTED = "store_rejected"


@dataclass(frozen=True, slots=True)
class Record:
    """One record of the usage topic. `appended_at_ms`: the broker's timestamp, milliseconds since 1970 UTC."""

    partition: int
    offset: int
    appended_at_ms: int
    value: bytes | None
    headers: Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why something was refused: `row` counts from 0 in the envelope, None for the whole envelope. No input values."""

    reason: Reason
    detail: str
    row: int | None = None


@dataclass(frozen=True, slots=True)
class Identity:
    """Who sent the envelope (a producer incarnation) and its number in that producer's stream to this partition."""

    producer_id: str
    sequence: int


@dataclass(frozen=True, slots=True)
class Envelope:
    """A decoded record.

    table: accepted rows in `EVENT_SCHEMA`, None when the whole envelope was refused. rows: for each row of `table` its
    number in the envelope, None when no row is missing. events: how many events the record carried, as far as known.
    """

    record: Record
    table: pa.Table | None
    events: int
    identity: Identity | None = None
    rejections: tuple[Rejection, ...] = ()
    rows: tuple[int, ...] | None = None


class EnvelopeError(Exception):
    """The whole envelope is refused."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.rejection = Rejection(reason, detail)


@dataclass(frozen=True, slots=True)
class _Headers:
    content_type: str = ""
    minor: int = 0
    count: int | None = None
    identity: Identity | None = None


def encode_arrow(table: pa.Table | pa.RecordBatch) -> bytes:
    """An Arrow IPC stream of rows in `EVENT_SCHEMA`. Kafka compresses the record; the buffers stay plain.

    Raises ValueError when the columns are not the schema's.
    """
    if not table.schema.equals(EVENT_SCHEMA):
        raise ValueError("the table's schema is not EVENT_SCHEMA; build it with arrow.table_from_events")
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, EVENT_SCHEMA) as writer:
        writer.write(table)
    return bytes(sink.getvalue())


def headers_for(
    content_type: str, events: int | None = None, producer_id: str = "", sequence: int | None = None
) -> list[tuple[str, bytes]]:
    """Kafka headers of an envelope: the content type, and the count and identity where known."""
    headers = [(topics.HEADER_CONTENT_TYPE, content_type.encode()), (topics.HEADER_SCHEMA, SCHEMA_VERSION.encode())]
    if events is not None:
        headers.append((topics.HEADER_COUNT, b"%d" % events))
    if producer_id and sequence is not None:
        headers.append((topics.HEADER_PRODUCER, producer_id.encode()))
        headers.append((topics.HEADER_SEQUENCE, b"%d" % sequence))
    return headers


def decode(record: Record) -> Envelope:
    """Read one record. Never raises for bad input: refusals are in `rejections`."""
    declared = 1
    identity = None
    try:
        headers = _read_headers(record.headers)
        identity = headers.identity
        declared = headers.count if headers.count is not None else 1
        if not record.value:
            raise EnvelopeError(Reason.EMPTY, "the record has no value")
        if len(record.value) > topics.MAX_RECORD_BYTES:
            raise EnvelopeError(Reason.TOO_LARGE, f"{len(record.value)} bytes; the limit is {topics.MAX_RECORD_BYTES}")
        envelope = _decode_value(record, record.value, headers)
        if headers.count is not None and headers.count != envelope.events:
            raise EnvelopeError(
                Reason.COUNT_MISMATCH, f"{topics.HEADER_COUNT} says {headers.count}, the record has {envelope.events}"
            )
        return envelope
    except EnvelopeError as error:
        return Envelope(record, None, max(declared, 1), identity, (error.rejection,))


def _decode_value(record: Record, value: bytes, headers: _Headers) -> Envelope:
    content_type = headers.content_type or _sniff(value)
    if content_type == CONTENT_TYPE_ARROW:
        return _decode_arrow(record, value, headers)
    if content_type == CONTENT_TYPE_JSON:
        return _from_rows(record, [value], headers)
    if content_type == CONTENT_TYPE_NDJSON:
        return _from_rows(record, [line for line in value.split(b"\n") if line.strip()], headers)
    raise EnvelopeError(
        Reason.UNSUPPORTED_CONTENT_TYPE,
        f"send {CONTENT_TYPE_ARROW}, {CONTENT_TYPE_NDJSON} or {CONTENT_TYPE_JSON} in the {topics.HEADER_CONTENT_TYPE} "
        "header",
    )


def _sniff(value: bytes) -> str:
    """Content type of a record without the header: Arrow streams begin with a continuation marker."""
    if value[:4] == b"\xff\xff\xff\xff":
        return CONTENT_TYPE_ARROW
    if value.lstrip()[:1] == b"{":
        return CONTENT_TYPE_NDJSON if re.search(rb"}\s*\n\s*{", value) else CONTENT_TYPE_JSON
    return ""


def _read_headers(headers: Mapping[str, bytes]) -> _Headers:
    def text(name: str, pattern: str) -> str | None:
        raw = headers.get(name)
        if raw is None:
            return None
        value = raw.decode("ascii", "replace")
        if not re.fullmatch(pattern, value):
            raise EnvelopeError(Reason.INVALID_HEADER, f"header {name} does not match {pattern}")
        return value

    content_type = (headers.get(topics.HEADER_CONTENT_TYPE) or b"").decode("ascii", "replace")
    version = text(topics.HEADER_SCHEMA, r"\d{1,4}\.\d{1,4}") or SCHEMA_VERSION
    major, minor = (int(part) for part in version.split("."))
    if major != int(SCHEMA_VERSION.split(".")[0]):
        raise EnvelopeError(Reason.UNSUPPORTED_SCHEMA, f"schema {version}; this reader knows {SCHEMA_VERSION}")
    count = text(topics.HEADER_COUNT, r"\d{1,9}")
    producer = text(topics.HEADER_PRODUCER, rf"[\w.:\-]{{1,{MAX_PRODUCER_CHARS}}}")
    sequence = text(topics.HEADER_SEQUENCE, r"\d{1,18}")
    if (producer is None) != (sequence is None):
        raise EnvelopeError(
            Reason.INVALID_HEADER, f"{topics.HEADER_PRODUCER} and {topics.HEADER_SEQUENCE} identify only together"
        )
    return _Headers(
        content_type.split(";")[0].strip().lower(),
        minor,
        None if count is None else int(count),
        None if producer is None or sequence is None else Identity(producer, int(sequence)),
    )


def _decode_arrow(record: Record, value: bytes, headers: _Headers) -> Envelope:
    try:
        with pa.ipc.open_stream(value) as reader:
            schema = reader.schema
            batches = []
            events = 0
            for batch in reader:
                events += batch.num_rows
                if events > MAX_EVENTS:
                    raise EnvelopeError(Reason.TOO_LARGE, f"more than {MAX_EVENTS} events in one envelope")
                # Full validation bounds every offset and dictionary index: a reader must not trust the wire's buffers.
                batch.validate(full=True)
                batches.append(batch)
        table = pa.Table.from_batches(batches, schema)
    except (pa.ArrowException, ValueError, KeyError, OSError, MemoryError, OverflowError) as error:
        raise EnvelopeError(Reason.INVALID_ARROW, f"not a readable Arrow stream ({type(error).__name__})") from None
    if events == 0:
        raise EnvelopeError(Reason.EMPTY, "the Arrow stream has no rows")
    if not value.endswith(b"\xff\xff\xff\xff\x00\x00\x00\x00"):
        # Without the end marker a stream that was cut after a whole batch would pass as a shorter one.
        raise EnvelopeError(Reason.INVALID_ARROW, "the Arrow stream has no end marker: it was cut off")
    if schema.equals(EVENT_SCHEMA) and _has_no_unexpected_nulls(table):
        return Envelope(record, table, events, headers.identity)
    return _from_foreign_columns(record, table, headers)


def _has_no_unexpected_nulls(table: pa.Table) -> bool:
    for column, schema_field in zip(table.columns, EVENT_SCHEMA, strict=True):
        if not schema_field.nullable and column.null_count:
            return False
        if pa.types.is_dictionary(schema_field.type) and any(chunk.dictionary.null_count for chunk in column.chunks):
            return False
    return True


def _from_foreign_columns(record: Record, table: pa.Table, headers: _Headers) -> Envelope:
    """Arrow columns of other types, order or number: read row by row through the model. Slower, and as strict."""
    unknown = [name for name in table.column_names if name not in NAMES]
    for name in unknown:
        if name.lower() in CONTENT_FIELDS:
            raise EnvelopeError(Reason.CONTENT_FIELD, f"column {_safe(name)} carries content and is never accepted")
    if unknown and headers.minor <= int(SCHEMA_VERSION.split(".")[1]):
        raise EnvelopeError(Reason.UNKNOWN_FIELD, f"column {_safe(unknown[0])} is not in schema {SCHEMA_VERSION}")
    if len(set(table.column_names)) != table.num_columns:
        raise EnvelopeError(Reason.INVALID_ARROW, "a column name appears twice")
    known = table.drop_columns(unknown) if unknown else table
    try:
        rows = known.to_pylist()
    except (pa.ArrowException, ValueError, OverflowError) as error:
        raise EnvelopeError(Reason.INVALID_ARROW, f"unreadable values ({type(error).__name__})") from None
    return _from_rows(record, [{k: v for k, v in row.items() if v is not None} for row in rows], headers)


@dataclass(slots=True)
class _Rows:
    events: list[UsageEvent] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)
    rejections: list[Rejection] = field(default_factory=list)


def _from_rows(record: Record, rows: Sequence[bytes | dict[str, Any]], headers: _Headers) -> Envelope:
    if not rows:
        raise EnvelopeError(Reason.EMPTY, "the record has no events")
    if len(rows) > MAX_EVENTS:
        raise EnvelopeError(Reason.TOO_LARGE, f"more than {MAX_EVENTS} events in one envelope")
    newer = headers.minor > int(SCHEMA_VERSION.split(".")[1])
    read = _Rows()
    for number, row in enumerate(rows):
        try:
            event = _validate(row, newer)
        except ValidationError as error:
            reason, detail = explain(error)
            read.rejections.append(Rejection(reason, detail, number))
            continue
        if event.event_id is None:
            event = event.model_copy(update={"event_id": derived_event_id(record, number)})
        if not event.model:
            event = event.model_copy(update={"model": event.request_model})
        read.events.append(event)
        read.numbers.append(number)
    rejections = tuple(read.rejections)
    if not read.events:
        if len(rows) == 1:
            rejections = (Rejection(rejections[0].reason, rejections[0].detail),)
        return Envelope(record, None, len(rows), headers.identity, rejections)
    numbers = None if len(read.numbers) == len(rows) else tuple(read.numbers)
    return Envelope(record, table_from_events(read.events), len(rows), headers.identity, rejections, numbers)


def _validate(row: bytes | dict[str, Any], newer: bool) -> UsageEvent:
    """One event; from a newer minor version its additional fields are ignored, but content never passes."""
    try:
        return UsageEvent.model_validate_json(row) if isinstance(row, bytes) else UsageEvent.model_validate(row)
    except ValidationError as error:
        if not newer or any(item["type"] != "extra_forbidden" for item in error.errors(include_input=False)):
            raise
        if explain(error)[0] is Reason.CONTENT_FIELD:
            raise
        return (
            UsageEvent.model_validate_json(row, extra="ignore")
            if isinstance(row, bytes)
            else UsageEvent.model_validate(row, extra="ignore")
        )


def explain(error: ValidationError) -> tuple[Reason, str]:
    """Reason and message of a model's refusal, most serious first, without any input value."""
    problems = error.errors(include_input=False, include_url=False, include_context=False)
    extras = [str(item["loc"][-1]) for item in problems if item["type"] == "extra_forbidden"]
    for name in extras:
        if name.lower() in CONTENT_FIELDS:
            return Reason.CONTENT_FIELD, f"field {_safe(name)} carries content and is never accepted"
    first = problems[0]
    if first["type"] == "json_invalid":
        return Reason.INVALID_JSON, first["msg"]
    if extras:
        return Reason.UNKNOWN_FIELD, f"field {_safe(extras[0])} is not in schema {SCHEMA_VERSION}"
    where = ".".join(_safe(str(part)) for part in first["loc"]) or "the event"
    if first["type"] == "missing":
        missing = ", ".join(_safe(str(item["loc"][-1])) for item in problems if item["type"] == "missing")
        return Reason.MISSING_FIELD, f"required and absent: {missing}"
    return Reason.INVALID_VALUE, f"{where}: {first['msg']}"


def _safe(name: str) -> str:
    """A field name fit for a message: names are the sender's text, so only plain identifiers are repeated."""
    return name if re.fullmatch(r"[A-Za-z_][\w.]{0,63}", name) else "(name not shown)"


def derived_event_id(record: Record, row: int) -> UUID:
    """A version 7 UUID from the record's place in the log, for events that came without one.

    48 bits of append time, then 74 bits of BLAKE2b over partition, offset and row: the same at every replay.
    """
    digest = hashlib.blake2b(f"{record.partition}:{record.offset}:{row}".encode(), digest_size=10).digest()
    bits = int.from_bytes(digest, "big")
    value = (record.appended_at_ms & (2**48 - 1)) << 80 | 0x7 << 76 | (bits >> 62 & 0xFFF) << 64
    return UUID(int=value | 0b10 << 62 | bits & (2**62 - 1))
