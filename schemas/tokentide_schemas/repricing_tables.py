"""ClickHouse tables and the dictionary of a recomputation of stored costs. Pure text; sinks/ fills them."""

from __future__ import annotations

from typing import Final

from tokentide_schemas.catalogue_tables import DICTIONARY_ACCOUNT

CORRECTION_SEGMENT: Final = 4_294_967_295
CORRECTION_PARTITION: Final = 65_535
CORRECTION_EPOCH: Final = "repricing"
"""Where corrections stand in a cube's partials: no worker writes this segment, partition or epoch."""

CORRECTED_MEASURES: Final = ("cost_nanousd", "cost_unknown_requests", "byok_cost_nanousd")
"""Measures that a corrected cost changes. All others of a correction row are 0."""

RUNS: Final = """CREATE TABLE IF NOT EXISTS repricing_runs
(
    run UInt64,
    catalogue_version String,
    since DateTime64(3, 'UTC'),
    until DateTime64(3, 'UTC'),
    events UInt64,
    delta_nanousd Int64,
    correction_rows UInt64,
    started_at DateTime64(3, 'UTC'),
    finished_at DateTime64(3, 'UTC')
)
ENGINE = ReplacingMergeTree(finished_at)
ORDER BY run"""
"""Recomputations. finished_at is 1970-01-01 for one that was not carried out to the end."""

PRICES: Final = """CREATE TABLE IF NOT EXISTS repricing_prices
(
    run UInt64,
    provider String,
    model String,
    request_model String,
    first_ms Int64,
    last_ms Int64,
    version String,
    min_input_tokens Array(Int64),
    nanousd_per_million Array(Int64),
    per_request_nanousd Int64,
    per_tool_call_nanousd Int64
)
ENGINE = MergeTree
PARTITION BY run
ORDER BY (provider, model, request_model, first_ms)"""
"""What each combination of names in the traffic costs from first_ms to last_ms (both included), for one run.
nanousd_per_million: the prices of all token buckets, tier after tier."""

PRICES_CURRENT: Final = """CREATE OR REPLACE VIEW repricing_prices_current AS
SELECT * EXCEPT (run)
FROM repricing_prices
WHERE run = (SELECT max(run) FROM repricing_prices)"""

DICTIONARY: Final = f"""CREATE DICTIONARY IF NOT EXISTS repricing
(
    provider String,
    model String,
    request_model String,
    first_ms Int64,
    last_ms Int64,
    version String DEFAULT '',
    min_input_tokens Array(Int64),
    nanousd_per_million Array(Int64),
    per_request_nanousd Int64 DEFAULT 0,
    per_tool_call_nanousd Int64 DEFAULT 0
)
PRIMARY KEY provider, model, request_model
SOURCE(CLICKHOUSE(TABLE 'repricing_prices_current' {DICTIONARY_ACCOUNT}))
LAYOUT(COMPLEX_KEY_RANGE_HASHED())
RANGE(MIN first_ms MAX last_ms)
LIFETIME(0)"""
"""Renewed only by the command that recomputes: it must not change while a mutation reads it."""


def repricing_statements() -> list[str]:
    """Everything that recomputing needs, in order, each safe to run again."""
    return [RUNS, PRICES, PRICES_CURRENT, DICTIONARY]
