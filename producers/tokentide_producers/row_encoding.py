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
_KINDS: Final = tuple((field.type, pa.types.is_dictionary(field.type)) for field in EVENT_SCHEMA)
"""Of each column: its type, and whether it is a label. Asking Arrow for them costs as much as a few values."""


def encode_rows(
    rows: Sequence[Row], *, ids: EventIds, now_ms: int, resolve_model: Callable[[str], str]
) -> pa.RecordBatch:
    """A record batch in `EVENT_SCHEMA` with the rows in their order.

    Rows without an id get one of the time `now_ms`; rows without a model get what `resolve_model` makes of the
    requested one.
    """
    cells: list[Sequence[Any]] = list(zip(*rows, strict=True))
    cells[_MODEL] = _models(cells[_MODEL], cells[_REQUEST_MODEL], resolve_model)
    cells[_EVENT_ID] = _event_ids(cells[_EVENT_ID], ids, now_ms)
    arrays = [
        _labels(values, kind) if is_label else values if place == _EVENT_ID else pa.array(values, kind)
        for place, (values, (kind, is_label)) in enumerate(zip(cells, _KINDS, strict=True))
    ]
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
    index_type = arrow_type.index_type
    if len(numbers) == 1:
        indices = pa.array(np.zeros(len(values), index_type.to_pandas_dtype()))
    else:
        indices = pa.array(list(map(numbers.__getitem__, values)), index_type)
    return pa.DictionaryArray.from_arrays(indices, pa.array(list(numbers), pa.utf8()))
