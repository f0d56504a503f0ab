"""The dashboard *Open vs closed*: open weights against proprietary models, by origin and size."""

from __future__ import annotations

from typing import Final

from grafana_foundation_sdk.builders import timeseries
from grafana_foundation_sdk.models.dashboard import Dashboard

from tokentide_dashboards import period_sql as sql
from tokentide_dashboards.categories import WEIGHTED_MEANING
from tokentide_dashboards.data_links import series_name, to_model, to_requests
from tokentide_dashboards.frame import PERIOD_MEANING, TOKENS_MEANING, period_dashboard, series_meaning
from tokentide_dashboards.panels import NO_VALUE, Grid, TableColumn, series_panel, share_panel, stat_panel, table_panel

UID: Final = "tokentide-open-closed"
CHOICES: Final = ("provider", "category")
ROLLUP: Final = sql.Rollup("rollup_models", CHOICES)
OPEN: Final = ROLLUP.only("open_weights = 'yes'")
LEADING_OPEN: Final = 15

ATTRIBUTE_MEANING: Final = (
    "Weights, origin and size by today's catalogue; models that it does not have are a group of their own."
)

AUTHORS_SQL: Final = f"""SELECT
    name AS "Author",
    origin AS "Origin",
    tokens AS "Tokens",
    tokens / nullIf(sum(tokens) OVER (), 0) AS "Share",
    length(names) AS "Models"
FROM
(
    {
    OPEN.grouped(
        {"name": "author", "origin": sql.ORIGIN}, {"tokens": "sum(total_tokens)", "names": "groupUniqArray(model)"}
    )
}
)
ORDER BY tokens DESC, name
LIMIT 50"""


def _category_mix(grid: Grid, title: str, group: str, rollup: sql.Rollup) -> timeseries.Panel:
    return share_panel(
        *grid.cell(12, 10), title,
        f"Of the tokens of {group}: each category's share of the labelled ones in the period. {WEIGHTED_MEANING} "
        f"{ATTRIBUTE_MEANING} {series_meaning()} {PERIOD_MEANING}",
        sql.mix(rollup.only("category != ''"), "category", "category", sql.WEIGHTED_TOKENS, share=True),
        links=[to_requests({"category": series_name("category")}, ("provider",))],
    )  # fmt: skip


def _by_origin(grid: Grid, category: str) -> timeseries.Panel:
    return share_panel(
        *grid.cell(12, 10), f"{category.capitalize()} tokens by origin",
        f"Of the tokens of requests labelled {category}: the share of proprietary, Chinese open and other open models "
        f"in the period. {WEIGHTED_MEANING} {ATTRIBUTE_MEANING} {PERIOD_MEANING}",
        sql.mix(ROLLUP.only(f"category = '{category}'"), "origin", sql.ORIGIN, sql.WEIGHTED_TOKENS, share=True),
    )  # fmt: skip


