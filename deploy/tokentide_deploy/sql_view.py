"""How `tokentide sql` shows a result: pure text work over ClickHouse's own rendering of the values."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from rich.cells import cell_len
from rich.console import RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

TABLE_FORMAT = "JSONCompactStringsEachRowWithNamesAndTypes"
"""Rows as JSON arrays of texts, each as ClickHouse writes it: exact for every type, also those Python has not."""
FORMATS = {
    "json": "JSON",
    "ndjson": "JSONEachRow",
    "csv": "CSVWithNames",
    "tsv": "TSVWithNames",
    "markdown": "Markdown",
    "arrow": "ArrowStream",
    "parquet": "Parquet",
    "vertical": "Vertical",
}
"""Short names; any other name is taken as ClickHouse's own."""
BINARY_FORMATS = frozenset({"Arrow", "ArrowStream", "Parquet", "ORC", "Avro", "Native", "RowBinary", "Npy", "MsgPack"})
MAX_CELL_CHARS = 60
MIN_COLUMN_CHARS = 6
SEPARATOR_CHARS = 3
NULL = "ᴺᵁᴸᴸ"

_FORMAT_CLAUSE = re.compile(r"\bFORMAT\s+(?P<name>[A-Za-z][A-Za-z0-9]*)\s*$", re.IGNORECASE)


class UnexpectedAnswerError(ValueError):
    """The store's answer broke off or is not a table."""


def split_format(query: str) -> tuple[str, str | None]:
    """The query without closing semicolons and without its FORMAT clause, and that clause's format."""
    query = re.sub(r"[;\s]+$", "", query)
    if found := _FORMAT_CLAUSE.search(query):
        return query[: found.start()].rstrip(), found["name"]
    return query, None


def clickhouse_format(name: str) -> str:
    """ClickHouse's name of an output format. Raises ValueError for what cannot be one."""
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9]*", name):
        raise ValueError(f"{name!r} is no format; use table, {', '.join(FORMATS)} or a ClickHouse format's name")
    return FORMATS.get(name.lower(), name)


@dataclass(slots=True)
class Result:
    """The first rows of a result, as texts, and how many there are in all."""

    names: list[str]
    types: list[str]
    rows: list[list[str]] = field(default_factory=list)
    total_rows: int = 0


def read_result(lines: Iterable[bytes], max_rows: int) -> Result:
    """Read TABLE_FORMAT; rows after `max_rows` are only counted. Raises UnexpectedAnswerError."""
    result: Result | None = None
    names: list[str] | None = None
    for line in lines:
        if not line.strip():
            continue
        if result is not None and result.total_rows >= max_rows and line.startswith(b"["):
            result.total_rows += 1
            continue
        try:
            values = json.loads(line)
        except ValueError:
            text = line.decode("utf-8", "replace").strip()
            raise UnexpectedAnswerError(f"the answer broke off: {text}") from None
        if names is None:
            names = [str(value) for value in values]
        elif result is None:
            result = Result(names, [str(value) for value in values])
        else:
            result.rows.append([NULL if value is None else str(value) for value in values])
            result.total_rows += 1
    return result or Result([], [])


def printable(text: str) -> str:
    """The text with control characters written out: what is stored must not steer the terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def shorten(text: str, limit: int) -> str:
    """At most `limit` characters, the cut shown by an ellipsis."""
    return text if len(text) <= limit else text[: max(limit - 1, 0)] + "…"


def _is_number(clickhouse_type: str) -> bool:
    inner = re.sub(r"^(Nullable|LowCardinality)\((.*)\)$", r"\2", clickhouse_type)
    return bool(re.match(r"(U?Int|Float|BFloat|Decimal)\d*", inner))


def fitted_widths(natural: list[int], may_shrink: list[bool], width: int) -> list[int] | None:
    """Column widths that fit `width` together with their separators: the widest text gives way first, numbers never do.

    None when that is not possible with at least MIN_COLUMN_CHARS for each.
    """
    fitted = list(natural)
    free = width - SEPARATOR_CHARS * (len(natural) - 1)
    while sum(fitted) > free:
        shrinkable = [i for i, may in enumerate(may_shrink) if may and fitted[i] > MIN_COLUMN_CHARS]
        if not shrinkable:
            return None
        fitted[max(shrinkable, key=lambda i: fitted[i])] -= 1
    return fitted


def render(result: Result, width: int | None) -> RenderableType:
    """A table for a terminal of `width` columns (None: as wide as needed), or a line a value if too wide."""
    numbers = [_is_number(kind) for kind in result.types]
    names = [printable(name) for name in result.names]
    limit = MAX_CELL_CHARS if width is not None else None
    cells = [[_cell(value, limit) for value in row] for row in result.rows]
    natural = [
        max([cell_len(name), *(cells[r][c].cell_len for r in range(len(cells)))]) for c, name in enumerate(names)
    ]
    widths = natural if width is None else fitted_widths(natural, [not number for number in numbers], width)
    if widths is None:
        return _records(result, width or MAX_CELL_CHARS)
    table = Table(header_style="bold", show_edge=False, pad_edge=False)
    for name, number, column_width in zip(names, numbers, widths, strict=True):
        justify: Literal["right", "left"] = "right" if number else "left"
        table.add_column(escape(name), justify=justify, no_wrap=True, overflow="ellipsis", width=column_width)
    for row in cells:
        table.add_row(*row)
    return table


def _cell(value: str, limit: int | None) -> Text:
    if value == NULL:
        return Text("NULL", style="dim")
    text = printable(value)
    return Text(text if limit is None else shorten(text, limit))


def _records(result: Result, width: int) -> RenderableType:
    names = [printable(name) for name in result.names]
    label_width = max((len(name) for name in names), default=0)
    text = Text()
    for number, row in enumerate(result.rows, 1):
        text.append(f"row {number}\n", style="bold")
        for name, value in zip(names, row, strict=True):
            text.append(f"  {name.ljust(label_width)}  ", style="dim")
            text.append_text(_cell(value, max(width - label_width - 4, MAX_CELL_CHARS)))
            text.append("\n")
    text.rstrip()
    return text


def summary(result: Result, elapsed_s: float) -> str:
    """The line under the table."""
    shown, total = len(result.rows), result.total_rows
    if not result.names:
        return f"done in {elapsed_s:.2f} s"
    rows = "1 row" if total == 1 else f"{total:,} rows"
    first = f"first {shown:,} of " if shown < total else ""
    return f"{first}{rows} in {elapsed_s:.2f} s"
