"""Grouping one block of events: from columns to partial sums by window, segment and dimensions. Pure.

Labels are never handled row by row as text: each row's group is one integer made of its labels' numbers, and only the
groups that occur are looked at again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from tokentide_schemas.cubes import Cube
from tokentide_schemas.dimensions import DERIVED
from tokentide_schemas.event import TOKEN_BUCKETS
from tokentide_stream.labels import Ints, Labels

Flags = npt.NDArray[np.bool_]

SEGMENT_MS: Final = 60_000
FIRST: Final = "first_event"
"""Number of the group's first event in the partition's order of events: who came first is admitted first."""

_TOOL_CALLS: Final = "tool_calls"


def state_schema(cube: Cube) -> dict[str, pl.DataType]:
    """Columns of a cube's partial sums: `window_start_s` (seconds since 1970 UTC), `segment`, dimensions, measures."""
    return {
        "window_start_s": pl.Int64(),
        "segment": pl.Int64(),
        **{name: pl.Int32() if name in DERIVED else pl.String() for name in cube.dimensions},
        **{name: pl.Int64() for name in cube.measures},
    }


def coded_schema(cube: Cube) -> dict[str, pl.DataType]:
    """`state_schema` as it is kept in memory: labels and buckets by their number."""
    return {name: pl.Int32() if name in cube.dimensions else kind for name, kind in state_schema(cube).items()}


def group_keys(cube: Cube) -> list[str]:
    """The columns that identify a row of partial sums."""
    return ["window_start_s", "segment", *cube.dimensions]


def segment_of(tier_s: int) -> str:
    """Column with a row's segment in a tier."""
    return f"segment_{tier_s}"


