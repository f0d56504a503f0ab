"""The dashboard *Cost*: what the traffic costs, whom, and how price and usage go together."""

from __future__ import annotations

from typing import Final

from grafana_foundation_sdk.models.dashboard import Dashboard

from tokentide_dashboards import period_sql as sql
from tokentide_dashboards.categories import WEIGHTED_MEANING
from tokentide_dashboards.data_links import cell, series_name, to_model, to_requests
from tokentide_dashboards.frame import (
    COST_MEANING,
    PERIOD_MEANING,
    TOKENS_MEANING,
    choice,
    period_dashboard,
    series_meaning,
)
from tokentide_dashboards.panels import (
    RED,
    YELLOW,
    Grid,
    TableColumn,
    series_panel,
    share_panel,
    stat_panel,
    table_panel,
)
from tokentide_dashboards.scatter import scatter_panel

UID: Final = "tokentide-cost"
CHOICES: Final = ("provider", "model", "category")
KEEPS: Final = ("period", "provider", "category")
ROLLUP: Final = sql.Rollup("rollup_models", CHOICES)
PRICE_MEANING: Final = (
    "US dollars per million tokens: cost divided by tokens without own-key traffic, so a blended price after caching."
)
_MONEY: Final = {"nanousd": "sum(cost_nanousd)", "own": sql.OWN_TOKENS, "tokens": "sum(total_tokens)"}
_POINTS: Final = 300

SPEND: Final = sql.total(
    ROLLUP, {**_MONEY, "unknown": "sum(cost_unknown_requests)"},
    "if(all_unknown = all_attempts, NULL, all_nanousd / 1e9)",
)  # fmt: skip

BY_CATEGORY_SQL: Final = f"""SELECT
    name AS "Category",
    nanousd / 1e3 / own AS "USD per million tokens",
    toFloat64(weighted) AS "Tokens"
FROM
(
    {ROLLUP.only("category != ''").grouped({"name": "category"}, {**_MONEY, "weighted": sql.WEIGHTED_TOKENS})}
)
WHERE nanousd > 0 AND own > 0 AND weighted > 0
ORDER BY "Tokens" DESC, name
LIMIT {_POINTS}"""

_BY_MODEL: Final = ROLLUP.grouped({"name": sql.LABELS["model"], "maker": "author", "weights": "open_weights"}, _MONEY)
BY_MODEL_SQL: Final = f"""SELECT
    name AS "Model",
    maker AS "Author",
    nanousd / 1e3 / own AS "USD per million tokens",
    if(weights = 'yes', toFloat64(tokens), NULL) AS "Open weights",
    if(weights = 'yes', NULL, toFloat64(tokens)) AS "Proprietary or unknown"
FROM
(
    {_BY_MODEL}
)
WHERE nanousd > 0 AND own > 0 AND tokens > 0
ORDER BY tokens DESC, name
LIMIT {_POINTS}"""

PRICES_SQL: Final = f"""SELECT
    name AS "Model",
    transform(weights, ['yes', 'no'], ['Open weights', 'Proprietary'], 'Not in the catalogue') AS "Weights",
    nanousd / 1e9 AS "Cost",
    nanousd / 1e3 / nullIf(own, 0) AS "USD per million",
    tokens / 1e6 AS "Million tokens",
    log10("Million tokens") AS "Log10 of it",
    nanousd / nullIf(sum(nanousd) OVER (), 0) AS "Share of cost",
    tokens / nullIf(sum(tokens) OVER (), 0) AS "Share of tokens"
FROM
(
    {_BY_MODEL}
)
WHERE nanousd > 0 AND tokens > 0
ORDER BY nanousd DESC, name
LIMIT 100"""


def _spenders(stem: str, dimension: str) -> str:
    sums = {
        "nanousd": "sum(cost_nanousd)",
        "tokens": "sum(total_tokens)",
        "own": sql.OWN_TOKENS,
        "attempts": "sum(requests)",
        "unknown": "sum(cost_unknown_requests)",
        "byok": "sum(byok_requests)",
    }
    grouped = sql.Rollup(stem, (dimension,)).grouped({"name": sql.LABELS[dimension]}, sums)
    return f"""SELECT
    name AS "{dimension.capitalize()}",
    if(unknown = attempts, NULL, nanousd / 1e9) AS "Cost",
    nanousd / nullIf(sum(nanousd) OVER (), 0) AS "Share",
    attempts AS "Requests",
    tokens AS "Tokens",
    if(nanousd > 0, nanousd / 1e3 / nullIf(own, 0), NULL) AS "USD per million",
    unknown / nullIf(attempts, 0) AS "Cost unknown",
    byok / nullIf(attempts, 0) AS "Own key"
FROM
(
    {grouped}
)
ORDER BY nanousd DESC, tokens DESC, name
LIMIT 100"""


TENANTS_SQL: Final = _spenders("rollup_tenant", "tenant")
APPS_SQL: Final = _spenders("rollup_app", "app")
_SPENDER_COLUMNS: Final = [
    TableColumn("Cost", "currencyUSD", decimals=2),
    TableColumn("Share", "percentunit", decimals=1, bar=True, width_px=140),
    TableColumn("Requests", "short"),
    TableColumn("Tokens", "short"),
    TableColumn("USD per million", "currencyUSD", decimals=3),
    TableColumn("Cost unknown", "percentunit", decimals=1),
    TableColumn("Own key", "percentunit", decimals=1),
]


