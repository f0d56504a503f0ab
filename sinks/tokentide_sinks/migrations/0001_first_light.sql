CREATE TABLE IF NOT EXISTS events
(
    event_id UUID CODEC(ZSTD(1)),
    request_id String CODEC(ZSTD(1)),
    attempt UInt8 CODEC(ZSTD(1)),
    is_final_attempt Bool CODEC(ZSTD(1)),
    session_hash FixedString(16) CODEC(ZSTD(1)),
    source LowCardinality(String) CODEC(ZSTD(1)),
    gateway LowCardinality(String) CODEC(ZSTD(1)),
    gateway_region LowCardinality(String) CODEC(ZSTD(1)),
    occurred_at DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    operation LowCardinality(String) CODEC(ZSTD(1)),
    request_model LowCardinality(String) CODEC(ZSTD(1)),
    model LowCardinality(String) CODEC(ZSTD(1)),
    provider LowCardinality(String) CODEC(ZSTD(1)),
    category LowCardinality(String) CODEC(ZSTD(1)),
    subcategory LowCardinality(String) CODEC(ZSTD(1)),
    category_source LowCardinality(String) CODEC(ZSTD(1)),
    category_confidence Nullable(Float32) CODEC(ZSTD(1)),
    category_weight Float32 CODEC(ZSTD(1)),
    app LowCardinality(String) CODEC(ZSTD(1)),
    tenant LowCardinality(String) CODEC(ZSTD(1)),
    user_hash FixedString(16) CODEC(ZSTD(1)),
    api_key_hash FixedString(16) CODEC(ZSTD(1)),
    country LowCardinality(String) CODEC(ZSTD(1)),
    language LowCardinality(String) CODEC(ZSTD(1)),
    input_uncached_tokens UInt32 CODEC(T64, ZSTD(1)),
    input_cache_read_tokens UInt32 CODEC(T64, ZSTD(1)),
    input_cache_write_tokens UInt32 CODEC(T64, ZSTD(1)),
    output_tokens UInt32 CODEC(T64, ZSTD(1)),
    output_reasoning_tokens UInt32 CODEC(T64, ZSTD(1)),
    audio_tokens UInt32 CODEC(T64, ZSTD(1)),
    image_tokens UInt32 CODEC(T64, ZSTD(1)),
    usage_reported Bool CODEC(ZSTD(1)),
    cost_nanousd Nullable(Int64) CODEC(ZSTD(1)),
    cost_source LowCardinality(String) CODEC(ZSTD(1)),
    price_version LowCardinality(String) CODEC(ZSTD(1)),
    is_byok Bool CODEC(ZSTD(1)),
    outcome LowCardinality(String) CODEC(ZSTD(1)),
    finish_reason LowCardinality(String) CODEC(ZSTD(1)),
    error_type LowCardinality(String) CODEC(ZSTD(1)),
    http_status UInt16 CODEC(T64, ZSTD(1)),
    streamed Bool CODEC(ZSTD(1)),
    tools_offered UInt16 CODEC(T64, ZSTD(1)),
    tool_calls UInt16 CODEC(T64, ZSTD(1)),
    time_to_first_token_ms Nullable(UInt32) CODEC(ZSTD(1)),
    latency_ms Nullable(UInt32) CODEC(ZSTD(1)),
    ingested_at DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    kafka_topic LowCardinality(String) CODEC(ZSTD(1)),
    kafka_partition UInt16 CODEC(ZSTD(1)),
    kafka_offset UInt64 CODEC(Delta, ZSTD(1)),
    producer_id LowCardinality(String) CODEC(ZSTD(1)),
    producer_sequence Nullable(UInt64) CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree
PARTITION BY toMonday(occurred_at)
ORDER BY (occurred_at, event_id)
SETTINGS non_replicated_deduplication_window = 10000
;
CREATE TABLE IF NOT EXISTS ingest_ledger
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
    stored_events UInt32 CODEC(ZSTD(1)),
    duplicate_events UInt32 CODEC(ZSTD(1)),
    rejected_events UInt32 CODEC(ZSTD(1)),
    recorded_at DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1))
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(appended_at)
ORDER BY (topic, epoch, partition, offset)
SETTINGS non_replicated_deduplication_window = 10000
;
CREATE TABLE IF NOT EXISTS dead_letters
(
    topic LowCardinality(String) CODEC(ZSTD(1)),
    epoch LowCardinality(String) CODEC(ZSTD(1)),
    partition UInt16 CODEC(ZSTD(1)),
    offset UInt64 CODEC(ZSTD(1)),
    row Int32 CODEC(ZSTD(1)),
    reason LowCardinality(String) CODEC(ZSTD(1)),
    detail String CODEC(ZSTD(1)),
    events UInt32 CODEC(ZSTD(1)),
    producer_id LowCardinality(String) CODEC(ZSTD(1)),
    producer_sequence Nullable(UInt64) CODEC(ZSTD(1)),
    appended_at DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    rejected_at DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1))
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(appended_at)
ORDER BY (topic, epoch, partition, offset, row)
;
CREATE TABLE IF NOT EXISTS stream_watermarks
(
    topic LowCardinality(String),
    epoch LowCardinality(String),
    partition UInt16,
    applied_offset UInt64,
    watermark DateTime64(3, 'UTC'),
    applied_events UInt64,
    emitted_at DateTime64(3, 'UTC')
)
ENGINE = ReplacingMergeTree(applied_offset)
ORDER BY (topic, epoch, partition)
;
CREATE TABLE IF NOT EXISTS pipeline_samples
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
TTL sampled_at + INTERVAL 14 DAY
;
CREATE TABLE IF NOT EXISTS rollup_model_partials
(
    window_start DateTime('UTC') CODEC(Delta, ZSTD(1)),
    model LowCardinality(String) CODEC(ZSTD(1)),
    provider LowCardinality(String) CODEC(ZSTD(1)),
    category LowCardinality(String) CODEC(ZSTD(1)),
    outcome LowCardinality(String) CODEC(ZSTD(1)),
    source_epoch LowCardinality(String) CODEC(ZSTD(1)),
    source_partition UInt16 CODEC(ZSTD(1)),
    segment UInt32 CODEC(ZSTD(1)),
    version UInt64 CODEC(ZSTD(1)),
    requests Int64 CODEC(T64, ZSTD(1)),
    usage_missing_requests Int64 CODEC(T64, ZSTD(1)),
    input_uncached_tokens Int64 CODEC(T64, ZSTD(1)),
    input_cache_read_tokens Int64 CODEC(T64, ZSTD(1)),
    input_cache_write_tokens Int64 CODEC(T64, ZSTD(1)),
    output_tokens Int64 CODEC(T64, ZSTD(1)),
    output_reasoning_tokens Int64 CODEC(T64, ZSTD(1)),
    audio_tokens Int64 CODEC(T64, ZSTD(1)),
    image_tokens Int64 CODEC(T64, ZSTD(1)),
    cost_nanousd Int64 CODEC(T64, ZSTD(1)),
    cost_unknown_requests Int64 CODEC(T64, ZSTD(1)),
    byok_requests Int64 CODEC(T64, ZSTD(1)),
    byok_tokens Int64 CODEC(T64, ZSTD(1)),
    byok_cost_nanousd Int64 CODEC(T64, ZSTD(1)),
    streamed_requests Int64 CODEC(T64, ZSTD(1)),
    tool_call_requests Int64 CODEC(T64, ZSTD(1)),
    tool_call_tokens Int64 CODEC(T64, ZSTD(1)),
    latency_known_requests Int64 CODEC(T64, ZSTD(1)),
    latency_ms_sum Int64 CODEC(T64, ZSTD(1)),
    time_to_first_token_known_requests Int64 CODEC(T64, ZSTD(1)),
    time_to_first_token_ms_sum Int64 CODEC(T64, ZSTD(1)),
    emitted_at DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1))
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYYYYMM(window_start)
ORDER BY (window_start, model, provider, category, outcome, source_epoch, source_partition, segment)
;
CREATE OR REPLACE VIEW rollup_1m AS
SELECT
    window_start, model, provider, category, outcome,
    sum(p.requests) AS requests,
    sum(p.usage_missing_requests) AS usage_missing_requests,
    sum(p.input_uncached_tokens) AS input_uncached_tokens,
    sum(p.input_cache_read_tokens) AS input_cache_read_tokens,
    sum(p.input_cache_write_tokens) AS input_cache_write_tokens,
    sum(p.output_tokens) AS output_tokens,
    sum(p.output_reasoning_tokens) AS output_reasoning_tokens,
    sum(p.audio_tokens) AS audio_tokens,
    sum(p.image_tokens) AS image_tokens,
    sum(p.cost_nanousd) AS cost_nanousd,
    sum(p.cost_unknown_requests) AS cost_unknown_requests,
    sum(p.byok_requests) AS byok_requests,
    sum(p.byok_tokens) AS byok_tokens,
    sum(p.byok_cost_nanousd) AS byok_cost_nanousd,
    sum(p.streamed_requests) AS streamed_requests,
    sum(p.tool_call_requests) AS tool_call_requests,
    sum(p.tool_call_tokens) AS tool_call_tokens,
    sum(p.latency_known_requests) AS latency_known_requests,
    sum(p.latency_ms_sum) AS latency_ms_sum,
    sum(p.time_to_first_token_known_requests) AS time_to_first_token_known_requests,
    sum(p.time_to_first_token_ms_sum) AS time_to_first_token_ms_sum,
    sum(p.input_uncached_tokens) + sum(p.input_cache_read_tokens) + sum(p.input_cache_write_tokens) + sum(p.output_tokens) + sum(p.output_reasoning_tokens) + sum(p.audio_tokens) + sum(p.image_tokens) AS total_tokens,
    sumIf(p.requests, p.segment > 0) AS late_requests,
    max(p.emitted_at) AS updated_at
FROM rollup_model_partials AS p FINAL
GROUP BY window_start, model, provider, category, outcome
;
CREATE OR REPLACE VIEW usage AS
SELECT
    * EXCEPT (session_hash, user_hash, api_key_hash),
    if(session_hash = toFixedString('', 16), NULL, lower(hex(session_hash))) AS session_hash,
    if(user_hash = toFixedString('', 16), NULL, lower(hex(user_hash))) AS user_hash,
    if(api_key_hash = toFixedString('', 16), NULL, lower(hex(api_key_hash))) AS api_key_hash,
    toUInt64(input_uncached_tokens) + input_cache_read_tokens + input_cache_write_tokens AS total_input_tokens,
    (toUInt64(input_uncached_tokens) + toUInt64(input_cache_read_tokens) + toUInt64(input_cache_write_tokens) + toUInt64(output_tokens) + toUInt64(output_reasoning_tokens) + toUInt64(audio_tokens) + toUInt64(image_tokens)) AS total_tokens,
    cost_nanousd / 1e9 AS cost_usd
FROM events
;
