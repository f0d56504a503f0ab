"""Makes the report: asks for each figure, writes the page, the CSV files and the pictures. IO."""

from __future__ import annotations

import datetime as dt
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tokentide_deploy.errors import DeployError
from tokentide_deploy.report import (
    chapter_agentic,
    chapter_categories,
    chapter_cost,
    chapter_geography,
    chapter_models,
    chapter_open_closed,
    chapter_retention,
)
from tokentide_deploy.report.asking import Asker
from tokentide_deploy.report.figure import Figure
from tokentide_deploy.report.making import Recipe
from tokentide_deploy.report.methods import Totals, facts, stored_span, totals
from tokentide_deploy.report.page import Report, csv_text, html
from tokentide_deploy.report.words import number

RECIPES: Final[tuple[Recipe, ...]] = (
    *chapter_open_closed.RECIPES,
    *chapter_models.RECIPES,
    *chapter_categories.RECIPES,
    *chapter_agentic.RECIPES,
    *chapter_geography.RECIPES,
    *chapter_retention.RECIPES,
    *chapter_cost.RECIPES,
)
"""Every figure, in the order of the page."""

Progress = Callable[[str, float, int, int], None]
"""Called after each step with what it was, its seconds, its number and how many there are."""


class EmptyPeriodError(DeployError):
    """Nothing is stored in the period."""

    exit_status = 8


class OutputError(DeployError):
    """A file of the report cannot be written."""


@dataclass(frozen=True, slots=True)
class Made:
    """The page's text and its figures."""

    page: str
    figures: tuple[Figure, ...]


def make(asker: Asker, made_at: dt.datetime, progress: Progress) -> Made:
    """Ask for everything. Raises EmptyPeriodError, QueryError, StoreUnreachableError."""
    steps = len(RECIPES) + 2
    started_s = time.monotonic()
    found = totals(asker)
    if found.attempts == 0:
        raise EmptyPeriodError(_nothing(asker))
    progress("totals", time.monotonic() - started_s, 1, steps)
    chapters: dict[str, list[Figure]] = {}
    for place, recipe in enumerate(RECIPES, start=2):
        started_s = time.monotonic()
        figure = recipe.make(asker)
        chapters.setdefault(recipe.chapter, []).append(figure)
        progress(f"{figure.id} {figure.title}", time.monotonic() - started_s, place, steps)
    started_s = time.monotonic()
    methods = facts(asker, found, made_at)
    progress("methods", time.monotonic() - started_s, steps, steps)
    figures = tuple(figure for part in chapters.values() for figure in part)
    period = asker.period
    report = Report(
        "State of our AI",
        f"{period.first} to {period.last} ({period.time_zone}): where every token went, by model, author, category, "
        "place and price. After the study State of AI, over our own traffic. Every figure says what it counts; the "
        "methods at the end say what is unknown.",
        _tiles(found, {figure.id: figure for figure in figures}),
        chapters,
        methods,
    )
    return Made(html(report), figures)


def _tiles(found: Totals, figures: dict[str, Figure]) -> list[tuple[str, str]]:
    tiles = [
        ("Tokens", number(float(found.tokens), "tokens")),
        ("Attempts", number(float(found.attempts), "count")),
        ("Models", f"{found.models:,}"),
        ("Known cost", number(found.nanousd / 1e9, "usd")),
    ]
    for name, id_, series in (
        ("Open weights, at the end", "F1", "Open weights"),
        ("Reasoning models, at the end", "F10", "Reasoning models"),
        ("Programming, at the end", "F19", "Programming"),
    ):
        for one in figures[id_].series:
            known = [value for value in one.values if value is not None]
            if one.name == series and known:
                tiles.append((name, number(known[-1], "share")))
    return tiles


def _nothing(asker: Asker) -> str:
    period = asker.period
    span = stored_span(asker)
    where = f"Nothing is stored from {period.first} to {period.last} ({period.time_zone})"
    if span is None:
        return f"{where}: the store has no rollups at all. Send events first, or look with tokentide top."
    return f"{where}. The store has {span[0]:%Y-%m-%d} to {span[1]:%Y-%m-%d} (UTC): give --from and --to in there."


def write_text(path: Path, text: str) -> None:
    """Write a file whole or not at all. Raises OutputError."""
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
                file.write(text)
            mask = os.umask(0)
            os.umask(mask)
            Path(name).chmod(0o666 & ~mask)
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror}. Choose another place.") from error


def write_csv_files(figures: tuple[Figure, ...], folder: Path) -> int:
    """One file for each figure; one without data has the names of its columns alone. Returns how many."""
    for figure in figures:
        write_text(folder / f"{figure.id}.csv", csv_text(figure))
    return len(figures)
