"""When simulated envelopes are due: open loop, with bounded catching up. Pure: the time is an argument."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

ENVELOPE_EVENTS: Final = 2_000
ENVELOPE_S: Final = 0.2
BLOCK_EVENTS: Final = 100_000
BLOCK_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class Plan:
    """How many events are generated at once, and how many of them make an envelope."""

    envelope_events: int
    block_events: int


def plan(rate: float) -> Plan:
    """Envelopes of 200 ms or 2,000 events, generated about a second (at most 100,000 events) ahead."""
    envelope = max(1, min(ENVELOPE_EVENTS, round(rate * ENVELOPE_S)))
    envelopes = math.ceil(min(rate * BLOCK_S, BLOCK_EVENTS) / envelope)
    return Plan(envelope, envelope * max(1, envelopes))


class Pacer:
    """The schedule of a constant rate. Times are seconds of one monotonic clock.

    A sender that is late sends faster until it has caught up, but never more than `max_behind_s` of events: what it
    cannot make up is skipped and counted, so that a long stall does not end in a flood.
    """

    def __init__(self, rate: float, start_s: float, max_behind_s: float) -> None:
        self.rate = rate
        self.next_s = start_s
        self.skipped_events = 0
        self._max_behind_s = max_behind_s

    def behind_s(self, now_s: float) -> float:
        """Seconds between the next event's due time and now; negative when it is still to come."""
        return now_s - self.next_s

    def limit_behind(self, max_behind_s: float) -> None:
        """From now on make up for no more than this."""
        self._max_behind_s = max_behind_s

    def advance(self, events: int, now_s: float) -> float:
        """Plan the next events; gives the instant from which they are due, and moves on by their span."""
        behind_s = now_s - self.next_s
        if behind_s > self._max_behind_s:
            self.skipped_events += round((behind_s - self._max_behind_s) * self.rate)
            self.next_s = now_s - self._max_behind_s
        start_s = self.next_s
        self.next_s += events / self.rate
        return start_s
