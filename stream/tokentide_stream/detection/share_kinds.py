"""What kind of shift it is, and who gained and lost. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tokentide_schemas.alerts import AlertKind
from tokentide_stream.detection.findings import KeyPart, Measure
from tokentide_stream.detection.mix_reference import Reading
from tokentide_stream.detection.season import DAY_S, Bools, Floats, long_s

_CHEAPER = 0.96
_CHEAPER_FOR_S = 3 * DAY_S
_GONE = 0.25
_DARK = 0.03
"""A loser below that part of what it had is dark: whoever took its requests, it is an outage."""
_TAKEN_OVER = 0.6
"""Of what was lost, the part that one gainer has to have for itself to be called its successor."""
_LONG_AGO = 0.25
"""Effect of the mean over a day by that over an hour and a half, where a linear rise began half a day ago."""
_FOR_HOURS = 0.55
"""The same of the mean over a quarter of a day: more than a rise at once shows when it is told."""
_DAYS_RATHER_THAN_HOURS_S = 54_000
_HALF_A_DAY_S = 43_200
_HARDLY_SEEN = 0.06
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
        self._news_s = max(_CHEAPER_FOR_S, long_s(window_s))
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
        known: Bools = (time_s - self._cheaper_s <= self._news_s) | (self._below > 0)
        return known

    def is_known(self, key: int) -> bool:
        """What its tokens cost has been told."""
        return bool(np.isfinite(self._unit[key]))

    def is_cheaper(self, key: int, time_s: float) -> bool:
        """Its unit cost has fallen within the last days."""
        return bool(time_s - self._cheaper_s[key] <= self._news_s or self._below[key] > 0)


def kind_of(
    moved: Sequence[Candidate],
    readings: Mapping[Measure, Reading],
    young: Bools,
    costs: UnitCosts,
    time_s: float,
    ramp_s: float,
) -> AlertKind:
    """moved: keys of one cause, largest first. ramp_s: for how long the first of them has been rising, 0 where
    it has risen at once.
    docs/detection.md has the table."""
    lead = moved[0]
    reading = readings[lead.measure]
    gainers = [c for c in moved if c.effect > 0]
    losers = [c for c in moved if c.effect < 0]
    # The level of the last hours rises along with a launch that takes as long.
    before, after = min(reading.expected[lead.key], reading.usual[lead.key]), reading.observed[lead.key]
    hardly_seen = before < _HARDLY_SEEN * after or (before < 0.002 * reading.total and before < 0.15 * after)
    if any(young[c.key] and c.effect >= 0.5 * abs(lead.effect) for c in gainers):
        return AlertKind.LAUNCH
    if lead.effect > 0 and hardly_seen and not any(-c.effect >= _TAKEN_OVER * lead.effect for c in losers):
        return AlertKind.LAUNCH
    if lead.measure != "requests" and "requests" in readings:
        own = readings["requests"]
        moved_requests = abs(own.observed[lead.key] - own.expected[lead.key]) / own.total
        if moved_requests < 0.35 * abs(lead.effect):
            return AlertKind.VERBOSITY
    if losers and all(_left(c, reading) <= _GONE for c in losers) and not _has_successor(gainers, losers, reading):
        return AlertKind.OUTAGE
    if any(costs.is_cheaper(c.key, time_s) for c in gainers):
        return AlertKind.PRICE_CUT
    if lead.slow == 3:
        return AlertKind.DRIFT
    if gainers and losers:
        return AlertKind.SUBSTITUTION
    # Without costs nothing but the pace tells what people move to for its price; with them, that was asked above.
    over_hours = AlertKind.DRIFT if costs.is_known(lead.key) else AlertKind.PRICE_CUT
    # The means over an hour and a half, a quarter of a day and a day tell how long it has been under way.
    effects = np.abs(reading.slow_effect[:, lead.key])
    is_seen = effects[0] >= 0.25 * abs(lead.effect) and reading.slow_effect[0, lead.key] * lead.effect > 0
    took_days = is_seen and effects[-1] >= _LONG_AGO * effects[0]
    if lead.slow:
        return over_hours if gainers and not took_days else AlertKind.DRIFT
    if not gainers:
        return AlertKind.SUBSTITUTION
    if ramp_s or (is_seen and effects[1] >= _FOR_HOURS * effects[0]):
        return AlertKind.DRIFT if took_days or ramp_s >= _DAYS_RATHER_THAN_HOURS_S else over_hours
    # A burst is short: what has been seen over half a day is none.
    return over_hours if lead.span_s >= _HALF_A_DAY_S else AlertKind.BURST


def _left(loser: Candidate, reading: Reading) -> float:
    """The part that it still has of what it had."""
    had = max(float(reading.expected[loser.key]), abs(loser.effect) * reading.total)
    return float(reading.observed[loser.key]) / max(had, 1e-12)


def _has_successor(gainers: Sequence[Candidate], losers: Sequence[Candidate], reading: Reading) -> bool:
    """One key has gone and one other has what it had, for itself: the others have only made room."""
    if len(losers) != 1 or not gainers or _left(losers[0], reading) < _DARK:
        return False
    return max(c.effect for c in gainers) >= _TAKEN_OVER * abs(losers[0].effect)


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
