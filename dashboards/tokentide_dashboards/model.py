"""The dashboard *Model*: everything about the chosen models; where links from a share lead."""

from __future__ import annotations

from typing import Final

from grafana_foundation_sdk.models.dashboard import Dashboard

from tokentide_dashboards import period_sql as sql
from tokentide_dashboards.data_links import MODEL_UID, series_name, to_requests
from tokentide_dashboards.frame import COST_MEANING, PERIOD_MEANING, TOKENS_MEANING, period_dashboard, series_meaning
from tokentide_dashboards.panels import NO_VALUE, RED, YELLOW, Grid, series_panel, share_panel, stat_panel

UID: Final = MODEL_UID
CHOICES: Final = ("model", "provider", "category")
ROLLUP: Final = sql.Rollup("rollup", CHOICES)
EVERY_MODEL: Final = sql.Rollup("rollup", CHOICES[1:])
PERCENTILE_S: Final = 3600
BUCKETS: Final[dict[str, str]] = {
    "input, uncached": "input_uncached_tokens",
    "input, cache read": "input_cache_read_tokens",
    "input, cache write": "input_cache_write_tokens",
    "output": "output_tokens",
    "reasoning": "output_reasoning_tokens",
    "audio": "audio_tokens",
    "image": "image_tokens",
}

_SHARE_OF_ALL: Final = sql.total(
    EVERY_MODEL,
    {
        "chosen": f"sumIf(total_tokens, {sql.selected(['model'])})",
        "tokens": "sum(total_tokens)",
    },
    "all_chosen / nullIf(all_tokens, 0)",
)


def _percentile(view: str, estimate: str) -> str:
    """95th percentile in the last hour of the range, from buckets."""
    return f"""SELECT
    if(sum(requests) > 0, quantileExactWeighted(0.95)({estimate}, toUInt64(requests)), NULL) AS value
FROM {view}
WHERE window_start > least($__toTime, now()) - {PERCENTILE_S} AND window_start <= $__toTime
    AND {estimate} IS NOT NULL AND {sql.selected(CHOICES[:2])}"""


def model_dashboard() -> Dashboard:
    """The dashboard as Grafana stores it."""
    grid = Grid()
    percentile = (
        "95th percentile over the last hour of the range, from buckets that are within 5 % of their values; unknown "
        "times are left out. The category does not select here."
    )
    panels = [
        stat_panel(
            *grid.cell(4, 4), "Tokens", f"Tokens of the chosen models in the range. {TOKENS_MEANING}",
            sql.total(ROLLUP, {"tokens": "sum(total_tokens)"}, "all_tokens"), unit="short", no_value=NO_VALUE,
        ),
        stat_panel(
            *grid.cell(4, 4), "Share of all models",
            f"Tokens of the chosen models divided by those of every model, same provider and category. "
            f"{TOKENS_MEANING}",
            _SHARE_OF_ALL, unit="percentunit", no_value=NO_VALUE, decimals=2,
        ),
        stat_panel(
            *grid.cell(4, 4), "USD per million tokens",
            f"Cost divided by millions of tokens without own-key traffic. {COST_MEANING}",
            sql.total(
                ROLLUP, {"nanousd": "sum(cost_nanousd)", "own": sql.OWN_TOKENS},
                "if(all_nanousd > 0, all_nanousd / 1e3 / nullIf(all_own, 0), NULL)",
            ),
            unit="currencyUSD", no_value="Unknown", decimals=3,
        ),
        stat_panel(
            *grid.cell(4, 4), "Errors", "Attempts with the outcome error, divided by all attempts of the range.",
            sql.total(ROLLUP, {"errors": "sumIf(requests, outcome = 'error')"}, "all_errors / all_attempts"),
            unit="percentunit", no_value=NO_VALUE, decimals=2, steps=[(0.01, YELLOW), (0.05, RED)],
        ),
        stat_panel(
            *grid.cell(4, 4), "First token, p95", f"Time to first token: {percentile}",
            _percentile("rollup_time_to_first_token_1m", "time_to_first_token_ms_estimate"),
            unit="ms", no_value="No requests in the last hour",
        ),
        stat_panel(
            *grid.cell(4, 4), "Latency, p95", f"Time to the end of the response: {percentile}",
            _percentile("rollup_latency_1m", "latency_ms_estimate"),
            unit="ms", no_value="No requests in the last hour",
        ),
        series_panel(
            *grid.cell(12, 9), "Tokens by model", f"Tokens in each period. {TOKENS_MEANING} {PERIOD_MEANING}",
            sql.mix(ROLLUP, "model", sql.LABELS["model"], "sum(total_tokens)", share=False),
            unit="short", stacked=True, links=[to_requests({"model": series_name("model")}, CHOICES[1:])],
        ),
        share_panel(
            *grid.cell(12, 9), "Share of tokens by provider",
            f"Who served the chosen models: the provider's tokens divided by all of the same period. {TOKENS_MEANING} "
            f"{series_meaning()} {PERIOD_MEANING}",
            sql.mix(ROLLUP, "provider", "provider", "sum(total_tokens)", share=True),
            links=[to_requests({"provider": series_name("provider")}, ("model", "category"))],
        ),
        share_panel(
            *grid.cell(12, 9), "Share of tokens by category",
            "Labelled requests only, scaled up by the labeller's sampling rate: the category's tokens divided by those "
            f"of all labelled requests of the period. {series_meaning()} {PERIOD_MEANING}",
            sql.mix(
                ROLLUP.only("category != ''"), "category", "category", sql.WEIGHTED_TOKENS, share=True
            ),
            links=[to_requests({"category": series_name("category")}, ("model", "provider"))],
        ),
        share_panel(
            *grid.cell(12, 9), "Share of tokens by kind",
            "The disjoint token buckets, each divided by all tokens of the same period. Attempts without reported "
            f"usage add none. {PERIOD_MEANING}",
            sql.values(
                ROLLUP,
                "kind",
                {"tokens": "sum(total_tokens)", **{f"sum_{name}": f"sum({name})" for name in BUCKETS.values()}},
                {title: f"sum_{name} / nullIf(tokens, 0)" for title, name in BUCKETS.items()},
            ),
        ),
        series_panel(
            *grid.cell(12, 9), "Errors by provider",
            "Attempts with the outcome error divided by all attempts of the provider in the period; cancelled ones are "
            f"no errors. The ten providers with the most attempts. {PERIOD_MEANING}",
            sql.ratios(
                ROLLUP, "provider", "provider", "sumIf(requests, outcome = 'error')", "sum(requests)",
                weight="sum(requests)",
            ),
            unit="percentunit", stacked=False,
            links=[to_requests({"provider": series_name("provider")}, ("model", "category"))],
        ),
        series_panel(
            *grid.cell(12, 9), "Mean time to first token by provider",
            "Sum of the known times divided by the attempts that have one. The ten providers with the most attempts. "
            f"{PERIOD_MEANING}",
            sql.ratios(
                ROLLUP, "provider", "provider", "sum(time_to_first_token_ms_sum)",
                "sum(time_to_first_token_known_requests)", weight="sum(requests)",
            ),
            unit="ms", stacked=False,
        ),
    ]  # fmt: skip
    board = period_dashboard(
        "Model", UID, "The chosen models: volume, providers, uses, price, errors and speed.", choices=CHOICES
    )
    for panel in panels:
        board = board.with_panel(panel)
    return board.build()