class Block:
    """A block's columns as numbers, made once and shared by all cubes.

    watermark_ms: what each row's envelope met. first_event: number of the first row in the partition's order.
    """

    def __init__(
        self, table: pa.Table, labels: Labels, watermark_ms: Ints, allowed_lateness_ms: int, first_event: int
    ) -> None:
        self.table = table
        self.occurred_ms: Ints = _chunk(table, "occurred_at").cast(pa.int64()).to_numpy()
        self.first_event = first_event
        self.late_in_any = np.zeros(table.num_rows, np.bool_)
        self.measures = _measured(table)
        self._labels = labels
        self._watermark_ms = watermark_ms
        self._allowed_lateness_ms = allowed_lateness_ms
        self._codes: dict[str, tuple[Ints, int]] = {}
        self._starts: dict[int, Ints] = {}
        self._segments: dict[int, Ints | None] = {}
        self._places: dict[tuple[int, ...], tuple[Ints, int]] = {}

    def codes(self, dimension: str) -> tuple[Ints, int]:
        """Each row's number in a dimension, and how many numbers there are."""
        found = self._codes.get(dimension)
        if found is None:
            derived = DERIVED.get(dimension)
            if derived is None:
                numbers = self._labels.encode(dimension, _chunk(self.table, dimension))
                found = numbers, self._labels.size(dimension)
            else:
                found = derived.buckets.numbers(*derived.compute(self.table)), len(derived.buckets.lowers) + 1
            self._codes[dimension] = found
        return found

    def window(self, window_s: int) -> Ints:
        """Each row's window, numbered since 1970."""
        found = self._starts.get(window_s)
        if found is None:
            found = self._starts[window_s] = self.occurred_ms // (window_s * 1000)
        return found

    def segment(self, window_s: int) -> Ints | None:
        """Each row's segment in windows of a length; None when no row is late."""
        if window_s not in self._segments:
            ends_ms = (self.window(window_s) + 1) * (window_s * 1000) + self._allowed_lateness_ms
            late = ends_ms <= self._watermark_ms
            self._segments[window_s] = np.where(late, self._watermark_ms // SEGMENT_MS, 0) if late.any() else None
        return self._segments[window_s]

    def place(self, cube: Cube) -> tuple[Ints, int]:
        """A number that is the same for rows of the same window and segments, and its upper bound."""
        lengths = (cube.window_s, *cube.tiers)
        found = self._places.get(lengths)
        if found is None:
            columns = [self.window(cube.window_s), *(s for s in map(self.segment, lengths) if s is not None)]
            found = self._places[lengths] = number_rows([ranged(column) for column in columns])
        return found


def _measured(table: pa.Table) -> dict[str, Ints | Flags | None]:
    """What each row adds to each measure but `requests`: numbers, a flag for 1 or 0, None where every row adds 0."""
    tokens = {name: _numbers(table, name)[0] for name in TOKEN_BUCKETS}
    total = np.zeros(table.num_rows, np.int64)
    for values in tokens.values():
        total += values
    cost, cost_known = _numbers(table, "cost_nanousd")
    latency, latency_known = _numbers(table, "latency_ms")
    first_token, first_token_known = _numbers(table, "time_to_first_token_ms")
    byok = _flags(table, "is_byok")
    tool_call = _equals(table, "finish_reason", _TOOL_CALLS)
    weights = _chunk(table, "category_weight").to_numpy().astype(np.float64)
    milli = np.where(_equals(table, "category", ""), 0, np.rint(weights * 1000)).astype(np.int64)
    found = {
        **tokens,
        "usage_missing_requests": ~_flags(table, "usage_reported"),
        "cost_nanousd": cost * ~byok,
        "cost_unknown_requests": ~cost_known,
        "byok_requests": byok,
        "byok_tokens": total * byok,
        "byok_cost_nanousd": cost * byok,
        "streamed_requests": _flags(table, "streamed"),
        "tool_call_requests": tool_call,
        "tool_call_tokens": total * tool_call,
        "latency_known_requests": latency_known,
        "latency_ms_sum": latency,
        "time_to_first_token_known_requests": first_token_known,
        "time_to_first_token_ms_sum": first_token,
        "weighted_requests_milli": milli,
        "weighted_tokens_milli": milli * total,
    }
    return {name: values if values.any() else None for name, values in found.items()}


def _numbers(table: pa.Table, name: str) -> tuple[Ints, Flags]:
    chunk = _chunk(table, name)
    known = chunk.is_valid().to_numpy(zero_copy_only=False) if chunk.null_count else np.ones(len(chunk), np.bool_)
    plain = chunk.fill_null(0) if chunk.null_count else chunk
    return plain.to_numpy().astype(np.int64), known


def _flags(table: pa.Table, name: str) -> Flags:
    values: Flags = _chunk(table, name).to_numpy(zero_copy_only=False)
    return values


def _chunk(table: pa.Table, name: str) -> pa.Array:
    column = table.column(name)
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def _equals(table: pa.Table, name: str, value: str) -> Flags:
    column = _chunk(table, name)
    hits = [number for number, known in enumerate(column.dictionary.to_pylist()) if known == value]
    indices = column.indices.to_numpy()
    return np.isin(indices, hits) if len(hits) > 1 else indices == (hits[0] if hits else -1)


def ranged(values: Ints) -> tuple[Ints, int]:
    """Values moved to begin at 0, and the end of their range."""
    if not len(values):
        return values, 1
    low = int(values.min())
    return values - low, int(values.max()) - low + 1


def number_rows(columns: Sequence[tuple[Ints, int]]) -> tuple[Ints, int]:
    """One integer for each row, equal for rows that are equal in every column, and its upper bound.

    columns: values from 0, and their upper bound.
    """
    key, size = columns[0]
    for column in columns[1:]:
        values, count = column
        if size * count >= 2**62:
            # More combinations than an integer can number: number those that occur.
            key, size = _dense(key)
            values, count = column if size * count < 2**62 else _dense(values)
        key = key * count + values
        size *= count
    return key, size


def _dense(values: Ints) -> tuple[Ints, int]:
    distinct, places = np.unique(values, return_inverse=True)
    return places.astype(np.int64), max(1, len(distinct))


@dataclass(frozen=True, slots=True)
class _Groups:
    """Rows that are equal, numbered. number: of each row. count: of groups. rows: the first row of each group."""

    number: Ints
    count: int
    rows: Ints

    @classmethod
    def of(cls, key: Ints) -> _Groups:
        encoded = pa.array(key).dictionary_encode()
        number = encoded.indices.to_numpy().astype(np.int64)
        count = len(encoded.dictionary)
        rows = np.empty(count, np.int64)
        # Of several writes to one place the last stays: backwards that is the first row.
        rows[number[::-1]] = np.arange(len(number) - 1, -1, -1)
        return cls(number, count, rows)

    def sum(self, values: Ints | Flags | None) -> Ints:
        """The values added up for each group. numpy's `add.at` is twice as fast here as a data frame's group-by."""
        if values is None:
            return np.zeros(self.count, np.int64)
        if values.dtype == np.bool_:
            return np.bincount(self.number[values], minlength=self.count)
        total = np.zeros(self.count, np.int64)
        np.add.at(total, self.number, values)
        return total


def group(cube: Cube, block: Block) -> pl.DataFrame:
    """Partial sums of a block: window, segment of the cube and of each tier, dimensions by number, FIRST, measures."""
    codes = {name: block.codes(name) for name in cube.dimensions}
    key, _ = number_rows([block.place(cube), *codes.values()])
    groups = _Groups.of(key)
    rows = groups.rows
    columns = [pl.Series("window_start_s", block.window(cube.window_s)[rows] * cube.window_s)]
    for name, window_s in [("segment", cube.window_s), *((segment_of(tier), tier) for tier in cube.tiers)]:
        segment = block.segment(window_s)
        columns.append(pl.Series(name, np.zeros(len(rows), np.int64) if segment is None else segment[rows]))
    columns += [pl.Series(name, numbers[rows].astype(np.int32)) for name, (numbers, _) in codes.items()]
    columns.append(pl.Series(FIRST, rows + block.first_event))
    for name in cube.measures:
        sums = (
            np.bincount(groups.number, minlength=len(rows)) if name == "requests" else groups.sum(block.measures[name])
        )
        columns.append(pl.Series(name, sums))
    return pl.DataFrame(columns)


def merge(frames: Sequence[pl.DataFrame], keys: Sequence[str]) -> pl.DataFrame:
    """Add partial sums up by integer columns, in the order of their first rows.

    Of FIRST the first is kept, so frames must come in the partition's order.
    """
    joined = {name: np.concatenate([frame[name].to_numpy() for frame in frames]) for name in frames[0].columns}
    key, _ = number_rows([ranged(joined[name].astype(np.int64)) for name in keys])
    groups = _Groups.of(key)
    if groups.count == len(key):
        return pl.DataFrame(joined)
    kept = {*keys, FIRST}
    return pl.DataFrame(
        {name: values[groups.rows] if name in kept else groups.sum(values) for name, values in joined.items()}
    )


def add(before: pl.DataFrame, fresh: pl.DataFrame, keys: Sequence[str]) -> tuple[pl.DataFrame, Ints, Ints]:
    """Sums `before` plus sums `fresh`; rows of each are distinct.

    Returns all sums, where the rows of `fresh` are in them, and the rows of `before` that were added to.
    """
    old = len(before)
    columns = {name: (before[name].to_numpy(), fresh[name].to_numpy()) for name in before.columns}
    key, _ = number_rows([ranged(np.concatenate(columns[name]).astype(np.int64)) for name in keys])
    found = pc.index_in(pa.array(key[old:]), pa.array(key[:old]))
    matched = found.is_valid().to_numpy(zero_copy_only=False)
    into = found.drop_null().to_numpy()
    place = np.empty(len(fresh), np.int64)
    place[matched] = into
    place[~matched] = old + np.arange(len(fresh) - len(into))
    total = {}
    for name, (first, second) in columns.items():
        total[name] = np.concatenate((first, second[~matched]))
        if name not in keys:
            total[name][into] += second[matched]
    return pl.DataFrame(total), place, into


def decoded(cube: Cube, rows: pl.DataFrame, labels: Labels) -> pl.DataFrame:
    """Rows of `coded_schema` with their labels as text and buckets as lower bounds: `state_schema`."""
    columns = []
    for name in cube.dimensions:
        derived = DERIVED.get(name)
        if derived is None:
            columns.append(labels.decode(name, rows[name]))
        else:
            bounds = np.array([-1, *derived.buckets.lowers], np.int32)
            columns.append(pl.Series(name, bounds[rows[name].to_numpy()]))
    return rows.with_columns(columns).select(list(state_schema(cube)))


def encoded(cube: Cube, rows: pl.DataFrame, labels: Labels) -> pl.DataFrame:
    """The inverse of `decoded`."""
    columns = []
    for name in cube.dimensions:
        derived = DERIVED.get(name)
        if derived is None:
            numbers = [labels.number(name, value) for value in rows[name]]
        else:
            numbers = (np.searchsorted((-1, *derived.buckets.lowers), rows[name].to_numpy())).tolist()
        columns.append(pl.Series(name, numbers, dtype=pl.Int32))
    return rows.with_columns(columns).select(list(coded_schema(cube)))
