"""The dashboard *Providers*: who serves the requests, how reliably, how fast, and at what price."""

from __future__ import annotations

from typing import Final

from grafana_foundation_sdk.models.dashboard import Dashboard

from tokentide_dashboards import period_sql as sql
from tokentide_dashboards.data_links import cell, series_name, to_requests
from tokentide_dashboards.frame import (
    COST_MEANING,
    PERIOD_MEANING,
    RAW_MEANING,
    TOKENS_MEANING,
    period_dashboard,
    series_meaning,
)
from tokentide_dashboards.panels import Grid, TableColumn, series_panel, share_panel, table_panel

UID: Final = "tokentide-providers"
CHOICES: Final = ("provider", "model", "category")
ROLLUP: Final = sql.Rollup("rollup", CHOICES)
PERCENTILE_S: Final = 3600
ERROR_DAYS: Final = 1

PROVIDERS_SQL: Final = f"""SELECT
    name AS "Provider",
    attempts AS "Requests",
    tokens AS "Tokens",
    tokens / nullIf(sum(tokens) OVER (), 0) AS "Share",
    errors / nullIf(attempts, 0) AS "Errors",
    cancelled / nullIf(attempts, 0) AS "Cancelled",
    without_usage / nullIf(attempts, 0) AS "Without usage",
    first_ms / nullIf(first_known, 0) AS "First token",
    latency_ms / nullIf(latency_known, 0) AS "Latency",
    if(nanousd > 0, nanousd / 1e3 / nullIf(own_tokens, 0), NULL) AS "USD per million",
    byok / nullIf(attempts, 0) AS "Own key"
FROM
(
    {
    ROLLUP.grouped(
        {"name": "provider"},
        {
            "attempts": "sum(requests)",
            "tokens": "sum(total_tokens)",
            "errors": "sumIf(requests, outcome = 'error')",
            "cancelled": "sumIf(requests, outcome = 'cancelled')",
            "without_usage": "sum(usage_missing_requests)",
            "first_ms": "sum(time_to_first_token_ms_sum)",
            "first_known": "sum(time_to_first_token_known_requests)",
            "latency_ms": "sum(latency_ms_sum)",
            "latency_known": "sum(latency_known_requests)",
            "nanousd": "sum(cost_nanousd)",
            "own_tokens": sql.OWN_TOKENS,
            "byok": "sum(byok_requests)",
        },
    )
}
)
ORDER BY tokens DESC, attempts DESC, name
LIMIT 100"""


def _percentiles(view: str, estimate: str) -> str:
    quantiles = ", ".join(
        f'quantileExactWeighted({level})({estimate}, toUInt64(requests)) AS "{title}"'
        for level, title in ((0.5, "Median"), (0.95, "95th percentile"), (0.99, "99th percentile"))
    )
    return f"""SELECT provider AS "Provider", sum(requests) AS "Requests", {quantiles}
FROM {view}
WHERE window_start > least($__toTime, now()) - {PERCENTILE_S} AND window_start <= $__toTime
    AND {estimate} IS NOT NULL AND {sql.selected(CHOICES[:2])}
GROUP BY provider
ORDER BY "Requests" DESC, provider
LIMIT 100"""


ERRORS_SQL: Final = f"""SELECT
    provider AS "Provider",
    if(error_type = '', '(not said)', error_type) AS "Error",
    http_status AS "Status",
    count() AS "Requests",
    max(occurred_at) AS "Newest"
FROM usage
WHERE occurred_at >= greatest($__fromTime_ms, $__toTime_ms - toIntervalDay({ERROR_DAYS}))
    AND occurred_at <= $__toTime_ms AND outcome = 'error' AND {sql.selected(CHOICES)}
GROUP BY provider, error_type, http_status
ORDER BY "Requests" DESC, provider, error_type, http_status
LIMIT 100"""


