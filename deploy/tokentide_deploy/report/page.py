"""The report's one HTML file: no script, nothing to load, every chart with its definition and its table. Pure."""

from __future__ import annotations

import base64
import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Final

from tokentide_deploy.report.figure import Column, Figure
from tokentide_deploy.report.methods import Fact
from tokentide_deploy.report.svg import colour, draw
from tokentide_deploy.report.words import number

STYLE: Final = Path(__file__).with_name("style.css")
_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


@dataclass(frozen=True, slots=True)
class Report:
    """What the page shows. chapters: title -> figures; tiles: name and value."""

    title: str
    lead: str
    tiles: Sequence[tuple[str, str]]
    chapters: Mapping[str, Sequence[Figure]]
    facts: Sequence[Fact]


def csv_text(figure: Figure) -> str:
    """The figure's table as CSV: plain numbers, empty where unknown or hidden."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow([column.name for column in figure.columns])
    for row in figure.rows:
        writer.writerow(["" if cell is None else _plain(cell) for cell in row])
    return buffer.getvalue()


def _plain(cell: str | float) -> str:
    if isinstance(cell, str):
        # A spreadsheet would take a name that begins like this for a formula.
        return f"'{cell}" if cell[:1] in "=+-@\t\r" else cell
    return str(int(cell)) if float(cell).is_integer() else repr(float(cell))


def html(report: Report) -> str:
    """The whole file."""
    chapters = "".join(_chapter(place, name, found) for place, (name, found) in enumerate(report.chapters.items()))
    contents = "".join(
        f'<li><a href="#chapter-{place}">{escape(name)}</a></li>' for place, name in enumerate(report.chapters)
    )
    tiles = "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in report.tiles)
    facts = "".join(f"<dt>{escape(fact.name)}</dt><dd>{escape(fact.text)}</dd>" for fact in report.facts)
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8"/>
<meta name="viewport" content="width=device-width, initial-scale=1"/>
<meta http-equiv="Content-Security-Policy" content="{_POLICY}"/>
<title>{escape(report.title)}</title>
<style>
{STYLE.read_text(encoding="utf-8")}</style>
</head>
<body>
<header class="top">
<h1>{escape(report.title)}</h1>
<p class="lead">{escape(report.lead)}</p>
<dl class="tiles">{tiles}</dl>
<nav aria-label="Chapters"><ol>{contents}<li><a href="#methods">Methods</a></li></ol></nav>
</header>
<main>
{chapters}
<section id="methods" aria-labelledby="methods-title">
<h2 id="methods-title">Methods</h2>
<dl class="methods">{facts}</dl>
</section>
<footer>F1 to F33 and T1 to T5 are numbered as in the study State of AI; C and M are this report's own.</footer>
</main>
</body>
</html>
"""


def _chapter(place: int, name: str, figures: Sequence[Figure]) -> str:
    alone = _alone(figures)
    shown = "\n".join(_figure(figure, "lone" if figure.id in alone else "") for figure in figures)
    return (
        f'<section id="chapter-{place}" aria-labelledby="chapter-{place}-title">\n'
        f'<h2 id="chapter-{place}-title">{escape(name)}</h2>\n<div class="figures">\n{shown}\n</div>\n</section>\n'
    )


def _is_wide(figure: Figure) -> bool:
    return figure.kind in ("heat", "table") and not figure.empty


def _alone(figures: Sequence[Figure]) -> set[str]:
    """Figures that would be alone in a row of two: they are drawn across both columns."""
    found, left = set(), True
    for place, figure in enumerate(figures):
        if _is_wide(figure):
            left = True
            continue
        if left and (place + 1 == len(figures) or _is_wide(figures[place + 1])):
            found.add(figure.id)
        left = not left
    return found


def _figure(figure: Figure, layout: str) -> str:
    is_table = figure.kind in ("heat", "table")
    if figure.empty:
        body = f'<p class="empty">{escape(figure.empty)}</p>'
    elif is_table:
        body = _table(figure)
    else:
        body = draw(figure) + _legend(figure)
    reading = f'<p class="reading">{escape(figure.reading)}</p>' if figure.reading else ""
    notes = "".join(f"<li>{escape(note)}</li>" for note in all_notes(figure))
    layout = "wide" if _is_wide(figure) else layout
    wide = f' class="{layout}"' if layout else ""
    return (
        f'<figure id="{figure.id}"{wide}>\n<figcaption><h3>{escape(figure.title)}<span class="id">{figure.id}</span>'
        f"</h3>{reading}</figcaption>\n{body}\n"
        + (f'<ul class="notes">{notes}</ul>\n' if notes else "")
        + _details(figure, with_table=not is_table)
        + "</figure>"
    )


