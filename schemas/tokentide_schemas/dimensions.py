"""What a cube can group by: label columns of the event, and derived integers that are declared here.

A derived dimension is a bucket of a number. Its SQL over the table `events` and its function over Arrow columns give
the same integers; a test compares them on the edges, and `tokentide verify` does on real data.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tokentide_schemas.buckets import DURATION_MS, TOKEN_COUNTS, TOKENS_PER_S, Buckets, Ints
from tokentide_schemas.event import COLUMNS

Known = npt.NDArray[np.bool_]

OTHER: Final = "__other__"
"""Label under which a cube counts what came after a dimension's limit of distinct values."""


@dataclass(frozen=True, slots=True)
class DerivedDimension:
    """A bucket of a number that follows from the event.

    value_sql, known_sql: the number, and whether it is known, over `events`. compute: both over a table in
    `EVENT_SCHEMA`; where not known the number is 0.
    """

    name: str
    buckets: Buckets
    value_sql: str
    known_sql: str
    compute: Callable[[pa.Table], tuple[Ints, Known]]
    description: str
    clickhouse: str = "Int32"

    @property
    def sql(self) -> str:
        """The dimension over `events`."""
        return self.buckets.sql(self.value_sql, self.known_sql)


def _numbers(table: pa.Table, name: str) -> tuple[Ints, Known]:
    column = table.column(name)
    chunk = column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
    known = chunk.is_valid().to_numpy(zero_copy_only=False) if chunk.null_count else np.ones(len(chunk), np.bool_)
    plain = chunk.fill_null(0) if chunk.null_count else chunk
    return plain.to_numpy(zero_copy_only=False).astype(np.int64), known


def _reported_sum(*names: str) -> Callable[[pa.Table], tuple[Ints, Known]]:
    def compute(table: pa.Table) -> tuple[Ints, Known]:
        total = np.zeros(table.num_rows, np.int64)
        for name in names:
            total += _numbers(table, name)[0]
        reported = _numbers_of_flag(table, "usage_reported")
        return np.where(reported, total, 0), reported

    return compute


def _numbers_of_flag(table: pa.Table, name: str) -> Known:
    values: Known = table.column(name).to_numpy()
    return values


def _output_tokens_per_s(table: pa.Table) -> tuple[Ints, Known]:
    tokens, reported = _OUTPUT(table)
    latency, latency_known = _numbers(table, "latency_ms")
    first, first_known = _numbers(table, "time_to_first_token_ms")
    known = reported & latency_known & first_known & (latency > first) & (tokens > 0)
    return np.where(known, tokens * 1000 // np.maximum(latency - first, 1), 0), known


_OUTPUT = _reported_sum("output_tokens", "output_reasoning_tokens")
_OUTPUT_SQL: Final = "(toInt64(output_tokens) + toInt64(output_reasoning_tokens))"
_LATENCY_SQL: Final = "toInt64(ifNull(latency_ms, 0))"
_FIRST_SQL: Final = "toInt64(ifNull(time_to_first_token_ms, 0))"

DERIVED: Final[dict[str, DerivedDimension]] = {
    dimension.name: dimension
    for dimension in (
        DerivedDimension(
            "time_to_first_token_ms_bucket",
            DURATION_MS,
            _FIRST_SQL,
            "time_to_first_token_ms IS NOT NULL",
            lambda table: _numbers(table, "time_to_first_token_ms"),
            "Time to first token, milliseconds.",
        ),
        DerivedDimension(
            "latency_ms_bucket",
            DURATION_MS,
            _LATENCY_SQL,
            "latency_ms IS NOT NULL",
            lambda table: _numbers(table, "latency_ms"),
            "Time to the end of the response, milliseconds.",
        ),
        DerivedDimension(
            "output_tokens_per_s_bucket",
            TOKENS_PER_S,
            f"intDiv({_OUTPUT_SQL} * 1000, greatest({_LATENCY_SQL} - {_FIRST_SQL}, 1))",
            "usage_reported AND latency_ms IS NOT NULL AND time_to_first_token_ms IS NOT NULL "
            f"AND {_LATENCY_SQL} > {_FIRST_SQL} AND {_OUTPUT_SQL} > 0",
            _output_tokens_per_s,
            "Output and reasoning tokens a second between the first token and the end.",
        ),
        DerivedDimension(
            "input_tokens_bucket",
            TOKEN_COUNTS,
            "(toInt64(input_uncached_tokens) + toInt64(input_cache_read_tokens) + toInt64(input_cache_write_tokens))",
            "usage_reported",
            _reported_sum("input_uncached_tokens", "input_cache_read_tokens", "input_cache_write_tokens"),
            "All prompt tokens of the request.",
        ),
        DerivedDimension(
            "output_tokens_bucket",
            TOKEN_COUNTS,
            _OUTPUT_SQL,
            "usage_reported",
            _OUTPUT,
            "Output and reasoning tokens of the request.",
        ),
    )
}

LABELS: Final = frozenset(name for name, column in COLUMNS.items() if column.clickhouse.startswith("LowCardinality"))
"""Label columns of the event."""

DIMENSIONS: Final = LABELS | DERIVED.keys()


def dimension_type(name: str) -> str:
    """ClickHouse type of a dimension."""
    return DERIVED[name].clickhouse if name in DERIVED else "LowCardinality(String)"


def dimension_sql(name: str, table: str) -> str:
    """A dimension's value over `events`; a label comes as plain String of the table alias `table`."""
    return DERIVED[name].sql if name in DERIVED else f"toString({table}.{name})"
