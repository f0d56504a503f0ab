"""Finds the price row of every event of a column at once, for `pricing_columns.cost_nanousd_columns`. Pure."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tokentide_schemas.catalogue.catalogue import Catalogue
from tokentide_schemas.catalogue.names import split_variant
from tokentide_schemas.catalogue.pricing import PriceRow
from tokentide_schemas.catalogue.pricing_columns import NO_PRICE, IntArray

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NEVER = np.iinfo(np.int64).max


def match_prices(
    catalogue: Catalogue, *, provider: Any, model: Any, occurred_at: Any, request_model: Any = None
) -> tuple[list[PriceRow], IntArray]:
    """The price rows that the events need, and each event's place among them (NO_PRICE where none is known).

    `provider`, `model` and `request_model` are pyarrow string (or dictionary) arrays, `occurred_at` is a pyarrow
    timestamp array in UTC, without nulls. The variant (`:free`) is read from `request_model` where that is given,
    from `model` otherwise. The result is that of `Catalogue.price` for each event.
    """
    when = pc.cast(_plain(occurred_at), pa.int64())
    per_second = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[occurred_at.type.unit]
    instants = when.to_numpy(zero_copy_only=False)
    asked = model if request_model is None else request_model
    columns = [_encoded(column) for column in (provider, model, asked)]
    if math.prod(max(len(column.dictionary), 1) for column in columns) >= 2**62:
        # Dictionaries may be full of values that no event uses; encoded again they have at most one an event.
        columns = [_plain(column).dictionary_encode() for column in columns]
    combined = np.zeros(len(instants), dtype=np.int64)
    for column in columns:
        combined = combined * max(len(column.dictionary), 1) + column.indices.to_numpy(zero_copy_only=False)
    # Sorted by combination once, so that each combination's events are one slice, however many combinations there are.
    groups = pa.array(combined).dictionary_encode().indices.to_numpy()
    order = np.argsort(groups, kind="stable")
    starts_of_groups = np.flatnonzero(np.diff(groups[order], prepend=-1))

    prices: list[PriceRow] = []
    places: dict[PriceRow, int] = {}
    result = np.full(len(instants), NO_PRICE, dtype=np.int64)
    for members in np.split(order, starts_of_groups[1:]) if len(order) else ():
        of_provider, of_model, of_asked = (column[int(members[0])].as_py() for column in columns)
        rows = catalogue.series(of_provider, of_model, split_variant(of_asked)[1])
        if not rows:
            continue
        starts = np.array([_ticks(row.valid_from, per_second) for row in rows])
        ends = np.array([_ticks(row.valid_until, per_second) if row.valid_until else _NEVER for row in rows])
        chosen = np.searchsorted(starts, instants[members], side="right") - 1
        valid = (chosen >= 0) & (instants[members] < ends[chosen])
        for place in np.unique(chosen[valid]):
            row = rows[place]
            at = places.setdefault(row, len(prices))
            if at == len(prices):
                prices.append(row)
            result[members[valid & (chosen == place)]] = at
    return prices, result


def _plain(column: Any) -> Any:
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    if column.null_count:
        raise ValueError(f"match_prices: a column has {column.null_count} nulls: fill them or leave those events out")
    return column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column


def _encoded(column: Any) -> Any:
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    if pa.types.is_dictionary(column.type) and not column.null_count:
        # A value that is in the dictionary twice only makes a group more.
        return column
    return _plain(column).dictionary_encode()


def _ticks(instant: datetime, per_second: int) -> int:
    """The first tick of the column's unit that is not before `instant`."""
    microseconds = (instant - _EPOCH) // timedelta(microseconds=1)
    return -(-microseconds * per_second // 10**6)
