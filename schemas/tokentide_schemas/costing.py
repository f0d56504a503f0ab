"""Costs of events whose producer reported none, from the catalogue's prices, for a whole block at once. Pure.

The raw sink and the stream worker call this on the same rows; with the same catalogue they get the same costs. The
equal of it in SQL, for stored rows, is `tokentide_sinks.repricing_sql`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tokentide_schemas.block import Block
from tokentide_schemas.catalogue import (
    NO_PRICE,
    TOKEN_COLUMNS,
    Catalogue,
    PriceRow,
    cost_nanousd,
    cost_nanousd_columns,
    match_prices,
)
from tokentide_schemas.event import CostSource, Outcome

FEE_FREE_OUTCOME: Final = Outcome.ERROR
"""A failed attempt pays for the tokens that its provider reports, not the fee per request."""

_MATCHED: Final = ("provider", "model", "request_model", "occurred_at")


def with_computed_costs(block: Block, catalogue: Catalogue) -> Block:
    """The block with the cost of each event that can be priced and that no producer priced.

    Touched are rows with `cost_source` unknown, no cost, and reported usage, for which the catalogue has a price valid
    at `occurred_at`; they get `cost_nanousd`, `cost_source` computed and `price_version`. The variant (`:free`) is read
    from `request_model`. A row whose cost would not fit (damaged token counts) stays unknown. Never raises for data.
    """
    table = block.table
    wanted = _unpriced(table)
    if wanted is None:
        return block
    rows = np.flatnonzero(wanted)
    part = table if len(rows) == table.num_rows else table.take(pa.array(rows))
    part = part.combine_chunks()
    columns = {name: part.column(name).combine_chunks() for name in _MATCHED}
    prices, index = match_prices(catalogue, **columns)
    if not prices:
        return block
    costs = _costs(part, prices, index)
    known = costs.is_valid().to_numpy(zero_copy_only=False)
    rows, index = rows[known], index[known]
    return replace(block, table=_filled(table, rows, costs.drop_null().to_numpy(), index, prices))


def _unpriced(table: pa.Table) -> npt.NDArray[np.bool_] | None:
    """Rows to price; None when there are none, which is found without looking at the rows where possible."""
    cost = table.column("cost_nanousd")
    if not table.num_rows or not cost.null_count:
        return None
    source = _label(table, "cost_source")
    code = source.dictionary.index(CostSource.UNKNOWN.value).as_py()
    if code < 0:
        return None
    wanted: npt.NDArray[np.bool_] = source.indices.to_numpy() == code
    wanted &= cost.is_null().to_numpy()
    wanted &= table.column("usage_reported").to_numpy()
    return wanted if wanted.any() else None


def _costs(part: pa.Table, prices: list[PriceRow], index: npt.NDArray[np.int64]) -> pa.Int64Array:
    outcome = _label(part, "outcome")
    failed = outcome.dictionary.index(FEE_FREE_OUTCOME.value).as_py()
    requests = (outcome.indices.to_numpy() != failed).astype(np.int64)
    tokens = {name: part.column(name).combine_chunks() for name in TOKEN_COLUMNS}
    tool_calls = part.column("tool_calls").combine_chunks()
    try:
        return cost_nanousd_columns(prices, index, tokens=tokens, tool_calls=tool_calls, requests=requests)
    except OverflowError:
        # Some row's counts are damaged, which must not stop the others: find those rows one by one.
        affordable = [
            place == NO_PRICE or _fits(prices[place], part.slice(number, 1), int(requests[number]))
            for number, place in enumerate(index)
        ]
        index = np.where(np.array(affordable, np.bool_), index, NO_PRICE)
        return cost_nanousd_columns(prices, index, tokens=tokens, tool_calls=tool_calls, requests=requests)


def _fits(price: PriceRow, row: pa.Table, requests: int) -> bool:
    tokens = {name: row.column(name)[0].as_py() for name in TOKEN_COLUMNS}
    try:
        cost_nanousd(price, tokens=tokens, tool_calls=row.column("tool_calls")[0].as_py(), requests=requests)
    except OverflowError:
        return False
    return True


def _filled(
    table: pa.Table,
    rows: npt.NDArray[np.int64],
    costs: npt.NDArray[np.int64],
    index: npt.NDArray[np.int64],
    prices: list[PriceRow],
) -> pa.Table:
    column = table.column("cost_nanousd").combine_chunks()
    values = column.fill_null(0).to_numpy().copy()
    missing = column.is_null().to_numpy(zero_copy_only=False).copy()
    values[rows] = costs
    missing[rows] = False
    table = _with_column(table, "cost_nanousd", pa.array(values, mask=missing))
    computed = np.zeros(len(rows), np.int64)
    table = _with_labels(table, "cost_source", rows, [CostSource.COMPUTED.value], computed)
    return _with_labels(table, "price_version", rows, [price.version for price in prices], index)


def _with_labels(
    table: pa.Table, name: str, rows: npt.NDArray[np.int64], labels: list[str], chosen: npt.NDArray[np.int64]
) -> pa.Table:
    """Set a label column at `rows` to `labels[chosen]`, without repeating a value in the dictionary."""
    column = _label(table, name)
    texts = column.dictionary.to_pylist()
    places = {text: number for number, text in enumerate(texts)}
    codes = np.array([places.setdefault(label, len(places)) for label in labels], np.int32)
    indices = column.indices.to_numpy().astype(np.int32)
    indices[rows] = codes[chosen]
    return _with_column(table, name, pa.DictionaryArray.from_arrays(pa.array(indices), pa.array(list(places))))


def _with_column(table: pa.Table, name: str, column: pa.Array) -> pa.Table:
    place = table.schema.get_field_index(name)
    return table.set_column(place, table.schema.field(place).with_type(column.type), column)


def _label(table: pa.Table, name: str) -> pa.DictionaryArray:
    return table.column(name).combine_chunks()