def all_notes(figure: Figure) -> list[str]:
    """What to mind about a figure, with what it hides."""
    notes = list(figure.notes)
    hidden = figure.hidden
    counts = []
    if hidden.groups:
        counts.append(f"{len(hidden.groups)} small group{'s' if len(hidden.groups) > 1 else ''}")
    if hidden.cells:
        counts.append(f"{hidden.cells} small cell{'s' if hidden.cells > 1 else ''}")
    if counts and not figure.empty:
        notes.append(f"Not shown apart, for too few users: {' and '.join(counts)}.")
    if hidden.unchecked:
        notes.append("UNCHECKED: the users of these groups cannot be counted any more. Do not publish.")
    return notes


def _legend(figure: Figure) -> str:
    if figure.series:
        items = []
        for place, one in enumerate(figure.series):
            known = [value for value in one.values if value is not None]
            last = number(known[-1], figure.unit) if known else ""
            items.append((colour(one.name, place), one.name, last))
    elif figure.points:
        groups = list(dict.fromkeys(point.group for point in figure.points))
        items = [(colour(name, place), name, "") for place, name in enumerate(groups)] if len(groups) > 1 else []
    else:
        items = []
    shown = "".join(
        f'<li><i class="{kind}"></i>{escape(name)}{f" <b>{escape(last)}</b>" if last else ""}</li>'
        for kind, name, last in items
    )
    marks = "<li>● a release; point at it for the model</li>" if figure.marks else ""
    key = '<li class="key">values: the latest</li>' if figure.series else ""
    return f'<ul class="legend">{shown}{marks}{key}</ul>' if shown else ""


def _details(figure: Figure, *, with_table: bool) -> str:
    meant = figure.definition
    words = (("Counted", meant.numerator), ("Divided by", meant.denominator), ("Left out", meant.excluded))
    lines = "".join(f"<dt>{name}</dt><dd>{escape(text)}</dd>" for name, text in words)
    table = _table(figure) if with_table and figure.rows else ""
    what = "Definition and numbers" if table else "Definition"
    link = ""
    if figure.rows:
        data = base64.b64encode(csv_text(figure).encode()).decode()
        link = f'<p class="download"><a download="{figure.id}.csv" href="data:text/csv;base64,{data}">CSV</a></p>'
    return f"<details><summary>{what}</summary><dl>{lines}</dl>{table}{link}</details>\n"


def _table(figure: Figure) -> str:
    head = "".join(f'<th scope="col"{_text_class(column)}>{escape(column.name)}</th>' for column in figure.columns)
    rows = "".join(_row(figure, row) for row in figure.rows)
    whole = " whole" if figure.kind in ("heat", "table") else ""
    return (
        f'<div class="scroll{whole}" tabindex="0" role="region" aria-label="{escape(figure.title, quote=True)}">'
        f"<table><caption>{escape(figure.x_label)}</caption><thead><tr>{head}</tr></thead>"
        f"<tbody>{rows}</tbody></table></div>"
    )


def _text_class(column: Column) -> str:
    return ' class="text"' if column.unit == "text" else ""


def _row(figure: Figure, row: Sequence[str | float | None]) -> str:
    cells = []
    for place, (column, cell) in enumerate(zip(figure.columns, row, strict=True)):
        text = escape(cell if isinstance(cell, str) else number(cell, column.unit))
        if place == 0:
            cells.append(f'<th scope="row">{text}</th>')
        elif figure.kind == "heat" and column.unit == "share" and isinstance(cell, float | int):
            # Half strength at most, so that the text stays readable on it.
            cells.append(
                f'<td class="heat" style="--v:{round(55 * min(float(cell), 1.0))}%">{round(100 * cell)} %</td>'
            )
        elif figure.kind == "heat" and column.unit == "share":
            cells.append(f'<td class="heat hidden">{escape(cell) if isinstance(cell, str) else ""}</td>')
        else:
            cells.append(f"<td{_text_class(column)}>{text}</td>")
    return f"<tr>{''.join(cells)}</tr>"
