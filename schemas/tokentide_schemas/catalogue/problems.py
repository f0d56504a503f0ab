"""What is wrong with catalogue files, said so that the reader can mend it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Place:
    """Where an entry stands: the file's name as given, and the line (1-based)."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


@dataclass(frozen=True, slots=True)
class Problem:
    """One fault: where, in which entry and key, what is wrong, and what to do about it."""

    place: Place
    entry: str
    key: str
    message: str
    suggestion: str

    def __str__(self) -> str:
        return f"{self.place}: {self.entry}: {self.key}: {self.message}; {self.suggestion}"


class CatalogueError(ValueError):
    """The catalogue files cannot be used; `problems` holds every fault that was found, not only the first."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        count = len(self.problems)
        head = f"the catalogue has {count} problem{'' if count == 1 else 's'}:"
        super().__init__("\n  ".join([head, *map(str, self.problems)]))


def did_you_mean(given: str, known: Iterable[str], otherwise: str) -> str:
    """The nearest known names as a suggestion, or `otherwise` when none is near."""
    near = difflib.get_close_matches(given, list(known), n=3, cutoff=0.6)
    return f"did you mean {' or '.join(repr(name) for name in near)}?" if near else otherwise
