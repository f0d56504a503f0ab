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
PARTITION BY toDate(occurred_at)
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
    occurred_at Nullable(DateTime64(3, 'UTC')) CODEC(ZSTD(1)),
    revision UInt32 CODEC(ZSTD(1)),
    rejected_at DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1))
)
ENGINE = ReplacingMergeTree(revision)
PARTITION BY toYYYYMM(appended_at)
ORDER BY (topic, epoch, partition, offset, row)
;
CREATE TABLE IF NOT EXISTS dead_letter_marks
(
    topic LowCardinality(String) CODEC(ZSTD(1)),
    epoch LowCardinality(String) CODEC(ZSTD(1)),
    partition UInt16 CODEC(ZSTD(1)),
    offset UInt64 CODEC(ZSTD(1)),
    row Int32 CODEC(ZSTD(1)),
    status LowCardinality(String) CODEC(ZSTD(1)),
    marked_by String CODEC(ZSTD(1)),
    why String CODEC(ZSTD(1)),
    marked_at DateTime64(3, 'UTC') CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree(marked_at)
ORDER BY (topic, epoch, partition, offset, row)
;
CREATE OR REPLACE VIEW dead_letter_status AS
SELECT
    d.topic AS topic, d.epoch AS epoch, d.partition AS partition, d.offset AS offset, d.row AS row,
    d.reason AS reason, d.detail AS detail, d.events AS events, d.producer_id AS producer_id,
    d.producer_sequence AS producer_sequence, d.appended_at AS appended_at, d.occurred_at AS occurred_at,
    d.rejected_at AS rejected_at, if(m.status = '', 'open', m.status) AS status, m.marked_by AS marked_by,
    m.why AS why, m.marked_at AS marked_at
FROM (SELECT * FROM dead_letters FINAL WHERE events > 0) AS d
LEFT JOIN (SELECT * FROM dead_letter_marks FINAL) AS m ON d.topic = m.topic AND d.epoch = m.epoch AND d.partition = m.partition AND d.offset = m.offset AND d.row = m.row
;
CREATE OR REPLACE VIEW dead_letters_open AS
SELECT * EXCEPT (status, marked_by, why, marked_at) FROM dead_letter_status WHERE status = 'open'
;
CREATE TABLE IF NOT EXISTS erasures
(
    erased_at DateTime64(3, 'UTC') CODEC(ZSTD(1)),
    user_hash FixedString(16) CODEC(ZSTD(1)),
    topic LowCardinality(String) CODEC(ZSTD(1)),
    partition UInt16 CODEC(ZSTD(1)),
    offset UInt64 CODEC(ZSTD(1)),
    window_start DateTime('UTC') CODEC(ZSTD(1)),
    events UInt64 CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree(events)
ORDER BY (topic, partition, offset, user_hash, window_start)
;
CREATE TABLE IF NOT EXISTS stream_watermarks
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
ORDER BY (topic, epoch, partition)
;
CREATE TABLE IF NOT EXISTS stream_coverage
(
    cube LowCardinality(String),
    topic LowCardinality(String),
    epoch LowCardinality(String),
    partition UInt16,
    counted_from DateTime('UTC')
)
ENGINE = ReplacingMergeTree(counted_from)
ORDER BY (cube, topic, epoch, partition)
;
CREATE TABLE IF NOT EXISTS rollup_summed_weeks
(
    partials LowCardinality(String) CODEC(ZSTD(1)),
    week Date CODEC(ZSTD(1)),
    parts Array(String) CODEC(ZSTD(1)),
    generation UInt64 CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree(generation)
ORDER BY (partials, week)
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
CREATE TABLE IF NOT EXISTS catalogue_loads
(
    load UInt64,
    catalogue_version String,
    loaded_at DateTime64(3, 'UTC'),
    models UInt32,
    aliases UInt32,
    prices UInt32,
    paths Array(String)
)
ENGINE = ReplacingMergeTree
ORDER BY load
;
CREATE TABLE IF NOT EXISTS catalogue_models_loads
(
    load UInt64,
    id String,
    name String,
    author LowCardinality(String),
    author_name LowCardinality(String),
    kind LowCardinality(String),
    open_weights Bool,
    origin LowCardinality(String),
    origin_group LowCardinality(String),
    total_parameters_billion Nullable(Float64),
    size_class LowCardinality(String),
    reasoning Bool,
    context_length_tokens UInt32,
    release_date Date,
    catalogue_version LowCardinality(String)
)
ENGINE = MergeTree
PARTITION BY load
ORDER BY (id)
;
CREATE TABLE IF NOT EXISTS catalogue_aliases_loads
(
    load UInt64,
    alias String,
    model String,
    catalogue_version LowCardinality(String)
)
ENGINE = MergeTree
PARTITION BY load
ORDER BY (alias)
;
CREATE TABLE IF NOT EXISTS catalogue_prices_loads
(
    load UInt64,
    provider LowCardinality(String),
    model String,
    variant LowCardinality(String),
    valid_from DateTime64(3, 'UTC'),
    valid_until DateTime64(3, 'UTC'),
    version String,
    min_input_tokens UInt32,
    input_uncached_nanousd_per_million UInt64,
    input_cache_read_nanousd_per_million UInt64,
    input_cache_write_nanousd_per_million UInt64,
    output_nanousd_per_million UInt64,
    output_reasoning_nanousd_per_million UInt64,
    audio_nanousd_per_million UInt64,
    image_nanousd_per_million UInt64,
    per_request_nanousd UInt64,
    per_tool_call_nanousd UInt64,
    is_free_period Bool,
    confidence LowCardinality(String),
    source String,
    catalogue_version LowCardinality(String)
)
ENGINE = MergeTree
PARTITION BY load
ORDER BY (provider, model, variant, valid_from, min_input_tokens)
;
CREATE TABLE IF NOT EXISTS catalogue_countries_loads
(
    load UInt64,
    country String,
    continent LowCardinality(String),
    catalogue_version LowCardinality(String)
)
ENGINE = MergeTree
PARTITION BY load
ORDER BY (country)
;
CREATE OR REPLACE VIEW catalogue_models AS
SELECT id, name, author, author_name, kind, open_weights, origin, origin_group, total_parameters_billion, size_class, reasoning, context_length_tokens, release_date, catalogue_version
FROM catalogue_models_loads
WHERE load = (SELECT max(load) FROM catalogue_loads)
;
CREATE OR REPLACE VIEW catalogue_aliases AS
SELECT alias, model, catalogue_version
FROM catalogue_aliases_loads
WHERE load = (SELECT max(load) FROM catalogue_loads)
;
CREATE OR REPLACE VIEW catalogue_prices AS
SELECT provider, model, variant, valid_from, valid_until, version, min_input_tokens, input_uncached_nanousd_per_million, input_cache_read_nanousd_per_million, input_cache_write_nanousd_per_million, output_nanousd_per_million, output_reasoning_nanousd_per_million, audio_nanousd_per_million, image_nanousd_per_million, per_request_nanousd, per_tool_call_nanousd, is_free_period, confidence, source, catalogue_version
FROM catalogue_prices_loads
WHERE load = (SELECT max(load) FROM catalogue_loads)
;
CREATE OR REPLACE VIEW catalogue_countries AS
SELECT country, continent, catalogue_version
FROM catalogue_countries_loads
WHERE load = (SELECT max(load) FROM catalogue_loads)
;
CREATE OR REPLACE VIEW catalogue_names AS
SELECT
    a.alias AS name,
    m.id AS canonical_model,
    toString(m.author) AS author,
    if(m.open_weights, 'yes', 'no') AS open_weights,
    toString(m.origin) AS origin,
    toString(m.origin_group) AS origin_group,
    toString(m.size_class) AS size_class,
    if(m.reasoning, 'yes', 'no') AS reasoning_model,
    m.release_date AS release_date,
    m.context_length_tokens AS context_length_tokens
FROM catalogue_aliases_loads AS a
INNER JOIN catalogue_models_loads AS m ON m.load = a.load AND m.id = a.model
WHERE a.load = (SELECT max(load) FROM catalogue_loads)
;
CREATE DICTIONARY IF NOT EXISTS models
(
    name String,
    canonical_model String DEFAULT '',
    author String DEFAULT 'unknown',
    open_weights String DEFAULT 'unknown',
    origin String DEFAULT 'unknown',
    origin_group String DEFAULT 'unknown',
    size_class String DEFAULT 'unknown',
    reasoning_model String DEFAULT 'unknown',
    release_date Date DEFAULT '1970-01-01',
    context_length_tokens UInt32 DEFAULT 0
)
PRIMARY KEY name
SOURCE(CLICKHOUSE(TABLE 'catalogue_names' /* account */))
LAYOUT(COMPLEX_KEY_HASHED())
LIFETIME(MIN 30 MAX 60)
;
CREATE DICTIONARY IF NOT EXISTS countries
(
    country String,
    continent String DEFAULT 'unknown'
)
PRIMARY KEY country
SOURCE(CLICKHOUSE(TABLE 'catalogue_countries' /* account */))
LAYOUT(COMPLEX_KEY_HASHED())
LIFETIME(MIN 30 MAX 60)
;
CREATE TABLE IF NOT EXISTS repricing_runs
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
ORDER BY run
;
CREATE TABLE IF NOT EXISTS repricing_prices
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
ORDER BY (provider, model, request_model, first_ms)
;
CREATE OR REPLACE VIEW repricing_prices_current AS
SELECT * EXCEPT (run)
FROM repricing_prices
WHERE run = (SELECT max(run) FROM repricing_prices)
;
CREATE DICTIONARY IF NOT EXISTS repricing
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
SOURCE(CLICKHOUSE(TABLE 'repricing_prices_current' /* account */))
LAYOUT(COMPLEX_KEY_RANGE_HASHED())
RANGE(MIN first_ms MAX last_ms)
LIFETIME(0)
;
CREATE TABLE IF NOT EXISTS users_1d
(
    day Date CODEC(ZSTD(1)),
    model LowCardinality(String) CODEC(ZSTD(1)),
    users AggregateFunction(uniqCombined64(17), FixedString(16)) CODEC(ZSTD(1))
)
ENGINE = AggregatingMergeTree
PARTITION BY toYYYYMM(day)
ORDER BY (day, model)
;
CREATE TABLE IF NOT EXISTS user_requests_1d
(
    day Date CODEC(ZSTD(1)),
    model LowCardinality(String) CODEC(ZSTD(1)),
    topic LowCardinality(String) CODEC(ZSTD(1)),
    epoch LowCardinality(String) CODEC(ZSTD(1)),
    partition UInt16 CODEC(ZSTD(1)),
    chunk UInt64 CODEC(ZSTD(1)),
    requests UInt64 CODEC(T64, ZSTD(1)),
    requests_without_user UInt64 CODEC(T64, ZSTD(1)),
    last_offset UInt64 CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree(last_offset)
PARTITION BY toYYYYMM(day)
ORDER BY (day, model, topic, epoch, partition, chunk)
;
CREATE TABLE IF NOT EXISTS user_months
(
    month Date CODEC(ZSTD(1)),
    model LowCardinality(String) CODEC(ZSTD(1)),
    user_hash FixedString(16) CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree
PARTITION BY month
ORDER BY (month, model, user_hash)
;
CREATE TABLE IF NOT EXISTS user_progress
(
    topic LowCardinality(String),
    epoch LowCardinality(String),
    partition UInt16,
    last_offset UInt64,
    recorded_at DateTime64(3, 'UTC')
)
ENGINE = ReplacingMergeTree(last_offset)
ORDER BY (topic, epoch, partition)
;
CREATE OR REPLACE VIEW users_by_model_1d AS
SELECT
    day,
    canonical_model,
    sum(day_users) AS users,
    sum(day_requests) AS requests,
    sum(day_requests_without_user) AS requests_without_user
FROM
(
    SELECT
        day,
        dictGetOrDefault('models', 'canonical_model', tuple(lower(s.model)), toString(s.model)) AS canonical_model,
        uniqCombined64Merge(17)(s.users) AS day_users,
        0 AS day_requests,
        0 AS day_requests_without_user
    FROM users_1d AS s
    GROUP BY day, canonical_model
    UNION ALL
    SELECT
        day,
        dictGetOrDefault('models', 'canonical_model', tuple(lower(r.model)), toString(r.model)) AS canonical_model,
        0 AS day_users,
        sum(r.requests) AS day_requests,
        sum(r.requests_without_user) AS day_requests_without_user
    FROM user_requests_1d AS r FINAL
    GROUP BY day, canonical_model
)
GROUP BY day, canonical_model
;
CREATE OR REPLACE VIEW retention AS
SELECT
    cohort_month,
    canonical_model,
    months_since,
    users,
    cohort_users,
    users / cohort_users AS share
FROM
(
    SELECT
        cohort_month,
        canonical_model,
        dateDiff('month', cohort_month, month) AS months_since,
        count() AS users,
        max(count()) OVER (PARTITION BY cohort_month, canonical_model) AS cohort_users
    FROM
    (
        SELECT
            dictGetOrDefault('models', 'canonical_model', tuple(lower(u.model)), toString(u.model)) AS canonical_model,
            u.user_hash AS user_hash,
            groupUniqArray(u.month) AS months,
            arrayMin(months) AS cohort_month
        FROM user_months AS u
        GROUP BY canonical_model, user_hash
    )
    ARRAY JOIN months AS month
    GROUP BY cohort_month, canonical_model, month
)
;
CREATE TABLE IF NOT EXISTS kept_views
(
    name LowCardinality(String) CODEC(ZSTD(1)),
    generation UInt64 CODEC(ZSTD(1)),
    sources Array(String) CODEC(ZSTD(1)),
    checked_at DateTime64(3, 'UTC') CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree(checked_at)
ORDER BY name
;
CREATE TABLE IF NOT EXISTS retention_kept
(
    cohort_month Date CODEC(ZSTD(1)),
    canonical_model String CODEC(ZSTD(1)),
    months_since Int64 CODEC(ZSTD(1)),
    users UInt64 CODEC(ZSTD(1)),
    cohort_users UInt64 CODEC(ZSTD(1)),
    share Float64 CODEC(ZSTD(1)),
    generation UInt64 CODEC(ZSTD(1))
)
ENGINE = MergeTree
PARTITION BY generation
ORDER BY (canonical_model, cohort_month, months_since)
;
CREATE TABLE IF NOT EXISTS users_by_model_1d_kept
(
    day Date CODEC(ZSTD(1)),
    canonical_model String CODEC(ZSTD(1)),
    users UInt64 CODEC(ZSTD(1)),
    requests UInt64 CODEC(ZSTD(1)),
    requests_without_user UInt64 CODEC(ZSTD(1)),
    generation UInt64 CODEC(ZSTD(1))
)
ENGINE = MergeTree
PARTITION BY generation
ORDER BY (day, canonical_model)
;
CREATE OR REPLACE VIEW retention_recent AS
SELECT cohort_month, canonical_model, months_since, users, cohort_users, share FROM retention_kept WHERE generation = (
    SELECT max(generation) FROM kept_views FINAL
    WHERE name = 'retention' AND checked_at > now64(3) - toIntervalSecond(900)
)
UNION ALL
SELECT cohort_month, canonical_model, months_since, users, cohort_users, share FROM retention WHERE (
    SELECT max(generation) FROM kept_views FINAL
    WHERE name = 'retention' AND checked_at > now64(3) - toIntervalSecond(900)
) = 0
;
CREATE OR REPLACE VIEW users_by_model_1d_recent AS
SELECT day, canonical_model, users, requests, requests_without_user FROM users_by_model_1d_kept WHERE generation = (
    SELECT max(generation) FROM kept_views FINAL
    WHERE name = 'users_by_model_1d' AND checked_at > now64(3) - toIntervalSecond(900)
)
UNION ALL
SELECT day, canonical_model, users, requests, requests_without_user FROM users_by_model_1d WHERE (
    SELECT max(generation) FROM kept_views FINAL
    WHERE name = 'users_by_model_1d' AND checked_at > now64(3) - toIntervalSecond(900)
) = 0
;
CREATE OR REPLACE VIEW usage AS
SELECT
    * EXCEPT (session_hash, user_hash, api_key_hash),
    if(session_hash = toFixedString('', 16), NULL, lower(hex(session_hash))) AS session_hash,
    if(user_hash = toFixedString('', 16), NULL, lower(hex(user_hash))) AS user_hash,
    if(api_key_hash = toFixedString('', 16), NULL, lower(hex(api_key_hash))) AS api_key_hash,
    toUInt64(input_uncached_tokens) + input_cache_read_tokens + input_cache_write_tokens AS total_input_tokens,
    (toUInt64(input_uncached_tokens) + toUInt64(input_cache_read_tokens) + toUInt64(input_cache_write_tokens) + toUInt64(output_tokens) + toUInt64(output_reasoning_tokens) + toUInt64(audio_tokens) + toUInt64(image_tokens)) AS total_tokens,
    cost_nanousd / 1e9 AS cost_usd,
    dictGetOrDefault('models', 'canonical_model', tuple(lower(model)), toString(model)) AS canonical_model,
    dictGet('models', 'author', tuple(lower(model))) AS author,
    dictGet('models', 'open_weights', tuple(lower(model))) AS open_weights,
    dictGet('models', 'origin', tuple(lower(model))) AS origin,
    dictGet('models', 'origin_group', tuple(lower(model))) AS origin_group,
    dictGet('models', 'size_class', tuple(lower(model))) AS size_class,
    dictGet('models', 'reasoning_model', tuple(lower(model))) AS reasoning_model,
    dictGet('countries', 'continent', tuple(toString(country))) AS continent
FROM events
;
CREATE OR REPLACE VIEW published_models_by_day AS
SELECT
    day,
    if(place <= folded, '__other__', label) AS model,
    uniqExactMerge(user_set) AS users,
    sum(group_requests) AS requests,
    sum(group_tokens) AS total_tokens
FROM
(
    SELECT
        *,
        minIf(place, running_users >= 10 AND place >= greatest(2, small_groups))
            OVER (PARTITION BY day) AS first_enough,
        if(small_groups = 0, 0, first_enough) AS folded
    FROM
    (
        SELECT
            *,
            row_number() OVER (PARTITION BY day ORDER BY known_users, label ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS place,
            uniqExactMerge(user_set) OVER (PARTITION BY day ORDER BY known_users, label ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS running_users,
            countIf(known_users < 10) OVER (PARTITION BY day) AS small_groups
        FROM
        (
            SELECT
                toDate(occurred_at) AS day,
                toString(model) AS label,
                uniqExactStateIf(user_hash, user_hash != toFixedString('', 16)) AS user_set,
                uniqExactIf(user_hash, user_hash != toFixedString('', 16)) AS known_users,
                count() AS group_requests,
                sum((toUInt64(input_uncached_tokens) + toUInt64(input_cache_read_tokens) + toUInt64(input_cache_write_tokens) + toUInt64(output_tokens) + toUInt64(output_reasoning_tokens) + toUInt64(audio_tokens) + toUInt64(image_tokens))) AS group_tokens
            FROM events
            GROUP BY day, label
        )
    )
)
WHERE small_groups = 0 OR folded > 0
GROUP BY day, model
;
CREATE OR REPLACE VIEW published_categories_by_week AS
SELECT
    week,
    if(place <= folded, '__other__', label) AS category,
    uniqExactMerge(user_set) AS users,
    sum(group_requests) AS requests,
    sum(group_tokens) AS total_tokens
FROM
(
    SELECT
        *,
        minIf(place, running_users >= 10 AND place >= greatest(2, small_groups))
            OVER (PARTITION BY week) AS first_enough,
        if(small_groups = 0, 0, first_enough) AS folded
    FROM
    (
        SELECT
            *,
            row_number() OVER (PARTITION BY week ORDER BY known_users, label ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS place,
            uniqExactMerge(user_set) OVER (PARTITION BY week ORDER BY known_users, label ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS running_users,
            countIf(known_users < 10) OVER (PARTITION BY week) AS small_groups
        FROM
        (
            SELECT
                toMonday(occurred_at) AS week,
                toString(category) AS label,
                uniqExactStateIf(user_hash, user_hash != toFixedString('', 16)) AS user_set,
                uniqExactIf(user_hash, user_hash != toFixedString('', 16)) AS known_users,
                count() AS group_requests,
                sum((toUInt64(input_uncached_tokens) + toUInt64(input_cache_read_tokens) + toUInt64(input_cache_write_tokens) + toUInt64(output_tokens) + toUInt64(output_reasoning_tokens) + toUInt64(audio_tokens) + toUInt64(image_tokens))) AS group_tokens
            FROM events
            GROUP BY week, label
        )
    )
)
WHERE small_groups = 0 OR folded > 0
GROUP BY week, category
;
CREATE OR REPLACE VIEW published_countries_by_month AS
SELECT
    month,
    if(place <= folded, '__other__', label) AS country,
    uniqExactMerge(user_set) AS users,
    sum(group_requests) AS requests,
    sum(group_tokens) AS total_tokens
FROM
(
    SELECT
        *,
        minIf(place, running_users >= 10 AND place >= greatest(2, small_groups))
            OVER (PARTITION BY month) AS first_enough,
        if(small_groups = 0, 0, first_enough) AS folded
    FROM
    (
        SELECT
            *,
            row_number() OVER (PARTITION BY month ORDER BY known_users, label ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS place,
            uniqExactMerge(user_set) OVER (PARTITION BY month ORDER BY known_users, label ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS running_users,
            countIf(known_users < 10) OVER (PARTITION BY month) AS small_groups
        FROM
        (
            SELECT
                toStartOfMonth(occurred_at) AS month,
                toString(country) AS label,
                uniqExactStateIf(user_hash, user_hash != toFixedString('', 16)) AS user_set,
                uniqExactIf(user_hash, user_hash != toFixedString('', 16)) AS known_users,
                count() AS group_requests,
                sum((toUInt64(input_uncached_tokens) + toUInt64(input_cache_read_tokens) + toUInt64(input_cache_write_tokens) + toUInt64(output_tokens) + toUInt64(output_reasoning_tokens) + toUInt64(audio_tokens) + toUInt64(image_tokens))) AS group_tokens
            FROM events
            GROUP BY month, label
        )
    )
)
WHERE small_groups = 0 OR folded > 0
GROUP BY month, country
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
    weighted_requests_milli Int64 CODEC(T64, ZSTD(1)),
    weighted_tokens_milli Int64 CODEC(T64, ZSTD(1)),
    emitted_at DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1))
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYYYYMM(window_start)
ORDER BY (window_start, model, provider, category, outcome, source_epoch, source_partition, segment)
;
CREATE TABLE IF NOT EXISTS rollup_model_1h_partials
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
    weighted_requests_milli Int64 CODEC(T64, ZSTD(1)),
    weighted_tokens_milli Int64 CODEC(T64, ZSTD(1)),
    emitted_at DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1))
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toMonday(window_start)
ORDER BY (window_start, model, provider, category, outcome, source_epoch, source_partition, segment)
;
CREATE TABLE IF NOT EXISTS rollup_model_1d_partials
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
    weighted_requests_milli Int64 CODEC(T64, ZSTD(1)),
    weighted_tokens_milli Int64 CODEC(T64, ZSTD(1)),
    emitted_at DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1))
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toMonday(window_start)
ORDER BY (window_start, model, provider, category, outcome, source_epoch, source_partition, segment)
;
CREATE TABLE IF NOT EXISTS rollup_geography_partials
(
    window_start DateTime('UTC') CODEC(Delta, ZSTD(1)),
    country LowCardinality(String) CODEC(ZSTD(1)),
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
    weighted_requests_milli Int64 CODEC(T64, ZSTD(1)),
    weighted_tokens_milli Int64 CODEC(T64, ZSTD(1)),
    emitted_at DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1))
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYYYYMM(window_start)
ORDER BY (window_start, country, category, outcome, source_epoch, source_partition, segment)
;
CREATE TABLE IF NOT EXISTS rollup_geography_1h_partials
(
    window_start DateTime('UTC') CODEC(Delta, ZSTD(1)),
    country LowCardinality(String) CODEC(ZSTD(1)),
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
    weighted_requests_milli Int64 CODEC(T64, ZSTD(1)),
    weighted_tokens_milli Int64 CODEC(T64, ZSTD(1)),
    emitted_at DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1))
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toMonday(window_start)
ORDER BY (window_start, country, category, outcome, source_epoch, source_partition, segment)
;
CREATE TABLE IF NOT EXISTS rollup_geography_1d_partials
(
    window_start DateTime('UTC') CODEC(Delta, ZSTD(1)),
    country LowCardinality(String) CODEC(ZSTD(1)),
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
    weighted_requests_milli Int64 CODEC(T64, ZSTD(1)),
    weighted_tokens_milli Int64 CODEC(T64, ZSTD(1)),
    emitted_at DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1))
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toMonday(window_start)
ORDER BY (window_start, country, category, outcome, source_epoch, source_partition, segment)
;
CREATE TABLE IF NOT EXISTS rollup_app_partials
(
    window_start DateTime('UTC') CODEC(Delta, ZSTD(1)),
    app LowCardinality(String) CODEC(ZSTD(1)),
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
    weighted_requests_milli Int64 CODEC(T64, ZSTD(1)),
    weighted_tokens_milli Int64 CODEC(T64, ZSTD(1)),
    emitted_at DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1))
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYYYYMM(window_start)
ORDER BY (window_start, app, source_epoch, source_partition, segment)
;
CREATE TABLE IF NOT EXISTS rollup_app_1h_partials
(
    window_start DateTime('UTC') CODEC(Delta, ZSTD(1)),
    app LowCardinality(String) CODEC(ZSTD(1)),
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
    weighted_requests_milli Int64 CODEC(T64, ZSTD(1)),
    weighted_tokens_milli Int64 CODEC(T64, ZSTD(1)),
    emitted_at DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1))
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toMonday(window_start)
ORDER BY (window_start, app, source_epoch, source_partition, segment)
;
CREATE TABLE IF NOT EXISTS rollup_app_1d_partials
(
    window_start DateTime('UTC') CODEC(Delta, ZSTD(1)),
    app LowCardinality(String) CODEC(ZSTD(1)),
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
    weighted_requests_milli Int64 CODEC(T64, ZSTD(1)),
    weighted_tokens_milli Int64 CODEC(T64, ZSTD(1)),
    emitted_at DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1))
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toMonday(window_start)
ORDER BY (window_start, app, source_epoch, source_partition, segment)
;
CREATE TABLE IF NOT EXISTS rollup_tenant_partials
(
    window_start DateTime('UTC') CODEC(Delta, ZSTD(1)),
    tenant LowCardinality(String) CODEC(ZSTD(1)),
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
    weighted_requests_milli Int64 CODEC(T64, ZSTD(1)),
    weighted_tokens_milli Int64 CODEC(T64, ZSTD(1)),
    emitted_at DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1))
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYYYYMM(window_start)
ORDER BY (window_start, tenant, source_epoch, source_partition, segment)
;
CREATE TABLE IF NOT EXISTS rollup_tenant_1h_partials
(
    window_start DateTime('UTC') CODEC(Delta, ZSTD(1)),
    tenant LowCardinality(String) CODEC(ZSTD(1)),
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
    weighted_requests_milli Int64 CODEC(T64, ZSTD(1)),
    weighted_tokens_milli Int64 CODEC(T64, ZSTD(1)),
    emitted_at DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1))
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toMonday(window_start)
ORDER BY (window_start, tenant, source_epoch, source_partition, segment)
;
CREATE TABLE IF NOT EXISTS rollup_tenant_1d_partials
(
    window_start DateTime('UTC') CODEC(Delta, ZSTD(1)),
    tenant LowCardinality(String) CODEC(ZSTD(1)),
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
    weighted_requests_milli Int64 CODEC(T64, ZSTD(1)),
    weighted_tokens_milli Int64 CODEC(T64, ZSTD(1)),
    emitted_at DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1))
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toMonday(window_start)
ORDER BY (window_start, tenant, source_epoch, source_partition, segment)
;
CREATE TABLE IF NOT EXISTS rollup_time_to_first_token_partials
(
    window_start DateTime('UTC') CODEC(Delta, ZSTD(1)),
    model LowCardinality(String) CODEC(ZSTD(1)),
    provider LowCardinality(String) CODEC(ZSTD(1)),
    time_to_first_token_ms_bucket Int32 CODEC(ZSTD(1)),
    source_epoch LowCardinality(String) CODEC(ZSTD(1)),
    source_partition UInt16 CODEC(ZSTD(1)),
    segment UInt32 CODEC(ZSTD(1)),
    version UInt64 CODEC(ZSTD(1)),
    requests Int64 CODEC(T64, ZSTD(1)),
    emitted_at DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1))
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYYYYMM(window_start)
ORDER BY (window_start, model, provider, time_to_first_token_ms_bucket, source_epoch, source_partition, segment)
;
CREATE TABLE IF NOT EXISTS rollup_latency_partials
(
    window_start DateTime('UTC') CODEC(Delta, ZSTD(1)),
    model LowCardinality(String) CODEC(ZSTD(1)),
    provider LowCardinality(String) CODEC(ZSTD(1)),
    latency_ms_bucket Int32 CODEC(ZSTD(1)),
    source_epoch LowCardinality(String) CODEC(ZSTD(1)),
    source_partition UInt16 CODEC(ZSTD(1)),
    segment UInt32 CODEC(ZSTD(1)),
    version UInt64 CODEC(ZSTD(1)),
    requests Int64 CODEC(T64, ZSTD(1)),
    emitted_at DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1))
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYYYYMM(window_start)
ORDER BY (window_start, model, provider, latency_ms_bucket, source_epoch, source_partition, segment)
;
CREATE TABLE IF NOT EXISTS rollup_output_speed_partials
(
    window_start DateTime('UTC') CODEC(Delta, ZSTD(1)),
    model LowCardinality(String) CODEC(ZSTD(1)),
    provider LowCardinality(String) CODEC(ZSTD(1)),
    output_tokens_per_s_bucket Int32 CODEC(ZSTD(1)),
    source_epoch LowCardinality(String) CODEC(ZSTD(1)),
    source_partition UInt16 CODEC(ZSTD(1)),
    segment UInt32 CODEC(ZSTD(1)),
    version UInt64 CODEC(ZSTD(1)),
    requests Int64 CODEC(T64, ZSTD(1)),
    emitted_at DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1))
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYYYYMM(window_start)
ORDER BY (window_start, model, provider, output_tokens_per_s_bucket, source_epoch, source_partition, segment)
;
CREATE TABLE IF NOT EXISTS rollup_request_size_partials
(
    window_start DateTime('UTC') CODEC(Delta, ZSTD(1)),
    category LowCardinality(String) CODEC(ZSTD(1)),
    input_tokens_bucket Int32 CODEC(ZSTD(1)),
    output_tokens_bucket Int32 CODEC(ZSTD(1)),
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
    weighted_requests_milli Int64 CODEC(T64, ZSTD(1)),
    weighted_tokens_milli Int64 CODEC(T64, ZSTD(1)),
    emitted_at DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1))
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYYYYMM(window_start)
ORDER BY (window_start, category, input_tokens_bucket, output_tokens_bucket, source_epoch, source_partition, segment)
;
CREATE TABLE IF NOT EXISTS rollup_model_1h_sums
(
    generation UInt64 CODEC(ZSTD(1)),
    window_start DateTime('UTC') CODEC(Delta, ZSTD(1)),
    model LowCardinality(String) CODEC(ZSTD(1)),
    provider LowCardinality(String) CODEC(ZSTD(1)),
    category LowCardinality(String) CODEC(ZSTD(1)),
    outcome LowCardinality(String) CODEC(ZSTD(1)),
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
    weighted_requests_milli Int64 CODEC(T64, ZSTD(1)),
    weighted_tokens_milli Int64 CODEC(T64, ZSTD(1)),
    PROJECTION by_model_outcome (SELECT generation, window_start, model, outcome, sum(requests), sum(usage_missing_requests), sum(input_uncached_tokens), sum(input_cache_read_tokens), sum(input_cache_write_tokens), sum(output_tokens), sum(output_reasoning_tokens), sum(audio_tokens), sum(image_tokens), sum(cost_nanousd), sum(cost_unknown_requests), sum(byok_requests), sum(byok_tokens), sum(byok_cost_nanousd), sum(streamed_requests), sum(tool_call_requests), sum(tool_call_tokens), sum(latency_known_requests), sum(latency_ms_sum), sum(time_to_first_token_known_requests), sum(time_to_first_token_ms_sum), sum(weighted_requests_milli), sum(weighted_tokens_milli) GROUP BY generation, window_start, model, outcome),
    PROJECTION by_provider_outcome (SELECT generation, window_start, provider, outcome, sum(requests), sum(usage_missing_requests), sum(input_uncached_tokens), sum(input_cache_read_tokens), sum(input_cache_write_tokens), sum(output_tokens), sum(output_reasoning_tokens), sum(audio_tokens), sum(image_tokens), sum(cost_nanousd), sum(cost_unknown_requests), sum(byok_requests), sum(byok_tokens), sum(byok_cost_nanousd), sum(streamed_requests), sum(tool_call_requests), sum(tool_call_tokens), sum(latency_known_requests), sum(latency_ms_sum), sum(time_to_first_token_known_requests), sum(time_to_first_token_ms_sum), sum(weighted_requests_milli), sum(weighted_tokens_milli) GROUP BY generation, window_start, provider, outcome),
    PROJECTION by_category_outcome (SELECT generation, window_start, category, outcome, sum(requests), sum(usage_missing_requests), sum(input_uncached_tokens), sum(input_cache_read_tokens), sum(input_cache_write_tokens), sum(output_tokens), sum(output_reasoning_tokens), sum(audio_tokens), sum(image_tokens), sum(cost_nanousd), sum(cost_unknown_requests), sum(byok_requests), sum(byok_tokens), sum(byok_cost_nanousd), sum(streamed_requests), sum(tool_call_requests), sum(tool_call_tokens), sum(latency_known_requests), sum(latency_ms_sum), sum(time_to_first_token_known_requests), sum(time_to_first_token_ms_sum), sum(weighted_requests_milli), sum(weighted_tokens_milli) GROUP BY generation, window_start, category, outcome),
    PROJECTION by_model_provider_outcome (SELECT generation, window_start, model, provider, outcome, sum(requests), sum(usage_missing_requests), sum(input_uncached_tokens), sum(input_cache_read_tokens), sum(input_cache_write_tokens), sum(output_tokens), sum(output_reasoning_tokens), sum(audio_tokens), sum(image_tokens), sum(cost_nanousd), sum(cost_unknown_requests), sum(byok_requests), sum(byok_tokens), sum(byok_cost_nanousd), sum(streamed_requests), sum(tool_call_requests), sum(tool_call_tokens), sum(latency_known_requests), sum(latency_ms_sum), sum(time_to_first_token_known_requests), sum(time_to_first_token_ms_sum), sum(weighted_requests_milli), sum(weighted_tokens_milli) GROUP BY generation, window_start, model, provider, outcome),
    PROJECTION by_model_category_outcome (SELECT generation, window_start, model, category, outcome, sum(requests), sum(usage_missing_requests), sum(input_uncached_tokens), sum(input_cache_read_tokens), sum(input_cache_write_tokens), sum(output_tokens), sum(output_reasoning_tokens), sum(audio_tokens), sum(image_tokens), sum(cost_nanousd), sum(cost_unknown_requests), sum(byok_requests), sum(byok_tokens), sum(byok_cost_nanousd), sum(streamed_requests), sum(tool_call_requests), sum(tool_call_tokens), sum(latency_known_requests), sum(latency_ms_sum), sum(time_to_first_token_known_requests), sum(time_to_first_token_ms_sum), sum(weighted_requests_milli), sum(weighted_tokens_milli) GROUP BY generation, window_start, model, category, outcome)
)
ENGINE = MergeTree
PARTITION BY (toMonday(window_start), generation)
ORDER BY (window_start, model, provider, category, outcome)
;
CREATE TABLE IF NOT EXISTS rollup_model_1d_sums
(
    generation UInt64 CODEC(ZSTD(1)),
    window_start DateTime('UTC') CODEC(Delta, ZSTD(1)),
    model LowCardinality(String) CODEC(ZSTD(1)),
    provider LowCardinality(String) CODEC(ZSTD(1)),
    category LowCardinality(String) CODEC(ZSTD(1)),
    outcome LowCardinality(String) CODEC(ZSTD(1)),
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
    weighted_requests_milli Int64 CODEC(T64, ZSTD(1)),
    weighted_tokens_milli Int64 CODEC(T64, ZSTD(1)),
    PROJECTION by_model_outcome (SELECT generation, window_start, model, outcome, sum(requests), sum(usage_missing_requests), sum(input_uncached_tokens), sum(input_cache_read_tokens), sum(input_cache_write_tokens), sum(output_tokens), sum(output_reasoning_tokens), sum(audio_tokens), sum(image_tokens), sum(cost_nanousd), sum(cost_unknown_requests), sum(byok_requests), sum(byok_tokens), sum(byok_cost_nanousd), sum(streamed_requests), sum(tool_call_requests), sum(tool_call_tokens), sum(latency_known_requests), sum(latency_ms_sum), sum(time_to_first_token_known_requests), sum(time_to_first_token_ms_sum), sum(weighted_requests_milli), sum(weighted_tokens_milli) GROUP BY generation, window_start, model, outcome),
    PROJECTION by_provider_outcome (SELECT generation, window_start, provider, outcome, sum(requests), sum(usage_missing_requests), sum(input_uncached_tokens), sum(input_cache_read_tokens), sum(input_cache_write_tokens), sum(output_tokens), sum(output_reasoning_tokens), sum(audio_tokens), sum(image_tokens), sum(cost_nanousd), sum(cost_unknown_requests), sum(byok_requests), sum(byok_tokens), sum(byok_cost_nanousd), sum(streamed_requests), sum(tool_call_requests), sum(tool_call_tokens), sum(latency_known_requests), sum(latency_ms_sum), sum(time_to_first_token_known_requests), sum(time_to_first_token_ms_sum), sum(weighted_requests_milli), sum(weighted_tokens_milli) GROUP BY generation, window_start, provider, outcome),
    PROJECTION by_category_outcome (SELECT generation, window_start, category, outcome, sum(requests), sum(usage_missing_requests), sum(input_uncached_tokens), sum(input_cache_read_tokens), sum(input_cache_write_tokens), sum(output_tokens), sum(output_reasoning_tokens), sum(audio_tokens), sum(image_tokens), sum(cost_nanousd), sum(cost_unknown_requests), sum(byok_requests), sum(byok_tokens), sum(byok_cost_nanousd), sum(streamed_requests), sum(tool_call_requests), sum(tool_call_tokens), sum(latency_known_requests), sum(latency_ms_sum), sum(time_to_first_token_known_requests), sum(time_to_first_token_ms_sum), sum(weighted_requests_milli), sum(weighted_tokens_milli) GROUP BY generation, window_start, category, outcome),
    PROJECTION by_model_provider_outcome (SELECT generation, window_start, model, provider, outcome, sum(requests), sum(usage_missing_requests), sum(input_uncached_tokens), sum(input_cache_read_tokens), sum(input_cache_write_tokens), sum(output_tokens), sum(output_reasoning_tokens), sum(audio_tokens), sum(image_tokens), sum(cost_nanousd), sum(cost_unknown_requests), sum(byok_requests), sum(byok_tokens), sum(byok_cost_nanousd), sum(streamed_requests), sum(tool_call_requests), sum(tool_call_tokens), sum(latency_known_requests), sum(latency_ms_sum), sum(time_to_first_token_known_requests), sum(time_to_first_token_ms_sum), sum(weighted_requests_milli), sum(weighted_tokens_milli) GROUP BY generation, window_start, model, provider, outcome),
    PROJECTION by_model_category_outcome (SELECT generation, window_start, model, category, outcome, sum(requests), sum(usage_missing_requests), sum(input_uncached_tokens), sum(input_cache_read_tokens), sum(input_cache_write_tokens), sum(output_tokens), sum(output_reasoning_tokens), sum(audio_tokens), sum(image_tokens), sum(cost_nanousd), sum(cost_unknown_requests), sum(byok_requests), sum(byok_tokens), sum(byok_cost_nanousd), sum(streamed_requests), sum(tool_call_requests), sum(tool_call_tokens), sum(latency_known_requests), sum(latency_ms_sum), sum(time_to_first_token_known_requests), sum(time_to_first_token_ms_sum), sum(weighted_requests_milli), sum(weighted_tokens_milli) GROUP BY generation, window_start, model, category, outcome)
)
ENGINE = MergeTree
PARTITION BY (toMonday(window_start), generation)
ORDER BY (window_start, model, provider, category, outcome)
;
CREATE TABLE IF NOT EXISTS rollup_geography_1h_sums
(
    generation UInt64 CODEC(ZSTD(1)),
    window_start DateTime('UTC') CODEC(Delta, ZSTD(1)),
    country LowCardinality(String) CODEC(ZSTD(1)),
    category LowCardinality(String) CODEC(ZSTD(1)),
    outcome LowCardinality(String) CODEC(ZSTD(1)),
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
    weighted_requests_milli Int64 CODEC(T64, ZSTD(1)),
    weighted_tokens_milli Int64 CODEC(T64, ZSTD(1)),
    PROJECTION by_country_outcome (SELECT generation, window_start, country, outcome, sum(requests), sum(usage_missing_requests), sum(input_uncached_tokens), sum(input_cache_read_tokens), sum(input_cache_write_tokens), sum(output_tokens), sum(output_reasoning_tokens), sum(audio_tokens), sum(image_tokens), sum(cost_nanousd), sum(cost_unknown_requests), sum(byok_requests), sum(byok_tokens), sum(byok_cost_nanousd), sum(streamed_requests), sum(tool_call_requests), sum(tool_call_tokens), sum(latency_known_requests), sum(latency_ms_sum), sum(time_to_first_token_known_requests), sum(time_to_first_token_ms_sum), sum(weighted_requests_milli), sum(weighted_tokens_milli) GROUP BY generation, window_start, country, outcome),
    PROJECTION by_category_outcome (SELECT generation, window_start, category, outcome, sum(requests), sum(usage_missing_requests), sum(input_uncached_tokens), sum(input_cache_read_tokens), sum(input_cache_write_tokens), sum(output_tokens), sum(output_reasoning_tokens), sum(audio_tokens), sum(image_tokens), sum(cost_nanousd), sum(cost_unknown_requests), sum(byok_requests), sum(byok_tokens), sum(byok_cost_nanousd), sum(streamed_requests), sum(tool_call_requests), sum(tool_call_tokens), sum(latency_known_requests), sum(latency_ms_sum), sum(time_to_first_token_known_requests), sum(time_to_first_token_ms_sum), sum(weighted_requests_milli), sum(weighted_tokens_milli) GROUP BY generation, window_start, category, outcome)
)
ENGINE = MergeTree
PARTITION BY (toMonday(window_start), generation)
ORDER BY (window_start, country, category, outcome)
;
CREATE TABLE IF NOT EXISTS rollup_geography_1d_sums
(
    generation UInt64 CODEC(ZSTD(1)),
    window_start DateTime('UTC') CODEC(Delta, ZSTD(1)),
    country LowCardinality(String) CODEC(ZSTD(1)),
    category LowCardinality(String) CODEC(ZSTD(1)),
    outcome LowCardinality(String) CODEC(ZSTD(1)),
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
    weighted_requests_milli Int64 CODEC(T64, ZSTD(1)),
    weighted_tokens_milli Int64 CODEC(T64, ZSTD(1)),
    PROJECTION by_country_outcome (SELECT generation, window_start, country, outcome, sum(requests), sum(usage_missing_requests), sum(input_uncached_tokens), sum(input_cache_read_tokens), sum(input_cache_write_tokens), sum(output_tokens), sum(output_reasoning_tokens), sum(audio_tokens), sum(image_tokens), sum(cost_nanousd), sum(cost_unknown_requests), sum(byok_requests), sum(byok_tokens), sum(byok_cost_nanousd), sum(streamed_requests), sum(tool_call_requests), sum(tool_call_tokens), sum(latency_known_requests), sum(latency_ms_sum), sum(time_to_first_token_known_requests), sum(time_to_first_token_ms_sum), sum(weighted_requests_milli), sum(weighted_tokens_milli) GROUP BY generation, window_start, country, outcome),
    PROJECTION by_category_outcome (SELECT generation, window_start, category, outcome, sum(requests), sum(usage_missing_requests), sum(input_uncached_tokens), sum(input_cache_read_tokens), sum(input_cache_write_tokens), sum(output_tokens), sum(output_reasoning_tokens), sum(audio_tokens), sum(image_tokens), sum(cost_nanousd), sum(cost_unknown_requests), sum(byok_requests), sum(byok_tokens), sum(byok_cost_nanousd), sum(streamed_requests), sum(tool_call_requests), sum(tool_call_tokens), sum(latency_known_requests), sum(latency_ms_sum), sum(time_to_first_token_known_requests), sum(time_to_first_token_ms_sum), sum(weighted_requests_milli), sum(weighted_tokens_milli) GROUP BY generation, window_start, category, outcome)
)
ENGINE = MergeTree
PARTITION BY (toMonday(window_start), generation)
ORDER BY (window_start, country, category, outcome)
;
CREATE TABLE IF NOT EXISTS rollup_app_1h_sums
(
    generation UInt64 CODEC(ZSTD(1)),
    window_start DateTime('UTC') CODEC(Delta, ZSTD(1)),
    app LowCardinality(String) CODEC(ZSTD(1)),
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
    weighted_requests_milli Int64 CODEC(T64, ZSTD(1)),
    weighted_tokens_milli Int64 CODEC(T64, ZSTD(1))
)
ENGINE = MergeTree
PARTITION BY (toMonday(window_start), generation)
ORDER BY (window_start, app)
;
CREATE TABLE IF NOT EXISTS rollup_app_1d_sums
(
    generation UInt64 CODEC(ZSTD(1)),
    window_start DateTime('UTC') CODEC(Delta, ZSTD(1)),
    app LowCardinality(String) CODEC(ZSTD(1)),
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
    weighted_requests_milli Int64 CODEC(T64, ZSTD(1)),
    weighted_tokens_milli Int64 CODEC(T64, ZSTD(1))
)
ENGINE = MergeTree
PARTITION BY (toMonday(window_start), generation)
ORDER BY (window_start, app)
;
CREATE TABLE IF NOT EXISTS rollup_tenant_1h_sums
(
    generation UInt64 CODEC(ZSTD(1)),
    window_start DateTime('UTC') CODEC(Delta, ZSTD(1)),
    tenant LowCardinality(String) CODEC(ZSTD(1)),
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
    weighted_requests_milli Int64 CODEC(T64, ZSTD(1)),
    weighted_tokens_milli Int64 CODEC(T64, ZSTD(1))
)
ENGINE = MergeTree
PARTITION BY (toMonday(window_start), generation)
ORDER BY (window_start, tenant)
;
CREATE TABLE IF NOT EXISTS rollup_tenant_1d_sums
(
    generation UInt64 CODEC(ZSTD(1)),
    window_start DateTime('UTC') CODEC(Delta, ZSTD(1)),
    tenant LowCardinality(String) CODEC(ZSTD(1)),
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
    weighted_requests_milli Int64 CODEC(T64, ZSTD(1)),
    weighted_tokens_milli Int64 CODEC(T64, ZSTD(1))
)
ENGINE = MergeTree
PARTITION BY (toMonday(window_start), generation)
ORDER BY (window_start, tenant)
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
    sum(p.weighted_requests_milli) AS weighted_requests_milli,
    sum(p.weighted_tokens_milli) AS weighted_tokens_milli,
    sum(p.input_uncached_tokens) + sum(p.input_cache_read_tokens) + sum(p.input_cache_write_tokens) + sum(p.output_tokens) + sum(p.output_reasoning_tokens) + sum(p.audio_tokens) + sum(p.image_tokens) AS total_tokens,
    sumIf(p.requests, p.segment > 0) AS late_requests,
    max(p.emitted_at) AS updated_at
