"""SQL about the pipeline itself: how far behind it is, and what became of every event."""

from __future__ import annotations

from typing import Final

LAG_FRESH_S: Final = 60
"""A pipeline sample older than this says nothing about now."""

# lag_ms is an age, which grows while nothing is sent: who has finished everything is not late.
EFFECTIVE_LAG_MS: Final = "if(lag_records = 0, 0, lag_ms)"

LAG_NOW: Final = f"""SELECT maxOrNull(newest_lag_ms) AS value
FROM
(
    SELECT argMax({EFFECTIVE_LAG_MS}, sampled_at) AS newest_lag_ms
    FROM pipeline_samples
    WHERE $__timeFilter(sampled_at) AND sampled_at > least($__toTime, now()) - {LAG_FRESH_S}
    GROUP BY component, topic, partition
)"""

DEAD_LETTERS: Final = """SELECT sum(events) AS value
FROM dead_letters FINAL
WHERE $__timeFilter_ms(rejected_at)"""


def lag_over_time(partition_value: str, over_partitions: str) -> str:
    """Lag by component: the worst sample of each partition in a point, then `over_partitions` (sum or max)."""
    return f"""SELECT time, component, {over_partitions}(worst) AS Value
FROM
(
    SELECT $__timeInterval(sampled_at) AS time, component, topic, partition, max({partition_value}) AS worst
    FROM pipeline_samples
    WHERE $__timeFilter(sampled_at)
    GROUP BY time, component, topic, partition
)
GROUP BY time, component
ORDER BY time, component"""


LEDGER_IN_RANGE: Final = "FROM ingest_ledger FINAL\nWHERE $__timeFilter_ms(appended_at)"

UNACCOUNTED: Final = f"""SELECT
    if(count() > 0, sum(toInt64(events)) - sum(stored_events + duplicate_events + rejected_events), NULL) AS value
{LEDGER_IN_RANGE}"""

DUPLICATES: Final = f"""SELECT if(sum(events) > 0, sum(duplicate_events) / sum(events), NULL) AS value
{LEDGER_IN_RANGE}"""

LATE: Final = """SELECT if(sum(requests) > 0, sum(late_requests) / sum(requests), NULL) AS value
FROM rollup_1h
WHERE $__timeFilter(window_start)"""

OPEN_LETTERS: Final = "SELECT sum(events) AS value\nFROM dead_letters_open"

WATERMARK_AGE: Final = """SELECT if(count() > 0, dateDiff('millisecond', min(watermark), now64(3)), NULL) AS value
FROM stream_watermarks FINAL"""

EVENTS_OVER_TIME: Final = f"""SELECT time, counted.1 AS fate, counted.2 AS Value
FROM
(
    SELECT
        $__timeInterval(appended_at) AS time, sum(stored_events) AS stored, sum(duplicate_events) AS repeated,
        sum(rejected_events) AS refused
    {LEDGER_IN_RANGE}
    GROUP BY time
)
ARRAY JOIN [('stored', stored), ('repeated', repeated), ('refused', refused)] AS counted
ORDER BY time, fate"""

LATE_OVER_TIME: Final = """SELECT toDateTime(intDiv(toUnixTimestamp(window_start), width) * width, 'UTC') AS time,
    'late' AS requests_kind,
    sum(late_requests) / nullIf(sum(requests), 0) AS Value
FROM rollup_1h
WHERE $__timeFilter(window_start)
GROUP BY time
ORDER BY time""".replace("width", "greatest($__interval_s, 3600)")

LETTERS_OVER_TIME: Final = """SELECT $__timeInterval(rejected_at) AS time, reason, sum(events) AS Value
FROM dead_letters FINAL
WHERE $__timeFilter_ms(rejected_at)
GROUP BY time, reason
ORDER BY time, reason"""

ACCOUNTS: Final = f"""SELECT
    topic AS "Topic",
    toString(partition) AS "Partition",
    count() AS "Records",
    sum(events) AS "Events",
    sum(stored_events) AS "Stored",
    sum(duplicate_events) AS "Repeated",
    sum(rejected_events) AS "Refused",
    sum(toInt64(events)) - sum(stored_events + duplicate_events + rejected_events) AS "Unaccounted",
    max(recorded_at) AS "Newest"
{LEDGER_IN_RANGE}
GROUP BY topic, partition
ORDER BY topic, partition"""

LETTERS_BY_REASON: Final = """SELECT
    reason AS "Reason",
    count() AS "Letters",
    sum(events) AS "Events",
    max(rejected_at) AS "Newest"
FROM dead_letters_open
GROUP BY reason
ORDER BY "Events" DESC, reason"""

RECONCILED_HOURS: Final = 24
RECONCILE_AFTER_S: Final = 3600
"""An hour is compared this long after its end: until then its rollup may still be on its way."""

_HOURS_END: Final = f"toStartOfHour(least($__toTime, now()) - {RECONCILE_AFTER_S})"
RECONCILIATION: Final = f"""SELECT
    hour AS "Hour",
    sum(raw) AS "Raw",
    sum(rolled_up) AS "Rolled up",
    toInt64("Rolled up") - toInt64("Raw") AS "Difference"
FROM
(
    SELECT toStartOfHour(toDateTime(occurred_at)) AS hour, count() AS raw, 0 AS rolled_up
    FROM usage
    WHERE occurred_at >= toDateTime64({_HOURS_END} - {RECONCILED_HOURS * 3600}, 3)
        AND occurred_at < toDateTime64({_HOURS_END}, 3)
    GROUP BY hour
    UNION ALL
    SELECT window_start AS hour, 0 AS raw, toUInt64(sum(requests)) AS rolled_up
    FROM rollup_1h
    WHERE window_start >= {_HOURS_END} - {RECONCILED_HOURS * 3600} AND window_start < {_HOURS_END}
    GROUP BY hour
)
GROUP BY hour
ORDER BY hour DESC"""

PRODUCERS: Final = f"""SELECT
    producer_id AS "Producer",
    count() AS "Records",
    sum(events) AS "Events",
    sum(duplicate_events) AS "Repeated",
    sum(rejected_events) AS "Refused",
    max(appended_at) AS "Newest"
{LEDGER_IN_RANGE}
GROUP BY producer_id
ORDER BY "Events" DESC, producer_id
LIMIT 50"""
