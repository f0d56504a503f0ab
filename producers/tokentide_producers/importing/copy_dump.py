"""Rows out of a PostgreSQL dump in plain format: `COPY "table" (columns) FROM stdin;` and lines up to `\\.`.

https://www.postgresql.org/docs/current/sql-copy.html, text format.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Final

from tokentide_producers.importing.problems import ImportSourceError

_COPY: Final = re.compile(r"COPY\s+(?P<table>\S+)\s*\((?P<columns>[^)]*)\)\s+FROM\s+stdin;?\s*$", re.I)
_ESCAPE: Final = re.compile(r"\\(x[0-9A-Fa-f]{1,2}|[0-7]{1,3}|.)", re.S)
_NAMED: Final = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}


def read_copy(
    path: Path, text: IO[str], wanted: Callable[[frozenset[str]], tuple[str, ...]]
) -> Iterator[tuple[int, dict[str, str | None] | None, str]]:
    """Line number, row and '', or None and what is wrong with it. Tables that `wanted` refuses are passed over.

    Raises ImportSourceError when no table of the dump is wanted.
    """
    refused: ImportSourceError | None = None
    found = False
    columns: list[str] | None = None
    kept: list[tuple[int, str]] = []
    for number, whole_line in enumerate(text, start=1):
        line = whole_line.removesuffix("\n").removesuffix("\r")
        if columns is None:
            match = _COPY.match(line)
            if match:
                columns = [name.strip().strip('"') for name in match["columns"].split(",")]
                try:
                    keep = set(wanted(frozenset(columns)))
                    found = True
                except ImportSourceError as error:
                    refused, keep = refused or error, set()
                kept = [(place, name) for place, name in enumerate(columns) if name in keep]
            continue
        if line == "\\.":
            columns = None
            continue
        if not kept:
            continue
        cells = line.split("\t")
        if len(cells) != len(columns):
            yield number, None, f"has {len(cells)} columns, the table {len(columns)}; the dump is damaged here"
            continue
        yield number, {name: _value(cells[place]) for place, name in kept}, ""
    if columns is not None and found:
        raise ImportSourceError(f"{path}: ends within a table's rows; the dump is cut off, make it again")
    if not found:
        if refused is not None:
            raise refused
        raise ImportSourceError(
            f"{path}: has no COPY ... FROM stdin; make a dump in plain format: pg_dump --data-only --table "
            "'\"LiteLLM_SpendLogs\"'"
        )


def _value(cell: str) -> str | None:
    if cell == "\\N":
        return None
    return _ESCAPE.sub(_unescaped, cell) if "\\" in cell else cell


def _unescaped(match: re.Match[str]) -> str:
    code = match[1]
    if code[0] == "x" and len(code) > 1:
        return chr(int(code[1:], 16))
    if code[0] in "01234567":
        return chr(int(code, 8))
    return _NAMED.get(code, code)
