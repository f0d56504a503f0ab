"""The envelope: one Kafka record that carries a micro-batch of usage events, read and written here and nowhere else.

`decode` turns one record into columns or says why it cannot; it never raises for bad input and never puts a value of
the input into a message, because values may be prompt text. The same record gives the same answer in every process and
at every replay: the raw sink and the worker rely on it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

import pyarrow as pa
from pydantic import ValidationError

from tokentide_schemas import topics
from tokentide_schemas.arrow import EVENT_SCHEMA, table_from_events
from tokentide_schemas.arrow_framing import CONTINUATION
from tokentide_schemas.arrow_stream import known_columns, plain_rows, read_stream
from tokentide_schemas.event import SCHEMA_VERSION, UsageEvent
from tokentide_schemas.rejections import EnvelopeError as EnvelopeError
from tokentide_schemas.rejections import Reason as Reason
from tokentide_schemas.rejections import Rejection as Rejection
from tokentide_schemas.rejections import explain as explain

CONTENT_TYPE_ARROW: Final = "application/vnd.apache.arrow.stream"
CONTENT_TYPE_NDJSON: Final = "application/x-ndjson"
CONTENT_TYPE_JSON: Final = "application/json"

MAX_EVENTS: Final = 100_000
"""Events in one envelope; more is refused so that one record cannot exhaust a reader's memory."""
MAX_EVENT_JSON_BYTES: Final = 128 * 1024
"""One JSON event: twice what an event with every label at its limit takes. Bounds the parser's work on a bad line."""
MAX_PRODUCER_CHARS: Final = 64

_KNOWN_MINOR: Final = int(SCHEMA_VERSION.split(".")[1])


@dataclass(frozen=True, slots=True)
class Record:
    """One record of the usage topic. `appended_at_ms`: the broker's timestamp, milliseconds since 1970 UTC."""

    partition: int
    offset: int
    appended_at_ms: int
    value: bytes | None
    headers: Mapping[str, bytes]


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
    derived: places in `table` of rows that came without an event id.
    """

    record: Record
    table: pa.Table | None
    events: int
    identity: Identity | None = None
    rejections: tuple[Rejection, ...] = ()
    rows: tuple[int, ...] | None = None
    derived: frozenset[int] = frozenset()


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
        declared = max(headers.count or 1, 1)
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
        # What the sender declared is what it believes acknowledged, so that is what the accounts must show as refused.
        events = declared if error.events is None or declared > 1 else error.events
        return Envelope(record, None, events, identity, (error.rejection,))


def _decode_value(record: Record, value: bytes, headers: _Headers) -> Envelope:
    content_type = headers.content_type or _sniff(value)
    if content_type == CONTENT_TYPE_ARROW:
        return _decode_arrow(record, value, headers)
    if content_type == CONTENT_TYPE_JSON:
        return _from_rows(record, [value], 1, headers)
    if content_type == CONTENT_TYPE_NDJSON:
        lines = [line for line in value.split(b"\n") if line.strip()]
        return _from_rows(record, lines, len(lines), headers)
    raise EnvelopeError(
        Reason.UNSUPPORTED_CONTENT_TYPE,
        f"send {CONTENT_TYPE_ARROW}, {CONTENT_TYPE_NDJSON} or {CONTENT_TYPE_JSON} in the {topics.HEADER_CONTENT_TYPE} "
        "header",
    )


def _sniff(value: bytes) -> str:
    """Content type of a record without the header: Arrow streams begin with a continuation marker."""
    if value.startswith(CONTINUATION):
        return CONTENT_TYPE_ARROW
    if value.lstrip()[:1] == b"{":
        # Possessive, so that long runs of blank lines take linear time.
        return CONTENT_TYPE_NDJSON if re.search(rb"}[ \t\r]*+\n\s*+{", value) else CONTENT_TYPE_JSON
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
    if count is not None and int(count) > MAX_EVENTS:
        raise EnvelopeError(Reason.TOO_LARGE, f"{topics.HEADER_COUNT} is over the limit of {MAX_EVENTS} events")
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
    stream = read_stream(value, MAX_EVENTS)
    table = stream.table
    if stream.is_canonical:
        return Envelope(record, table, table.num_rows, headers.identity)
    # Columns of other types, order or number go row by row through the model: slower, and as strict.
    known = known_columns(table, headers.minor > _KNOWN_MINOR)
    return _from_rows(record, plain_rows(known), table.num_rows, headers)


@dataclass(slots=True)
class _Rows:
    events: list[UsageEvent] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)
    derived: set[int] = field(default_factory=set)
    rejections: list[Rejection] = field(default_factory=list)


def _from_rows(record: Record, rows: Iterable[bytes | dict[str, Any]], count: int, headers: _Headers) -> Envelope:
    if count == 0:
        raise EnvelopeError(Reason.EMPTY, "the record has no events")
    if count > MAX_EVENTS:
        raise EnvelopeError(Reason.TOO_LARGE, f"{count} events in one envelope; the limit is {MAX_EVENTS}")
    read = _Rows()
    for number, row in enumerate(rows):
        if isinstance(row, bytes) and len(row) > MAX_EVENT_JSON_BYTES:
            detail = f"one JSON event is over {MAX_EVENT_JSON_BYTES} bytes: send metadata only, never text"
            read.rejections.append(Rejection(Reason.TOO_LARGE, detail, number))
            continue
        try:
            event = _validate(row, headers.minor > _KNOWN_MINOR)
        except ValidationError as error:
            reason, detail = explain(error)
            read.rejections.append(Rejection(reason, detail, number))
            continue
        if event.event_id is None:
            read.derived.add(len(read.events))
            event = event.model_copy(update={"event_id": derived_event_id(record, number)})
        if not event.model:
            event = event.model_copy(update={"model": event.request_model})
        read.events.append(event)
        read.numbers.append(number)
    rejections = tuple(read.rejections)
    if not read.events:
        if count == 1:
            rejections = (Rejection(rejections[0].reason, rejections[0].detail),)
        return Envelope(record, None, count, headers.identity, rejections)
    numbers = None if len(read.numbers) == count else tuple(read.numbers)
    table = table_from_events(read.events)
    return Envelope(record, table, count, headers.identity, rejections, numbers, frozenset(read.derived))


def _validate(row: bytes | dict[str, Any], newer: bool) -> UsageEvent:
    """One event; from a newer minor version its additional fields are ignored, but content never passes."""
    try:
        return UsageEvent.model_validate_json(row) if isinstance(row, bytes) else UsageEvent.model_validate(row)
    except ValidationError as error:
        if not newer or explain(error)[0] is Reason.CONTENT_FIELD:
            raise
    if isinstance(row, bytes):
        return UsageEvent.model_validate_json(row, extra="ignore")
    return UsageEvent.model_validate(row, extra="ignore")


def derived_event_id(record: Record, row: int) -> UUID:
    """A version 7 UUID from the record's place in the log, for events that came without one.

    48 bits of append time, then 74 bits of BLAKE2b over partition, offset and row: the same at every replay.
    """
    digest = hashlib.blake2b(f"{record.partition}:{record.offset}:{row}".encode(), digest_size=10).digest()
    bits = int.from_bytes(digest, "big")
    value = (record.appended_at_ms & (2**48 - 1)) << 80 | 0x7 << 76 | (bits >> 62 & 0xFFF) << 64
    return UUID(int=value | 0b10 << 62 | bits & (2**62 - 1))
