"""What kind of shift it is, and who gained and lost. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tokentide_schemas.alerts import AlertKind
from tokentide_stream.detection.findings import KeyPart, Measure
from tokentide_stream.detection.mix_reference import Reading
from tokentide_stream.detection.season import DAY_S, Bools, Floats

_CHEAPER = 0.96
_CHEAPER_FOR_S = 3 * DAY_S
_GONE = 0.25
_FURTHER_KEYS = 5


@dataclass(frozen=True, slots=True)
class Candidate:
    """A key that has moved. effect: its own change, fraction of the total. slow: 0, or which slow comparison."""

    key: int
    measure: Measure
    effect: float
    z: float
    span_s: int
    slow: int = 0


class UnitCosts:
    """Cost of a token by key, and since when it is lower than it was."""

    def __init__(self, window_s: int) -> None:
        self._alpha = min(0.3, window_s / 10_800)
        self._unit = np.full(16, np.nan)
        self._below = np.zeros(16, dtype=np.int64)
        self._cheaper_s = np.full(16, -np.inf)

    def grow(self, size: int) -> None:
        more = size - self._unit.size
        self._unit = np.pad(self._unit, (0, more), constant_values=np.nan)
        self._below = np.pad(self._below, (0, more))
        self._cheaper_s = np.pad(self._cheaper_s, (0, more), constant_values=-np.inf)

    def add(self, requests: Floats, cost_and_tokens: tuple[Floats, Floats], time_s: float) -> None:
        cost, tokens = cost_and_tokens
        known = np.isfinite(cost) & (tokens > 0) & (requests > 0)
        now = np.divide(cost, tokens, out=np.full(cost.size, np.nan), where=known)
        fresh = known & np.isnan(self._unit)
        self._unit[fresh] = now[fresh]
        lower = known & (now < _CHEAPER * self._unit)
        self._below = np.where(lower, self._below + 1, np.where(known, 0, self._below))
        certain = self._below >= 2
        self._cheaper_s[certain] = time_s
        self._unit[certain] = now[certain]
        self._below[certain] = 0
        step = known & ~lower
        self._unit[step] += self._alpha * (now[step] - self._unit[step])

    def cheaper(self, time_s: float) -> Bools:
        """Keys whose unit cost has fallen within the last days."""
        known: Bools = (time_s - self._cheaper_s <= _CHEAPER_FOR_S) | (self._below > 0)
        return known

    def is_cheaper(self, key: int, time_s: float) -> bool:
        """Its unit cost has fallen within the last days."""
        return bool(time_s - self._cheaper_s[key] <= _CHEAPER_FOR_S or self._below[key] > 0)


def kind_of(
    moved: Sequence[Candidate], readings: Mapping[Measure, Reading], young: Bools, costs: UnitCosts, time_s: float
) -> AlertKind:
    """moved: keys of one cause, largest first. docs/detection.md has the table."""
    lead = moved[0]
    reading = readings[lead.measure]
    gainers = [c for c in moved if c.effect > 0]
    losers = [c for c in moved if c.effect < 0]
    before, after = reading.expected[lead.key] / reading.total, reading.observed[lead.key] / reading.total
    if any(young[c.key] for c in gainers) or (lead.effect > 0 and before < 0.03 * after):
        return AlertKind.LAUNCH
    if lead.measure != "requests" and "requests" in readings:
        own = readings["requests"]
        moved_requests = abs(own.observed[lead.key] - own.expected[lead.key]) / own.total
        if moved_requests < 0.35 * abs(lead.effect):
            return AlertKind.VERBOSITY
    if losers and all(
        reading.observed[c.key] <= _GONE * max(reading.expected[c.key], abs(c.effect) * reading.total) for c in losers
    ):
        return AlertKind.OUTAGE
    if any(costs.is_cheaper(c.key, time_s) for c in gainers):
        return AlertKind.PRICE_CUT
    if lead.slow == 3:
        return AlertKind.DRIFT
    if gainers and losers:
        return AlertKind.SUBSTITUTION
    if lead.slow:
        return AlertKind.PRICE_CUT if gainers else AlertKind.DRIFT
    return AlertKind.BURST if gainers else AlertKind.SUBSTITUTION


def attribution(
    names: Sequence[str], keys: Sequence[int], before: Floats, expected: Floats, observed: Floats
) -> tuple[KeyPart, ...]:
    """The keys, then those others that moved most. before: expected shares. expected: amounts as the others' centre
    has them; the amount before is the share before of the expected total."""
    total_after = float(observed.sum())
    total_before = float(expected.sum())
    after = observed / total_after
    order = [int(k) for k in np.argsort(-np.abs(after - before)) if k < len(names) and k not in set(keys)]
    parts = []
    for key in [*keys, *order[:_FURTHER_KEYS]]:
        share_0, share_1 = float(before[key]), float(after[key])
        amount_0, amount_1 = share_0 * total_before, float(observed[key])
        mix = (share_1 - share_0) * (total_before + total_after) / 2
        parts.append(
            KeyPart(
                key=names[key],
                share_before=share_0,
                share_after=share_1,
                change_pp=100 * (share_1 - share_0),
                before=amount_0,
                after=amount_1,
                mix_change=mix,
                volume_change=(amount_1 - amount_0) - mix,
            )
        )
    return tuple(parts)