FROM rollup_model_partials AS p FINAL
WHERE window_start >= (SELECT max(counted_from) FROM stream_coverage WHERE cube = 'model')
GROUP BY window_start, model, provider, category, outcome
;
CREATE OR REPLACE VIEW rollup_1h AS
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
    sum(p.weighted_requests_milli) AS weighted_requests_milli,
    sum(p.weighted_tokens_milli) AS weighted_tokens_milli,
    sum(p.input_uncached_tokens) + sum(p.input_cache_read_tokens) + sum(p.input_cache_write_tokens) + sum(p.output_tokens) + sum(p.output_reasoning_tokens) + sum(p.audio_tokens) + sum(p.image_tokens) AS total_tokens,
    sumIf(p.requests, p.segment > 0) AS late_requests,
    max(p.emitted_at) AS updated_at
FROM rollup_model_1h_partials AS p FINAL
WHERE window_start >= (SELECT max(counted_from) FROM stream_coverage WHERE cube = 'model_1h')
GROUP BY window_start, model, provider, category, outcome
;
CREATE OR REPLACE VIEW rollup_1d AS
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
    sum(p.weighted_requests_milli) AS weighted_requests_milli,
    sum(p.weighted_tokens_milli) AS weighted_tokens_milli,
    sum(p.input_uncached_tokens) + sum(p.input_cache_read_tokens) + sum(p.input_cache_write_tokens) + sum(p.output_tokens) + sum(p.output_reasoning_tokens) + sum(p.audio_tokens) + sum(p.image_tokens) AS total_tokens,
    sumIf(p.requests, p.segment > 0) AS late_requests,
    max(p.emitted_at) AS updated_at