def providers_dashboard() -> Dashboard:
    """The dashboard as Grafana stores it."""
    grid = Grid()
    links = [to_requests({"provider": series_name("provider")}, ("model", "category"))]
    percentile = (
        "Over the last hour of the range, from buckets that are within 5 % of their values; unknown times are left "
        "out. The category does not select here."
    )
    columns = [
        TableColumn("Requests", "short"),
        TableColumn("Median", "ms"),
        TableColumn("95th percentile", "ms"),
        TableColumn("99th percentile", "ms"),
    ]
    panels = [
        share_panel(
            *grid.cell(12, 10), "Share of tokens by provider",
            f"The provider's tokens divided by all tokens of the same period. {TOKENS_MEANING} {series_meaning()} "
            f"{PERIOD_MEANING}",
            sql.mix(ROLLUP, "provider", "provider", "sum(total_tokens)", share=True), links=links,
        ),
        share_panel(
            *grid.cell(12, 10), "Share of requests by provider",
            f"The provider's attempts divided by all attempts of the same period. {series_meaning()} {PERIOD_MEANING}",
            sql.mix(ROLLUP, "provider", "provider", "sum(requests)", share=True), links=links,
        ),
        series_panel(
            *grid.cell(12, 9), "Errors by provider",
            "Attempts with the outcome error divided by all attempts of the provider in the period; cancelled ones are "
            f"no errors. The ten providers with the most attempts. {PERIOD_MEANING}",
            sql.ratios(
                ROLLUP, "provider", "provider", "sumIf(requests, outcome = 'error')", "sum(requests)",
                weight="sum(requests)",
            ),
            unit="percentunit", stacked=False, links=links,
        ),
        series_panel(
            *grid.cell(12, 9), "Mean time to first token by provider",
            "Sum of the known times divided by the attempts that have one. The ten providers with the most attempts. "
            f"{PERIOD_MEANING}",
            sql.ratios(
                ROLLUP, "provider", "provider", "sum(time_to_first_token_ms_sum)",
                "sum(time_to_first_token_known_requests)", weight="sum(requests)",
            ),
            unit="ms", stacked=False, links=links,
        ),
        series_panel(
            *grid.cell(12, 9), "Mean latency by provider",
            "Sum of the known latencies to the end of the response, divided by the attempts that have one. The ten "
            f"providers with the most attempts. {PERIOD_MEANING}",
            sql.ratios(
                ROLLUP, "provider", "provider", "sum(latency_ms_sum)", "sum(latency_known_requests)",
                weight="sum(requests)",
            ),
            unit="ms", stacked=False, links=links,
        ),
        series_panel(
            *grid.cell(12, 9), "Price by provider",
            "US dollars per million tokens: cost divided by tokens without own-key traffic; it moves with the mix of "
            f"models, too. The ten providers with the most tokens. {COST_MEANING} {PERIOD_MEANING}",
            sql.ratios(
                ROLLUP, "provider", "provider", "nullIf(sum(cost_nanousd), 0) / 1e3", sql.OWN_TOKENS
            ),
            unit="currencyUSD", stacked=False, decimals=3, links=links,
        ),
        table_panel(
            *grid.cell(24, 10), "Providers",
            "The range, by tokens. Errors, Cancelled, Without usage and Own key: divided by all attempts. First token "
            "and Latency: means of the known times. USD per million: cost divided by tokens without own-key traffic. "
            f"{TOKENS_MEANING} {COST_MEANING}",
            PROVIDERS_SQL,
            columns=[
                TableColumn(
                    "Provider", "string",
                    links=(to_requests({"provider": cell("Provider")}, ("model", "category")),),
                ),
                TableColumn("Requests", "short"),
                TableColumn("Tokens", "short"),
                TableColumn("Share", "percentunit", decimals=1, bar=True, width_px=200),
                TableColumn("Errors", "percentunit", decimals=2),
                TableColumn("Cancelled", "percentunit", decimals=2),
                TableColumn("Without usage", "percentunit", decimals=2),
                TableColumn("First token", "ms", decimals=0),
                TableColumn("Latency", "ms", decimals=0),
                TableColumn("USD per million", "currencyUSD", decimals=3),
                TableColumn("Own key", "percentunit", decimals=1),
            ],
        ),
        table_panel(
            *grid.cell(8, 9), "Time to first token", f"Quantiles by provider. {percentile}",
            _percentiles("rollup_time_to_first_token_1m", "time_to_first_token_ms_estimate"), columns=columns,
        ),
        table_panel(
            *grid.cell(8, 9), "Latency", f"Quantiles of the time to the end of the response, by provider. {percentile}",
            _percentiles("rollup_latency_1m", "latency_ms_estimate"), columns=columns,
        ),
        table_panel(
            *grid.cell(8, 9), "Kinds of errors",
            f"Attempts with the outcome error by type and HTTP status, the last day of the range. {RAW_MEANING}",
            ERRORS_SQL,
            columns=[TableColumn("Requests", "short"), TableColumn("Newest", "dateTimeFromNow")],
        ),
    ]  # fmt: skip
    board = period_dashboard(
        "Providers", UID, "Who serves the requests: share, errors, latency and price.", choices=CHOICES
    )
    for panel in panels:
        board = board.with_panel(panel)
    return board.build()
