"""What can be wrong with a file or a row, in words. No message holds a value: a wrong column may hold anything."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Final

EXAMPLES: Final = 10


class ImportSourceError(Exception):
    """The source as a whole cannot be imported; the message says what and what to do."""


class RowError(Exception):
    """One row cannot become an event. column: '' for the whole row. problem: what is wrong and what to do."""

    def __init__(self, column: str, problem: str) -> None:
        super().__init__(problem)
        self.column = column
        self.problem = problem


class NotARequestError(Exception):
    """The row is right and is no request to a model. The message says what it is instead."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a row stands. unit: `line` of a text, `row` of a table, `element` of a list."""

    source: str
    unit: str
    number: int

    def __str__(self) -> str:
        return f"{self.source}, {self.unit} {self.number}"


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that was not imported, and why."""

    place: Place
    column: str
    problem: str

    def __str__(self) -> str:
        column = f", column {self.column}" if self.column else ""
        return f"{self.place}{column}: {self.problem}"


@dataclass(slots=True)
class Refusals:
    """Rows left out, by reason, with the first of them as examples. not_requests: rows that are no requests."""

    by_reason: Counter[str] = field(default_factory=Counter)
    examples: list[BadRow] = field(default_factory=list)
    not_requests: Counter[str] = field(default_factory=Counter)

    @property
    def bad_rows(self) -> int:
        """Rows that could not be imported."""
        return sum(self.by_reason.values())

    def add(self, row: BadRow) -> None:
        """Count one bad row."""
        column = f"{row.column}: " if row.column else ""
        self.by_reason[column + row.problem] += 1
        if len(self.examples) < EXAMPLES:
            self.examples.append(row)
