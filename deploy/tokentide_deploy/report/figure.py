"""What a figure is, before it is drawn: its words, its numbers, and what it leaves out. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from tokentide_deploy.report.suppression import Hidden

Unit = Literal["share", "tokens", "count", "usd", "usd_per_million", "text"]
Kind = Literal["stacked_share", "stacked", "lines", "bars", "scatter", "heat", "table"]


@dataclass(frozen=True, slots=True)
class Definition:
    """How a figure's numbers come about."""

    numerator: str
    denominator: str
    excluded: str


@dataclass(frozen=True, slots=True)
class Series:
    """One value for each bucket of time; None where nothing is known or shown."""

    name: str
    values: tuple[float | None, ...]


@dataclass(frozen=True, slots=True)
class Point:
    """A dot of a scatter chart. `group` chooses its colour."""

    name: str
    group: str
    x: float
    y: float


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a figure's table."""

    name: str
    unit: Unit = "text"


@dataclass(frozen=True, slots=True)
class Figure:
    """Everything that the page, the CSV file and the picture of a figure need.

    columns, rows: the table, which the CSV file is. times, series: of charts over time; bars: of bar charts (name,
    value); points, line (slope and intercept of log10 y over log10 x) of scatter charts. `empty`: why there is nothing
    to draw, else ''. marks: (bucket, text) drawn as thin lines.
    """

    id: str
    title: str
    kind: Kind
    definition: Definition
    unit: Unit
    x_label: str
    y_label: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[str | float | None, ...], ...]
    times: tuple[str, ...] = ()
    series: tuple[Series, ...] = ()
    bars: tuple[tuple[str, float], ...] = ()
    points: tuple[Point, ...] = ()
    line: tuple[float, float] | None = None
    marks: tuple[tuple[str, str], ...] = ()
    reading: str = ""
    empty: str = ""
    notes: tuple[str, ...] = ()
    hidden: Hidden = field(default_factory=Hidden)


def series_table(
    first: str, times: Sequence[str], series: Sequence[Series], unit: Unit
) -> tuple[tuple[Column, ...], tuple[tuple[str | float | None, ...], ...]]:
    """Columns and rows of a chart over time: a row for each bucket."""
    columns = (Column(first), *(Column(one.name, unit) for one in series))
    rows = tuple((time, *(one.values[place] for one in series)) for place, time in enumerate(times))
    return columns, rows
