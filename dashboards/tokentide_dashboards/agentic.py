"""The dashboard *Agentic*: reasoning models, tool calls and how long sequences grow."""

from __future__ import annotations

from typing import Final

from grafana_foundation_sdk.builders import timeseries
from grafana_foundation_sdk.models.dashboard import Dashboard

from tokentide_dashboards import period_sql as sql
from tokentide_dashboards.data_links import cell, series_name, to_model
from tokentide_dashboards.frame import PERIOD_MEANING, RAW_MEANING, TOKENS_MEANING, period_dashboard, series_meaning
from tokentide_dashboards.panels import Grid, TableColumn, series_panel, share_panel, table_panel

UID: Final = "tokentide-agentic"
CHOICES: Final = ("provider", "model", "category")
KEEPS: Final = ("period", "provider", "category")
ROLLUP: Final = sql.Rollup("rollup_models", CHOICES)
RAW_DAYS: Final = 1

MEAN_MEANING: Final = "Divided by the attempts with reported usage."

OFFERED_SQL: Final = f"""SELECT
    {sql.LABELS["model"]} AS "Model",
    count() AS "Requests",
    sum(total_tokens) AS "Tokens",
    "Tokens" / nullIf(sum("Tokens") OVER (), 0) AS "Share",
    countIf(finish_reason = 'tool_calls') / count() AS "Ended in a call"
FROM usage
WHERE occurred_at >= greatest($__fromTime_ms, $__toTime_ms - toIntervalDay({RAW_DAYS}))
    AND occurred_at <= $__toTime_ms AND tools_offered > 0 AND {sql.selected(CHOICES)}
GROUP BY "Model"
ORDER BY "Tokens" DESC, "Model"
LIMIT 50"""

SIZES_SQL: Final = f"""SELECT
    input_tokens_bucket AS "From",
    input_tokens_estimate AS "Prompt tokens, about",
    sum(requests) AS "Requests",
    "Requests" / nullIf(sum("Requests") OVER (), 0) AS "Share",
    sum(sum(requests)) OVER (ORDER BY "From") / nullIf(sum("Requests") OVER (), 0) AS "This or shorter"
FROM rollup_request_size_1m
WHERE window_start > least($__toTime, now()) - 3600 AND window_start <= $__toTime
    AND input_tokens_estimate IS NOT NULL AND {sql.selected(["category"])}
GROUP BY input_tokens_bucket, input_tokens_estimate
ORDER BY input_tokens_bucket"""


def _mean(grid: Grid, title: str, what: str, tokens: str, name: str) -> timeseries.Panel:
    return series_panel(
        *grid.cell(8, 8), title, f"{what} {MEAN_MEANING} {PERIOD_MEANING}",
        sql.values(
            ROLLUP,
            "length",
            {"tokens": f"sum({tokens})", "known": sql.KNOWN_USAGE},
            {name: "tokens / nullIf(known, 0)"},
        ),
        unit="short", stacked=False,
    )  # fmt: skip


