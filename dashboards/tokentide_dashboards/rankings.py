"""The dashboard *Rankings*: the leaderboards that readers of public rankings know, over one's own traffic."""

from __future__ import annotations

from typing import Final

from grafana_foundation_sdk.builders import table
from grafana_foundation_sdk.models.dashboard import Dashboard

from tokentide_dashboards import ranking_sql as sql
from tokentide_dashboards.data_links import CATEGORIES_UID, DataLink, cell, link_to, to_model, to_requests
from tokentide_dashboards.frame import RAW_MEANING, TOKENS_MEANING, new_dashboard
from tokentide_dashboards.panels import Grid, TableColumn, one_of_variable, table_panel

UID: Final = "tokentide-rankings"

WINDOW_MEANING: Final = (
    "The chosen window ends with the last full hour of the range (day: 24 hours) or its last full day in the "
    "dashboard's time zone (week: 7 days, month: 30 days)."
)
_CHANGE_MEANING: Final = (
    "Change: tokens against the window before; Share change: difference of the shares in percentage points. Both are "
    "empty when the store does not reach back so far."
)
_TRENDING_MEANING: Final = (
    f"The window's tokens minus the mean of the {sql.EARLIER_WINDOWS} windows before it; who did not grow is left out. "
    "Empty when the store does not reach back so far."
)


def _leaderboard(
    grid: Grid, width: int, title: str, description: str, query: str, link: DataLink | None
) -> table.Panel:
    first = title.split(" by ")[0].removesuffix("s")
    return table_panel(
        *grid.cell(width, 12), title, description, query,
        columns=[
            TableColumn("Rank", "none", decimals=0, width_px=60),
            TableColumn(first, "string", width_px=230, links=(link,) if link else ()),
            TableColumn("Tokens", "short"),
            TableColumn("Share", "percentunit", decimals=1, bar=True, width_px=140),
            TableColumn("Change", "percentunit", decimals=1, signed=True),
            TableColumn("Share change", "suffix:pp", decimals=2, signed=True),
            TableColumn("Requests", "short"),
        ],
    )  # fmt: skip


def _trending(grid: Grid, title: str, query: str, link: DataLink | None) -> table.Panel:
    return table_panel(
        *grid.cell(12, 9), title, f"{_TRENDING_MEANING} {WINDOW_MEANING} {TOKENS_MEANING}", query,
        columns=[
            TableColumn("Model" if link else "App", "string", width_px=230, links=(link,) if link else ()),
            TableColumn("More tokens", "short"),
            TableColumn("Tokens", "short"),
            TableColumn("Growth", "percentunit", decimals=1, signed=True),
        ],
    )  # fmt: skip


def _shares(grid: Grid, title: str, description: str, query: str, *columns: TableColumn) -> table.Panel:
    share = TableColumn("Share", "percentunit", decimals=1, bar=True, width_px=130)
    return table_panel(*grid.cell(8, 10), title, description, query, columns=[*columns, share])


def rankings_dashboard() -> Dashboard:
    """The dashboard as Grafana stores it."""
    grid = Grid()
    model = to_model(cell("Model"))
    bucket_meaning = (
        "Attempts with reported usage in buckets of powers of two, the last full hour before the window's end."
    )
    panels = [
        _leaderboard(
            grid, 24, "Models by tokens", f"The {sql.ROWS} models with the most tokens of the window. "
            f"{WINDOW_MEANING} {_CHANGE_MEANING} {TOKENS_MEANING}",
            sql.leaderboard("rollup", "model", "Model"), model,
        ),
        _trending(grid, "Trending models", sql.trending("rollup", "model", "Model"), model),
        _trending(grid, "Trending apps", sql.trending("rollup_app", "app", "App"), None),
        _leaderboard(
            grid, 12, "Authors by tokens", "Market share: the tokens of each author's models, by the catalogue. "
            f"{WINDOW_MEANING} {_CHANGE_MEANING} {TOKENS_MEANING}",
            sql.leaderboard("rollup_models", "author", "Author"),
            link_to("This author's models", "tokentide-models", {"author": cell("Author")}),
        ),
        _leaderboard(
            grid, 12, "Apps by tokens", f"The {sql.ROWS} apps with the most tokens of the window. {WINDOW_MEANING} "
            f"{_CHANGE_MEANING} {TOKENS_MEANING}",
            sql.leaderboard("rollup_app", "app", "App"), None,
        ),
        _shares(
            grid, "Categories",
            "Labelled requests only, scaled up by the labeller's sampling rate: share of all labelled tokens. "
            f"{WINDOW_MEANING} {_CHANGE_MEANING}",
            sql.categories(),
            TableColumn(
                "Category", "string",
                links=(link_to("This category", CATEGORIES_UID, {"category": cell("Category")}),),
            ),
            TableColumn("Tokens", "short"),
            TableColumn("Share change", "suffix:pp", decimals=2, signed=True),
        ),
        _shares(
            grid, "Languages", f"By the language of the request, the last day of the window. {RAW_MEANING} "
            f"{TOKENS_MEANING}",
            sql.languages(), TableColumn("Requests", "short"), TableColumn("Tokens", "short"),
        ),
        table_panel(
            *grid.cell(8, 10), "Tool calls",
            "Models by requests whose finish reason is a tool call; Of its requests: divided by all attempts of the "
            f"model. {WINDOW_MEANING}",
            sql.tool_calls(),
            columns=[
                TableColumn("Model", "string", width_px=200, links=(model, to_requests({"model": cell("Model")}))),
                TableColumn("Requests", "short"),
                TableColumn("Tokens", "short"),
                TableColumn("Of its requests", "percentunit", decimals=1),
            ],
        ),
        _shares(
            grid, "Prompt lengths", f"By all input tokens. {bucket_meaning}",
            sql.lengths("input_tokens", "Prompt tokens, about"), TableColumn("Prompt tokens, about", "short"),
            TableColumn("Requests", "short"),
        ),
        _shares(
            grid, "Completion lengths", f"By output and reasoning tokens. {bucket_meaning}",
            sql.lengths("output_tokens", "Completion tokens, about"), TableColumn("Completion tokens, about", "short"),
            TableColumn("Requests", "short"),
        ),
        _shares(
            grid, "Images", f"Models by image tokens, in and out. {WINDOW_MEANING}",
            sql.images(), TableColumn("Model", "string", links=(model,)), TableColumn("Image tokens", "short"),
        ),
        table_panel(
            *grid.cell(24, 10), "Performance",
            f"The {sql.ROWS} models with the most attempts: means of the known times, and attempts with the outcome "
            f"error divided by all. {WINDOW_MEANING}",
            sql.speed(),
            columns=[
                TableColumn("Model", "string", width_px=260, links=(model,)),
                TableColumn("Requests", "short"),
                TableColumn("First token", "ms", decimals=0),
                TableColumn("Latency", "ms", decimals=0),
                TableColumn("Errors", "percentunit", decimals=2),
            ],
        ),
    ]  # fmt: skip
    board = new_dashboard(
        "Rankings", UID, "Leaderboards by day, week and month: models, authors, apps, uses, trends.",
        start="now-7d", refresh="5m",
    ).with_variable(
        one_of_variable("window", "Window", "What is ranked, up to the range's end.", sql.WINDOWS, sql.DEFAULT_WINDOW)
    )  # fmt: skip
    for panel in panels:
        board = board.with_panel(panel)
    return board.build()
