"""An Arrow IPC stream from anybody, as columns or rows that can be trusted: bounded, validated, flat."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import types

from tokentide_schemas.arrow import EVENT_SCHEMA, NAMES
from tokentide_schemas.arrow_framing import Framing, read_framing
from tokentide_schemas.event import CONTENT_FIELDS, MAX_LABEL_CHARS, SCHEMA_VERSION
from tokentide_schemas.rejections import EnvelopeError, Reason, content_field, shown, unknown_field

_ROWS_AT_ONCE: Final = 1_024
_NOT_NULL: Final = tuple(place for place, field in enumerate(EVENT_SCHEMA) if not field.nullable)
_MAX_DICTIONARY_VALUE_BYTES: Final = 64
_TICKS_PER_S: Final = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
_CALENDAR_S: Final = (
    int(dt.datetime(1, 1, 2, tzinfo=dt.UTC).timestamp()),
    int(dt.datetime(9999, 12, 30, tzinfo=dt.UTC).timestamp()),
)
"""Times that Python can hold, in seconds since 1970; what is beyond is cut to them and refused for its value."""


@dataclass(frozen=True, slots=True)
class Stream:
    """The rows of one stream. `is_canonical`: in the event's own columns, without a null where a value is required."""

    table: pa.Table
    is_canonical: bool


def read_stream(value: bytes, max_rows: int) -> Stream:
    """All rows of one complete stream, every buffer validated. Raises EnvelopeError."""
    framing = read_framing(value)
    if framing.rows > max_rows:
        raise EnvelopeError(Reason.TOO_LARGE, f"{framing.rows} events in one envelope; the limit is {max_rows}")
    if framing.rows == 0:
        raise EnvelopeError(Reason.EMPTY, "the Arrow stream has no rows")
    try:
        reader = pa.ipc.open_stream(value)
        schema = reader.schema
        own_columns = schema.equals(EVENT_SCHEMA)
        if not own_columns:
            _check_columns(schema, framing.rows)
        batches = []
        for batch in reader:
            # Full validation bounds every offset and dictionary index: the wire's buffers are not to be trusted.
            batch.validate(full=True)
            batches.append(batch)
        table = pa.Table.from_batches(batches, schema)
    except (pa.ArrowException, ValueError, KeyError, OSError, MemoryError, OverflowError) as error:
        detail = f"not a readable Arrow stream ({type(error).__name__})"
        raise EnvelopeError(Reason.INVALID_ARROW, detail, framing.rows) from None
    if table.num_rows != framing.rows:
        raise EnvelopeError(Reason.INVALID_ARROW, "the Arrow stream's batches contradict its metadata", framing.rows)
    return Stream(table, own_columns and not _has_nulls(framing))


def _has_nulls(framing: Framing) -> bool:
    """A required column or a dictionary has a null. Asked of the metadata, whose counts validation has confirmed:
    asking 45 columns costs more than reading them."""
    return framing.dictionary_nulls or any(
        counts[place] for counts in framing.null_counts if any(counts) for place in _NOT_NULL
    )


def known_columns(table: pa.Table, newer: bool) -> pa.Table:
    """The columns that the schema has. Unknown ones are refused unless the sender's schema is newer; content always.

    Raises EnvelopeError.
    """
    events = table.num_rows
    unknown = [name for name in table.column_names if name not in NAMES]
    for name in unknown:
        if name.lower() in CONTENT_FIELDS:
            raise EnvelopeError(Reason.CONTENT_FIELD, content_field(name), events)
    if unknown and not newer:
        raise EnvelopeError(Reason.UNKNOWN_FIELD, unknown_field(unknown[0]), events)
    if len(unknown) == table.num_columns:
        raise EnvelopeError(Reason.MISSING_FIELD, "it has no column of a usage event", events)
    return table.drop_columns(unknown) if unknown else table


def plain_rows(table: pa.Table) -> Iterator[dict[str, Any]]:
    """Rows as plain values; nulls are left out, so that they mean the default. Raises EnvelopeError."""
    events = table.num_rows
    try:
        readable = pa.table({name: _readable(table.column(name)) for name in table.column_names})
        for start in range(0, events, _ROWS_AT_ONCE):
            for row in readable.slice(start, _ROWS_AT_ONCE).to_pylist():
                yield {name: value for name, value in row.items() if value is not None}
    except (pa.ArrowException, ValueError, OverflowError, MemoryError) as error:
        raise EnvelopeError(Reason.INVALID_ARROW, f"unreadable values ({type(error).__name__})", events) from None


def _check_columns(schema: pa.Schema, events: int) -> None:
    try:
        names = schema.names
    except UnicodeDecodeError:
        raise EnvelopeError(Reason.INVALID_ARROW, "a column name is not UTF-8", events) from None
    if len(set(names)) != len(names):
        raise EnvelopeError(Reason.INVALID_ARROW, "a column name appears twice", events)
    for field in schema:
        if not _is_flat(field.type):
            detail = f"column {shown(field.name)}: send plain numbers, text, bytes, times or dictionaries of them"
            raise EnvelopeError(Reason.INVALID_ARROW, f"{detail} (schema {SCHEMA_VERSION})", events)


def _is_flat(kind: pa.DataType) -> bool:
    """A type whose values cannot unfold to more than their bytes, except dictionaries, which are bounded."""
    if types.is_dictionary(kind):
        value = kind.value_type
        if types.is_fixed_size_binary(value):
            return bool(value.byte_width <= _MAX_DICTIONARY_VALUE_BYTES)
        return bool(types.is_string(value) or types.is_large_string(value) or types.is_integer(value))
    flat = (types.is_boolean, types.is_integer, types.is_floating, types.is_string, types.is_large_string)
    binary = (types.is_binary, types.is_large_binary, types.is_fixed_size_binary, types.is_timestamp, types.is_null)
    return any(check(kind) for check in (*flat, *binary))


def _readable(column: pa.ChunkedArray) -> pa.ChunkedArray:
    kind = column.type
    if types.is_timestamp(kind):
        return _microseconds(column)
    if types.is_dictionary(kind) and (types.is_string(kind.value_type) or types.is_large_string(kind.value_type)):
        return pa.chunked_array([_shortened(chunk) for chunk in column.chunks], pa.dictionary(pa.int64(), pa.utf8()))
    return column


def _shortened(chunk: pa.DictionaryArray) -> pa.DictionaryArray:
    """Cut values to one character beyond a label's limit: refused all the same, and one megabyte that 100,000 rows
    refer to does not unfold into 100 GB."""
    values = pc.utf8_slice_codeunits(chunk.dictionary, 0, MAX_LABEL_CHARS + 1).cast(pa.utf8())
    return pa.DictionaryArray.from_arrays(chunk.indices.cast(pa.int64()), values)


def _microseconds(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Times of any unit and zone as UTC microseconds (rounded down); without a zone they stay without."""
    ticks = _TICKS_PER_S[column.type.unit]
    low, high = (max(-(2**63), min(2**63 - 1, limit * ticks)) for limit in _CALENDAR_S)
    number = pc.max_element_wise(column.cast(pa.int64()), low, skip_nulls=False)
    number = pc.min_element_wise(number, high, skip_nulls=False)
    kind = pa.timestamp(column.type.unit, "UTC" if column.type.tz else None)
    return number.cast(kind).cast(pa.timestamp("us", kind.tz), safe=False)