def agentic_dashboard() -> Dashboard:
    """The dashboard as Grafana stores it."""
    grid = Grid()
    links = [to_model(series_name("model"), KEEPS)]
    panels = [
        series_panel(
            *grid.cell(12, 9), "Reasoning share of tokens",
            "Tokens of reasoning-optimised models, by today's catalogue, divided by all tokens of the period: prompts "
            f"and visible output included, not the reasoning tokens alone. {TOKENS_MEANING} {PERIOD_MEANING}",
            sql.values(
                ROLLUP, "models",
                {"tokens": "sum(total_tokens)", "reasoning": "sumIf(total_tokens, reasoning_model = 'yes')"},
                {"reasoning models": "reasoning / nullIf(tokens, 0)"},
            ),
            unit="percentunit", stacked=False, max_value=1,
        ),
        series_panel(
            *grid.cell(12, 9), "Reasoning models by tokens",
            f"Tokens of reasoning-optimised models in each period. {TOKENS_MEANING} {series_meaning()} "
            f"{PERIOD_MEANING}",
            sql.mix(
                ROLLUP.only("reasoning_model = 'yes'"), "model", sql.LABELS["model"], "sum(total_tokens)", share=False
            ),
            unit="short", stacked=True, links=links,
        ),
        series_panel(
            *grid.cell(12, 9), "Tool-call share of tokens",
            "Tokens of requests whose finish reason is a tool call, divided by all tokens of the period. "
            f"{TOKENS_MEANING} {PERIOD_MEANING}",
            sql.values(
                ROLLUP, "requests",
                {"tokens": "sum(total_tokens)", "in_calls": "sum(tool_call_tokens)"},
                {"ended in a tool call": "in_calls / nullIf(tokens, 0)"},
            ),
            unit="percentunit", stacked=False,
        ),
        share_panel(
            *grid.cell(12, 9), "Tool-call tokens by model",
            "Of the tokens of requests whose finish reason is a tool call: each model's share in the period. "
            f"{series_meaning()} {PERIOD_MEANING}",
            sql.mix(ROLLUP, "model", sql.LABELS["model"], "sum(tool_call_tokens)", share=True), links=links,
        ),
        _mean(
            grid, "Mean prompt tokens per request", "Input tokens, from a cache or not.", sql.INPUT_TOKENS, "prompt"
        ),
        _mean(
            grid, "Mean completion tokens per request", "Output and reasoning tokens.",
            sql.COMPLETION_TOKENS, "completion",
        ),
        _mean(
            grid, "Mean sequence length", "Prompt and completion together: input, output and reasoning tokens.",
            f"{sql.INPUT_TOKENS} + {sql.COMPLETION_TOKENS}", "sequence",
        ),
        series_panel(
            *grid.cell(12, 9), "Sequence length, programming and all",
            "Input, output and reasoning tokens divided by the attempts with reported usage: of requests labelled "
            f"programming, and of all requests, labelled or not. {PERIOD_MEANING}",
            sql.values(
                ROLLUP, "requests",
                {
                    "tokens": f"sum({sql.INPUT_TOKENS} + {sql.COMPLETION_TOKENS})",
                    "known": sql.KNOWN_USAGE,
                    "code_tokens": f"sumIf({sql.INPUT_TOKENS} + {sql.COMPLETION_TOKENS}, category = 'programming')",
                    "code_known": "sumIf(requests - usage_missing_requests, category = 'programming')",
                },
                {"programming": "code_tokens / nullIf(code_known, 0)", "all": "tokens / nullIf(known, 0)"},
            ),
            unit="short", stacked=False,
        ),
        series_panel(
            *grid.cell(12, 9), "Reasoning part of the completion",
            "Reasoning tokens divided by output and reasoning tokens, over all models and requests of the period. "
            f"{PERIOD_MEANING}",
            sql.values(
                ROLLUP, "tokens",
                {"thought": "sum(output_reasoning_tokens)", "completion": f"sum({sql.COMPLETION_TOKENS})"},
                {"reasoning": "thought / nullIf(completion, 0)"},
            ),
            unit="percentunit", stacked=False, max_value=1,
        ),
        table_panel(
            *grid.cell(12, 11), "Models with tools offered",
            f"Requests that offered the model at least one tool, the last day of the range. {RAW_MEANING} Share: of "
            "the tokens of all such requests. Ended in a call: finish reason tool call, divided by such requests.",
            OFFERED_SQL,
            columns=[
                TableColumn("Model", "string", width_px=220, links=(to_model(cell("Model"), KEEPS),)),
                TableColumn("Requests", "short"),
                TableColumn("Tokens", "short"),
                TableColumn("Share", "percentunit", decimals=1, bar=True, width_px=140),
                TableColumn("Ended in a call", "percentunit", decimals=1),
            ],
        ),
        table_panel(
            *grid.cell(12, 11), "Requests by prompt length",
            "Attempts with reported usage by all input tokens, in buckets of powers of two, the last hour of the "
            "range. Only the category selects here.",
            SIZES_SQL,
            columns=[
                TableColumn("From", "short"),
                TableColumn("Prompt tokens, about", "short"),
                TableColumn("Requests", "short"),
                TableColumn("Share", "percentunit", decimals=1, bar=True, width_px=140),
                TableColumn("This or shorter", "percentunit", decimals=1),
            ],
        ),
    ]  # fmt: skip
    board = period_dashboard(
        "Agentic", UID, "Reasoning models, tool calls, and how long prompts and answers grow.", choices=CHOICES
    )
    for panel in panels:
        board = board.with_panel(panel)
    return board.build()
