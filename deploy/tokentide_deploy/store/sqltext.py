"""Just enough SQL lexing to see what a request is: the first word, a FORMAT clause, where an INSERT's data begins.

The engine's own parser decides what is allowed (see guard.py); this only routes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_TOKEN = re.compile(
    rb"""(?P<space>\s+|--[^\n]*(?:\n|\Z)|\#!?[^\n]*(?:\n|\Z)|/\*.*?\*/)
    |(?P<quoted>'(?:[^'\\]|\\.|'')*'|"(?:[^"\\]|\\.|"")*"|`(?:[^`\\]|\\.|``)*`)
    |(?P<word>[A-Za-z_][A-Za-z0-9_]*)
    |(?P<number>\d[\w.]*)
    |(?P<other>.)""",
    re.S | re.X,
)
MAX_STATEMENT_BYTES = 1 << 20
INFILE_MARK = "\x00insert-rows\x00"
"""No statement can hold this: the lexer of the engine ends at a zero byte."""


@dataclass(frozen=True, slots=True)
class FormatClause:
    """``FORMAT name``: its name and the byte offsets of the word FORMAT and of the first byte after the name."""

    name: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement's outline. ``words`` are the upper-cased words outside brackets, up to an INSERT's data.

    ``settings_start``: offset of an INSERT's SETTINGS clause before its FORMAT, -1 without one.
    """

    first: str
    words: frozenset[str]
    format: FormatClause | None
    settings_start: int = -1

    @property
    def is_insert_with_data(self) -> bool:
        """True when rows follow the statement (FORMAT, VALUES or nothing) instead of coming from a SELECT."""
        return self.first == "INSERT" and not self.words & {"SELECT", "WITH", "INFILE"}

    @property
    def is_streamable_select(self) -> bool:
        return self.first in ("SELECT", "WITH")

    @property
    def needs_session(self) -> bool:
        """True for statements that leave something behind on the connection."""
        return self.first in ("SET", "USE") or "TEMPORARY" in self.words


def outline(sql: bytes) -> Statement:
    """Outlines the statement; for an INSERT it stops where the data can begin."""
    depth = 0
    first = ""
    previous = ""
    format_start = 0
    words: set[str] = set()
    clause: FormatClause | None = None
    settings_start = -1
    before = b""
    position = 0
    end = min(len(sql), MAX_STATEMENT_BYTES)
    while position < end:
        match = _TOKEN.match(sql, position)
        if match is None:
            break
        position = match.end()
        kind = match.lastgroup
        if kind == "space":
            continue
        before, last = match[0], before
        if kind != "word":
            if match[0] in (b"(", b"[", b"{"):
                depth += 1
            elif match[0] in (b")", b"]", b"}"):
                depth -= 1
            previous = ""
            continue
        if depth != 0:
            continue
        word = match[0].decode("ascii").upper()
        first = first or word
        if previous == "FORMAT":
            clause = FormatClause(match[0].decode("ascii"), format_start, match.end())
            if first == "INSERT":
                break
        # A table may have this name, too.
        if word == "SETTINGS" and settings_start < 0 and last != b"." and previous not in ("INTO", "TABLE"):
            settings_start = match.start()
        words.add(word)
        if word == "FORMAT":
            format_start = match.start()
        if first == "INSERT" and word == "VALUES":
            clause = FormatClause("Values", match.start(), match.end())
            break
        if first == "INSERT" and word in ("SELECT", "WITH"):
            break
        previous = word
    return Statement(first, frozenset(words), clause, settings_start if first == "INSERT" else -1)


def insert_from_file(sql: bytes, statement: Statement, input_format: str) -> bytes:
    """An INSERT whose rows come from a file: ``sql`` is it without FORMAT; ``INFILE_MARK`` stands for the path."""
    cut = statement.settings_start if 0 <= statement.settings_start < len(sql) else len(sql)
    source = f" FROM INFILE {INFILE_MARK} COMPRESSION 'none' "
    # A comment at the end must not swallow what follows.
    return sql[:cut] + b"\n" + source.encode() + sql[cut:] + f"\nFORMAT {input_format}".encode()


def data_start(sql: bytes, clause: FormatClause) -> int:
    """Offset of the first data byte after ``FORMAT name``: blanks, then at most one newline, are not data."""
    position = clause.end
    while position < len(sql) and sql[position] in b" \t":
        position += 1
    if sql[position : position + 1] == b"\r":
        position += 1
    if sql[position : position + 1] == b"\n":
        position += 1
    return position


def literal(value: str) -> str:
    """A string literal as SQL text."""
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def identifier(name: str) -> str:
    """A quoted identifier as SQL text."""
    return "`" + name.replace("\\", "\\\\").replace("`", "\\`") + "`"


_CANONICAL = re.compile(r"'(?:[^'\\]|\\.|'')*'|`(?P<quoted>(?:[^`\\]|\\.|``)*)`|(?P<word>[A-Za-z_]\w*)|\S", re.S)


def identifiers_of_canonical(sql: str) -> list[tuple[str, bool]]:
    """Lower-cased identifiers of engine-formatted SQL, each with whether it is called (a bracket follows at once)."""
    found: list[tuple[str, bool]] = []
    for match in _CANONICAL.finditer(sql):
        called = sql[match.end() : match.end() + 1] == "("
        if match["word"] is not None:
            found.append((match["word"].lower(), called))
        elif match["quoted"] is not None:
            found.extend((part.lower(), called) for part in match["quoted"].split("."))
    return found
