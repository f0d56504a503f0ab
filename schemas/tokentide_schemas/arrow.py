"""The usage event in columns: the Arrow schema of the envelope, derived from `UsageEvent`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import pyarrow as pa

from tokentide_schemas.columns import TextEnum
from tokentide_schemas.event import COLUMNS, UsageEvent


def _field(name: str) -> pa.Field:
    column = COLUMNS[name]
    return pa.field(name, column.arrow, nullable=column.clickhouse.startswith("Nullable"))


EVENT_SCHEMA: Final[pa.Schema] = pa.schema([_field(name) for name in COLUMNS])
"""Schema of an Arrow envelope: all fields of `UsageEvent` in its order; `event_id` is present in columns."""

NAMES: Final[tuple[str, ...]] = tuple(EVENT_SCHEMA.names)

COMPRESSED: Final = pa.ipc.IpcWriteOptions(compression="lz4")
"""For what the platform's own processes send each other: aiokafka compresses with lz4's slowest level, which took a
fifth of a worker's time."""


def _cell(event: UsageEvent, name: str) -> Any:
    value = getattr(event, name)
    if isinstance(value, TextEnum):
        return value.value
    return value.bytes if name == "event_id" else value


def table_from_events(events: Iterable[UsageEvent]) -> pa.Table:
    """Columns from validated events, each of which must have its `event_id`. Raises ValueError for one without."""
    rows = list(events)
    if any(event.event_id is None for event in rows):
        raise ValueError("every event needs an event_id before it is put into columns")
    arrays = []
    for field in EVENT_SCHEMA:
        values = [_cell(event, field.name) for event in rows]
        arrays.append(column_array(values, field.type))
    return pa.Table.from_arrays(arrays, schema=EVENT_SCHEMA)


def column_array(values: list[Any], arrow_type: pa.DataType) -> pa.Array:
    """A list of plain values as an array of a canonical type; labels become dictionary arrays."""
    if pa.types.is_dictionary(arrow_type):
        return pa.array(values, pa.utf8()).dictionary_encode().cast(arrow_type)
    return pa.array(values, arrow_type)
