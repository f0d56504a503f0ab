"""The dashboard *Now*: how much flows, by which models, for what, at what cost, and whether the pipeline keeps up."""

from __future__ import annotations

from typing import Final

from grafana_foundation_sdk.builders import stat, table, timeseries
from grafana_foundation_sdk.models.dashboard import Dashboard

from tokentide_dashboards import pipeline_sql
from tokentide_dashboards import rollup_sql as rollup
from tokentide_dashboards.data_links import DataLink, cell, series_name, to_model, to_requests
from tokentide_dashboards.frame import new_dashboard
from tokentide_dashboards.panels import (
    RED,
    YELLOW,
    Place,
    TableColumn,
    choice_variable,
    series_panel,
    stat_panel,
    table_panel,
)

UID: Final = "tokentide-now"
CHOICES: Final[tuple[rollup.Dimension, ...]] = ("provider", "model", "category")

_RATE_MEANING: Final = (
    f"Mean of the last {rollup.RATE_MINUTES} complete minutes of the range (fewer while the store is younger); the "
    "minute that is still filling is left out. Empty when none of these minutes has a request."
)
_TOKENS_MEANING: Final = (
    "Tokens are input (uncached, cache read, cache write), output, reasoning, audio and image tokens together."
)
_SERIES_MEANING: Final = (
    f"Complete minutes only. The {rollup.LEADING_SERIES} groups with the most tokens in the range have a series each, "
    f"the rest is {rollup.OTHER}."
)

# Own-key traffic and unknown prices are no cost of ours, and when nothing has a price the cost is unknown, not zero.
_COST_PER_HOUR: Final = (
    "if(sum(requests) > 0 AND sum(cost_unknown_requests) = sum(requests), NULL, sum(cost_nanousd) / 1e9 / minutes * 60)"
)

TOP_MODELS_SQL: Final = f"""WITH
    {rollup.COMPLETE_MINUTES},
    toStartOfMinute($__fromTime + 59) AS complete_start,
    greatest(toInt64(toUnixTimestamp(complete_end)) - toInt64(toUnixTimestamp(complete_start)), 0) AS period_s,
    complete_start - period_s AS previous_start,
    (
        SELECT count() > 0
        FROM rollup_1m
        WHERE window_start >= previous_start - period_s AND window_start <= previous_start
    ) AS previous_is_whole
SELECT
    name AS "Model",
    current_requests AS "Requests",
    current_tokens AS "Tokens",
    current_tokens / nullIf(sum(current_tokens) OVER (), 0) AS "Share",
    if(previous_is_whole, current_tokens / nullIf(previous_tokens, 0) - 1, NULL) AS "Change",
    if(
        previous_is_whole,
        100 * ("Share" - previous_tokens / nullIf(sum(previous_tokens) OVER (), 0)),
        NULL
    ) AS "Share change",
    if(priced_requests > 0, current_cost_nanousd / 1e9, NULL) AS "Cost",
    current_errors / nullIf(current_requests, 0) AS "Errors"
FROM
(
    WITH window_start >= complete_start AS is_current
    SELECT
        {rollup.LABELS["model"]} AS name,
        sumIf(requests, is_current) AS current_requests,
        sumIf(total_tokens, is_current) AS current_tokens,
        sumIf(total_tokens, NOT is_current) AS previous_tokens,
        sumIf(cost_nanousd, is_current) AS current_cost_nanousd,
        sumIf(requests - cost_unknown_requests, is_current) AS priced_requests,
        sumIf(requests, is_current AND outcome = 'error') AS current_errors
    FROM rollup_1m
    WHERE window_start >= previous_start AND window_start < complete_end
        AND {rollup.FILTERS}
    GROUP BY name
)
ORDER BY current_tokens DESC, name"""


def _stats() -> list[stat.Panel]:
    return [
        stat_panel(
            1, Place(0, 0, 5, 4), "Tokens a day at this rate",
            f"Tokens a minute times 1440. {_RATE_MEANING} {_TOKENS_MEANING}",
            rollup.rate("sum(total_tokens) / minutes * 1440"),
            unit="short", no_value="No requests",
        ),
        stat_panel(
            2, Place(5, 0, 4, 4), "Requests per minute",
            f"Request attempts with any outcome. {_RATE_MEANING}",
            rollup.rate("sum(requests) / minutes"),
            unit="short", no_value="No requests",
        ),
        stat_panel(
            3, Place(9, 0, 3, 4), "Cost per hour",
            "Known cost in US dollars, without traffic on the clients' own provider keys; attempts whose cost is "
            f"unknown add nothing. {_RATE_MEANING} Empty, too, when no attempt has a known cost.",
            rollup.rate(_COST_PER_HOUR),
            unit="currencyUSD", no_value="Unknown", decimals=2,
        ),
        stat_panel(
            4, Place(12, 0, 3, 4), "Errors",
            "Attempts with the outcome error, divided by all attempts of the range.",
            rollup.ratio("sumIf(requests, outcome = 'error')"),
            unit="percentunit", no_value="No requests", decimals=2, steps=[(0.01, YELLOW), (0.05, RED)],
        ),
        stat_panel(
            5, Place(15, 0, 3, 4), "Without usage",
            "Attempts whose provider reported no token usage, divided by all attempts of the range: their tokens are "
            "unknown and missing from every other figure.",
            rollup.ratio("sum(usage_missing_requests)"),
            unit="percentunit", no_value="No requests", decimals=2, steps=[(0.01, YELLOW), (0.05, RED)],
        ),
        stat_panel(
            6, Place(18, 0, 3, 4), "Lag",
            "The pipeline's slowest consumer and partition: age of the newest record that it has finished, 0 when "
            f"it has finished all. Newest samples, at most {pipeline_sql.LAG_FRESH_S} s old; all "
            "gateways, whatever the variables select.",
            pipeline_sql.LAG_NOW,
            unit="ms", no_value="No samples", steps=[(5_000, YELLOW), (60_000, RED)],
        ),
        stat_panel(
            7, Place(21, 0, 3, 4), "Dead letters",
            "Events that could not be stored and were set aside in the range, by the time of their rejection; all "
            "gateways, whatever the variables select.",
            pipeline_sql.DEAD_LETTERS,
            unit="short", no_value="0", steps=[(1, RED)],
        ),
    ]  # fmt: skip


