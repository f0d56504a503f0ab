"""What detectors say: findings that start and findings that end. Plain data."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from typing import Literal

from tokentide_schemas.alerts import AlertKind

Direction = Literal["up", "down"]
Measure = Literal["requests", "tokens", "cost"]
EndReason = Literal["returned", "accepted"]
"""returned: the value is back at its reference. accepted: it has lasted so long that it is the new reference."""


@dataclass(frozen=True, slots=True)
class Sums:
    """One key's sums in one window. cost: any unit, None where it is not known."""

    requests: float
    tokens: float = 0.0
    cost: float | None = None


@dataclass(frozen=True, slots=True)
class KeyPart:
    """One key's part in a share shift.

    before, after: the measure's amount for a window, expected without the shift and observed, in the measure's unit.
    share_before, share_after: fractions of 1. mix_change + volume_change = after - before: what the changed share and
    what the changed total account for, each at the average of the other.
    """

    key: str
    share_before: float
    share_after: float
    change_pp: float
    before: float
    after: float
    mix_change: float
    volume_change: float


@dataclass(frozen=True, slots=True)
class ShareShift:
    """One cause that has moved the mix.

    detected_at: start of the window that showed it (the same as `window_start`; the window ends `window_s` later), so
    that (detected_at - onset) / window_s counts the full windows of delay. started_at: start of the first window of
    the cause, as far as can be seen. keys: most responsible first; the keys that only make room are not named.
    direction, size_pp (signed like the direction: down is negative), reference and value (shares, fractions): of the
    first key, at detection. measure: what size_pp is a share of. significance: |z| of the first key. is_learning: told
    before a full day of history was there. attribution: the named keys and those that moved most besides.
    """

    detected_at: dt.datetime
    window_start: dt.datetime
    started_at: dt.datetime
    scope: str
    keys: tuple[str, ...]
    direction: Direction
    kind: AlertKind
    size_pp: float
    measure: Measure
    reference: float
    value: float
    significance: float
    window_s: int
    is_learning: bool
    attribution: tuple[KeyPart, ...] = ()


@dataclass(frozen=True, slots=True)
class ShareShiftEnd:
    """The end of a shift that was told. ended_at: start of the window that showed it."""

    shift: ShareShift
    ended_at: dt.datetime
    reason: EndReason


@dataclass(frozen=True, slots=True)
class Transitions:
    """What a step of the share-shift detector has changed; most steps change nothing."""

    started: list[ShareShift] = field(default_factory=list)
    ended: list[ShareShiftEnd] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Finding:
    """What any other detector has found in one series.

    key: the series, '' for the total. value, reference, change: in `unit`; reference None: there is none. detected_at:
    start of the window that showed it. significance: |z| where the detector is statistical, otherwise 0.
    note: further numbers by name (forecast, budget, quantile ...).
    """

    kind: AlertKind
    key: str
    direction: Direction
    detected_at: dt.datetime
    started_at: dt.datetime
    value: float
    reference: float | None
    change: float | None
    unit: str
    significance: float = 0.0
    is_learning: bool = False
    note: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FindingEnd:
    finding: Finding
    ended_at: dt.datetime
    reason: EndReason


@dataclass(frozen=True, slots=True)
class Changes:
    """What a step of a detector has changed."""

    started: list[Finding] = field(default_factory=list)
    ended: list[FindingEnd] = field(default_factory=list)
