"""Cubes: which dimensions and measures the stream rolls up, declared as data.

A measure is a sum over the events of a group, as an exact integer, so partial sums of any split of the events add up to
the same total.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from tokentide_schemas.event import COLUMNS, TOKEN_BUCKETS


@dataclass(frozen=True, slots=True)
class Measure:
    """A sum. `sql` is the same value as an aggregate over the table `events`: `tokentide verify` compares the two."""

    name: str
    sql: str
    description: str


TOTAL_TOKENS_SQL: Final = "(" + " + ".join(f"toUInt64({bucket})" for bucket in TOKEN_BUCKETS) + ")"

MEASURES: Final[tuple[Measure, ...]] = (
    Measure("requests", "count()", "Request attempts."),
    Measure("usage_missing_requests", "countIf(NOT usage_reported)", "Attempts whose provider reported no usage."),
    *(Measure(bucket, f"sum(toInt64({bucket}))", f"Sum of {bucket} over the attempts.") for bucket in TOKEN_BUCKETS),
    Measure("cost_nanousd", "sumIf(ifNull(cost_nanousd, 0), NOT is_byok)", "Known cost, own-key traffic excluded."),
    Measure("cost_unknown_requests", "countIf(cost_nanousd IS NULL)", "Attempts whose cost is unknown."),
    Measure("byok_requests", "countIf(is_byok)", "Attempts on the client's own provider key."),
    Measure("byok_tokens", f"toInt64(sumIf({TOTAL_TOKENS_SQL}, is_byok))", "Tokens of own-key traffic."),
    Measure("byok_cost_nanousd", "sumIf(ifNull(cost_nanousd, 0), is_byok)", "Known cost of own-key traffic."),
    Measure("streamed_requests", "countIf(streamed)", "Attempts with a streamed response."),
    Measure("tool_call_requests", "countIf(finish_reason = 'tool_calls')", "Attempts that ended in a tool call."),
    Measure(
        "tool_call_tokens",
        f"toInt64(sumIf({TOTAL_TOKENS_SQL}, finish_reason = 'tool_calls'))",
        "Tokens of attempts that ended in a tool call.",
    ),
    Measure("latency_known_requests", "countIf(latency_ms IS NOT NULL)", "Attempts with a known latency."),
    Measure("latency_ms_sum", "sum(toInt64(ifNull(latency_ms, 0)))", "Sum of the known latencies, milliseconds."),
    Measure(
        "time_to_first_token_known_requests",
        "countIf(time_to_first_token_ms IS NOT NULL)",
        "Attempts with a known time to first token.",
    ),
    Measure(
        "time_to_first_token_ms_sum",
        "sum(toInt64(ifNull(time_to_first_token_ms, 0)))",
        "Sum of the known times to first token, milliseconds.",
    ),
)
MEASURE_NAMES: Final = tuple(measure.name for measure in MEASURES)


@dataclass(frozen=True, slots=True)
class Cube:
    """Events grouped by `dimensions` (label columns of the event) in event-time windows of `window_s` seconds."""

    name: str
    dimensions: tuple[str, ...]
    window_s: int = 60

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z][a-z0-9_]{0,31}", self.name):
            raise ValueError(f"cube name {self.name!r}: use lower-case letters, digits and _ (at most 32)")
        for dimension in self.dimensions:
            if dimension not in COLUMNS or not COLUMNS[dimension].clickhouse.startswith("LowCardinality"):
                raise ValueError(f"cube {self.name}: {dimension!r} is not a label column of the usage event")
        if len(set(self.dimensions)) != len(self.dimensions) or not self.dimensions:
            raise ValueError(f"cube {self.name}: give each dimension once, and at least one")
        if self.window_s <= 0 or 86_400 % self.window_s:
            raise ValueError(f"cube {self.name}: window_s must divide a day (86400 s)")

    @property
    def partials_table(self) -> str:
        """ClickHouse table of the cube's versioned partials."""
        return f"rollup_{self.name}_partials"


MODEL_CUBE: Final = Cube("model", ("model", "provider", "category", "outcome"))
CUBES: Final[tuple[Cube, ...]] = (MODEL_CUBE,)
"""Cubes that every installation has; a configuration file may add more."""
