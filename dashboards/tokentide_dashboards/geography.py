"""The dashboard *Geography*: where the requests are billed, and in which languages they are."""

from __future__ import annotations

from typing import Final

from grafana_foundation_sdk.models.dashboard import Dashboard

from tokentide_dashboards import period_sql as sql
from tokentide_dashboards.data_links import cell, link_to
from tokentide_dashboards.frame import (
    COST_MEANING,
    PERIOD_MEANING,
    RAW_MEANING,
    TOKENS_MEANING,
    period_dashboard,
    series_meaning,
)
from tokentide_dashboards.panels import Grid, TableColumn, series_panel, share_panel, table_panel

UID: Final = "tokentide-geography"
CHOICES: Final = ("continent", "country", "category")
ROLLUP: Final = sql.Rollup("rollup_geography", CHOICES)
RAW_DAYS: Final = 1

WHERE_MEANING: Final = "Place: the country of billing, not of the network address."
_SUMS: Final = {"tokens": "sum(total_tokens)", "attempts": "sum(requests)", "nanousd": "sum(cost_nanousd)"}


def _table(first: str, keys: dict[str, str], further: str = "") -> str:
    return f"""SELECT
    name AS "{first}",{further}
    attempts AS "Requests",
    tokens AS "Tokens",
    tokens / nullIf(sum(tokens) OVER (), 0) AS "Share of tokens",
    nanousd / nullIf(sum(nanousd) OVER (), 0) AS "Share of spend"
FROM
(
    {ROLLUP.grouped(keys, _SUMS)}
)
ORDER BY tokens DESC, attempts DESC, name
LIMIT 300"""


CONTINENTS_SQL: Final = _table("Continent", {"name": sql.CONTINENT})
COUNTRIES_SQL: Final = _table(
    "Country", {"name": sql.LABELS["country"], "part": sql.CONTINENT}, '\n    part AS "Continent",'
)
LANGUAGES_SQL: Final = f"""SELECT
    if(language = '', '(unknown)', language) AS "Language",
    count() AS "Requests",
    sum(total_tokens) AS "Tokens",
    "Tokens" / nullIf(sum("Tokens") OVER (), 0) AS "Share of tokens"
FROM usage
WHERE occurred_at >= greatest($__fromTime_ms, $__toTime_ms - toIntervalDay({RAW_DAYS}))
    AND occurred_at <= $__toTime_ms AND {sql.selected(CHOICES)}
GROUP BY language
ORDER BY "Tokens" DESC, "Language"
LIMIT 100"""


def geography_dashboard() -> Dashboard:
    """The dashboard as Grafana stores it."""
    grid = Grid()
    share_columns = [
        TableColumn("Requests", "short"),
        TableColumn("Tokens", "short"),
        TableColumn("Share of tokens", "percentunit", decimals=2, bar=True, width_px=180),
        TableColumn("Share of spend", "percentunit", decimals=2),
    ]
    here = ("period", "category")
    panels = [
        share_panel(
            *grid.cell(12, 10), "Share of spend by continent",
            f"Cost of the continent divided by all known cost of the same period. {WHERE_MEANING} {COST_MEANING} "
            f"{PERIOD_MEANING}",
            sql.mix(ROLLUP, "continent", sql.CONTINENT, "sum(cost_nanousd)", share=True),
        ),
        share_panel(
            *grid.cell(12, 10), "Share of tokens by continent",
            f"Tokens of the continent divided by all tokens of the same period. {WHERE_MEANING} {TOKENS_MEANING} "
            f"{PERIOD_MEANING}",
            sql.mix(ROLLUP, "continent", sql.CONTINENT, "sum(total_tokens)", share=True),
        ),
        series_panel(
            *grid.cell(12, 10), "Tokens by country",
            f"Tokens in each period. {WHERE_MEANING} {TOKENS_MEANING} {series_meaning()} {PERIOD_MEANING}",
            sql.mix(ROLLUP, "country", sql.LABELS["country"], "sum(total_tokens)", share=False),
            unit="short", stacked=True,
        ),
        table_panel(
            *grid.cell(12, 10), "Continents",
            f"The range. Share of tokens: of all tokens; Share of spend: of all known cost. {WHERE_MEANING} "
            f"{TOKENS_MEANING} {COST_MEANING}",
            CONTINENTS_SQL,
            columns=[
                TableColumn(
                    "Continent", "string",
                    links=(link_to("Only this continent", UID, {"continent": cell("Continent")}, here),),
                ),
                *share_columns,
            ],
        ),
        table_panel(
            *grid.cell(12, 12), "Countries",
            f"The range, by tokens. Share of tokens: of all tokens; Share of spend: of all known cost. {WHERE_MEANING} "
            f"{TOKENS_MEANING} {COST_MEANING}",
            COUNTRIES_SQL,
            columns=[
                TableColumn(
                    "Country", "string",
                    links=(link_to("Only this country", UID, {"country": cell("Country")}, here),),
                ),
                *share_columns,
            ],
        ),
        table_panel(
            *grid.cell(12, 12), "Languages",
            f"Tokens by the language of the request, the last day of the range. {RAW_MEANING} {TOKENS_MEANING}",
            LANGUAGES_SQL, columns=share_columns[:3],
        ),
    ]  # fmt: skip
    board = period_dashboard("Geography", UID, "Where requests are billed, and in which languages.", choices=CHOICES)
    for panel in panels:
        board = board.with_panel(panel)
    return board.build()
