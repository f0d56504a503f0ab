"""Grouping one block of events: from columns to partial sums by window, segment and dimensions. Pure.

Labels are never decoded row by row: each row's group is one integer made of its dictionary indices, and only the groups
that occur are turned back into text.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from tokentide_schemas.cubes import MEASURE_NAMES, Cube
from tokentide_schemas.event import TOKEN_BUCKETS

Ints = npt.NDArray[np.int64]

_NUMBERS: Final = (*TOKEN_BUCKETS, "cost_nanousd", "latency_ms", "time_to_first_token_ms")
_FLAGS: Final = ("usage_reported", "is_byok", "streamed")
_TOOL_CALLS: Final = "tool_calls"


def state_schema(cube: Cube) -> dict[str, pl.DataType]:
    """Columns of a cube's partial sums: `window_start_s` (seconds since 1970 UTC), `segment`, dimensions, measures."""
    return {
        "window_start_s": pl.Int64(),
        "segment": pl.Int64(),
        **{name: pl.String() for name in cube.dimensions},
        **{name: pl.Int64() for name in MEASURE_NAMES},
    }


def group_keys(cube: Cube) -> list[str]:
    """The columns that identify a row of partial sums."""
    return ["window_start_s", "segment", *cube.dimensions]


@dataclass(frozen=True, slots=True)
class Prepared:
    """A block's numeric columns as the measures need them, shared by all cubes."""

    table: pa.Table
    frame: pl.DataFrame
    occurred_ms: Ints


def prepare(table: pa.Table) -> Prepared:
    """Pull out what every cube needs."""
    frame = pl.from_arrow(table.select([*_NUMBERS, *_FLAGS]))
    assert isinstance(frame, pl.DataFrame)
    finish = _chunk(table, "finish_reason")
    code = finish.dictionary.index(_TOOL_CALLS).as_py()
    is_tool_call = finish.indices.to_numpy() == code if code >= 0 else np.zeros(table.num_rows, np.bool_)
    total = pl.sum_horizontal([pl.col(bucket).cast(pl.Int64) for bucket in TOKEN_BUCKETS])
    frame = frame.with_columns(
        pl.Series("is_tool_call", is_tool_call),
        total.alias("total_tokens"),
        pl.col("cost_nanousd").fill_null(0).alias("known_cost_nanousd"),
    )
    occurred_ms = _chunk(table, "occurred_at").cast(pa.int64()).to_numpy()
    return Prepared(table, frame, occurred_ms)


def _chunk(table: pa.Table, name: str) -> pa.Array:
    column = table.column(name)
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def _sum(expression: pl.Expr, name: str) -> pl.Expr:
    return expression.cast(pl.Int64).sum().alias(name)


def _measures() -> list[pl.Expr]:
    byok = pl.col("is_byok")
    known = pl.col("known_cost_nanousd")
    zero = pl.lit(0, pl.Int64)
    by_name = {
        "requests": pl.len().cast(pl.Int64),
        "usage_missing_requests": _sum(~pl.col("usage_reported"), "usage_missing_requests"),
        **{bucket: _sum(pl.col(bucket), bucket) for bucket in TOKEN_BUCKETS},
        "cost_nanousd": _sum(pl.when(byok).then(zero).otherwise(known), "cost_nanousd"),
        "cost_unknown_requests": _sum(pl.col("cost_nanousd").is_null(), "cost_unknown_requests"),
        "byok_requests": _sum(byok, "byok_requests"),
        "byok_tokens": _sum(pl.when(byok).then(pl.col("total_tokens")).otherwise(zero), "byok_tokens"),
        "byok_cost_nanousd": _sum(pl.when(byok).then(known).otherwise(zero), "byok_cost_nanousd"),
        "streamed_requests": _sum(pl.col("streamed"), "streamed_requests"),
        "tool_call_requests": _sum(pl.col("is_tool_call"), "tool_call_requests"),
        "tool_call_tokens": _sum(
            pl.when(pl.col("is_tool_call")).then(pl.col("total_tokens")).otherwise(zero), "tool_call_tokens"
        ),
    }
    for column in ("latency_ms", "time_to_first_token_ms"):
        prefix = column.removesuffix("_ms")
        by_name[f"{prefix}_known_requests"] = _sum(pl.col(column).is_not_null(), f"{prefix}_known_requests")
        by_name[f"{column}_sum"] = _sum(pl.col(column).fill_null(0), f"{column}_sum")
    return [by_name[name].alias(name) for name in MEASURE_NAMES]


