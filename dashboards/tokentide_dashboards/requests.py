"""The dashboard *Requests*: the newest single attempts behind a number; where drill-downs end."""

from __future__ import annotations

from typing import Final

from grafana_foundation_sdk.models.dashboard import Dashboard

from tokentide_dashboards import period_sql as sql
from tokentide_dashboards import rollup_sql
from tokentide_dashboards.data_links import REQUESTS_UID, cell, to_model
from tokentide_dashboards.frame import RAW_MEANING, new_dashboard
from tokentide_dashboards.panels import Grid, TableColumn, choice_variable, one_of_variable, table_panel

UID: Final = REQUESTS_UID
ROWS: Final = 200
OUTCOMES: Final = ("any", "ok", "error", "cancelled")

_WHERE: Final = f"""$__timeFilter_ms(occurred_at)
    AND {sql.selected(["model", "provider", "category"])}
    AND (${{outcome:singlequote}} = 'any' OR outcome = ${{outcome:singlequote}})"""

REQUESTS_SQL: Final = f"""SELECT
    occurred_at AS "Time",
    {sql.LABELS["model"]} AS "Model",
    provider AS "Provider",
    {sql.LABELS["category"]} AS "Category",
    outcome AS "Outcome",
    error_type AS "Error",
    finish_reason AS "Finish",
    if(usage_reported, total_input_tokens, NULL) AS "Input",
    if(usage_reported, output_tokens + output_reasoning_tokens, NULL) AS "Output",
    cost_usd AS "Cost",
    time_to_first_token_ms AS "First token",
    latency_ms AS "Latency",
    app AS "App",
    tenant AS "Tenant",
    country AS "Country",
    request_id AS "Request",
    attempt AS "Attempt"
FROM usage
WHERE {_WHERE}
ORDER BY occurred_at DESC, event_id DESC
LIMIT {ROWS}"""


def requests_dashboard() -> Dashboard:
    """The dashboard as Grafana stores it."""
    grid = Grid()
    panel = table_panel(
        *grid.cell(24, 24), "Newest requests",
        f"The {ROWS} newest attempts of the range that the variables select, one row each. {RAW_MEANING} Input, output "
        "and cost are empty where nobody reported them; cost in US dollars, own-key traffic included. Never content.",
        REQUESTS_SQL,
        columns=[
            TableColumn("Time", "dateTimeAsIso", width_px=190),
            TableColumn(
                "Model", "string", width_px=260, links=(to_model(cell("Model"), ("provider", "category")),)
            ),
            TableColumn("Input", "short"),
            TableColumn("Output", "short"),
            TableColumn("Cost", "currencyUSD", decimals=6),
            TableColumn("First token", "ms"),
            TableColumn("Latency", "ms"),
        ],
    )  # fmt: skip
    board = new_dashboard(
        "Requests", UID, "The newest single attempts, without content.", start="now-1h", refresh="1m"
    ).with_variable(one_of_variable("outcome", "Outcome", "How the attempt ended.", OUTCOMES, "any"))
    for name, label, meaning in (
        ("model", "Model", "Canonical model id."),
        ("provider", "Provider", "Who served the request."),
        ("category", "Category", "Root category."),
    ):
        board = board.with_variable(choice_variable(name, label, meaning, rollup_sql.options(name)))  # type: ignore[arg-type]
    return board.with_panel(panel).build()
