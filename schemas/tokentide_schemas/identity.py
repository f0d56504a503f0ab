"""Envelope identity: which (producer, sequence) pairs a partition has already delivered.

The raw sink and the stream worker both run this over the same partition in offset order, so they take the same decision
about every record, whatever the batching: the state is a function of the log's prefix alone.
"""

from __future__ import annotations

import bisect
from dataclasses import dataclass, field
from typing import Any, Final

IDENTITY_HORIZON_MS: Final = 7 * 86_400_000
"""A producer silent for longer than this (broker append time) is forgotten, as its records are."""

MAX_INTERVALS: Final = 4_096
"""Runs of sequences remembered for each producer; beyond it the oldest run is forgotten, so that memory is bounded."""


@dataclass(slots=True)
class SequenceRuns:
    """A set of sequence numbers as sorted, disjoint, inclusive runs; contiguous producers need one run."""

    starts: list[int] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)

    def add(self, sequence: int) -> bool:
        """Add a number; False when it was there already."""
        i = bisect.bisect_right(self.starts, sequence) - 1
        if i >= 0 and sequence <= self.ends[i]:
            return False
        joins_left = i >= 0 and self.ends[i] == sequence - 1
        joins_right = i + 1 < len(self.starts) and self.starts[i + 1] == sequence + 1
        if joins_left and joins_right:
            self.ends[i] = self.ends.pop(i + 1)
            self.starts.pop(i + 1)
        elif joins_left:
            self.ends[i] = sequence
        elif joins_right:
            self.starts[i + 1] = sequence
        else:
            self.starts.insert(i + 1, sequence)
            self.ends.insert(i + 1, sequence)
            if len(self.starts) > MAX_INTERVALS:
                del self.starts[0], self.ends[0]
        return True

    def add_run(self, first: int, last: int) -> None:
        """Add an inclusive run that overlaps none of the present ones (recovery from a stored summary)."""
        i = bisect.bisect_right(self.starts, first)
        self.starts.insert(i, first)
        self.ends.insert(i, last)
        if len(self.starts) > MAX_INTERVALS:
            del self.starts[0], self.ends[0]


@dataclass(slots=True)
class _Producer:
    last_appended_at_ms: int
    runs: SequenceRuns


class SeenEnvelopes:
    """The envelopes that one partition has delivered.

    Its clock is the newest append time so far. Append times can step back when a partition changes its leader; with
    the newest one as the clock, when forgotten producers are dropped from memory makes no difference to any answer.
    """

    def __init__(self) -> None:
        self._producers: dict[str, _Producer] = {}
        self._now_ms = 0
        self._collected_at_ms = 0

    def __len__(self) -> int:
        return len(self._producers)

    def admit(self, producer_id: str, sequence: int, appended_at_ms: int) -> bool:
        """True for an envelope seen for the first time, False for a repeat. Call in offset order."""
        self._now_ms = max(self._now_ms, appended_at_ms)
        known = self._producers.get(producer_id)
        if known is None or self._is_forgotten(known):
            known = self._producers[producer_id] = _Producer(appended_at_ms, SequenceRuns())
        known.last_appended_at_ms = max(known.last_appended_at_ms, appended_at_ms)
        self._collect()
        return known.runs.add(sequence)

    def restore(self, producer_id: str, first: int, last: int, appended_at_ms: int) -> None:
        """Take up a stored run of sequences first..last (recovery); runs of one producer must not overlap."""
        self._now_ms = max(self._now_ms, appended_at_ms)
        known = self._producers.setdefault(producer_id, _Producer(appended_at_ms, SequenceRuns()))
        known.last_appended_at_ms = max(known.last_appended_at_ms, appended_at_ms)
        known.runs.add_run(first, last)

    def _is_forgotten(self, known: _Producer) -> bool:
        return known.last_appended_at_ms < self._now_ms - IDENTITY_HORIZON_MS

    def _collect(self) -> None:
        """Drop forgotten producers about once an hour of log time; `admit` would not have used them."""
        if self._now_ms - self._collected_at_ms < 3_600_000:
            return
        self._collected_at_ms = self._now_ms
        for producer_id in [name for name, known in self._producers.items() if self._is_forgotten(known)]:
            del self._producers[producer_id]

    def dump(self) -> dict[str, Any]:
        """State as plain JSON data, for a checkpoint."""
        return {
            name: [known.last_appended_at_ms, list(known.runs.starts), list(known.runs.ends)]
            for name, known in self._producers.items()
        }

    @classmethod
    def load(cls, data: dict[str, Any]) -> SeenEnvelopes:
        """The inverse of `dump`."""
        seen = cls()
        for name, (last_ms, starts, ends) in data.items():
            seen._producers[name] = _Producer(int(last_ms), SequenceRuns(list(starts), list(ends)))
            # The newest append time is some remembered producer's, so the clock needs no place of its own.
            seen._now_ms = max(seen._now_ms, int(last_ms))
        return seen