_MEASURES: Final = _measures()


def _dense(values: Ints) -> tuple[Ints, Ints]:
    """Distinct values and, for each row, the number of its value: cheap where there are few, as windows are."""
    low = int(values.min())
    span = int(values.max()) - low + 1
    if span <= 4_096:
        present = np.bincount(values - low, minlength=span) > 0
        distinct = np.flatnonzero(present) + low
        return distinct, (np.cumsum(present) - 1)[values - low]
    distinct, codes = np.unique(values, return_inverse=True)
    return distinct, codes


def group(cube: Cube, block: Prepared, segment: Ints) -> pl.DataFrame:
    """Partial sums of a block for one cube, columns of `state_schema`. The row order is arbitrary.

    `segment`: one value for each row, 0 for events in time.
    """
    starts, window_codes = _dense(block.occurred_ms // (cube.window_s * 1000))
    segments, segment_codes = _dense(segment)
    columns = [_chunk(block.table, name) for name in cube.dimensions]
    parts: list[tuple[Ints, int]] = [(window_codes, len(starts)), (segment_codes, len(segments))]
    parts += [(column.indices.to_numpy(), len(column.dictionary)) for column in columns]
    if math.prod(count for _, count in parts) >= 2**62:
        return _group_by_text(cube, block, segment)
    key = np.zeros(block.table.num_rows, np.int64)
    for codes, count in parts:
        key *= count
        key += codes
    grouped = block.frame.with_columns(pl.Series("key", key)).group_by("key").agg(_MEASURES)
    rest = grouped["key"].to_numpy().copy()
    decoded: dict[str, pl.Series] = {}
    for name, column, (_, count) in reversed(list(zip(cube.dimensions, columns, parts[2:], strict=True))):
        values = column.dictionary.take(pa.array(rest % count))
        decoded[name] = pl.Series(name, pl.from_arrow(values)).cast(pl.String)
        rest //= count
    decoded["segment"] = pl.Series("segment", segments[rest % len(segments)], dtype=pl.Int64)
    decoded["window_start_s"] = pl.Series(
        "window_start_s", starts[rest // len(segments)] * cube.window_s, dtype=pl.Int64
    )
    return grouped.drop("key").with_columns(decoded.values()).select(list(state_schema(cube)))


def _group_by_text(cube: Cube, block: Prepared, segment: Ints) -> pl.DataFrame:
    """The same sums for a block whose dictionaries are so large that no integer can number the combinations.

    Dictionaries may be full of values that no row uses, so a small envelope is enough to get here.
    """
    labels = [pl.Series(name, pl.from_arrow(_chunk(block.table, name).cast(pa.utf8()))) for name in cube.dimensions]
    starts = pl.Series("window_start_s", block.occurred_ms // (cube.window_s * 1000) * cube.window_s, dtype=pl.Int64)
    frame = block.frame.with_columns(starts, pl.Series("segment", segment, dtype=pl.Int64), *labels)
    return frame.group_by(group_keys(cube)).agg(_MEASURES).select(list(state_schema(cube)))


def merge(cube: Cube, frames: list[pl.DataFrame]) -> pl.DataFrame:
    """Add partial sums up."""
    return (
        pl.concat(frames)
        .group_by(group_keys(cube))
        .agg([pl.col(name).sum() for name in MEASURE_NAMES])
        .select(list(state_schema(cube)))
    )
