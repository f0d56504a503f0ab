"""Rows to the columns of an Arrow envelope. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa

from tokentide_producers.batcher import Row
from tokentide_producers.event_ids import EventIds
from tokentide_producers.rows import PLACE
from tokentide_schemas.arrow import EVENT_SCHEMA

_EVENT_ID: Final = PLACE["event_id"]
_MODEL: Final = PLACE["model"]
_REQUEST_MODEL: Final = PLACE["request_model"]


def encode_rows(
    rows: Sequence[Row], *, ids: EventIds, now_ms: int, resolve_model: Callable[[str], str]
) -> pa.RecordBatch:
    """A record batch in `EVENT_SCHEMA` with the rows in their order.

    Rows without an id get one of the time `now_ms`; rows without a model get what `resolve_model` makes of the
    requested one.
    """
    cells: list[Sequence[Any]] = list(zip(*rows, strict=True))
    cells[_MODEL] = _models(cells[_MODEL], cells[_REQUEST_MODEL], resolve_model)
    arrays = []
    for place, field in enumerate(EVENT_SCHEMA):
        if place == _EVENT_ID:
            arrays.append(_event_ids(cells[place], ids, now_ms))
        elif pa.types.is_dictionary(field.type):
            arrays.append(_labels(cells[place], field.type))
        else:
            arrays.append(pa.array(cells[place], field.type))
    return pa.RecordBatch.from_arrays(arrays, schema=EVENT_SCHEMA)


def _models(models: Sequence[str], asked: Sequence[str], resolve_model: Callable[[str], str]) -> Sequence[str]:
    if "" not in models:
        return models
    resolved = {name: resolve_model(name) for name in set(asked)}
    return [model or resolved[name] for model, name in zip(models, asked, strict=True)]


def _event_ids(given: Sequence[bytes | None], ids: EventIds, now_ms: int) -> pa.Array:
    if given.count(None) == len(given):
        return ids.block(np.full(len(given), now_ms, np.int64))
    fresh = iter(ids.block(np.full(given.count(None), now_ms, np.int64)).to_pylist())
    return pa.array([next(fresh) if value is None else value for value in given], pa.binary(16))


def _labels(values: Sequence[str], arrow_type: pa.DataType) -> pa.Array:
    # A dict numbers the distinct values faster than Arrow converts all of them to text and hashes that.
    numbers = {value: number for number, value in enumerate(dict.fromkeys(values))}
    if len(numbers) == 1:
        indices: Any = np.zeros(len(values), arrow_type.index_type.to_pandas_dtype())
    else:
        indices = list(map(numbers.__getitem__, values))
    dictionary = pa.array(list(numbers), pa.utf8())
    return pa.DictionaryArray.from_arrays(pa.array(indices, arrow_type.index_type), dictionary)