FROM rollup_model_1d_partials AS p FINAL
WHERE window_start >= (SELECT max(counted_from) FROM stream_coverage WHERE cube = 'model_1d')
GROUP BY window_start, model, provider, category, outcome
;
CREATE OR REPLACE VIEW rollup_geography_1m AS
SELECT
    window_start, country, category, outcome,
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
    sum(p.weighted_requests_milli) AS weighted_requests_milli,
    sum(p.weighted_tokens_milli) AS weighted_tokens_milli,
    sum(p.input_uncached_tokens) + sum(p.input_cache_read_tokens) + sum(p.input_cache_write_tokens) + sum(p.output_tokens) + sum(p.output_reasoning_tokens) + sum(p.audio_tokens) + sum(p.image_tokens) AS total_tokens,
    sumIf(p.requests, p.segment > 0) AS late_requests,
    max(p.emitted_at) AS updated_at
FROM rollup_geography_partials AS p FINAL
WHERE window_start >= (SELECT max(counted_from) FROM stream_coverage WHERE cube = 'geography')
GROUP BY window_start, country, category, outcome
;
CREATE OR REPLACE VIEW rollup_geography_1h AS
SELECT
    window_start, country, category, outcome,
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
    sum(p.weighted_requests_milli) AS weighted_requests_milli,
    sum(p.weighted_tokens_milli) AS weighted_tokens_milli,
    sum(p.input_uncached_tokens) + sum(p.input_cache_read_tokens) + sum(p.input_cache_write_tokens) + sum(p.output_tokens) + sum(p.output_reasoning_tokens) + sum(p.audio_tokens) + sum(p.image_tokens) AS total_tokens,
    sumIf(p.requests, p.segment > 0) AS late_requests,
    max(p.emitted_at) AS updated_at