def cost_dashboard() -> Dashboard:
    """The dashboard as Grafana stores it."""
    grid = Grid()
    links = [to_model(series_name("model"), KEEPS)]
    panels = [
        stat_panel(
            *grid.cell(5, 4), "Cost", f"Cost of the range. {COST_MEANING} Empty when no attempt has a known cost.",
            SPEND, unit="currencyUSD", no_value="Unknown", decimals=2,
        ),
        stat_panel(
            *grid.cell(5, 4), "USD per million tokens", f"{PRICE_MEANING} {COST_MEANING}",
            sql.total(ROLLUP, _MONEY, "if(all_nanousd > 0, all_nanousd / 1e3 / nullIf(all_own, 0), NULL)"),
            unit="currencyUSD", no_value="Unknown", decimals=3,
        ),
        stat_panel(
            *grid.cell(5, 4), "Cost unknown", "Attempts whose cost nobody reported and no price row gives, divided by "
            "all attempts of the range: what they cost is missing from every figure here.",
            sql.total(ROLLUP, {"unknown": "sum(cost_unknown_requests)"}, "all_unknown / all_attempts"),
            unit="percentunit", no_value="No requests", decimals=1, steps=[(0.05, YELLOW), (0.25, RED)],
        ),
        stat_panel(
            *grid.cell(5, 4), "Own-key tokens", "Tokens of traffic on the clients' own provider keys, divided by all "
            "tokens of the range: they cost the client, not the gateway.",
            sql.total(
                ROLLUP, {"byok": "sum(byok_tokens)", "tokens": "sum(total_tokens)"}, "all_byok / nullIf(all_tokens, 0)"
            ),
            unit="percentunit", no_value="No tokens", decimals=1,
        ),
        stat_panel(
            *grid.cell(4, 4), "Input from a cache",
            "Input tokens read from a cache, divided by all input tokens of the range.",
            sql.total(
                ROLLUP, {"cached": "sum(input_cache_read_tokens)", "input": f"sum({sql.INPUT_TOKENS})"},
                "all_cached / nullIf(all_input, 0)",
            ),
            unit="percentunit", no_value="No tokens", decimals=1,
        ),
        series_panel(
            *grid.cell(12, 10), "Cost by model", f"Cost in each period. {COST_MEANING} {series_meaning()} "
            f"{PERIOD_MEANING}",
            sql.mix(ROLLUP, "model", sql.LABELS["model"], "sum(cost_nanousd) / 1e9", share=False),
            unit="currencyUSD", stacked=True, links=links,
        ),
        share_panel(
            *grid.cell(12, 10), "Share of cost by author",
            "Cost of the author's models divided by all known cost of the same period. "
            f"{COST_MEANING} {series_meaning()} {PERIOD_MEANING}",
            sql.mix(ROLLUP, "author", "author", "sum(cost_nanousd)", share=True),
        ),
        table_panel(
            *grid.cell(12, 11), "Cost by tenant",
            "The 100 tenants with the highest cost in the range. Provider, model and category do not select here. "
            f"{COST_MEANING} Cost unknown and Own key: divided by attempts.",
            TENANTS_SQL, columns=_SPENDER_COLUMNS,
        ),
        table_panel(
            *grid.cell(12, 11), "Cost by app",
            "The 100 apps with the highest cost in the range. Provider, model and category do not select here. "
            f"{COST_MEANING} Cost unknown and Own key: divided by attempts.",
            APPS_SQL, columns=_SPENDER_COLUMNS,
        ),
        scatter_panel(
            *grid.cell(12, 12), "Cost and tokens by category",
            f"A point for each category, both axes logarithmic. {PRICE_MEANING} Not scaled. Tokens: {WEIGHTED_MEANING}",
            BY_CATEGORY_SQL, x="USD per million tokens", x_unit="currencyUSD", y=["Tokens"], unit="short",
            links=[to_requests({"category": cell("Category")}, ("model", "provider"))],
        ),
        scatter_panel(
            *grid.cell(12, 12), "Price and usage by model",
            f"A point for each of the {_POINTS} largest models with a known cost, both axes logarithmic: open weights "
            f"against the others. {PRICE_MEANING} {TOKENS_MEANING}",
            BY_MODEL_SQL, x="USD per million tokens", x_unit="currencyUSD",
            y=["Open weights", "Proprietary or unknown"], unit="short", links=[to_model(cell("Model"), KEEPS)],
        ),
        table_panel(
            *grid.cell(24, 11), "Price and usage",
            f"The 100 models with the highest cost in the range. {PRICE_MEANING} {TOKENS_MEANING} Shares: of all "
            "models with a known cost.",
            PRICES_SQL,
            columns=[
                TableColumn("Model", "string", width_px=260, links=(to_model(cell("Model"), KEEPS),)),
                TableColumn("Cost", "currencyUSD", decimals=2),
                TableColumn("USD per million", "currencyUSD", decimals=3),
                TableColumn("Million tokens", "short", decimals=1),
                TableColumn("Log10 of it", "none", decimals=2),
                TableColumn("Share of cost", "percentunit", decimals=1, bar=True, width_px=180),
                TableColumn("Share of tokens", "percentunit", decimals=1, bar=True, width_px=180),
            ],
        ),
    ]  # fmt: skip
    board = period_dashboard(
        "Cost", UID, "What the traffic costs, whom, and how price and usage go together.", choices=CHOICES
    )
    for name in ("tenant", "app"):
        board = board.with_variable(choice(name))
    for panel in panels:
        board = board.with_panel(panel)
    return board.build()
