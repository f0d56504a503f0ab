"""Figures of the chapter on open and closed models."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from tokentide_dashboards.period_sql import ORIGIN, SIZE, WEIGHTED_TOKENS, WEIGHTS
from tokentide_deploy.report import sql
from tokentide_deploy.report.asking import Asker
from tokentide_deploy.report.figure import Definition, Figure
from tokentide_deploy.report.making import Recipe, Rows, mix, ranking

CHAPTER: Final = "Open and closed models"
ALL: Final = Rows()
OPEN: Final = ALL.only("open_weights = 'yes'")
TOKENS: Final = "sum(total_tokens)"
ALL_TOKENS: Final = "Prompt and completion tokens of all attempts, reasoning and cached ones included"
NO_USAGE: Final = "Attempts whose provider reported no usage have no tokens to count."
LABELLED: Final = (
    "Unlabelled requests. Labelled ones are scaled up by the labeller's sampling rate, so shares are estimates."
)
CATALOGUE: Final = "Attributes of a model are those of today's catalogue."


def _f1(asker: Asker) -> Figure:
    return mix(
        asker, "F1", "Open weights against proprietary models", ALL, WEIGHTS, TOKENS,
        Definition("Tokens of the group's models.", "All tokens of the same bucket.", NO_USAGE),
        leading=None, launches=True, y_label="share of tokens", notes=(CATALOGUE,),
    )  # fmt: skip


def _f2(asker: Asker) -> Figure:
    return mix(
        asker, "F2", "Tokens by origin", ALL, ORIGIN, TOKENS,
        Definition(f"{ALL_TOKENS}, by where the model comes from.", "None: an amount.", NO_USAGE),
        share=False, leading=None, unit="tokens", y_label="tokens", notes=(CATALOGUE,),
    )  # fmt: skip


def _f3(asker: Asker) -> Figure:
    return mix(
        asker, "F3", "Share within open weights by model", OPEN, sql.MODEL, TOKENS,
        Definition("Tokens of the model.", "Tokens of all models with open weights in the bucket.", NO_USAGE),
        leading=15, y_label="share of open models' tokens",
    )  # fmt: skip


def _f4(asker: Asker) -> Figure:
    return mix(
        asker, "F4", "Open weights by size", OPEN, SIZE, TOKENS,
        Definition(
            "Tokens of the size class: small is under 15 billion parameters, medium under 70, large the rest.",
            "Tokens of all models with open weights in the bucket.", NO_USAGE,
        ),
        leading=None, y_label="share of open models' tokens", notes=(CATALOGUE,),
    )  # fmt: skip


def _f5(asker: Asker) -> Figure:
    return mix(
        asker, "F5", "Number of open models in use by size", replace(OPEN, measured=("total_tokens > 0",)), SIZE,
        "uniqExact(canonical_model)",
        Definition("Distinct models with open weights that had a token in the bucket.", "None: a count.", NO_USAGE),
        share=False, leading=None, unit="count", y_label="models", notes=(CATALOGUE,),
    )  # fmt: skip


def _categories(asker: Asker, id_: str, title: str, rows: Rows, whose: str) -> Figure:
    return mix(
        asker, id_, title, rows.only("category != ''"), "category", WEIGHTED_TOKENS,
        Definition(f"Tokens of the category's requests to {whose}.", f"All labelled tokens of {whose}.", LABELLED),
        y_label="share of labelled tokens",
    )  # fmt: skip


def _f6(asker: Asker) -> Figure:
    return _categories(asker, "F6", "What open models are used for", OPEN, "models with open weights")


def _f7(asker: Asker) -> Figure:
    chinese = ALL.only("origin_group = 'chinese_open'")
    return _categories(asker, "F7", "What Chinese open models are used for", chinese, "Chinese open models")


def _by_origin(asker: Asker, id_: str, category: str) -> Figure:
    return mix(
        asker, id_, f"{category.capitalize()} by origin of the model", ALL.only(f"category = '{category}'"), ORIGIN,
        WEIGHTED_TOKENS,
        Definition(
            f"{category.capitalize()} tokens of models of the origin.", f"All tokens labelled {category}.", LABELLED
        ),
        leading=None, y_label=f"share of {category} tokens", notes=(CATALOGUE,),
    )  # fmt: skip


def _f8(asker: Asker) -> Figure:
    return _by_origin(asker, "F8", "programming")


def _f9(asker: Asker) -> Figure:
    return _by_origin(asker, "F9", "roleplay")


def _t1(asker: Asker) -> Figure:
    found = asker.sums(OPEN.stem, {"name": "author"}, {"tokens": TOKENS}, OPEN.where)
    return ranking(
        asker, "T1", "Authors of open models", "Author", {name: float(tokens) for name, tokens in found},
        OPEN.counted(asker, "author"),
        Definition("Tokens of the author's models with open weights.", "Tokens of all such models.", NO_USAGE),
    )  # fmt: skip


RECIPES: Final = tuple(
    Recipe(id_, CHAPTER, make)
    for id_, make in (
        ("F1", _f1), ("F2", _f2), ("F3", _f3), ("F4", _f4), ("F5", _f5), ("F6", _f6), ("F7", _f7), ("F8", _f8),
        ("F9", _f9), ("T1", _t1),
    )
)  # fmt: skip
