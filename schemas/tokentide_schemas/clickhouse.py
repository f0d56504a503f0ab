"""ClickHouse tables and views, derived from the usage event and the cubes. Pure text; sinks/ runs it as migrations."""

from __future__ import annotations

from typing import Final

from tokentide_schemas.alert_delivery_tables import alert_delivery_statements
from tokentide_schemas.alert_tables import alert_statements
from tokentide_schemas.catalogue_tables import (
    ROLLUP_MODELS_VIEWS,
    catalogue_statements,
    continent_column,
    model_columns,
    rollup_models_view,
)
from tokentide_schemas.cubes import TOTAL_TOKENS_SQL, Cube, stored_cubes
from tokentide_schemas.dead_letter_tables import DEAD_LETTER_STATEMENTS
from tokentide_schemas.dimensions import DERIVED, dimension_type
from tokentide_schemas.erasure_tables import ERASURES
from tokentide_schemas.event import COLUMNS, TOKEN_BUCKETS
from tokentide_schemas.published import published_statements
from tokentide_schemas.repricing_tables import repricing_statements
from tokentide_schemas.rollup_sums import SUMMED_WEEKS, has_sums, partition_key, sums_table
from tokentide_schemas.share_tables import share_statements
from tokentide_schemas.user_tables import user_statements

DEDUPLICATION_WINDOW: Final = 10_000
"""Insert tokens that a table remembers: hours at an insert a second, where a retry comes within seconds."""

ORIGIN_COLUMNS: Final[dict[str, tuple[str, str]]] = {
    "ingested_at": ("DateTime64(3, 'UTC')", "Delta, ZSTD(1)"),
    "kafka_topic": ("LowCardinality(String)", "ZSTD(1)"),
    "kafka_partition": ("UInt16", "ZSTD(1)"),
    "kafka_offset": ("UInt64", "Delta, ZSTD(1)"),
    "producer_id": ("LowCardinality(String)", "ZSTD(1)"),
    "producer_sequence": ("Nullable(UInt64)", "ZSTD(1)"),
}
"""Columns of `events` that the raw sink adds: when it stored the row and where in the log the row was."""


def events_table() -> str:
    """The raw table: one row for each accepted event."""
    lines = [f"    {name} {column.clickhouse} CODEC({column.codec})" for name, column in COLUMNS.items()]
    lines += [f"    {name} {kind} CODEC({codec})" for name, (kind, codec) in ORIGIN_COLUMNS.items()]
    columns = ",\n".join(lines)
    return f"""CREATE TABLE IF NOT EXISTS events
(
{columns}
)
ENGINE = ReplacingMergeTree
PARTITION BY toDate(occurred_at)
ORDER BY (occurred_at, event_id)
SETTINGS non_replicated_deduplication_window = {DEDUPLICATION_WINDOW}"""


def partials_table(cube: Cube) -> str:
    """A cube's partials: absolute values of one source partition, the newest version of a row wins.

    `segment` is 0 for what came in time; what came after the window's close is in further, additive segments.
    """
    dimensions = "\n".join(f"    {d} {dimension_type(d)} CODEC(ZSTD(1))," for d in cube.dimensions)
    measures = "\n".join(f"    {name} Int64 CODEC(T64, ZSTD(1))," for name in cube.measures)
    key = ", ".join(("window_start", *cube.dimensions, "source_epoch", "source_partition", "segment"))
    return f"""CREATE TABLE IF NOT EXISTS {cube.partials_table}
(
    window_start DateTime('UTC') CODEC(Delta, ZSTD(1)),
{dimensions}
    source_epoch LowCardinality(String) CODEC(ZSTD(1)),
    source_partition UInt16 CODEC(ZSTD(1)),
    segment UInt32 CODEC(ZSTD(1)),
    version UInt64 CODEC(ZSTD(1)),
{measures}
    emitted_at DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1))
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY {partition_key(cube)}
ORDER BY ({key})"""


def rollup_view(cube: Cube, name: str) -> str:
    """The cube as analysts read it: one row for each window and group, over all partitions and segments.

    Windows before the cube was counted in every partition are left out: they would look complete and are not. A
    bucket dimension comes with its estimate: `quantileExactWeighted(0.95)(estimate, toUInt64(requests))`.
    """
    keys = ", ".join(("window_start", *cube.dimensions))
    columns = [f"sum(p.{measure}) AS {measure}" for measure in cube.measures]
    tokens = [bucket for bucket in TOKEN_BUCKETS if bucket in cube.measures]
    if tokens:
        columns.append(" + ".join(f"sum(p.{bucket})" for bucket in tokens) + " AS total_tokens")
    for dimension in cube.dimensions:
        if dimension in DERIVED:
            estimate = DERIVED[dimension].buckets.estimate_sql(f"p.{dimension}")
            columns.append(f"{estimate} AS {dimension.removesuffix('_bucket')}_estimate")
    columns += ["sumIf(p.requests, p.segment > 0) AS late_requests", "max(p.emitted_at) AS updated_at"]
    selected = ",\n".join(f"    {column}" for column in columns)
    return f"""CREATE OR REPLACE VIEW {name} AS
SELECT
    {keys},
{selected}
FROM {cube.partials_table} AS p FINAL
WHERE window_start >= (SELECT max(counted_from) FROM stream_coverage WHERE cube = '{cube.name}')
GROUP BY {keys}"""


