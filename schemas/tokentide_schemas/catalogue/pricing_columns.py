"""The same cost as `pricing.cost_nanousd`, for whole columns of events at once. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tokentide_schemas.catalogue.pricing import (
    CONTEXT_COLUMNS,
    MAX_COST_NANOUSD,
    MAX_TOKENS_PER_BUCKET,
    TOKEN_BUCKETS,
    TOKEN_COLUMNS,
    TOKENS_PER_PRICE_UNIT,
    PriceRow,
    out_of_range,
    too_expensive,
)

IntArray = npt.NDArray[np.int64]
NO_PRICE = -1


def cost_nanousd_columns(
    prices: Sequence[PriceRow],
    price_index: Any,
    *,
    tokens: Mapping[str, Any],
    tool_calls: Any = None,
    requests: Any = None,
) -> pa.Int64Array:
    """The cost of each event in nano-USD; null where `price_index` is NO_PRICE.

    `price_index` holds each event's place in `prices`. The columns are numpy integer arrays or pyarrow arrays without
    nulls and of equal length: one for each of the TOKEN_COLUMNS that the events have, `tool_calls` (none: 0) and
    `requests` (none: 1, see `cost_nanousd`).

    Every result equals `cost_nanousd` of the same event, and the same errors are raised: ValueError for an unknown
    bucket, a null, columns of unequal length or a count out of range; OverflowError for a cost that is too large.
    """
    unknown = sorted(set(tokens) - set(TOKEN_COLUMNS))
    if unknown:
        raise ValueError(f"cost columns: unknown bucket {', '.join(unknown)}: use {', '.join(TOKEN_COLUMNS)}")
    index = _integers("price_index", price_index)
    rows = len(index)
    known = index != NO_PRICE
    if rows and (index.min() < NO_PRICE or index.max() >= len(prices)):
        raise ValueError(f"cost columns: price_index must be {NO_PRICE} or a place in the {len(prices)} prices given")
    counts = {name: _counts(name, tokens.get(name), rows, 0) for name in TOKEN_COLUMNS}
    calls = _counts("tool_calls", tool_calls, rows, 0)
    charged_requests = _counts("requests", requests, rows, 1)
    if not known.any():
        return pa.nulls(rows, pa.int64())

    # Events without a price are computed with the first row, and masked at the end.
    row = np.where(known, index, 0)
    minimum, rates, per_request, per_call = _tables(prices)
    context = np.sum([counts[name] for name in CONTEXT_COLUMNS], axis=0)
    tier = np.zeros(rows, dtype=np.int64)
    for number in range(1, minimum.shape[1]):
        tier[context >= minimum[row, number]] = number

    _refuse_overflow(prices, row, tier, known, rates, counts, calls, charged_requests)
    # tokens x price may not fit 64 bits before the division, so whole nano-USD and the rest are summed apart:
    # the first sum is at most the cost itself, the second at most 7 buckets x 10^12 tokens x 10^6.
    whole = charged_requests * per_request[row] + calls * per_call[row]
    millionths = np.zeros(rows, dtype=np.int64)
    for place, name in enumerate(TOKEN_COLUMNS):
        rate = rates[row, tier, place]
        whole += counts[name] * (rate // TOKENS_PER_PRICE_UNIT)
        millionths += counts[name] * (rate % TOKENS_PER_PRICE_UNIT)
    cost = whole + (millionths + TOKENS_PER_PRICE_UNIT // 2) // TOKENS_PER_PRICE_UNIT
    return pa.array(cost, mask=~known)


def _tables(prices: Sequence[PriceRow]) -> tuple[IntArray, IntArray, IntArray, IntArray]:
    depth = max(len(price.tiers) for price in prices)
    minimum = np.full((len(prices), depth), np.iinfo(np.int64).max, dtype=np.int64)
    rates = np.zeros((len(prices), depth, len(TOKEN_BUCKETS)), dtype=np.int64)
    for number, price in enumerate(prices):
        for place, tier in enumerate(price.tiers):
            minimum[number, place] = tier.min_input_tokens
            rates[number, place] = tier.nanousd_per_million_tokens
    per_request = np.array([price.per_request_nanousd for price in prices], dtype=np.int64)
    per_call = np.array([price.per_tool_call_nanousd for price in prices], dtype=np.int64)
    return minimum, rates, per_request, per_call


def _refuse_overflow(
    prices: Sequence[PriceRow],
    row: IntArray,
    tier: IntArray,
    known: npt.NDArray[np.bool_],
    rates: IntArray,
    counts: Mapping[str, IntArray],
    calls: IntArray,
    requests: IntArray,
) -> None:
    """Raises OverflowError for the first event whose cost is above the limit, before 64-bit sums could wrap round."""
    each = np.stack([counts[name] for name in TOKEN_COLUMNS], axis=1).astype(np.float64)
    estimate = (each * rates[row, tier]).sum(axis=1) / TOKENS_PER_PRICE_UNIT
    fees = np.array([(p.per_request_nanousd, p.per_tool_call_nanousd) for p in prices], dtype=np.float64)[row]
    estimate += requests * fees[:, 0] + calls * fees[:, 1]
    # The float estimate is within a part in 10^12, so only events this near the limit need exact integers.
    for number in np.flatnonzero(known & (estimate > MAX_COST_NANOUSD * (1 - 1e-9))):
        price = prices[row[number]]
        at = rates[row[number], tier[number]]
        millionths = sum(int(counts[name][number]) * int(at[place]) for place, name in enumerate(TOKEN_COLUMNS))
        cost = (millionths + TOKENS_PER_PRICE_UNIT // 2) // TOKENS_PER_PRICE_UNIT
        cost += int(requests[number]) * price.per_request_nanousd + int(calls[number]) * price.per_tool_call_nanousd
        if cost > MAX_COST_NANOUSD:
            raise OverflowError(too_expensive(price, cost))


def _integers(name: str, column: Any) -> IntArray:
    if isinstance(column, (pa.Array, pa.ChunkedArray)):
        if column.null_count:
            raise ValueError(f"cost columns: {name} has {column.null_count} nulls: fill them or leave those events out")
        column = column.to_numpy(zero_copy_only=False) if isinstance(column, pa.Array) else column.to_numpy()
    array = np.asarray(column)
    if array.ndim != 1 or (array.size and array.dtype.kind not in "iu"):
        raise ValueError(f"cost columns: {name} is {array.dtype} with {array.ndim} dimensions: give one integer column")
    if array.dtype == np.uint64 and array.size and array.max() > MAX_TOKENS_PER_BUCKET:
        raise ValueError(out_of_range(name, int(array.max())))
    return array.astype(np.int64)


def _counts(name: str, column: Any, rows: int, default: int) -> IntArray:
    if column is None:
        return np.full(rows, default, dtype=np.int64)
    array = _integers(name, column)
    if len(array) != rows:
        raise ValueError(f"cost columns: {name} has {len(array)} values for {rows} events: give one for each event")
    for worst in (array.min(initial=0), array.max(initial=0)):
        if not 0 <= worst <= MAX_TOKENS_PER_BUCKET:
            raise ValueError(out_of_range(name, int(worst)))
    return array
