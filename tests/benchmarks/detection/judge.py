"""How alerts are compared with labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from .mixes import Label, Mix

_GRACE = 3
"""Windows after a label's last one in which telling it is still right."""


@dataclass(frozen=True)
class Told:
    """An alert as any detector gives it: the window's number, key numbers."""

    window: int
    keys: tuple[int, ...]
    kind: str = ""


@dataclass
class Tally:
    """Sums over mixes."""

    hits: int = 0
    misses: int = 0
    false: int = 0
    repeats: int = 0
    key_days: float = 0.0
    right_kind: int = 0
    delays: list[int] = field(default_factory=list)
    abrupt_delays: list[int] = field(default_factory=list)
    by_kind: dict[str, list[int | None]] = field(default_factory=dict)
    """The labels' kinds, and each one's delay, None where it was missed."""

    def add(self, other: Tally) -> None:
        self.hits += other.hits
        self.misses += other.misses
        self.false += other.false
        self.repeats += other.repeats
        self.key_days += other.key_days
        self.right_kind += other.right_kind
        self.delays += other.delays
        self.abrupt_delays += other.abrupt_delays
        for kind, delays in other.by_kind.items():
            self.by_kind.setdefault(kind, []).extend(delays)

    @property
    def precision(self) -> float:
        told = self.hits + self.false + self.repeats
        return self.hits / told if told else 1.0

    @property
    def recall(self) -> float:
        return self.hits / (self.hits + self.misses) if self.hits + self.misses else 1.0

    @property
    def f1(self) -> float:
        both = self.precision + self.recall
        return 2 * self.precision * self.recall / both if both else 0.0

    @property
    def false_per_1000_key_days(self) -> float:
        return 1000 * (self.false + self.repeats) / self.key_days if self.key_days else 0.0

    def median_delay(self, abrupt: bool = False) -> float:
        delays = self.abrupt_delays if abrupt else self.delays
        return float(np.median(delays)) if delays else float("nan")


def judge(mix: Mix, told: Sequence[Told]) -> Tally:
    """A label's first alert in time, with one of its keys first, is a hit; every further alert of it is a repeat; all
    others are false."""
    tally = Tally(key_days=mix.key_days)
    found: dict[Label, Told] = {}
    for alert in sorted(told, key=lambda a: a.window):
        fits = [
            label
            for label in mix.labels
            if label.first <= alert.window <= label.last + _GRACE and alert.keys[0] in label.keys
        ]
        if not fits:
            tally.false += 1
        elif fits[0] in found:
            tally.repeats += 1
        else:
            found[fits[0]] = alert
            tally.hits += 1
            delay = alert.window - fits[0].first
            tally.delays.append(delay)
            tally.right_kind += alert.kind == fits[0].kind
            if fits[0].is_abrupt:
                tally.abrupt_delays.append(delay)
    tally.misses = len(mix.labels) - len(found)
    for label in mix.labels:
        delay_or_none = found[label].window - label.first if label in found else None
        tally.by_kind.setdefault(label.kind, []).append(delay_or_none)
    return tally
