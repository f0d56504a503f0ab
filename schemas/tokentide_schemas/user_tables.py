"""ClickHouse tables and views of distinct users and their retention. Pure text.

Filled by the maintenance component from rows that the raw sink has stored, not by materialised views: a set of users
takes the same rows twice without changing, and counts are absolute for a fixed chunk of a partition's offsets.
"""

from __future__ import annotations

from typing import Final

from tokentide_schemas.catalogue_tables import MODELS_DICTIONARY
from tokentide_schemas.kept_views import kept_view_statements

SET: Final = "uniqCombined64(17)"
"""Exact for small sets; the standard error of a large one is 1.04 / sqrt(2^17), about 0.3 %."""
CHUNK_RECORDS: Final = 2_000
"""Records of a partition whose requests are counted in one row for each day and model."""

USERS_1D: Final = f"""CREATE TABLE IF NOT EXISTS users_1d
(
    day Date CODEC(ZSTD(1)),
    model LowCardinality(String) CODEC(ZSTD(1)),
    users AggregateFunction({SET}, FixedString(16)) CODEC(ZSTD(1))
)
ENGINE = AggregatingMergeTree
PARTITION BY toYYYYMM(day)
ORDER BY (day, model)"""
"""The set of users of each day (UTC) and model."""

USER_REQUESTS_1D: Final = """CREATE TABLE IF NOT EXISTS user_requests_1d
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
ORDER BY (day, model, topic, epoch, partition, chunk)"""
"""Requests of a chunk of offsets, absolute up to last_offset; without_user: those that named no user."""

USER_MONTHS: Final = """CREATE TABLE IF NOT EXISTS user_months
(
    month Date CODEC(ZSTD(1)),
    model LowCardinality(String) CODEC(ZSTD(1)),
    user_hash FixedString(16) CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree
PARTITION BY month
ORDER BY (month, model, user_hash)"""
"""Who used which model in which month (UTC), exactly. Users are keyed hashes."""

USER_PROGRESS: Final = """CREATE TABLE IF NOT EXISTS user_progress
(
    topic LowCardinality(String),
    epoch LowCardinality(String),
    partition UInt16,
    last_offset UInt64,
    recorded_at DateTime64(3, 'UTC')
)
ENGINE = ReplacingMergeTree(last_offset)
ORDER BY (topic, epoch, partition)"""
"""Up to which record users are counted. Read with FINAL."""

_CANONICAL: Final = f"dictGetOrDefault('{MODELS_DICTIONARY}', 'canonical_model', tuple(lower({{0}})), toString({{0}}))"

USERS_VIEW: Final = f"""CREATE OR REPLACE VIEW users_by_model_1d AS
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
        {_CANONICAL.format("s.model")} AS canonical_model,
        uniqCombined64Merge(17)(s.users) AS day_users,
        0 AS day_requests,
        0 AS day_requests_without_user
    FROM users_1d AS s
    GROUP BY day, canonical_model
    UNION ALL
    SELECT
        day,
        {_CANONICAL.format("r.model")} AS canonical_model,
        0 AS day_users,
        sum(r.requests) AS day_requests,
        sum(r.requests_without_user) AS day_requests_without_user
    FROM user_requests_1d AS r FINAL
    GROUP BY day, canonical_model
)
GROUP BY day, canonical_model"""
"""Distinct users of each day and model; requests without a user are apart, they may be anybody's."""

RETENTION_VIEW: Final = f"""CREATE OR REPLACE VIEW retention AS
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
            {_CANONICAL.format("u.model")} AS canonical_model,
            u.user_hash AS user_hash,
            groupUniqArray(u.month) AS months,
            arrayMin(months) AS cohort_month
        FROM user_months AS u
        GROUP BY canonical_model, user_hash
    )
    ARRAY JOIN months AS month
    GROUP BY cohort_month, canonical_model, month
)"""
"""Activity retention: of the users whose first month with a model was cohort_month, how many used it months_since
later. A user that comes back after a gap counts again. Months in which nobody did have no row."""


def user_statements() -> list[str]:
    """Everything that counting users needs, in order, each safe to run again; after the dictionaries."""
    tables = [USERS_1D, USER_REQUESTS_1D, USER_MONTHS, USER_PROGRESS]
    return [*tables, USERS_VIEW, RETENTION_VIEW, *kept_view_statements()]
