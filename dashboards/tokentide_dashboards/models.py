"""The dashboard *Models*: which models and authors carry the traffic, and how that moves."""

from __future__ import annotations

from typing import Final

from grafana_foundation_sdk.models.dashboard import Dashboard

from tokentide_dashboards import period_sql as sql
from tokentide_dashboards.data_links import cell, series_name, to_model, to_requests
from tokentide_dashboards.frame import (
    COST_MEANING,
    PERIOD_MEANING,
    TOKENS_MEANING,
    period_dashboard,
    series_meaning,
)
from tokentide_dashboards.panels import (
    NO_VALUE,
    Grid,
    TableColumn,
    series_panel,
    share_panel,
    stat_panel,
    table_panel,
)

UID: Final = "tokentide-models"
CHOICES: Final = ("provider", "category", "author", "model")
KEEPS: Final = ("period", "provider", "category")
ROLLUP: Final = sql.Rollup("rollup_models", CHOICES)
MODEL_ROWS: Final = 100

_GROUPED: Final = ROLLUP.grouped(
    {"name": sql.LABELS["model"], "maker": "author", "weights": sql.WEIGHTS, "size": sql.SIZE},
    {
        "tokens": "sum(total_tokens)",
        "attempts": "sum(requests)",
        "errors": "sumIf(requests, outcome = 'error')",
        "priced": "sum(requests - cost_unknown_requests - byok_requests)",
        "nanousd": "sum(cost_nanousd)",
        "own_tokens": sql.OWN_TOKENS,
        "first_ms": "sum(time_to_first_token_ms_sum)",
        "first_known": "sum(time_to_first_token_known_requests)",
    },
)
MODELS_SQL: Final = f"""SELECT
    name AS "Model",
    maker AS "Author",
    weights AS "Weights",
    size AS "Size",
    attempts AS "Requests",
    tokens AS "Tokens",
    tokens / nullIf(sum(tokens) OVER (), 0) AS "Share",
    if(priced > 0, nanousd / 1e9, NULL) AS "Cost",
    if(nanousd > 0, nanousd / 1e3 / nullIf(own_tokens, 0), NULL) AS "USD per million",
    errors / nullIf(attempts, 0) AS "Errors",
    first_ms / nullIf(first_known, 0) AS "First token"
FROM
(
    {_GROUPED}
)
ORDER BY tokens DESC, attempts DESC, name
LIMIT {MODEL_ROWS}"""


def _distinct(key: str) -> str:
    grouped = ROLLUP.only("total_tokens > 0").grouped({"name": key}, {})
    return f"""SELECT nullIf(uniqExact(name), 0) AS value
FROM
(
    {grouped}
)"""


def models_dashboard() -> Dashboard:
    """The dashboard as Grafana stores it."""
    grid = Grid()
    model_links = [to_model(series_name("model"), KEEPS), to_requests({"model": series_name("model")}, KEEPS[1:])]
    panels = [
        stat_panel(
            *grid.cell(6, 4), "Tokens", f"Tokens of the range. {TOKENS_MEANING} {PERIOD_MEANING}",
            sql.total(ROLLUP, {"tokens": "sum(total_tokens)"}, "all_tokens"),
            unit="short", no_value=NO_VALUE,
        ),
        stat_panel(
            *grid.cell(6, 4), "Requests", f"Request attempts of the range with any outcome. {PERIOD_MEANING}",
            sql.total(ROLLUP, {}, "all_attempts"),
            unit="short", no_value=NO_VALUE,
        ),
        stat_panel(
            *grid.cell(6, 4), "Models in use",
            f"Distinct models with at least one token in the range. {TOKENS_MEANING}",
            _distinct("model"), unit="short", no_value=NO_VALUE,
        ),
        stat_panel(
            *grid.cell(6, 4), "Authors in use",
            f"Distinct authors, by the catalogue, of models with at least one token in the range. {TOKENS_MEANING}",
            _distinct("author"), unit="short", no_value=NO_VALUE,
        ),
        share_panel(
            *grid.cell(12, 10), "Share of tokens by model",
            f"The model's tokens divided by all tokens of the same period. {TOKENS_MEANING} {series_meaning()} "
            f"{PERIOD_MEANING}",
            sql.mix(ROLLUP, "model", sql.LABELS["model"], "sum(total_tokens)", share=True), links=model_links,
        ),
        series_panel(
            *grid.cell(12, 10), "Tokens by model",
            f"Tokens in each period. {TOKENS_MEANING} {series_meaning()} {PERIOD_MEANING}",
            sql.mix(ROLLUP, "model", sql.LABELS["model"], "sum(total_tokens)", share=False),
            unit="short", stacked=True, links=model_links,
        ),
        share_panel(
            *grid.cell(12, 10), "Share of tokens by author",
            "The tokens of the author's models divided by all tokens of the same period; models that the catalogue "
            f"does not know are `unknown`. {TOKENS_MEANING} {series_meaning()} {PERIOD_MEANING}",
            sql.mix(ROLLUP, "author", "author", "sum(total_tokens)", share=True),
        ),
        share_panel(
            *grid.cell(12, 10), "Share of requests by model",
            "The model's request attempts divided by all attempts of the same period, whether usage is known or not. "
            f"{series_meaning()} {PERIOD_MEANING}",
            sql.mix(ROLLUP, "model", sql.LABELS["model"], "sum(requests)", share=True), links=model_links,
        ),
        table_panel(
            *grid.cell(24, 12), "Models",
            f"The {MODEL_ROWS} models with the most tokens in the range. Share: of all tokens that the variables "
            f"select. {TOKENS_MEANING} {COST_MEANING} USD per million: cost divided by tokens without own-key "
            "traffic. Errors: attempts with the outcome error / attempts. First token: mean of the known times.",
            MODELS_SQL,
            columns=[
                TableColumn(
                    "Model", "string", width_px=280,
                    links=(to_model(cell("Model"), KEEPS), to_requests({"model": cell("Model")}, KEEPS[1:])),
                ),
                TableColumn("Requests", "short"),
                TableColumn("Tokens", "short"),
                TableColumn("Share", "percentunit", decimals=1, bar=True, width_px=220),
                TableColumn("Cost", "currencyUSD", decimals=2),
                TableColumn("USD per million", "currencyUSD", decimals=3),
                TableColumn("Errors", "percentunit", decimals=2),
                TableColumn("First token", "ms", decimals=0),
            ],
        ),
    ]  # fmt: skip
    board = period_dashboard(
        "Models", UID, "Which models and authors carry the traffic, and how their shares move.", choices=CHOICES
    )
    for panel in panels:
        board = board.with_panel(panel)
    return board.build()
