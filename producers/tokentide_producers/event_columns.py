"""Columns in `EVENT_SCHEMA` from numpy arrays and constants, with the fields' defaults for what is not given. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tokentide_schemas.arrow import EVENT_SCHEMA
from tokentide_schemas.columns import NO_HASH
from tokentide_schemas.event import COLUMNS, TOKEN_BUCKETS, default_of

SMALL_DICTIONARY: Final = 32
"""A piece keeps a dictionary of at most this many values as it is: the bytes saved are not worth the time."""
_LABEL_PLACES: Final = tuple(i for i, field in enumerate(EVENT_SCHEMA) if pa.types.is_dictionary(field.type))


def event_batch(n: int, columns: Mapping[str, Any]) -> pa.RecordBatch:
    """n events from numpy arrays, Arrow arrays or plain values; a field that is not given has its default."""
    arrays = [_array(name, columns.get(name), n) for name in COLUMNS]
    return pa.RecordBatch.from_arrays(arrays, schema=EVENT_SCHEMA)


def binary16(values: npt.NDArray[Any]) -> pa.Array:
    """A column of 16-byte values from an array of them."""
    return pa.FixedSizeBinaryArray.from_buffers(pa.binary(16), len(values), [None, pa.py_buffer(values)])


@lru_cache(maxsize=1_024)
def constant_label(n: int, value: str) -> pa.DictionaryArray:
    """n times the same label."""
    return pa.DictionaryArray.from_arrays(pa.array(np.zeros(n, np.int16)), pa.array([value], pa.utf8()))


def slices(block: pa.RecordBatch, rows: int) -> Iterator[pa.RecordBatch]:
    """Consecutive pieces of at most this many rows, whose large dictionaries hold only the values that it uses."""
    whole = block.columns
    for start in range(0, block.num_rows, rows):
        done: dict[int, pa.Array] = {}
        columns = [column.slice(start, rows) for column in whole]
        for place in _LABEL_PLACES:
            columns[place] = _compact(columns[place], done)
        yield pa.RecordBatch.from_arrays(columns, schema=EVENT_SCHEMA)


def tokens_in(batch: pa.RecordBatch) -> int:
    """All tokens of the rows."""
    return sum(int(batch.column(name).to_numpy().sum(dtype=np.int64)) for name in TOKEN_BUCKETS)


def _compact(column: pa.DictionaryArray, done: dict[int, pa.Array]) -> pa.DictionaryArray:
    """The same column without unused dictionary values. `done`: earlier answers, for columns that share their data."""
    if len(column.dictionary) <= SMALL_DICTIONARY:
        return column
    indices = column.indices
    key = indices.buffers()[1].address + indices.offset
    if key not in done:
        numbers = indices.to_numpy()
        done[key] = with_used_values(numbers, column.dictionary, numbers.dtype.type)
    return done[key]


def with_used_values(numbers: npt.NDArray[Any], values: pa.Array, index_type: Any) -> pa.DictionaryArray:
    """A label column from codes into `values`, whose dictionary holds only the values in use."""
    if len(values) > 1:
        used = np.zeros(len(values), np.bool_)
        used[numbers] = True
        places = np.flatnonzero(used)
        if len(places) < len(values):
            renumbered = np.empty(len(values), index_type)
            renumbered[places] = np.arange(len(places), dtype=index_type)
            numbers, values = renumbered[numbers], values.take(pa.array(places))
    return pa.DictionaryArray.from_arrays(pa.array(numbers), values, safe=False)


def _array(name: str, column: Any, n: int) -> pa.Array:
    field = EVENT_SCHEMA.field(name)
    if column is None:
        column = default_of(name)
        if column is None:
            return pa.nulls(n, field.type)
    if isinstance(column, str) and pa.types.is_dictionary(field.type):
        column = constant_label(n, str(column))
    elif isinstance(column, bytes):
        column = binary16(np.full(n, np.void(column)) if column != NO_HASH else np.zeros(n, "V16"))
    elif isinstance(column, str):
        column = pa.repeat(column, n)
    elif isinstance(column, bool | int | float):
        column = np.full(n, column)
    if isinstance(column, pa.Array):
        return column if column.type.equals(field.type) else column.cast(field.type)
    return pa.array(column.astype(field.type.to_pandas_dtype(), copy=False), field.type)