FROM rollup_geography_1h_partials AS p FINAL
WHERE window_start >= (SELECT max(counted_from) FROM stream_coverage WHERE cube = 'geography_1h')
GROUP BY window_start, country, category, outcome
;
CREATE OR REPLACE VIEW rollup_geography_1d AS
SELECT
    window_start, country, category, outcome,
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
    sum(p.weighted_requests_milli) AS weighted_requests_milli,
    sum(p.weighted_tokens_milli) AS weighted_tokens_milli,
    sum(p.input_uncached_tokens) + sum(p.input_cache_read_tokens) + sum(p.input_cache_write_tokens) + sum(p.output_tokens) + sum(p.output_reasoning_tokens) + sum(p.audio_tokens) + sum(p.image_tokens) AS total_tokens,
    sumIf(p.requests, p.segment > 0) AS late_requests,
    max(p.emitted_at) AS updated_at
FROM rollup_geography_1d_partials AS p FINAL
WHERE window_start >= (SELECT max(counted_from) FROM stream_coverage WHERE cube = 'geography_1d')
GROUP BY window_start, country, category, outcome
;
CREATE OR REPLACE VIEW rollup_app_1m AS
SELECT
    window_start, app,
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
    sum(p.weighted_requests_milli) AS weighted_requests_milli,
    sum(p.weighted_tokens_milli) AS weighted_tokens_milli,
    sum(p.input_uncached_tokens) + sum(p.input_cache_read_tokens) + sum(p.input_cache_write_tokens) + sum(p.output_tokens) + sum(p.output_reasoning_tokens) + sum(p.audio_tokens) + sum(p.image_tokens) AS total_tokens,
    sumIf(p.requests, p.segment > 0) AS late_requests,
    max(p.emitted_at) AS updated_at
