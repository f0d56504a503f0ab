"""Envelope identity: which (producer, sequence) pairs a partition has already delivered.

The raw sink and the stream worker both run this over the same partition in offset order, so they take the same decision
about every record, whatever the batching: the state is a function of the log's prefix alone. And it can be rebuilt from
the admitted records alone, in offset order, which is what the raw sink does from its ledger after a restart.

What is remembered of a producer are its newest stretches: a stretch is a longest run of admitted records whose
sequences go up by one, within one day of the partition's clock. The clock is the newest append time so far; append
times can step back when a partition changes its leader.
"""

from __future__ import annotations

import bisect
from collections import deque
from dataclasses import dataclass, field
from typing import Any, Final

DAY_MS: Final = 86_400_000
HORIZON_DAYS: Final = 7
IDENTITY_HORIZON_MS: Final = (HORIZON_DAYS + 1) * DAY_MS
"""An admission is forgotten at the latest after this time on the partition's clock, at the earliest a day before: it is
remembered on its own day (UTC) and on the seven days after it."""

MAX_STRETCHES: Final = 4_096
"""Stretches remembered for each producer, so that memory is bounded; one that sends in order needs one for each day."""


def clock_day(clock_ms: int) -> int:
    """The day (UTC) of an instant of the partition's clock."""
    return clock_ms // DAY_MS


@dataclass(slots=True)
class Stretches:
    """One producer's: [first, last, day] in the order of admission, which is the order of days, and the same sorted by
    first for finding. No two overlap: what is remembered is not admitted again."""

    ordered: deque[list[int]] = field(default_factory=deque)
    by_first: list[list[int]] = field(default_factory=list)

    def __contains__(self, sequence: int) -> bool:
        i = bisect.bisect_right(self.by_first, sequence, key=_first) - 1
        return i >= 0 and sequence <= self.by_first[i][1]

    def extend(self, first: int, last: int, day: int) -> None:
        """Admit sequences first..last, none of which is remembered."""
        newest = self.ordered[-1] if self.ordered else None
        if newest is not None and newest[1] + 1 == first and newest[2] == day:
            newest[1] = last
            return
        stretch = [first, last, day]
        self.ordered.append(stretch)
        bisect.insort(self.by_first, stretch, key=_first)
        if len(self.ordered) > MAX_STRETCHES:
            self._drop_oldest()

    def forget_before(self, day: int) -> None:
        """Forget the admissions of earlier days."""
        while self.ordered and self.ordered[0][2] < day:
            self._drop_oldest()

    def _drop_oldest(self) -> None:
        gone = self.ordered.popleft()
        del self.by_first[bisect.bisect_left(self.by_first, gone[0], key=_first)]


def _first(stretch: list[int]) -> int:
    return stretch[0]


class SeenEnvelopes:
    """The envelopes that one partition has delivered."""

    def __init__(self) -> None:
        self._producers: dict[str, Stretches] = {}
        self._clock_ms = 0
        self._swept_day = 0

    def __len__(self) -> int:
        return len(self._producers)

    def admit(self, producer_id: str, sequence: int, appended_at_ms: int) -> bool:
        """True for an envelope seen for the first time, False for a repeat. Call in offset order."""
        self._clock_ms = max(self._clock_ms, appended_at_ms)
        day = clock_day(self._clock_ms)
        self._sweep(day)
        known = self._producers.get(producer_id)
        if known is None:
            known = self._producers[producer_id] = Stretches()
        known.forget_before(day - HORIZON_DAYS)
        if sequence in known:
            return False
        known.extend(sequence, sequence, day)
        return True

    def restore(self, producer_id: str, first: int, last: int, day: int) -> None:
        """Take up a stretch of a day of the partition's clock (recovery), oldest first."""
        self._producers.setdefault(producer_id, Stretches()).extend(first, last, day)

    def restore_clock(self, clock_ms: int) -> None:
        """Take up the partition's clock (recovery): the newest append time of the records with an identity."""
        self._clock_ms = max(self._clock_ms, clock_ms)

    def _sweep(self, day: int) -> None:
        """Drop producers of which everything is forgotten, once a day; `admit` would forget it as well."""
        if day == self._swept_day:
            return
        self._swept_day = day
        for known in self._producers.values():
            known.forget_before(day - HORIZON_DAYS)
        self._producers = {name: known for name, known in self._producers.items() if known.ordered}

    def dump(self) -> dict[str, Any]:
        """State as plain JSON data, for a checkpoint."""
        return {
            "clock_ms": self._clock_ms,
            "producers": {
                name: [list(stretch) for stretch in known.ordered] for name, known in self._producers.items()
            },
        }

    @classmethod
    def load(cls, data: dict[str, Any]) -> SeenEnvelopes:
        """The inverse of `dump`."""
        seen = cls()
        seen.restore_clock(int(data["clock_ms"]))
        for name, stretches in data["producers"].items():
            for first, last, day in stretches:
                seen.restore(name, int(first), int(last), int(day))
        return seen
