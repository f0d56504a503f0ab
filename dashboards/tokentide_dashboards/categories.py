"""The dashboard *Categories*: what the models are used for."""

from __future__ import annotations

from typing import Final

from grafana_foundation_sdk.models.dashboard import Dashboard

from tokentide_dashboards import period_sql as sql
from tokentide_dashboards.data_links import CATEGORIES_UID, cell, link_to, series_name, to_requests
from tokentide_dashboards.frame import PERIOD_MEANING, RAW_MEANING, TOKENS_MEANING, period_dashboard, series_meaning
from tokentide_dashboards.panels import (
    NO_VALUE,
    Grid,
    TableColumn,
    series_panel,
    share_panel,
    stat_panel,
    table_panel,
)

UID: Final = CATEGORIES_UID
CHOICES: Final = ("provider", "author", "model", "category")
ROLLUP: Final = sql.Rollup("rollup_models", CHOICES)
LABELLED: Final = ROLLUP.only("category != ''")
PROGRAMMING: Final = LABELLED.only("category = 'programming'")
RAW_DAYS: Final = 7
SUBCATEGORY_ROWS: Final = 100

WEIGHTED_MEANING: Final = (
    "Labelled requests only, scaled up by the labeller's sampling rate (category_weight); unlabelled ones are left out."
)

SUBCATEGORIES_SQL: Final = f"""SELECT
    category AS "Category",
    if(subcategory = '', '(none)', subcategory) AS "Subcategory",
    sum(category_weight * total_tokens) AS "Tokens",
    "Tokens" / nullIf(sum("Tokens") OVER (PARTITION BY "Category"), 0) AS "Share of category"
FROM usage
WHERE occurred_at >= greatest($__fromTime_ms, $__toTime_ms - toIntervalDay({RAW_DAYS})) AND occurred_at <= $__toTime_ms
    AND category != '' AND {sql.selected(CHOICES)}
GROUP BY category, subcategory
ORDER BY sum("Tokens") OVER (PARTITION BY "Category") DESC, "Category", "Tokens" DESC, "Subcategory"
LIMIT {SUBCATEGORY_ROWS}"""

AUTHORS_SQL: Final = f"""SELECT
    name AS "Author",
    total AS "Tokens",
    top.1 AS "Largest category",
    top.2 / nullIf(total, 0) AS "Its share",
    programming / nullIf(total, 0) AS "Programming"
FROM
(
    SELECT
        name, sum(tokens) AS total, argMax((category_name, tokens), tokens) AS top,
        sumIf(tokens, category_name = 'programming') AS programming
    FROM
    (
        {LABELLED.grouped({"name": "author", "category_name": "category"}, {"tokens": sql.WEIGHTED_TOKENS})}
    )
    GROUP BY name
)
ORDER BY total DESC, name
LIMIT 50"""


def categories_dashboard() -> Dashboard:
    """The dashboard as Grafana stores it."""
    grid = Grid()
    category_links = [to_requests({"category": series_name("category")}, ("model", "provider"))]
    panels = [
        stat_panel(
            *grid.cell(12, 4), "Programming share of tokens",
            f"Tokens of requests labelled programming, divided by those of all labelled requests. {WEIGHTED_MEANING}",
            sql.total(
                LABELLED,
                {
                    "tokens": sql.WEIGHTED_TOKENS,
                    "programming": "sumIf(weighted_tokens_milli, category = 'programming') / 1000",
                },
                "all_programming / nullIf(all_tokens, 0)",
            ),
            unit="percentunit", no_value=NO_VALUE, decimals=1,
        ),
        stat_panel(
            *grid.cell(12, 4), "Unlabelled requests",
            "Attempts without a category, divided by all attempts of the range: the smaller, the better the mix is "
            "known. A sampled labeller leaves most requests unlabelled on purpose.",
            sql.total(ROLLUP, {"unlabelled": "sumIf(requests, category = '')"}, "all_unlabelled / all_attempts"),
            unit="percentunit", no_value=NO_VALUE, decimals=1,
        ),
        share_panel(
            *grid.cell(12, 10), "Category mix over time",
            "The category's tokens divided by those of all labelled requests of the same period, for the chosen "
            f"authors, models and providers. {WEIGHTED_MEANING} {TOKENS_MEANING} {series_meaning()} {PERIOD_MEANING}",
            sql.mix(LABELLED, "category", "category", sql.WEIGHTED_TOKENS, share=True), links=category_links,
        ),
        series_panel(
            *grid.cell(12, 10), "Programming share over time",
            "Tokens of requests labelled programming, divided by those of all labelled requests of the same period. "
            f"{WEIGHTED_MEANING} {PERIOD_MEANING}",
            sql.values(
                LABELLED, "category",
                {
                    "tokens": sql.WEIGHTED_TOKENS,
                    "programming": "sumIf(weighted_tokens_milli, category = 'programming') / 1000",
                },
                {"programming": "programming / nullIf(tokens, 0)"},
            ),
            unit="percentunit", stacked=False, decimals=1, links=category_links,
        ),
        share_panel(
            *grid.cell(12, 10), "Programming tokens by author",
            "Of the tokens of requests labelled programming: the share of each author's models in the period. "
            f"{WEIGHTED_MEANING} {series_meaning()} {PERIOD_MEANING}",
            sql.mix(PROGRAMMING, "author", "author", sql.WEIGHTED_TOKENS, share=True),
        ),
        series_panel(
            *grid.cell(12, 10), "Mean prompt tokens by category",
            "All input tokens divided by the attempts with reported usage. Not scaled: a mean of the labelled "
            f"requests. The ten categories with the most attempts. {PERIOD_MEANING}",
            sql.ratios(
                LABELLED, "category", "category", f"sum({sql.INPUT_TOKENS})", sql.KNOWN_USAGE, weight="sum(requests)"
            ),
            unit="short", stacked=False, links=category_links,
        ),
        table_panel(
            *grid.cell(12, 12), "Subcategories",
            f"Share of each subcategory within its category, the last {RAW_DAYS} days of the range. {RAW_MEANING} "
            f"{WEIGHTED_MEANING} The {SUBCATEGORY_ROWS} largest rows, by category.",
            SUBCATEGORIES_SQL,
            columns=[
                TableColumn("Tokens", "short"),
                TableColumn("Share of category", "percentunit", decimals=1, bar=True, width_px=220),
            ],
        ),
        table_panel(
            *grid.cell(12, 12), "Authors and their uses",
            "For each author the labelled tokens, the largest category with its share of them, and the share of "
            f"programming. {WEIGHTED_MEANING} A click shows one author's mix over time.",
            AUTHORS_SQL,
            columns=[
                TableColumn(
                    "Author", "string",
                    links=(
                        link_to(
                            "This author's categories", UID, {"author": cell("Author")}, ("period", "provider")
                        ),
                    ),
                ),
                TableColumn("Tokens", "short"),
                TableColumn("Its share", "percentunit", decimals=1, bar=True, width_px=160),
                TableColumn("Programming", "percentunit", decimals=1),
            ],
        ),
    ]  # fmt: skip
    board = period_dashboard("Categories", UID, "What the models are used for, and by whose models.", choices=CHOICES)
    for panel in panels:
        board = board.with_panel(panel)
    return board.build()
