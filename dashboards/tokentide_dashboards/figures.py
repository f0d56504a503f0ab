"""Which panel shows which figure of the 100-trillion-token study: a table, and the page `docs/figures.md` made from it.

`python -m tokentide_dashboards.figures` writes the page, `--check` compares.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

PAGE: Final = Path(__file__).resolve().parents[2] / "docs" / "figures.md"
IDS: Final = (*(f"F{number}" for number in range(1, 34)), *(f"T{number}" for number in range(1, 6)))
"""The study's figures and tables."""


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure and where it is. `dashboard`: file name below `grafana/dashboards`; `panel`: title there.

    `choices`: variable -> value that the reader picks for exactly this figure. `note`: where it differs.
    """

    id: str
    shows: str
    dashboard: str
    panel: str
    choices: Mapping[str, str] = field(default_factory=dict)
    note: str = ""


_AUTHORS: Final = ("anthropic", "google", "x-ai", "openai", "deepseek", "qwen")
_RAW: Final = "raw events: the last days of the range only"
_NO_RAW_YET: Final = (
    "the last day of the range, from raw events: no rollup counts tokens with tools offered; over longer ranges "
    "*Tool-call tokens by model* is near it"
)

FIGURES: Final[tuple[Figure, ...]] = (
    Figure("F1", "share of open and proprietary models, launches marked", "open-closed", "Open against proprietary"),
    Figure("F2", "volume by origin", "open-closed", "Tokens by origin"),
    Figure("F3", "share within open models, top 15", "open-closed", "Share within open weights by model"),
    Figure("F4", "open models' share by size class", "open-closed", "Open weights by size"),
    Figure("F5", "number of open models by size class", "open-closed", "Number of open models by size"),
    Figure("F6", "category mix of open models", "open-closed", "Categories of open models"),
    Figure("F7", "category mix of Chinese open models", "open-closed", "Categories of Chinese open models"),
    Figure("F8", "programming by origin", "open-closed", "Programming tokens by origin"),
    Figure("F9", "roleplay by origin", "open-closed", "Roleplay tokens by origin"),
    Figure("F10", "share of reasoning models", "agentic", "Reasoning share of tokens"),
    Figure("F11", "top reasoning models", "agentic", "Reasoning models by tokens"),
    Figure("F12", "tool-call share", "agentic", "Tool-call share of tokens"),
    Figure("F13", "top models by tool-provided volume", "agentic", "Models with tools offered", note=_NO_RAW_YET),
    Figure("F14", "mean prompt tokens", "agentic", "Mean prompt tokens per request"),
    Figure("F15", "mean completion tokens", "agentic", "Mean completion tokens per request"),
    Figure("F16", "mean prompt tokens by category", "categories", "Mean prompt tokens by category"),
    Figure("F17", "mean sequence length", "agentic", "Mean sequence length"),
    Figure("F18", "sequence length, programming and all", "agentic", "Sequence length, programming and all"),
    Figure("F19", "share of programming", "categories", "Programming share over time"),
    Figure("F20", "programming by author", "categories", "Programming tokens by author"),
    Figure("F21", "subcategories of the large categories", "categories", "Subcategories", note=_RAW),
    Figure("F22", "subcategories of further categories", "categories", "Subcategories", note=_RAW),
    *(
        Figure(f"F{number}", f"category mix of {author}", "categories", "Category mix over time", {"author": author})
        for number, author in enumerate(_AUTHORS, start=23)
    ),
    Figure("F29", "share of spend by continent", "geography", "Share of spend by continent"),
    Figure(
        "F30", "retention of monthly cohorts", "retention", "Retention by cohort",
        note="as a heat table; *Retention of the largest cohorts* draws the curves",
    ),
    Figure("F31", "cost and tokens by category, logarithmic", "cost", "Cost and tokens by category"),
    Figure("F32", "price and usage, open and proprietary, logarithmic", "cost", "Price and usage by model"),
    Figure("F33", "cost and usage by model, logarithmic", "cost", "Price and usage by model"),
    Figure("T1", "tokens by author of open models", "open-closed", "Authors of open models"),
    Figure("T2", "continents", "geography", "Continents"),
    Figure("T3", "countries", "geography", "Countries"),
    Figure("T4", "languages", "geography", "Languages", note=_RAW),
    Figure("T5", "price and usage by model", "cost", "Price and usage"),
)  # fmt: skip

RANKINGS: Final[tuple[tuple[str, str, str], ...]] = (
    ("top models over time", "models", "Tokens by model"),
    ("leaderboard by day, week and month with change", "rankings", "Models by tokens"),
    ("market share by author", "rankings", "Authors by tokens"),
    ("market share over time", "models", "Share of tokens by author"),
    ("categories", "rankings", "Categories"),
    ("languages", "rankings", "Languages"),
    ("prompt lengths", "rankings", "Prompt lengths"),
    ("completion lengths", "rankings", "Completion lengths"),
    ("tool calls", "rankings", "Tool calls"),
    ("images", "rankings", "Images"),
    ("top apps", "rankings", "Apps by tokens"),
    ("trending apps", "rankings", "Trending apps"),
    ("trending models", "rankings", "Trending models"),
    ("performance", "rankings", "Performance"),
)
"""What readers of public rankings look for: what, dashboard, panel."""


def page(titles: Mapping[str, str]) -> str:
    """The page as Markdown. `titles`: dashboard's file name -> its title."""
    lines = [
        "# Where each figure is",
        "",
        "Every figure (F) and table (T) of the 100-trillion-token study, live over your own traffic: the dashboard",
        "and the panel that show it. Each panel's description states its definition; [metrics](metrics.md) has the",
        "formulas. The page is made by `python -m tokentide_dashboards.figures`; a test fails when a figure has no",
        "panel.",
        "",
        "| | shows | dashboard | panel | mind |",
        "|---|---|---|---|---|",
    ]
    for figure in FIGURES:
        chosen = ", ".join(f"choose {name} `{value}`" for name, value in figure.choices.items())
        mind = "; ".join(text for text in (chosen, figure.note) if text)
        cells = (figure.id, figure.shows, titles[figure.dashboard], figure.panel, mind)
        lines.append(f"| {' | '.join(cells)} |".replace("|  |", "| |"))
    lines += [
        "",
        "## What readers of rankings look for",
        "",
        "| what | dashboard | panel |",
        "|---|---|---|",
        *(f"| {what} | {titles[dashboard]} | {panel} |" for what, dashboard, panel in RANKINGS),
        "",
    ]
    return "\n".join(lines)


def built_page() -> str:
    """The page, with the titles of the dashboards as they are built."""
    from tokentide_dashboards.build import DASHBOARDS, dashboard_model

    return page({name: dashboard_model(make())["title"] for name, make in DASHBOARDS.items()})


def main(arguments: list[str] | None = None) -> int:
    """Command line. Returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tokentide_dashboards.figures", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 when the page is out of date")
    parser.add_argument("--out", type=Path, default=PAGE, help="the page (default: %(default)s)")
    options = parser.parse_args(arguments)
    text = built_page()
    if not options.check:
        options.out.write_text(text, encoding="utf-8")
        return 0
    if not options.out.exists() or options.out.read_text(encoding="utf-8") != text:
        sys.stderr.write(f"{options.out} is out of date: run `python -m tokentide_dashboards.figures` and commit.\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
