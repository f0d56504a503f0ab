"""Figures of the chapter on reasoning models, tool calls and the length of sequences."""

from __future__ import annotations

from typing import Final

from tokentide_dashboards.period_sql import COMPLETION_TOKENS, INPUT_TOKENS, KNOWN_USAGE
from tokentide_deploy.report import sql
from tokentide_deploy.report.asking import Asker
from tokentide_deploy.report.chapter_open_closed import ALL, CATALOGUE, NO_USAGE, TOKENS
from tokentide_deploy.report.figure import Definition, Figure
from tokentide_deploy.report.making import Recipe, mix, ranking, ratios

CHAPTER: Final = "Reasoning and agents"
SEQUENCE: Final = f"{INPUT_TOKENS} + {COMPLETION_TOKENS}"
_KNOWN: Final = "Attempts with reported usage."
_UNKNOWN: Final = "Attempts whose provider reported no usage."


def raw_note(asker: Asker) -> str:
    """Which part of the period a figure over raw events could see."""
    count, first, last = asker.raw_span()
    if not count:
        return "Needs raw events, and none of the period are kept any more."
    return f"From the raw events that are still kept, {first:%Y-%m-%d} to {last:%Y-%m-%d} (UTC)."


def _f10(asker: Asker) -> Figure:
    reasoning = "reasoning_model = 'yes'"
    return ratios(
        asker, "F10", "Share of reasoning models", ALL,
        {"Reasoning models": (f"sumIf(total_tokens, {reasoning})", TOKENS, reasoning)},
        Definition(
            "All tokens of requests to reasoning-optimised models, prompts and visible output included.",
            "All tokens of the bucket.", NO_USAGE,
        ),
        unit="share", y_label="share of tokens", notes=(CATALOGUE,),
    )  # fmt: skip


def _f11(asker: Asker) -> Figure:
    return mix(
        asker, "F11", "Reasoning models by tokens", ALL.only("reasoning_model = 'yes'"), sql.MODEL, TOKENS,
        Definition("Tokens of the model.", "None: an amount.", f"Other than reasoning models. {NO_USAGE}"),
        share=False, unit="tokens", y_label="tokens",
    )  # fmt: skip


def _f12(asker: Asker) -> Figure:
    return ratios(
        asker, "F12", "Tool-call share of tokens", ALL,
        {"Ended in a tool call": ("sum(tool_call_tokens)", TOKENS, "")},
        Definition("Tokens of attempts whose finish reason is a tool call.", "All tokens of the bucket.", NO_USAGE),
        unit="share", y_label="share of tokens",
    )  # fmt: skip


def _f13(asker: Asker) -> Figure:
    where = ("tools_offered > 0",)
    rows = ALL.only(*where)
    found = asker.rows(sql.raw_grouped(asker.period, {"name": sql.MODEL}, {"tokens": TOKENS}, where, 5_000))
    return ranking(
        asker, "F13", "Models with tools offered", "Model", {str(name): float(tokens) for name, tokens in found},
        rows.counted(asker, sql.MODEL),
        Definition(
            "Tokens of requests that offered the model at least one tool.", "Tokens of all such requests.", NO_USAGE
        ),
        notes=(raw_note(asker),),
    )  # fmt: skip


def _mean(asker: Asker, id_: str, title: str, name: str, tokens: str, what: str) -> Figure:
    return ratios(
        asker, id_, title, ALL, {name: (f"sum({tokens})", KNOWN_USAGE, "")}, Definition(what, _KNOWN, _UNKNOWN),
        unit="tokens", y_label="tokens per request",
    )  # fmt: skip


def _f14(asker: Asker) -> Figure:
    what = "Input tokens, from a cache or not."
    return _mean(asker, "F14", "Mean prompt tokens per request", "Prompt", INPUT_TOKENS, what)


def _f15(asker: Asker) -> Figure:
    what = "Visible output and reasoning tokens."
    return _mean(asker, "F15", "Mean completion tokens per request", "Completion", COMPLETION_TOKENS, what)


def _f17(asker: Asker) -> Figure:
    what = "Input, output and reasoning tokens."
    return _mean(asker, "F17", "Mean sequence length", "Sequence", SEQUENCE, what)


def _f18(asker: Asker) -> Figure:
    code = "category = 'programming'"
    return ratios(
        asker, "F18", "Sequence length, programming and all", ALL,
        {
            "Programming": (
                f"sumIf({SEQUENCE}, {code})", f"sumIf(requests - usage_missing_requests, {code})", code
            ),
            "All requests": (f"sum({SEQUENCE})", KNOWN_USAGE, ""),
        },
        Definition(
            "Input, output and reasoning tokens of the group's attempts.",
            "The group's attempts with reported usage; all requests are labelled and unlabelled ones.", _UNKNOWN,
        ),
        unit="tokens", y_label="tokens per request",
    )  # fmt: skip


RECIPES: Final = tuple(
    Recipe(id_, CHAPTER, make)
    for id_, make in (
        ("F10", _f10), ("F11", _f11), ("F12", _f12), ("F13", _f13), ("F14", _f14), ("F15", _f15), ("F17", _f17),
        ("F18", _f18),
    )
)  # fmt: skip
