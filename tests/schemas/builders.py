"""Events, records and streams for the tests of the wire format."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from tokentide_schemas.arrow import table_from_events
from tokentide_schemas.block import Block, assemble
from tokentide_schemas.envelope import (
    CONTENT_TYPE_ARROW,
    CONTENT_TYPE_JSON,
    CONTENT_TYPE_NDJSON,
    Record,
    decode,
    headers_for,
)
from tokentide_schemas.event import UsageEvent

APPENDED_AT_MS = 1_769_860_800_000
"""2026-01-31T12:00:00Z: when the broker appended the tests' records."""

MINIMAL: dict[str, Any] = {
    "occurred_at": "2026-01-31T11:59:58.123Z",
    "request_model": "gpt-5",
    "provider": "openai",
    "input_uncached_tokens": 10,
    "output_tokens": 20,
    "usage_reported": True,
    "outcome": "ok",
}


def fields(**changes: Any) -> dict[str, Any]:
    """The smallest event as JSON data, with changes."""
    return {**MINIMAL, **changes}


def event(number: int = 0, **changes: Any) -> UsageEvent:
    """A valid event with an id."""
    return UsageEvent.model_validate(fields(event_id=f"01990000-0000-7000-8000-{number + 1:012x}", **changes))


def table(count: int = 3, **changes: Any) -> pa.Table:
    """Rows in the event's own columns."""
    return table_from_events(event(number, **changes) for number in range(count))


def record(value: bytes | None, headers: dict[str, bytes] | None = None, offset: int = 7) -> Record:
    """A record of partition 3."""
    return Record(3, offset, APPENDED_AT_MS, value, headers or {})


def arrow_record(columns: pa.Table | pa.RecordBatch, *, batch_rows: int | None = None, **options: Any) -> Record:
    """An Arrow stream of any columns. options: of `pyarrow.ipc.IpcWriteOptions`."""
    return record(stream(columns, batch_rows=batch_rows, **options), dict(headers_for(CONTENT_TYPE_ARROW)))


def stream(columns: pa.Table, *, batch_rows: int | None = None, **options: Any) -> bytes:
    """The bytes of an Arrow stream."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, columns.schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        writer.write_table(columns, batch_rows)
    return bytes(sink.getvalue())


def ndjson_record(lines: Sequence[dict[str, Any] | bytes], offset: int = 7) -> Record:
    """One JSON object a line; bytes are put in as they are."""
    value = b"\n".join(line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines)
    return record(value, dict(headers_for(CONTENT_TYPE_NDJSON)), offset)


def json_record(data: dict[str, Any] | bytes, offset: int = 7) -> Record:
    """A single JSON object; bytes are taken as they are."""
    value = data if isinstance(data, bytes) else json.dumps(data).encode()
    return record(value, dict(headers_for(CONTENT_TYPE_JSON)), offset)


def block_of(*records: Record) -> Block:
    """What becomes of the records."""
    return assemble([decode(one) for one in records])


def reasons(one: Record) -> list[str]:
    """Reasons of all refusals of one record, from decoding and from the block."""
    return [str(rejection.reason) for rejection in block_of(one).rejections[0]]


def details(one: Record) -> str:
    """All refusal messages of one record."""
    return "\n".join(rejection.detail for rejection in block_of(one).rejections[0])


def with_column(columns: pa.Table, name: str, values: pa.Array) -> pa.Table:
    """The table with one column replaced, of whatever type."""
    return columns.set_column(columns.column_names.index(name), name, values)