FROM rollup_app_partials AS p FINAL
WHERE window_start >= (SELECT max(counted_from) FROM stream_coverage WHERE cube = 'app')
GROUP BY window_start, app
;
CREATE OR REPLACE VIEW rollup_app_1h AS
SELECT
    window_start, app,
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
    sum(p.weighted_requests_milli) AS weighted_requests_milli,
    sum(p.weighted_tokens_milli) AS weighted_tokens_milli,
    sum(p.input_uncached_tokens) + sum(p.input_cache_read_tokens) + sum(p.input_cache_write_tokens) + sum(p.output_tokens) + sum(p.output_reasoning_tokens) + sum(p.audio_tokens) + sum(p.image_tokens) AS total_tokens,
    sumIf(p.requests, p.segment > 0) AS late_requests,
    max(p.emitted_at) AS updated_at
FROM rollup_app_1h_partials AS p FINAL
WHERE window_start >= (SELECT max(counted_from) FROM stream_coverage WHERE cube = 'app_1h')
GROUP BY window_start, app
;
CREATE OR REPLACE VIEW rollup_app_1d AS
SELECT
    window_start, app,
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
    sum(p.weighted_requests_milli) AS weighted_requests_milli,
    sum(p.weighted_tokens_milli) AS weighted_tokens_milli,
    sum(p.input_uncached_tokens) + sum(p.input_cache_read_tokens) + sum(p.input_cache_write_tokens) + sum(p.output_tokens) + sum(p.output_reasoning_tokens) + sum(p.audio_tokens) + sum(p.image_tokens) AS total_tokens,
    sumIf(p.requests, p.segment > 0) AS late_requests,
    max(p.emitted_at) AS updated_at
