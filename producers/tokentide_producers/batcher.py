"""Rows to micro-batches: closed by count, by bytes or by age. Pure: no threads, no clock of its own."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any, Final

Row = list[Any]
"""One event as the cells of `EVENT_SCHEMA` in order: the instant in milliseconds, None for an id still to be given."""

_NEVER: Final = float("inf")


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows of one envelope. first_event: how many events were added before its first one. size_bytes: estimated."""

    rows: list[Row]
    first_event: int
    size_bytes: int


class Batcher:
    """Gathers rows in order. Times are seconds of one monotonic clock."""

    def __init__(self, *, max_events: int, max_bytes: int, max_wait_s: float) -> None:
        self._max_events = max_events
        self._max_bytes = max_bytes
        self._max_wait_s = max_wait_s
        self._full: deque[Batch] = deque()
        self._rows: list[Row] = []
        self._bytes = 0
        self._first_event = 0
        self._opened_at_s = _NEVER

    @property
    def added(self) -> int:
        """Events added so far."""
        return self._first_event + len(self._rows)

    @property
    def oldest_event(self) -> int:
        """Number (from 0) of the oldest event that `take` has not given out; `added` when there is none."""
        return self._full[0].first_event if self._full else self._first_event

    def add(self, row: Row, size_bytes: int, now_s: float) -> bool:
        """Add one row; True when someone should look: the open batch has got its first row, or a batch is full."""
        if self._rows and self._bytes + size_bytes > self._max_bytes:
            self._close()
            look = True
        else:
            look = not self._rows
        if not self._rows:
            self._opened_at_s = now_s
        self._rows.append(row)
        self._bytes += size_bytes
        if len(self._rows) >= self._max_events or self._bytes >= self._max_bytes:
            self._close()
            return True
        return look

    def take(self, now_s: float, *, everything: bool = False) -> list[Batch]:
        """The batches that are due: full ones, and the open one when it is old enough or `everything` is asked for."""
        if self._rows and (everything or now_s >= self._opened_at_s + self._max_wait_s):
            self._close()
        due = list(self._full)
        self._full.clear()
        return due

    def due_in_s(self, now_s: float) -> float | None:
        """Seconds until `take` has something to give (0 when it has already), None when nothing waits."""
        if self._full:
            return 0.0
        if not self._rows:
            return None
        return max(0.0, self._opened_at_s + self._max_wait_s - now_s)

    def _close(self) -> None:
        batch = Batch(self._rows, self._first_event, self._bytes)
        self._full.append(batch)
        self._first_event += len(batch.rows)
        self._rows = []
        self._bytes = 0
        self._opened_at_s = _NEVER