def _links(dimension: rollup.Dimension, value: str) -> list[DataLink]:
    others = [name for name in CHOICES if name != dimension]
    requests = to_requests({dimension: value}, others)
    return [to_model(value, others), requests] if dimension == "model" else [requests]


def _mix(dimension: rollup.Dimension, first_id: int, y: int) -> list[timeseries.Panel]:
    links = _links(dimension, series_name(dimension))
    return [
        series_panel(
            first_id, Place(0, y, 13, 9), f"Tokens per minute by {dimension}",
            f"{_TOKENS_MEANING} {_SERIES_MEANING}",
            rollup.over_time(dimension, "tokens / minutes"),
            unit="short", stacked=True, links=links,
        ),
        series_panel(
            first_id + 1, Place(13, y, 11, 9), f"Share of tokens by {dimension}",
            f"The group's tokens divided by all tokens of the same point in time. {_TOKENS_MEANING} {_SERIES_MEANING}",
            rollup.over_time(dimension, "if(all_tokens > 0, tokens / all_tokens, NULL)"),
            unit="percentunit", stacked=True, max_value=1, links=links,
        ),
    ]  # fmt: skip


def _top_models() -> table.Panel:
    return table_panel(
        12, Place(0, 22, 24, 10), "Models",
        f"Complete minutes of the range. {_TOKENS_MEANING} Change: tokens against the period of the same length just "
        "before; Share change: the difference of the two shares in percentage points. Both are empty when the store "
        "does not reach back over the whole earlier period, or the model had no tokens in it. Cost: known cost without "
        "own-key traffic.",
        TOP_MODELS_SQL,
        columns=[
            TableColumn("Model", "string", links=tuple(_links("model", cell("Model")))),
            TableColumn("Requests", "short"),
            TableColumn("Tokens", "short"),
            TableColumn("Share", "percentunit", decimals=1, bar=True, width_px=260),
            TableColumn("Change", "percentunit", decimals=1, signed=True),
            TableColumn("Share change", "suffix:pp", decimals=2, signed=True),
            TableColumn("Cost", "currencyUSD", decimals=2),
            TableColumn("Errors", "percentunit", decimals=2),
        ],
    )  # fmt: skip


def _pipeline() -> list[timeseries.Panel]:
    return [
        series_panel(
            13, Place(0, 32, 12, 7), "Lag in records",
            "Records of the log that a consumer has not finished, summed over its partitions; the worst sample of "
            "each partition in a point in time.",
            pipeline_sql.lag_over_time("lag_records", "sum"),
            unit="short", stacked=False, min_interval="10s",
        ),
        series_panel(
            14, Place(12, 32, 12, 7), "Lag in time",
            "Age of the newest record that a consumer has finished, 0 when it has finished all; the worst partition "
            "and sample of each point in time.",
            pipeline_sql.lag_over_time(pipeline_sql.EFFECTIVE_LAG_MS, "max"),
            unit="ms", stacked=False, min_interval="10s",
        ),
    ]  # fmt: skip


def now_dashboard() -> Dashboard:
    """The dashboard as Grafana stores it."""
    board = (
        new_dashboard(
            "Now", UID,
            "What flows through the gateways at this moment: tokens, requests, cost, mix, and pipeline health.",
            start="now-1h", refresh="10s",
        )
        .with_variable(choice_variable("provider", "Provider", "Who served the request.", rollup.options("provider")))
        .with_variable(choice_variable("model", "Model", "Canonical model id.", rollup.options("model")))
        .with_variable(choice_variable("category", "Category", "Root category.", rollup.options("category")))
    )  # fmt: skip
    for panel in [*_stats(), *_mix("model", 8, y=4), *_mix("category", 10, y=13), _top_models(), *_pipeline()]:
        board = board.with_panel(panel)
    return board.build()