FROM rollup_app_1d_partials AS p FINAL
WHERE window_start >= (SELECT max(counted_from) FROM stream_coverage WHERE cube = 'app_1d')
GROUP BY window_start, app
;
CREATE OR REPLACE VIEW rollup_tenant_1m AS
SELECT
    window_start, tenant,
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
    sum(p.weighted_requests_milli) AS weighted_requests_milli,
    sum(p.weighted_tokens_milli) AS weighted_tokens_milli,
    sum(p.input_uncached_tokens) + sum(p.input_cache_read_tokens) + sum(p.input_cache_write_tokens) + sum(p.output_tokens) + sum(p.output_reasoning_tokens) + sum(p.audio_tokens) + sum(p.image_tokens) AS total_tokens,
    sumIf(p.requests, p.segment > 0) AS late_requests,
    max(p.emitted_at) AS updated_at
FROM rollup_tenant_partials AS p FINAL
WHERE window_start >= (SELECT max(counted_from) FROM stream_coverage WHERE cube = 'tenant')
GROUP BY window_start, tenant
;
CREATE OR REPLACE VIEW rollup_tenant_1h AS
SELECT
    window_start, tenant,
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
    sum(p.weighted_requests_milli) AS weighted_requests_milli,
    sum(p.weighted_tokens_milli) AS weighted_tokens_milli,
    sum(p.input_uncached_tokens) + sum(p.input_cache_read_tokens) + sum(p.input_cache_write_tokens) + sum(p.output_tokens) + sum(p.output_reasoning_tokens) + sum(p.audio_tokens) + sum(p.image_tokens) AS total_tokens,
    sumIf(p.requests, p.segment > 0) AS late_requests,
    max(p.emitted_at) AS updated_at
FROM rollup_tenant_1h_partials AS p FINAL
WHERE window_start >= (SELECT max(counted_from) FROM stream_coverage WHERE cube = 'tenant_1h')
GROUP BY window_start, tenant
;
CREATE OR REPLACE VIEW rollup_tenant_1d AS
SELECT
    window_start, tenant,
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
    sum(p.weighted_requests_milli) AS weighted_requests_milli,
    sum(p.weighted_tokens_milli) AS weighted_tokens_milli,
    sum(p.input_uncached_tokens) + sum(p.input_cache_read_tokens) + sum(p.input_cache_write_tokens) + sum(p.output_tokens) + sum(p.output_reasoning_tokens) + sum(p.audio_tokens) + sum(p.image_tokens) AS total_tokens,
    sumIf(p.requests, p.segment > 0) AS late_requests,
    max(p.emitted_at) AS updated_at
FROM rollup_tenant_1d_partials AS p FINAL
WHERE window_start >= (SELECT max(counted_from) FROM stream_coverage WHERE cube = 'tenant_1d')
GROUP BY window_start, tenant
;
CREATE OR REPLACE VIEW rollup_time_to_first_token_1m AS
SELECT
    window_start, model, provider, time_to_first_token_ms_bucket,
    sum(p.requests) AS requests,
    if(p.time_to_first_token_ms_bucket < 0, NULL, transform(p.time_to_first_token_ms_bucket, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 22, 24, 26, 28, 30, 33, 36, 39, 42, 46, 50, 55, 60, 66, 72, 79, 86, 94, 103, 113, 124, 136, 149, 163, 179, 196, 215, 236, 259, 284, 312, 343, 377, 414, 455, 500, 550, 605, 665, 731, 804, 884, 972, 1069, 1175, 1292, 1421, 1563, 1719, 1890, 2079, 2286, 2514, 2765, 3041, 3345, 3679, 4046, 4450, 4895, 5384, 5922, 6514, 7165, 7881, 8669, 9535, 10488, 11536, 12689, 13957, 15352, 16887, 18575, 20432, 22475, 24722, 27194, 29913, 32904, 36194, 39813, 43794, 48173, 52990, 58289, 64117, 70528, 77580, 85338, 93871, 103258, 113583, 124941, 137435, 151178, 166295, 182924, 201216, 221337, 243470, 267817, 294598, 324057, 356462, 392108, 431318, 474449, 521893, 574082, 631490, 694639, 764102, 840512, 924563, 1017019, 1118720, 1230592, 1353651, 1489016, 1637917, 1801708, 1981878, 2180065, 2398071, 2637878, 2901665, 3191831, 3511014, 3862115, 4248326, 4673158, 5140473, 5654520, 6219972, 6841969, 7526165, 8278781, 9106659, 10017324, 11019056, 12120961, 13333057, 14666362, 16132998, 17746297, 19520926, 21473018, 23620319, 25982350, 28580585, 31438643, 34582507, 38040757, 41844832, 46029315, 50632246, 55695470, 61265017, 67391518, 74130669, 81543735, 89698108], [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 11.0, 12.0, 13.0, 14.0, 15.0, 16.0, 17.0, 18.0, 19.0, 20.5, 22.5, 24.5, 26.5, 28.5, 31.0, 34.0, 37.0, 40.0, 43.5, 47.5, 52.0, 57.0, 62.5, 68.5, 75.0, 82.0, 89.5, 98.0, 107.5, 118.0, 129.5, 142.0, 155.5, 170.5, 187.0, 205.0, 225.0, 247.0, 271.0, 297.5, 327.0, 359.5, 395.0, 434.0, 477.0, 524.5, 577.0, 634.5, 697.5, 767.0, 843.5, 927.5, 1020.0, 1121.5, 1233.0, 1356.0, 1491.5, 1640.5, 1804.0, 1984.0, 2182.0, 2399.5, 2639.0, 2902.5, 3192.5, 3511.5, 3862.0, 4247.5, 4672.0, 5139.0, 5652.5, 6217.5, 6839.0, 7522.5, 8274.5, 9101.5, 10011.0, 11011.5, 12112.0, 13322.5, 14654.0, 16119.0, 17730.5, 19503.0, 21453.0, 23598.0, 25957.5, 28553.0, 31408.0, 34548.5, 38003.0, 41803.0, 45983.0, 50581.0, 55639.0, 61202.5, 67322.0, 74053.5, 81458.5, 89604.0, 98564.0, 108420.0, 119261.5, 131187.5, 144306.0, 158736.0, 174609.0, 192069.5, 211276.0, 232403.0, 255643.0, 281207.0, 309327.0, 340259.0, 374284.5, 411712.5, 452883.0, 498170.5, 547987.0, 602785.5, 663064.0, 729370.0, 802306.5, 882537.0, 970790.5, 1067869.0, 1174655.5, 1292121.0, 1421333.0, 1563466.0, 1719812.0, 1891792.5, 2080971.0, 2289067.5, 2517974.0, 2769771.0, 3046747.5, 3351422.0, 3686564.0, 4055220.0, 4460741.5, 4906815.0, 5397496.0, 5937245.5, 6530970.0, 7184066.5, 7902472.5, 8692719.5, 9561991.0, 10518189.5, 11570008.0, 12727008.5, 13999709.0, 15399679.5, 16939647.0, 18633611.0, 20496971.5, 22546668.0, 24801334.0, 27281467.0, 30009613.5, 33010574.5, 36311631.5, 39942794.0, 43937073.0, 48330780.0, 53163857.5, 58480243.0, 64328267.0, 70761093.0, 77837201.5, 85620921.0, 89698108.0], toFloat64(p.time_to_first_token_ms_bucket))) AS time_to_first_token_ms_estimate,
    sumIf(p.requests, p.segment > 0) AS late_requests,
    max(p.emitted_at) AS updated_at
FROM rollup_time_to_first_token_partials AS p FINAL
WHERE window_start >= (SELECT max(counted_from) FROM stream_coverage WHERE cube = 'time_to_first_token')
GROUP BY window_start, model, provider, time_to_first_token_ms_bucket
;
CREATE OR REPLACE VIEW rollup_latency_1m AS
SELECT
    window_start, model, provider, latency_ms_bucket,
    sum(p.requests) AS requests,
    if(p.latency_ms_bucket < 0, NULL, transform(p.latency_ms_bucket, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 22, 24, 26, 28, 30, 33, 36, 39, 42, 46, 50, 55, 60, 66, 72, 79, 86, 94, 103, 113, 124, 136, 149, 163, 179, 196, 215, 236, 259, 284, 312, 343, 377, 414, 455, 500, 550, 605, 665, 731, 804, 884, 972, 1069, 1175, 1292, 1421, 1563, 1719, 1890, 2079, 2286, 2514, 2765, 3041, 3345, 3679, 4046, 4450, 4895, 5384, 5922, 6514, 7165, 7881, 8669, 9535, 10488, 11536, 12689, 13957, 15352, 16887, 18575, 20432, 22475, 24722, 27194, 29913, 32904, 36194, 39813, 43794, 48173, 52990, 58289, 64117, 70528, 77580, 85338, 93871, 103258, 113583, 124941, 137435, 151178, 166295, 182924, 201216, 221337, 243470, 267817, 294598, 324057, 356462, 392108, 431318, 474449, 521893, 574082, 631490, 694639, 764102, 840512, 924563, 1017019, 1118720, 1230592, 1353651, 1489016, 1637917, 1801708, 1981878, 2180065, 2398071, 2637878, 2901665, 3191831, 3511014, 3862115, 4248326, 4673158, 5140473, 5654520, 6219972, 6841969, 7526165, 8278781, 9106659, 10017324, 11019056, 12120961, 13333057, 14666362, 16132998, 17746297, 19520926, 21473018, 23620319, 25982350, 28580585, 31438643, 34582507, 38040757, 41844832, 46029315, 50632246, 55695470, 61265017, 67391518, 74130669, 81543735, 89698108], [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 11.0, 12.0, 13.0, 14.0, 15.0, 16.0, 17.0, 18.0, 19.0, 20.5, 22.5, 24.5, 26.5, 28.5, 31.0, 34.0, 37.0, 40.0, 43.5, 47.5, 52.0, 57.0, 62.5, 68.5, 75.0, 82.0, 89.5, 98.0, 107.5, 118.0, 129.5, 142.0, 155.5, 170.5, 187.0, 205.0, 225.0, 247.0, 271.0, 297.5, 327.0, 359.5, 395.0, 434.0, 477.0, 524.5, 577.0, 634.5, 697.5, 767.0, 843.5, 927.5, 1020.0, 1121.5, 1233.0, 1356.0, 1491.5, 1640.5, 1804.0, 1984.0, 2182.0, 2399.5, 2639.0, 2902.5, 3192.5, 3511.5, 3862.0, 4247.5, 4672.0, 5139.0, 5652.5, 6217.5, 6839.0, 7522.5, 8274.5, 9101.5, 10011.0, 11011.5, 12112.0, 13322.5, 14654.0, 16119.0, 17730.5, 19503.0, 21453.0, 23598.0, 25957.5, 28553.0, 31408.0, 34548.5, 38003.0, 41803.0, 45983.0, 50581.0, 55639.0, 61202.5, 67322.0, 74053.5, 81458.5, 89604.0, 98564.0, 108420.0, 119261.5, 131187.5, 144306.0, 158736.0, 174609.0, 192069.5, 211276.0, 232403.0, 255643.0, 281207.0, 309327.0, 340259.0, 374284.5, 411712.5, 452883.0, 498170.5, 547987.0, 602785.5, 663064.0, 729370.0, 802306.5, 882537.0, 970790.5, 1067869.0, 1174655.5, 1292121.0, 1421333.0, 1563466.0, 1719812.0, 1891792.5, 2080971.0, 2289067.5, 2517974.0, 2769771.0, 3046747.5, 3351422.0, 3686564.0, 4055220.0, 4460741.5, 4906815.0, 5397496.0, 5937245.5, 6530970.0, 7184066.5, 7902472.5, 8692719.5, 9561991.0, 10518189.5, 11570008.0, 12727008.5, 13999709.0, 15399679.5, 16939647.0, 18633611.0, 20496971.5, 22546668.0, 24801334.0, 27281467.0, 30009613.5, 33010574.5, 36311631.5, 39942794.0, 43937073.0, 48330780.0, 53163857.5, 58480243.0, 64328267.0, 70761093.0, 77837201.5, 85620921.0, 89698108.0], toFloat64(p.latency_ms_bucket))) AS latency_ms_estimate,
    sumIf(p.requests, p.segment > 0) AS late_requests,
    max(p.emitted_at) AS updated_at