LEDGER: Final = f"""CREATE TABLE IF NOT EXISTS ingest_ledger
(
    topic LowCardinality(String) CODEC(ZSTD(1)),
    epoch LowCardinality(String) CODEC(ZSTD(1)),
    partition UInt16 CODEC(ZSTD(1)),
    offset UInt64 CODEC(Delta, ZSTD(1)),
    appended_at DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    producer_id LowCardinality(String) CODEC(ZSTD(1)),
    producer_sequence Nullable(UInt64) CODEC(ZSTD(1)),
    events UInt32 CODEC(ZSTD(1)),
    admitted Bool CODEC(ZSTD(1)),
    oldest_occurred_at DateTime64(3, 'UTC') CODEC(ZSTD(1)),
    stored_events UInt32 CODEC(ZSTD(1)),
    duplicate_events UInt32 CODEC(ZSTD(1)),
    rejected_events UInt32 CODEC(ZSTD(1)),
    recorded_at DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    sender_event_ids String CODEC(ZSTD(1)) TTL toDateTime(recorded_at) + INTERVAL 8 DAY
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(appended_at)
ORDER BY (topic, epoch, partition, offset)
SETTINGS non_replicated_deduplication_window = {DEDUPLICATION_WINDOW}"""
"""One row for each record of the usage topic: what became of its events.

`sender_event_ids` is the sinks' own: the ids of a record without identity, 16 bytes each, from which a sink that takes
over a partition knows which events came before. It outlives the topic's records and no more.
"""

WATERMARKS: Final = """CREATE TABLE IF NOT EXISTS stream_watermarks
(
    topic LowCardinality(String),
    epoch LowCardinality(String),
    partition UInt16,
    applied_offset UInt64,
    watermark DateTime64(3, 'UTC'),
    applied_events UInt64,
    emitted_at DateTime64(3, 'UTC'),
    published_offset Int64 DEFAULT -1,
    published_watermark DateTime64(3, 'UTC')
)
ENGINE = ReplacingMergeTree(applied_offset)
ORDER BY (topic, epoch, partition)"""
"""Up to where the live cubes are stored (applied), and every cube and tier (published), in each partition."""

COVERAGE: Final = """CREATE TABLE IF NOT EXISTS stream_coverage
(
    cube LowCardinality(String),
    topic LowCardinality(String),
    epoch LowCardinality(String),
    partition UInt16,
    counted_from DateTime('UTC')
)
ENGINE = ReplacingMergeTree(counted_from)
ORDER BY (cube, topic, epoch, partition)"""
"""First complete window of a cube that was added while events were flowing. A cube without rows covers everything."""

SAMPLES: Final = """CREATE TABLE IF NOT EXISTS pipeline_samples
(
    sampled_at DateTime('UTC') CODEC(Delta, ZSTD(1)),
    component LowCardinality(String) CODEC(ZSTD(1)),
    topic LowCardinality(String) CODEC(ZSTD(1)),
    partition UInt16 CODEC(ZSTD(1)),
    position_offset UInt64 CODEC(ZSTD(1)),
    end_offset UInt64 CODEC(ZSTD(1)),
    lag_records UInt64 CODEC(ZSTD(1)),
    lag_ms UInt64 CODEC(ZSTD(1))
)
ENGINE = MergeTree
PARTITION BY toDate(sampled_at)
ORDER BY (component, sampled_at, topic, partition)
TTL sampled_at + INTERVAL 14 DAY"""
"""Where each consumer of the pipeline stands, every few seconds. lag_ms: age of the newest record that it finished."""


USAGE_VIEW: Final = f"""CREATE OR REPLACE VIEW usage AS
SELECT
    * EXCEPT (session_hash, user_hash, api_key_hash),
    if(session_hash = toFixedString('', 16), NULL, lower(hex(session_hash))) AS session_hash,
    if(user_hash = toFixedString('', 16), NULL, lower(hex(user_hash))) AS user_hash,
    if(api_key_hash = toFixedString('', 16), NULL, lower(hex(api_key_hash))) AS api_key_hash,
    toUInt64(input_uncached_tokens) + input_cache_read_tokens + input_cache_write_tokens AS total_input_tokens,
    {TOTAL_TOKENS_SQL} AS total_tokens,
    cost_nanousd / 1e9 AS cost_usd,
    {model_columns("model")},
    {continent_column("country")}
FROM events"""


def base_statements() -> list[str]:
    """What every database has, whichever cubes are configured, in order, each safe to run again."""
    return [
        events_table(),
        LEDGER,
        *DEAD_LETTER_STATEMENTS,
        ERASURES,
        WATERMARKS,
        COVERAGE,
        SUMMED_WEEKS,
        SAMPLES,
        *catalogue_statements(),
        *repricing_statements(),
        *user_statements(),
        USAGE_VIEW,
        *published_statements(),
    ]


def cube_statements(cubes: tuple[Cube, ...]) -> list[str]:
    """Tables and views of cubes and their tiers, each safe to run again."""
    stored = stored_cubes(cubes)
    tables = [partials_table(cube) for cube in stored] + [sums_table(cube) for cube in stored if has_sums(cube)]
    return tables + [rollup_view(part, name) for cube in cubes for name, part in cube.views.items()]


def statements(cubes: tuple[Cube, ...]) -> list[str]:
    """Everything that an empty database needs, in order, each safe to run again."""
    views = [rollup_models_view(name, rollup) for name, rollup in ROLLUP_MODELS_VIEWS.items()]
    return (
        base_statements()
        + cube_statements(cubes)
        + views
        + share_statements()
        + alert_statements()
        + alert_delivery_statements()
    )