def open_closed_dashboard() -> Dashboard:
    """The dashboard as Grafana stores it."""
    grid = Grid()
    model_links = [to_model(series_name("model"), ("period", *CHOICES))]
    sums = {"tokens": "sum(total_tokens)", "open_tokens": "sumIf(total_tokens, open_weights = 'yes')"}
    panels = [
        stat_panel(
            *grid.cell(8, 4), "Open weights",
            f"Tokens of models with open weights divided by all tokens of the range. {ATTRIBUTE_MEANING}",
            sql.total(ROLLUP, sums, "all_open_tokens / nullIf(all_tokens, 0)"),
            unit="percentunit", no_value=NO_VALUE, decimals=1,
        ),
        stat_panel(
            *grid.cell(8, 4), "Chinese open weights",
            f"Tokens of Chinese models with open weights divided by all tokens of the range. {ATTRIBUTE_MEANING}",
            sql.total(
                ROLLUP,
                {**sums, "chinese": "sumIf(total_tokens, origin_group = 'chinese_open')"},
                "all_chinese / nullIf(all_tokens, 0)",
            ),
            unit="percentunit", no_value=NO_VALUE, decimals=1,
        ),
        stat_panel(
            *grid.cell(8, 4), "Not in the catalogue",
            "Tokens of models that the catalogue does not know, divided by all tokens of the range: they are neither "
            "open nor closed here.",
            sql.total(
                ROLLUP,
                {**sums, "strange": "sumIf(total_tokens, open_weights = 'unknown')"},
                "all_strange / nullIf(all_tokens, 0)",
            ),
            unit="percentunit", no_value=NO_VALUE, decimals=1,
        ),
        share_panel(
            *grid.cell(12, 10), "Open against proprietary",
            f"Tokens divided by all tokens of the same period; launches of models are marked. {TOKENS_MEANING} "
            f"{ATTRIBUTE_MEANING} {PERIOD_MEANING}",
            sql.mix(ROLLUP, "weights", sql.WEIGHTS, "sum(total_tokens)", share=True),
        ),
        series_panel(
            *grid.cell(12, 10), "Tokens by origin",
            f"Tokens of proprietary, Chinese open and other open models in each period. {TOKENS_MEANING} "
            f"{ATTRIBUTE_MEANING} {PERIOD_MEANING}",
            sql.mix(ROLLUP, "origin", sql.ORIGIN, "sum(total_tokens)", share=False), unit="short", stacked=True,
        ),
        share_panel(
            *grid.cell(12, 10), "Share within open weights by model",
            "The model's tokens divided by those of all models with open weights in the same period. "
            f"{TOKENS_MEANING} {series_meaning(LEADING_OPEN)} {PERIOD_MEANING}",
            sql.mix(
                OPEN, "model", sql.LABELS["model"], "sum(total_tokens)", share=True, leading=LEADING_OPEN
            ),
            links=model_links,
        ),
        share_panel(
            *grid.cell(12, 10), "Open weights by size",
            "Tokens of each size class divided by those of all models with open weights in the same period. Small: "
            f"under 15 billion parameters; medium: 15 to under 70; large: 70 and more. {ATTRIBUTE_MEANING} "
            f"{PERIOD_MEANING}",
            sql.mix(OPEN, "size", sql.SIZE, "sum(total_tokens)", share=True),
        ),
        series_panel(
            *grid.cell(12, 10), "Number of open models by size",
            f"Distinct models with open weights that had a token in the period. {ATTRIBUTE_MEANING} {PERIOD_MEANING}",
            sql.mix(OPEN.only("total_tokens > 0"), "size", sql.SIZE, "uniqExact(model)", share=False),
            unit="short", stacked=True, decimals=0,
        ),
        share_panel(
            *grid.cell(12, 10), "Reasoning models by origin",
            "Of the tokens of reasoning-optimised models: the share of proprietary, Chinese open and other open models "
            f"in the period. {TOKENS_MEANING} {ATTRIBUTE_MEANING} {PERIOD_MEANING}",
            sql.mix(ROLLUP.only("reasoning_model = 'yes'"), "origin", sql.ORIGIN, "sum(total_tokens)", share=True),
        ),
        _category_mix(grid, "Categories of open models", "models with open weights", OPEN),
        _category_mix(
            grid, "Categories of Chinese open models", "Chinese models with open weights",
            ROLLUP.only("origin_group = 'chinese_open'"),
        ),
        _by_origin(grid, "programming"),
        _by_origin(grid, "roleplay"),
        table_panel(
            *grid.cell(24, 10), "Authors of open models",
            f"Tokens of each author's models with open weights in the range. Share: of all open models. "
            f"{TOKENS_MEANING} {ATTRIBUTE_MEANING}",
            AUTHORS_SQL,
            columns=[
                TableColumn("Tokens", "short"),
                TableColumn("Share", "percentunit", decimals=1, bar=True, width_px=260),
                TableColumn("Models", "short", decimals=0),
            ],
        ),
    ]  # fmt: skip
    board = period_dashboard(
        "Open vs closed", UID, "Open weights against proprietary models: origin, size, reasoning, use.", choices=CHOICES
    )
    for panel in panels:
        board = board.with_panel(panel)
    return board.build()