FROM rollup_latency_partials AS p FINAL
WHERE window_start >= (SELECT max(counted_from) FROM stream_coverage WHERE cube = 'latency')
GROUP BY window_start, model, provider, latency_ms_bucket
;
CREATE OR REPLACE VIEW rollup_output_speed_1m AS
SELECT
    window_start, model, provider, output_tokens_per_s_bucket,
    sum(p.requests) AS requests,
    if(p.output_tokens_per_s_bucket < 0, NULL, transform(p.output_tokens_per_s_bucket, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 22, 24, 26, 28, 30, 33, 36, 39, 42, 46, 50, 55, 60, 66, 72, 79, 86, 94, 103, 113, 124, 136, 149, 163, 179, 196, 215, 236, 259, 284, 312, 343, 377, 414, 455, 500, 550, 605, 665, 731, 804, 884, 972, 1069, 1175, 1292, 1421, 1563, 1719, 1890, 2079, 2286, 2514, 2765, 3041, 3345, 3679, 4046, 4450, 4895, 5384, 5922, 6514, 7165, 7881, 8669, 9535, 10488, 11536, 12689, 13957, 15352, 16887, 18575, 20432, 22475, 24722, 27194, 29913, 32904, 36194, 39813, 43794, 48173, 52990, 58289, 64117, 70528, 77580, 85338, 93871, 103258, 113583, 124941, 137435, 151178, 166295, 182924, 201216, 221337, 243470, 267817, 294598, 324057, 356462, 392108, 431318, 474449, 521893, 574082, 631490, 694639, 764102, 840512, 924563, 1017019], [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 11.0, 12.0, 13.0, 14.0, 15.0, 16.0, 17.0, 18.0, 19.0, 20.5, 22.5, 24.5, 26.5, 28.5, 31.0, 34.0, 37.0, 40.0, 43.5, 47.5, 52.0, 57.0, 62.5, 68.5, 75.0, 82.0, 89.5, 98.0, 107.5, 118.0, 129.5, 142.0, 155.5, 170.5, 187.0, 205.0, 225.0, 247.0, 271.0, 297.5, 327.0, 359.5, 395.0, 434.0, 477.0, 524.5, 577.0, 634.5, 697.5, 767.0, 843.5, 927.5, 1020.0, 1121.5, 1233.0, 1356.0, 1491.5, 1640.5, 1804.0, 1984.0, 2182.0, 2399.5, 2639.0, 2902.5, 3192.5, 3511.5, 3862.0, 4247.5, 4672.0, 5139.0, 5652.5, 6217.5, 6839.0, 7522.5, 8274.5, 9101.5, 10011.0, 11011.5, 12112.0, 13322.5, 14654.0, 16119.0, 17730.5, 19503.0, 21453.0, 23598.0, 25957.5, 28553.0, 31408.0, 34548.5, 38003.0, 41803.0, 45983.0, 50581.0, 55639.0, 61202.5, 67322.0, 74053.5, 81458.5, 89604.0, 98564.0, 108420.0, 119261.5, 131187.5, 144306.0, 158736.0, 174609.0, 192069.5, 211276.0, 232403.0, 255643.0, 281207.0, 309327.0, 340259.0, 374284.5, 411712.5, 452883.0, 498170.5, 547987.0, 602785.5, 663064.0, 729370.0, 802306.5, 882537.0, 970790.5, 1017019.0], toFloat64(p.output_tokens_per_s_bucket))) AS output_tokens_per_s_estimate,
    sumIf(p.requests, p.segment > 0) AS late_requests,
    max(p.emitted_at) AS updated_at
FROM rollup_output_speed_partials AS p FINAL
WHERE window_start >= (SELECT max(counted_from) FROM stream_coverage WHERE cube = 'output_speed')
GROUP BY window_start, model, provider, output_tokens_per_s_bucket
;
CREATE OR REPLACE VIEW rollup_request_size_1m AS
SELECT
    window_start, category, input_tokens_bucket, output_tokens_bucket,
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
    sum(p.weighted_requests_milli) AS weighted_requests_milli,
    sum(p.weighted_tokens_milli) AS weighted_tokens_milli,
    sum(p.input_uncached_tokens) + sum(p.input_cache_read_tokens) + sum(p.input_cache_write_tokens) + sum(p.output_tokens) + sum(p.output_reasoning_tokens) + sum(p.audio_tokens) + sum(p.image_tokens) AS total_tokens,
    if(p.input_tokens_bucket < 0, NULL, transform(p.input_tokens_bucket, [0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768, 65536, 131072, 262144, 524288, 1048576, 2097152, 4194304, 8388608, 16777216, 33554432, 67108864, 134217728, 268435456, 536870912, 1073741824], [0.0, 1.0, 2.5, 5.5, 11.5, 23.5, 47.5, 95.5, 191.5, 383.5, 767.5, 1535.5, 3071.5, 6143.5, 12287.5, 24575.5, 49151.5, 98303.5, 196607.5, 393215.5, 786431.5, 1572863.5, 3145727.5, 6291455.5, 12582911.5, 25165823.5, 50331647.5, 100663295.5, 201326591.5, 402653183.5, 805306367.5, 1073741824.0], toFloat64(p.input_tokens_bucket))) AS input_tokens_estimate,
    if(p.output_tokens_bucket < 0, NULL, transform(p.output_tokens_bucket, [0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768, 65536, 131072, 262144, 524288, 1048576, 2097152, 4194304, 8388608, 16777216, 33554432, 67108864, 134217728, 268435456, 536870912, 1073741824], [0.0, 1.0, 2.5, 5.5, 11.5, 23.5, 47.5, 95.5, 191.5, 383.5, 767.5, 1535.5, 3071.5, 6143.5, 12287.5, 24575.5, 49151.5, 98303.5, 196607.5, 393215.5, 786431.5, 1572863.5, 3145727.5, 6291455.5, 12582911.5, 25165823.5, 50331647.5, 100663295.5, 201326591.5, 402653183.5, 805306367.5, 1073741824.0], toFloat64(p.output_tokens_bucket))) AS output_tokens_estimate,
    sumIf(p.requests, p.segment > 0) AS late_requests,
    max(p.emitted_at) AS updated_at
FROM rollup_request_size_partials AS p FINAL
WHERE window_start >= (SELECT max(counted_from) FROM stream_coverage WHERE cube = 'request_size')
GROUP BY window_start, category, input_tokens_bucket, output_tokens_bucket
;
CREATE OR REPLACE VIEW rollup_models_1m AS
SELECT
    *,
    dictGetOrDefault('models', 'canonical_model', tuple(lower(model)), toString(model)) AS canonical_model,
    dictGet('models', 'author', tuple(lower(model))) AS author,
    dictGet('models', 'open_weights', tuple(lower(model))) AS open_weights,
    dictGet('models', 'origin', tuple(lower(model))) AS origin,
    dictGet('models', 'origin_group', tuple(lower(model))) AS origin_group,
    dictGet('models', 'size_class', tuple(lower(model))) AS size_class,
    dictGet('models', 'reasoning_model', tuple(lower(model))) AS reasoning_model
FROM rollup_1m
;
CREATE OR REPLACE VIEW rollup_models_1h AS
SELECT
    *,
    dictGetOrDefault('models', 'canonical_model', tuple(lower(model)), toString(model)) AS canonical_model,
    dictGet('models', 'author', tuple(lower(model))) AS author,
    dictGet('models', 'open_weights', tuple(lower(model))) AS open_weights,
    dictGet('models', 'origin', tuple(lower(model))) AS origin,
    dictGet('models', 'origin_group', tuple(lower(model))) AS origin_group,
    dictGet('models', 'size_class', tuple(lower(model))) AS size_class,
    dictGet('models', 'reasoning_model', tuple(lower(model))) AS reasoning_model
FROM rollup_1h
;
CREATE OR REPLACE VIEW rollup_models_1d AS
SELECT
    *,
    dictGetOrDefault('models', 'canonical_model', tuple(lower(model)), toString(model)) AS canonical_model,
    dictGet('models', 'author', tuple(lower(model))) AS author,
    dictGet('models', 'open_weights', tuple(lower(model))) AS open_weights,
    dictGet('models', 'origin', tuple(lower(model))) AS origin,
    dictGet('models', 'origin_group', tuple(lower(model))) AS origin_group,
    dictGet('models', 'size_class', tuple(lower(model))) AS size_class,
    dictGet('models', 'reasoning_model', tuple(lower(model))) AS reasoning_model
