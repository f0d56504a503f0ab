"""Finding the rows that the store refuses, so that the others are stored exactly once. Pure but for two callbacks.

The rows of one range are inserted in chunks from the front. Before each insert the chunk is committed with the pending
range (see ranges.py), so that after a crash exactly that chunk is inserted again under its token, and nothing that lies
inside it can have been stored under another one. A refused chunk is halved; a refused single row is set aside; after an
accepted chunk the next one is twice as long.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any


class TooManyRefusalsError(Exception):
    """The store refuses more rows of one range than are to be taken for single bad ones."""

    def __init__(self, refused: int, code: int) -> None:
        super().__init__(f"{refused} rows refused, last with ClickHouse error {code}")
        self.code = code


@dataclass(frozen=True, slots=True)
class Split:
    """Where the insert of a range's block stands.

    done: rows from the front that are settled. size: rows of the next chunk. refused: (row, ClickHouse's error code)
    of the settled rows that were not stored.
    """

    done: int
    size: int
    refused: tuple[tuple[int, int], ...] = ()

    def __post_init__(self) -> None:
        if self.done < 0 or self.size < 1 or any(not 0 <= row < self.done for row, _ in self.refused):
            raise ValueError(f"not a place in a block: {self.done} rows done, {self.size} next, {self.refused} refused")

    def chunk(self, rows: int) -> tuple[int, int]:
        """First and last+1 row of the next insert into a block of `rows` rows."""
        return self.done, min(self.done + self.size, rows)

    def accepted(self, rows: int) -> Split:
        """After the chunk was stored."""
        first, end = self.chunk(rows)
        return replace(self, done=end, size=2 * (end - first))

    def rejected(self, rows: int, code: int) -> Split:
        """After the chunk was refused with ClickHouse's error code."""
        first, end = self.chunk(rows)
        if end - first > 1:
            return replace(self, size=(end - first) // 2)
        return Split(end, 1, (*self.refused, (first, code)))

    def encode(self) -> list[Any]:
        """As JSON data."""
        return [self.done, self.size, [list(pair) for pair in self.refused]]

    @classmethod
    def decode(cls, data: Any) -> Split:
        """The inverse of `encode`. Raises ValueError, TypeError and IndexError for anything else."""
        done, size, refused = data
        return cls(int(done), int(size), tuple((int(row), int(code)) for row, code in refused))


def begin(rows: int) -> Split:
    """After the whole block of `rows` rows was refused."""
    return Split(0, max(1, rows // 2))


def settle(
    split: Split,
    rows: int,
    record: Callable[[Split], None],
    insert: Callable[[int, int], int | None],
    max_refused: int,
) -> Split:
    """Store a block's rows from `split` on; returns the split with all rows settled.

    record: makes a split durable. insert: stores rows first..end-1 and returns None, or the code of the refusal.
    One bad row costs at most 4 log2(rows) inserts. Raises TooManyRefusalsError above `max_refused`.
    """
    while True:
        # Before the chunk's insert, and before anybody relies on the last chunk's refusal.
        record(split)
        if len(split.refused) > max_refused:
            raise TooManyRefusalsError(len(split.refused), split.refused[-1][1])
        first, end = split.chunk(rows)
        if first >= rows:
            return split
        code = insert(first, end)
        split = split.accepted(rows) if code is None else split.rejected(rows, code)


def chunk_token(token: str, first: int, end: int) -> str:
    """Deduplication token of a chunk's insert, from the range's."""
    return f"{token}:rows:{first}-{end - 1}"
