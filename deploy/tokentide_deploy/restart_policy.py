"""When to start a crashed component again, and when to give up. Pure: times are arguments."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class RestartAfter:
    """Start again after `delay_s`."""

    delay_s: float


@dataclass(frozen=True)
class GiveUp:
    """`crashes` within `window_s`: starting again would not help."""

    crashes: int
    window_s: float


@dataclass(frozen=True)
class RestartPolicy:
    """A fast first restart, then exponential backoff; more than `max_crashes` in `window_s` is the end."""

    first_delay_s: float = 0.2
    factor: float = 3.0
    max_delay_s: float = 15.0
    max_crashes: int = 6
    window_s: float = 120.0

    def decide(self, crash_times_s: Sequence[float], now_s: float) -> RestartAfter | GiveUp:
        """What to do about the crash at `now_s`, which `crash_times_s` (any order) already includes."""
        recent = sum(1 for time_s in crash_times_s if now_s - self.window_s < time_s <= now_s)
        if recent > self.max_crashes:
            return GiveUp(recent, self.window_s)
        return RestartAfter(min(self.max_delay_s, self.first_delay_s * self.factor ** max(0, recent - 1)))