FROM rollup_1d
;
CREATE TABLE IF NOT EXISTS shares_live
(
    window_start DateTime('UTC') CODEC(Delta, ZSTD(1)),
    as_of DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    horizon_s UInt32 CODEC(ZSTD(1)),
    dimension LowCardinality(String) CODEC(ZSTD(1)),
    key LowCardinality(String) CODEC(ZSTD(1)),
    requests Int64 CODEC(T64, ZSTD(1)),
    tokens Int64 CODEC(T64, ZSTD(1)),
    cost_nanousd Int64 CODEC(T64, ZSTD(1)),
    error_requests Int64 CODEC(T64, ZSTD(1)),
    request_share Nullable(Float64) CODEC(ZSTD(1)),
    token_share Nullable(Float64) CODEC(ZSTD(1)),
    cost_share Nullable(Float64) CODEC(ZSTD(1)),
    previous_requests Int64 CODEC(T64, ZSTD(1)),
    previous_tokens Int64 CODEC(T64, ZSTD(1)),
    previous_cost_nanousd Int64 CODEC(T64, ZSTD(1)),
    previous_error_requests Int64 CODEC(T64, ZSTD(1)),
    request_share_change_pp Nullable(Float64) CODEC(ZSTD(1)),
    token_share_change_pp Nullable(Float64) CODEC(ZSTD(1)),
    cost_share_change_pp Nullable(Float64) CODEC(ZSTD(1)),
    rank UInt32 CODEC(T64, ZSTD(1)),
    mover_rank UInt32 CODEC(T64, ZSTD(1)),
    version UInt64 CODEC(ZSTD(1)),
    emitted_at DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1))
)
ENGINE = ReplacingMergeTree(version)
ORDER BY (horizon_s, dimension, key)
TTL toDateTime(emitted_at) + INTERVAL 1 DAY
;
CREATE TABLE IF NOT EXISTS shares_final
(
    window_start DateTime('UTC') CODEC(Delta, ZSTD(1)),
    as_of DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    horizon_s UInt32 CODEC(ZSTD(1)),
    dimension LowCardinality(String) CODEC(ZSTD(1)),
    key LowCardinality(String) CODEC(ZSTD(1)),
    requests Int64 CODEC(T64, ZSTD(1)),
    tokens Int64 CODEC(T64, ZSTD(1)),
    cost_nanousd Int64 CODEC(T64, ZSTD(1)),
    error_requests Int64 CODEC(T64, ZSTD(1)),
    request_share Nullable(Float64) CODEC(ZSTD(1)),
    token_share Nullable(Float64) CODEC(ZSTD(1)),
    cost_share Nullable(Float64) CODEC(ZSTD(1)),
    previous_requests Int64 CODEC(T64, ZSTD(1)),
    previous_tokens Int64 CODEC(T64, ZSTD(1)),
    previous_cost_nanousd Int64 CODEC(T64, ZSTD(1)),
    previous_error_requests Int64 CODEC(T64, ZSTD(1)),
    request_share_change_pp Nullable(Float64) CODEC(ZSTD(1)),
    token_share_change_pp Nullable(Float64) CODEC(ZSTD(1)),
    cost_share_change_pp Nullable(Float64) CODEC(ZSTD(1)),
    rank UInt32 CODEC(T64, ZSTD(1)),
    mover_rank UInt32 CODEC(T64, ZSTD(1)),
    version UInt64 CODEC(ZSTD(1)),
    emitted_at DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1))
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYYYYMM(window_start)
ORDER BY (horizon_s, window_start, dimension, key)
TTL window_start + INTERVAL 35 DAY DELETE WHERE horizon_s = 60
;
CREATE OR REPLACE VIEW shares_now AS
SELECT
    window_start,
    as_of,
    horizon_s,
    dimension,
    key,
    requests,
    tokens,
    cost_nanousd,
    error_requests,
    request_share,
    token_share,
    cost_share,
    previous_requests,
    previous_tokens,
    previous_cost_nanousd,
    previous_error_requests,
    request_share_change_pp,
    token_share_change_pp,
    cost_share_change_pp,
    rank,
    mover_rank,
    version,
    emitted_at
FROM shares_live FINAL
WHERE version = (SELECT max(version) FROM shares_live)
;
CREATE OR REPLACE VIEW shares_1m AS
SELECT
    window_start,
    as_of,
    dimension,
    key,
    requests,
    tokens,
    cost_nanousd,
    error_requests,
    request_share,
    token_share,
    cost_share,
    previous_requests,
    previous_tokens,
    previous_cost_nanousd,
    previous_error_requests,
    request_share_change_pp,
    token_share_change_pp,
    cost_share_change_pp,
    rank,
    mover_rank,
    version,
    emitted_at
FROM shares_final FINAL
WHERE horizon_s = 60 AND (window_start, version) IN (
    SELECT window_start, max(version) FROM shares_final WHERE horizon_s = 60 GROUP BY window_start
)
;
CREATE OR REPLACE VIEW shares_1h AS
SELECT
    window_start,
    as_of,
    dimension,
    key,
    requests,
    tokens,
    cost_nanousd,
    error_requests,
    request_share,
    token_share,
    cost_share,
    previous_requests,
    previous_tokens,
    previous_cost_nanousd,
    previous_error_requests,
    request_share_change_pp,
    token_share_change_pp,
    cost_share_change_pp,
    rank,
    mover_rank,
    version,
    emitted_at
FROM shares_final FINAL
WHERE horizon_s = 3600 AND (window_start, version) IN (
    SELECT window_start, max(version) FROM shares_final WHERE horizon_s = 3600 GROUP BY window_start
)
;
CREATE TABLE IF NOT EXISTS alert_changes
(
    alert_id UUID CODEC(ZSTD(1)),
    state LowCardinality(String) CODEC(ZSTD(1)),
    rule LowCardinality(String) CODEC(ZSTD(1)),
    kind LowCardinality(String) CODEC(ZSTD(1)),
    severity LowCardinality(String) CODEC(ZSTD(1)),
    measure LowCardinality(String) CODEC(ZSTD(1)),
    dimension LowCardinality(String) CODEC(ZSTD(1)),
    scope LowCardinality(String) CODEC(ZSTD(1)),
    keys Array(String) CODEC(ZSTD(1)),
    direction LowCardinality(String) CODEC(ZSTD(1)),
    value Nullable(Float64) CODEC(ZSTD(1)),
    reference Nullable(Float64) CODEC(ZSTD(1)),
    change Nullable(Float64) CODEC(ZSTD(1)),
    unit LowCardinality(String) CODEC(ZSTD(1)),
    window_s UInt32 CODEC(ZSTD(1)),
    started_at DateTime64(3, 'UTC') CODEC(ZSTD(1)),
    detected_at DateTime64(3, 'UTC') CODEC(ZSTD(1)),
    changed_at DateTime64(3, 'UTC') CODEC(ZSTD(1)),
    emitted_at DateTime64(3, 'UTC') CODEC(ZSTD(1)),
    summary String CODEC(ZSTD(1)),
    contributions Array(Tuple(key String, before Float64, after Float64, change_pp Nullable(Float64), mix_change Nullable(Float64), volume_change Nullable(Float64))) CODEC(ZSTD(1)),
    labels Map(String, String) CODEC(ZSTD(1)),
    runbook_url String CODEC(ZSTD(1)),
    is_silenced Bool CODEC(ZSTD(1)),
    silenced_by String CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(started_at)
ORDER BY (alert_id, state)
;
CREATE OR REPLACE VIEW alerts AS
SELECT
    alert_id,
    argMax(c.state, transform(c.state, ['pending', 'firing', 'resolved'], [1, 2, 3], 0)) AS state,
    if(countIf(c.state = 'pending') = 0, NULL, minIf(c.changed_at, c.state = 'pending')) AS pending_at,
    if(countIf(c.state = 'firing') = 0, NULL, minIf(c.changed_at, c.state = 'firing')) AS firing_at,
    if(countIf(c.state = 'resolved') = 0, NULL, minIf(c.changed_at, c.state = 'resolved')) AS resolved_at,
    argMax(c.rule, transform(c.state, ['pending', 'firing', 'resolved'], [1, 2, 3], 0)) AS rule,
    argMax(c.kind, transform(c.state, ['pending', 'firing', 'resolved'], [1, 2, 3], 0)) AS kind,
    argMax(c.severity, transform(c.state, ['pending', 'firing', 'resolved'], [1, 2, 3], 0)) AS severity,
    argMax(c.measure, transform(c.state, ['pending', 'firing', 'resolved'], [1, 2, 3], 0)) AS measure,
    argMax(c.dimension, transform(c.state, ['pending', 'firing', 'resolved'], [1, 2, 3], 0)) AS dimension,
    argMax(c.scope, transform(c.state, ['pending', 'firing', 'resolved'], [1, 2, 3], 0)) AS scope,
    argMax(c.keys, transform(c.state, ['pending', 'firing', 'resolved'], [1, 2, 3], 0)) AS keys,
    argMax(c.direction, transform(c.state, ['pending', 'firing', 'resolved'], [1, 2, 3], 0)) AS direction,
    argMax(c.unit, transform(c.state, ['pending', 'firing', 'resolved'], [1, 2, 3], 0)) AS unit,
    argMax(c.window_s, transform(c.state, ['pending', 'firing', 'resolved'], [1, 2, 3], 0)) AS window_s,
    argMax(c.started_at, transform(c.state, ['pending', 'firing', 'resolved'], [1, 2, 3], 0)) AS started_at,
    argMax(c.detected_at, transform(c.state, ['pending', 'firing', 'resolved'], [1, 2, 3], 0)) AS detected_at,
    argMax(c.emitted_at, transform(c.state, ['pending', 'firing', 'resolved'], [1, 2, 3], 0)) AS emitted_at,
    argMax(c.summary, transform(c.state, ['pending', 'firing', 'resolved'], [1, 2, 3], 0)) AS summary,
    argMax(c.contributions, transform(c.state, ['pending', 'firing', 'resolved'], [1, 2, 3], 0)) AS contributions,
    argMax(c.labels, transform(c.state, ['pending', 'firing', 'resolved'], [1, 2, 3], 0)) AS labels,
    argMax(c.runbook_url, transform(c.state, ['pending', 'firing', 'resolved'], [1, 2, 3], 0)) AS runbook_url,
    argMax(c.silenced_by, transform(c.state, ['pending', 'firing', 'resolved'], [1, 2, 3], 0)) AS silenced_by,
    tupleElement(argMax(tuple(c.value), transform(c.state, ['pending', 'firing', 'resolved'], [1, 2, 3], 0)), 1) AS value,
    tupleElement(argMax(tuple(c.reference), transform(c.state, ['pending', 'firing', 'resolved'], [1, 2, 3], 0)), 1) AS reference,
    tupleElement(argMax(tuple(c.change), transform(c.state, ['pending', 'firing', 'resolved'], [1, 2, 3], 0)), 1) AS change,
    max(c.is_silenced) AS is_silenced
FROM alert_changes AS c FINAL
GROUP BY c.alert_id
SETTINGS prefer_column_name_to_alias = 1
;
CREATE TABLE IF NOT EXISTS alert_deliveries
(
    receiver LowCardinality(String) CODEC(ZSTD(1)),
    receiver_type LowCardinality(String) CODEC(ZSTD(1)),
    alert_id UUID CODEC(ZSTD(1)),
    state LowCardinality(String) CODEC(ZSTD(1)),
    outcome LowCardinality(String) CODEC(ZSTD(1)),
    attempts UInt32 CODEC(ZSTD(1)),
    http_status Nullable(UInt16) CODEC(ZSTD(1)),
    error String CODEC(ZSTD(1)),
    changed_at DateTime64(3, 'UTC') CODEC(ZSTD(1)),
    attempted_at DateTime64(3, 'UTC') CODEC(ZSTD(1)),
    latency_ms UInt32 CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree(attempted_at)
PARTITION BY toYYYYMM(changed_at)
ORDER BY (receiver, alert_id, state)
;
