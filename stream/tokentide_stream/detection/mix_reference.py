"""One measure's mix: what each key's part should be, how far it is from that, and how unusual that is. Pure.

The method stands in docs/detection.md. All arrays run over keys.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np

from tokentide_stream.detection.season import DAY_S, Bools, Floats, Season

HORIZONS = (2, 3, 6, 12)
_LARGEST_PART = (0.85, 0.85, 0.6, 0.5)
"""What one window may contribute to the effect over a horizon."""
_RING = max(HORIZONS)
_GONE = 0.25
_LAG = 3
_TAIL_LAG = 4
_PHI_SNAPSHOTS = 5
_LEAST_HISTORY_S = 0.9 * DAY_S
_PHI_SNAPSHOT_S = 21_600
SLOW_S = (5_400, 21_600, 86_400)
"""Time constants of the slow comparisons with the days before."""


@dataclass(frozen=True)
class Reading:
    """A window seen by one measure. expected, observed: amounts. z: (horizons, keys); effect: idiosyncratic change in
    fractions of the total, the part that the mix of the others does not explain. slow_*: against the days before."""

    total: float
    centre: float
    expected: Floats
    observed: Floats
    z: Floats
    effect: Floats
    share_change: Floats
    one_window_z: Floats
    slow_z: Floats
    slow_effect: Floats
    count: Floats


def centre_of(ratio: Floats, expected: Floats, count: Floats, usable: Bools) -> float:
    """By which factor the keys that have not moved differ from their expectation: the weighted median over keys.

    One key's rise lowers every other share by one common factor; the median finds that factor as long as keys with
    half of the weight have not moved. A key weighs the root of its size, at most 40 % of all.
    """
    fit = usable & (count >= 8)
    least_keys, least_mass = 3, 0.4
    # Where part of the keys is gone and the rest has all of it, the rest has not moved, even if it was the lesser part.
    alive = fit & (ratio >= _GONE)
    if alive.sum() < fit.sum() and expected[alive].sum() >= 0.1 * expected[fit].sum():
        fit, least_keys, least_mass = alive, 2, 0.1
    if fit.sum() < least_keys or expected[fit].sum() < least_mass * expected[usable].sum():
        mass = float(expected[usable].sum())
        return float((ratio * expected)[usable].sum()) / mass if mass > 0 else 1.0
    values, weight = ratio[fit], np.sqrt(expected[fit])
    weight = np.minimum(weight, 0.4 * weight.sum())
    order = np.argsort(values)
    cumulative = np.cumsum(weight[order])
    median = float(values[order][np.searchsorted(cumulative, cumulative[-1] / 2)])
    if median <= 0:
        return 1.0
    near = np.abs(values / median - 1) < np.maximum(0.05, 3.0 / np.sqrt(count[fit]))
    mean = float((values * expected[fit])[near].sum() / expected[fit][near].sum()) if near.any() else median
    return mean if mean > 0 else 1.0


class MixReference:
    """State of one measure. `read` then `update` for each window, in order of time."""

    def __init__(self, window_s: int, capacity: int, prior_dispersion: float, is_mix: bool = True) -> None:
        """prior_dispersion: variance of a count over its mean, before anything is known. is_mix: parts of a whole, of
        which only the proportions count; otherwise each key's amount counts by itself and "share" below is amount."""
        self._is_mix = is_mix
        self._window_s = window_s
        self._prior = prior_dispersion
        self.season = Season(window_s, capacity)
        self._size = capacity
        self.level_x = np.zeros(capacity)
        self.level_p = np.zeros(capacity)
        self.recent = np.zeros(capacity)
        self._unit = np.zeros(capacity)
        self._unit_weight = np.zeros(capacity)
        self._ring_n = np.zeros((_RING, capacity))
        self._ring_e = np.zeros((_RING, capacity))
        self._ring_u = np.zeros((_RING, capacity))
        self._ring_total = np.zeros(_RING)
        self._ring_share = np.zeros((_RING, capacity))
        self._ring_held = np.zeros((_RING, capacity))
        self._lag_x = np.zeros((_LAG, capacity))
        self._lag_p = np.ones((_LAG, capacity))
        self._phi = np.full((1 + len(HORIZONS), capacity), prior_dispersion)
        self._noise = np.maximum(self._phi, 1.0)
        self._old_phi: deque[Floats] = deque(maxlen=_PHI_SNAPSHOTS)
        self._tail = np.zeros((len(HORIZONS), capacity))
        self._next_tail = np.zeros((_TAIL_LAG, len(HORIZONS), capacity))
        self._slow_x = np.zeros((len(SLOW_S), capacity))
        self._slow_p = np.zeros((len(SLOW_S), capacity))
        self._slow_n = np.zeros((len(SLOW_S), capacity))
        self._slow_var = np.zeros((len(SLOW_S), capacity))
        self._profile: Floats | None = None
        self._pattern: Floats | None = None
        self._x = np.zeros(capacity)
        self._epsilon = 1e-6
        self.windows = 0
        self._first_s: float | None = None
        self._had_profile = False
        self._since_profile = 0
        self._return_to_season = False

    def grow(self, capacity: int) -> None:
        more = capacity - self._size
        one, two = (0, more), ((0, 0), (0, more))
        for name in ("level_x", "level_p", "recent", "_unit", "_unit_weight", "_x"):
            setattr(self, name, np.pad(getattr(self, name), one))
        for name in ("_ring_n", "_ring_e", "_ring_u", "_ring_share", "_ring_held", "_lag_x", "_lag_p", "_tail",
                     "_slow_x", "_slow_p", "_slow_n", "_slow_var"):  # fmt: skip
            setattr(self, name, np.pad(getattr(self, name), two))
        self._phi = np.pad(self._phi, two, constant_values=self._prior)
        self._next_tail = np.pad(self._next_tail, ((0, 0), (0, 0), (0, more)))
        self._noise = np.pad(self._noise, two, constant_values=self._prior)
        self._old_phi = deque((np.pad(p, two, constant_values=self._prior) for p in self._old_phi), _PHI_SNAPSHOTS)
        self.season.grow(capacity)
        self._size = capacity

    def weights(self) -> Floats:
        """Each key's expected relative weight in this window (they need not sum to 1)."""
        if self._pattern is None:
            return self.level_x
        ratio = (self.level_x + self._epsilon) / (self.level_p + self._epsilon)
        return self._pattern * np.clip(ratio, 0.05, 20.0)

    def read(self, time_s: float, amounts: Floats, requests: Floats, held: Bools, young: Bools) -> Reading:
        """held: keys with an open shift, which say nothing about the others. young: keys too new for a reference."""
        total = float(amounts.sum()) if self._is_mix else 1.0
        self._epsilon = 0.3 / max(1.0, float(requests.sum())) if self._is_mix else 0.3
        self._learn_units(amounts, requests)
        usual = self.recent * total / np.maximum(self._unit, 1e-12)
        profile = self.season.expected(time_s, usual, self.season.bin_s / self._window_s)
        if self._first_s is None:
            self._first_s = time_s
        if time_s - self._first_s < _LEAST_HISTORY_S:
            # The minutes before midnight are no earlier day.
            profile = None
        self._set_pattern(profile)
        if self._return_to_season and self._pattern is not None:
            self._follow_season(held | young)
        weights = self.weights()
        weights[young] = 0.0
        share = amounts / total
        self._noise = self._usual_noise()
        count_e = weights * total / np.maximum(self._unit, 1e-12)
        ratio = np.divide(share, weights, out=np.ones(self._size), where=weights > 0)
        usable = (weights > 0) & ~held & ~young
        centre = centre_of(ratio, weights, count_e, usable) if self.windows and self._is_mix else 1.0
        expected_share = weights * centre
        # The scale of the relative weights would wander; over days it is drawn back to a sum of 1.
        pull = min(0.01, self._window_s / (3 * DAY_S))
        if self.windows and self._is_mix:
            centre = float(np.clip(centre * max(1e-3, float(weights.sum())) ** pull, 0.02, 50.0))
        self._x = share / centre
        n = amounts / np.maximum(self._unit, 1e-12)
        e = expected_share * total / np.maximum(self._unit, 1e-12)
        u = 2 * (np.sqrt(n + 0.375) - np.sqrt(e + 0.375))
        at = self.windows % _RING
        self._ring_held[at] = held
        self._ring_n[at], self._ring_e[at], self._ring_u[at] = n, e, u
        self._ring_total[at] = total
        self._ring_share[at] = share - expected_share
        return self._reading(total, centre, expected_share, share, weights, u, n, e, held)

    def _reading(self, total: float, centre: float, expected: Floats, share: Floats, weights: Floats,
                 u: Floats, n: Floats, e: Floats, held: Bools) -> Reading:  # fmt: skip
        floor = self._floor()
        z = np.zeros((len(HORIZONS), self._size))
        effect = np.zeros_like(z)
        counts = np.zeros_like(z)
        z1 = u / np.sqrt(self._noise[0] + floor * floor * e)
        for i, horizon in enumerate(HORIZONS):
            if self.windows + 1 < horizon:
                continue
            rows = [(self.windows - j) % _RING for j in range(horizon)]
            clean = 1.0 - self._ring_held[rows] * (1 - held)
            sum_n, sum_e = (self._ring_n[rows] * clean).sum(axis=0), (self._ring_e[rows] * clean).sum(axis=0)
            sums = 2 * (np.sqrt(sum_n + 0.375) - np.sqrt(sum_e + 0.375))
            z[i] = sums / np.sqrt(self._noise[i + 1] + floor * floor * sum_e)
            totals = self._ring_total[rows]
            parts = self._ring_share[rows] * clean * totals[:, None]
            effect[i] = parts.sum(axis=0) / totals.sum()
            # One window alone is not a shift, however far out it is.
            z[i] *= np.abs(parts).max(axis=0) <= _LARGEST_PART[i] * np.abs(parts.sum(axis=0))
            agree = (np.sign(sums) * self._ring_u[rows] > 0).sum(axis=0)
            z[i] *= agree >= (2 if horizon == 2 else np.ceil(0.7 * horizon))
            counts[i] = sum_n + sum_e
        normal = weights.sum()
        change = share - weights / normal if normal > 0 else share
        slow_z, slow_effect = self._slow(expected, centre)
        return Reading(
            total, centre, expected * total, share * total, z, effect, change, z1, slow_z, slow_effect, counts
        )

    def _floor(self) -> float:
        """Relative error of the reference itself that is always allowed for; without a season, also what one can do in
        the time the level lags behind."""
        return 0.02 if self._pattern is not None else 0.02 + min(0.25, 0.03 * 14 * self._window_s / 3_600)

    def thresholds(self, critical: float) -> Floats:
        """(horizons, keys): the critical value, or more for keys that have been that far off for no reason before."""
        expected = np.maximum(self._ring_e[self.windows % _RING], 1.0)
        # Two or three windows of a bursty key may be one session.
        bursty = np.where(self._phi[0] > 0.1 * expected, 1.5, 1.0) * np.where(self._phi[0] > 4, 1.0, 1 / 1.5)
        factor = np.array([np.maximum(bursty, 1.0) if h <= 3 else np.ones(self._size) for h in HORIZONS])
        if self._pattern is not None:
            # The noise around a new reference is known only after some windows of it.
            critical *= 1 + 0.5 * min(1.0, 12 / max(1, self._since_profile))
        return np.maximum(critical * factor, 1.25 * self._tail)

    @property
    def knows_season(self) -> bool:
        """The last window was compared with the days before."""
        return self._pattern is not None

    def is_broad(self, reading: Reading) -> bool:
        """Many keys have left their reference at once: the season is another one, and not one key the cause."""
        fit = (self._ring_e[self.windows % _RING] >= 20) & (reading.expected > 0.005 * reading.total)
        moved = np.maximum(np.abs(reading.z).max(axis=0), np.abs(reading.one_window_z)) >= 3.0
        moved = fit & (moved | (np.abs(reading.slow_z[0]) >= 2.5))
        gone = reading.observed < _GONE * reading.expected
        return bool((moved & ~gone).sum() >= max(3.0, 0.25 * fit.sum()))

    def agreeing(self, windows: int) -> Bools:
        """Keys that lie clearly on one side in each of the last windows."""
        if self.windows + 1 < windows:
            return np.zeros(self._size, dtype=bool)
        last = self._ring_u[[(self.windows - j) % _RING for j in range(windows)]]
        least = 1.2 * np.sqrt(np.maximum(self._phi[0], 1.0))
        clear: Bools = (last > least).all(axis=0) | (last < -least).all(axis=0)
        return clear

    def onset(self, key: int, direction: float) -> int:
        """How many of the last windows, this one included, lie on that side without a break."""
        back = 0
        while back < min(_RING, self.windows + 1):
            if direction * self._ring_u[(self.windows - back) % _RING][key] <= 1.0:
                break
            back += 1
        return max(1, back)

    def recent_effect(self, windows: int) -> Floats:
        """Mean idiosyncratic effect over the last windows, held or not."""
        rows = [(self.windows - j) % _RING for j in range(min(windows, self.windows + 1))]
        totals = self._ring_total[rows]
        mean: Floats = (self._ring_share[rows] * totals[:, None]).sum(axis=0) / totals.sum()
        return mean

    def update(self, held: Bools, young: Bools, told: Bools) -> None:
        """Learn from the window just read. held, young: as in `read`. told: not as usual, left out of the season."""
        x = self._x
        self._learn_noise(held | young)
        pattern = self._pattern if self._pattern is not None else np.ones(self._size)
        self._learn_level(x, pattern, held, young)
        self._learn_slow(x, pattern, held | young)
        alpha = self._alpha(10_800, 4)
        self.recent = x if not self.windows else self.recent + alpha * (x - self.recent)
        self.season.add(x, told)
        self.windows += 1

    def rebase(self, key: int, level: float | None = None) -> None:
        """The key's present level is its reference from now on."""
        level = float(self.recent[key]) if level is None else level
        pattern = float(self._pattern[key]) if self._pattern is not None else 1.0
        self.season.rebase(key, level)
        pattern = pattern if pattern > 0.2 * level else level
        if self._pattern is not None:
            self._pattern[key] = pattern
            self.level_x[key], self.level_p[key] = pattern, pattern
        else:
            self.level_x[key], self.level_p[key] = level, 1.0
        self._lag_x[:, key], self._lag_p[:, key] = self.level_x[key], self.level_p[key]
        for i in range(len(SLOW_S)):
            self._slow_x[i, key] = self._slow_p[i, key]
        self.forget(key)

    def restart(self, key: int, now_s: float) -> None:
        """What the key has been for the last day is its reference from now on; its recent level, where a day is not
        there yet."""
        if self._pattern is None or self.season.days_known == 0:
            self.rebase(key)
            return
        self.season.restart(key, now_s - DAY_S - self.season.bin_s)
        profile = self.season.expected(now_s, self.recent, 1.0)
        level = float(profile[key]) if profile is not None and np.isfinite(profile[key]) else float(self.recent[key])
        self._pattern[key] = level
        self.level_x[key] = self.level_p[key] = max(level, self._epsilon)
        self._lag_x[:, key] = self._lag_p[:, key] = self.level_x[key]
        for i in range(len(SLOW_S)):
            self._slow_x[i, key] = self._slow_p[i, key]
        self.forget(key)

    def hold_to_season(self, key: int) -> None:
        """From here on the key is compared with the days before alone, not with its level of the last hours."""
        if self._pattern is None:
            return
        ratio = (self.level_x + self._epsilon) / (self.level_p + self._epsilon)
        usual = float(np.median(ratio[self._pattern > 0])) if (self._pattern > 0).any() else 1.0
        self.level_p[key] = max(float(self.level_p[key]), self._epsilon)
        self.level_x[key] = usual * self.level_p[key]
        self._lag_x[:, key], self._lag_p[:, key] = self.level_x[key], self.level_p[key]

    def return_to_season(self) -> None:
        """From the next window on, days like it are known again: what the last ones made of the levels is left out."""
        self._return_to_season = True

    def _follow_season(self, skip: Bools) -> None:
        assert self._pattern is not None
        self._return_to_season = False
        level = np.where(skip, self.level_x, np.maximum(self._pattern, self._epsilon))
        self.level_p = np.where(skip, self.level_p, level)
        self.level_x = level
        self._lag_x[:] = np.where(skip, self._lag_x, level)
        self._lag_p[:] = np.where(skip, self._lag_p, level)
        self._slow_x = np.where(skip, self._slow_x, self._slow_p)
        for ring in (self._ring_n, self._ring_e, self._ring_u, self._ring_share):
            ring[:] = np.where(skip, ring, 0.0)

    def slow_reference(self) -> Floats:
        """What the last day should have been by the days before, a window."""
        level: Floats = self._slow_p[-1].copy()
        return level

    def dispersion(self) -> Floats:
        """Variance of a window's count over its mean."""
        # On the root scale the variance is a quarter of that, and u is twice the root.
        phi: Floats = np.maximum(self._phi[0], 1.0)
        return phi

    def is_settled(self, key: int, size: float) -> bool:
        """The key's last hours are no longer on the move against its last day."""
        if self._pattern is None:
            return True
        day, pattern = float(self._slow_x[-1, key]), float(self._slow_p[-1, key])
        near, near_pattern = float(self._slow_x[0, key]), float(self._slow_p[0, key])
        moved = (near - near_pattern) - (day - pattern)
        return abs(moved) < 0.35 * abs(size)

    def forget(self, key: int) -> None:
        """The last windows say nothing about this key: it has just been told of, or has just ended."""
        self._ring_n[:, key] = self._ring_e[:, key]
        self._ring_u[:, key] = 0.0
        self._ring_share[:, key] = 0.0

    def _alpha(self, half_life_s: float, min_windows: int) -> float:
        return float(1 - 0.5 ** (1 / max(min_windows, half_life_s / self._window_s)))

    def _learn_units(self, amounts: Floats, requests: Floats) -> None:
        """Amount for a request, by key: what one request is worth as evidence."""
        has = requests > 0
        if not has.any():
            return
        overall = float(amounts.sum() / requests[has].sum())
        weight = self._unit_weight
        now = np.divide(amounts, requests, out=np.full(self._size, overall), where=has)
        step = np.where(
            has, requests / (np.maximum(requests, 1e-9) + np.minimum(weight, 200 * np.maximum(requests, 1))), 0.0
        )
        self._unit = np.where(weight > 0, self._unit + step * (now - self._unit), np.where(has, now, overall))
        self._unit_weight = weight + requests
        self._unit = np.maximum(self._unit, overall * 1e-6 + 1e-12)

    def _set_pattern(self, profile: Floats | None) -> None:
        if profile is None:
            self._pattern = None
            return
        if not self._had_profile:
            # What was learned without a season is a level of its own; from here on it is one relative to the season.
            self._had_profile = True
            self.level_x, self.level_p = profile.copy(), profile.copy()
            self._lag_x[:], self._lag_p[:] = profile, profile
            self._tail = np.minimum(self._tail, 4.0)
            self._phi = self._prior + 0.2 * np.maximum(self._phi - self._prior, 0.0)
        unknown = np.isnan(profile)
        self._pattern = np.where(unknown, self.recent, profile)
        if unknown.any():
            self._pattern = np.nan_to_num(self._pattern)

    def _learn_noise(self, skip: Bools) -> None:
        # What the noise was like before the season was known is forgotten as fast as it was learned.
        seen = self._since_profile if self._pattern is not None else self.windows
        alpha = max(self._alpha(DAY_S, 12), 1 / (seen + (4 if self._pattern is not None else 8)))
        self._learn_tails(skip)
        every = max(1, _PHI_SNAPSHOT_S // self._window_s)
        if self._since_profile >= 2 * every and self._since_profile >= 12 and self._since_profile % every == 0:
            self._old_phi.append(self._phi.copy())
        floor = self._floor()
        for i, horizon in enumerate((1, *HORIZONS)):
            if self.windows + 1 < horizon:
                continue
            rows = [(self.windows - j) % _RING for j in range(horizon)]
            n, e = self._ring_n[rows].sum(axis=0), self._ring_e[rows].sum(axis=0)
            square = (2 * (np.sqrt(n + 0.375) - np.sqrt(e + 0.375))) ** 2
            clipped = np.minimum(square, 16 * np.maximum(self._phi[i], 1.0))
            self._phi[i] = np.where(skip, self._phi[i], self._phi[i] + alpha * (clipped - self._phi[i]))
            if i:
                z = np.sqrt(square / (np.maximum(self._phi[i], 1.0) + floor * floor * e))
                self._next_tail[_TAIL_LAG - 1, i - 1] = z

    def _usual_noise(self) -> Floats:
        """Dispersion by horizon, hardly more than it was a day ago: a slow shift must not pass as its own noise."""
        now: Floats = np.maximum(self._phi, 1.0)
        if len(self._old_phi) < _PHI_SNAPSHOTS:
            return now
        bounded: Floats = np.minimum(now, 1.5 * np.maximum(self._old_phi[0], 1.0))
        return bounded

    def _learn_tails(self, skip: Bools) -> None:
        """How far off the key has been for no reason: a few windows later, when it would have been told of a reason."""
        decay = 0.5 ** (self._window_s / (7 * DAY_S))
        if self.windows > 8:
            grown = np.maximum(self._tail * decay, self._next_tail[0])
            self._tail = np.where(skip, self._tail, grown)
        self._next_tail[:, :, skip] = 0.0
        self._next_tail[:-1] = self._next_tail[1:]
        self._next_tail[-1] = 0.0

    def _learn_level(self, x: Floats, pattern: Floats, held: Bools, young: Bools) -> None:
        if self._pattern is not None:
            alpha = self._alpha(7_200, 10)
        else:
            alpha = max(self._alpha(2_400, 8), 1 / (self.windows + 1))
        at = self.windows % _LAG
        if self.windows < _LAG:
            used_x, used_p = x, pattern
        else:
            used_x, used_p = self._lag_x[at].copy(), self._lag_p[at].copy()
        expected = self.weights()
        rel = np.sqrt(np.maximum(self._phi[0], 1.0) / np.maximum(self._ring_e[self.windows % _RING], 1.0))
        bound = np.exp(np.minimum(3 * np.maximum(rel, 0.03), 2.0))
        self._lag_x[at] = np.clip(x, expected / bound, expected * bound) if self.windows > 4 else x
        self._lag_p[at] = pattern
        move = ~held & ~young
        first = self.windows == 0
        self.level_x = np.where(move, used_x if first else self.level_x + alpha * (used_x - self.level_x), self.level_x)
        self.level_p = np.where(move, used_p if first else self.level_p + alpha * (used_p - self.level_p), self.level_p)

    def _learn_slow(self, x: Floats, pattern: Floats, skip: Bools) -> None:
        if self._pattern is None:
            return
        self._since_profile += 1
        e = self._ring_e[self.windows % _RING]
        for i, seconds in enumerate(SLOW_S):
            alpha = max(self._window_s / (self._window_s + seconds), 1 / self._since_profile)
            self._slow_x[i] += alpha * (x - self._slow_x[i])
            self._slow_p[i] += alpha * (pattern - self._slow_p[i])
            self._slow_n[i] = self._slow_n[i] * (1 - alpha) + e
            ratio = self._slow_log_ratio(i)
            learn = self._alpha(7 * DAY_S, 24)
            clipped = np.minimum(ratio**2, 4 * np.maximum(self._slow_var[i], 0.03**2))
            self._slow_var[i] = np.where(
                skip, self._slow_var[i], self._slow_var[i] + learn * (clipped - self._slow_var[i])
            )

    def _slow_log_ratio(self, i: int) -> Floats:
        small = 1e-9
        ratio: Floats = np.log((self._slow_x[i] + small) / (self._slow_p[i] + small))
        if not self._is_mix:
            return ratio
        weight = np.sqrt(self._slow_p[i])
        weight = np.minimum(weight, 0.4 * weight.sum())
        order = np.argsort(ratio)
        cumulative = np.cumsum(weight[order])
        if cumulative[-1] <= 0:
            return ratio
        median = float(ratio[order][np.searchsorted(cumulative, cumulative[-1] / 2)])
        return ratio - median

    def _slow(self, expected: Floats, centre: float) -> tuple[Floats, Floats]:
        z = np.zeros((len(SLOW_S), self._size))
        effect = np.zeros_like(z)
        if self._pattern is None:
            return z, effect
        for i, seconds in enumerate(SLOW_S):
            if self._since_profile * self._window_s < seconds or self._since_profile < 6:
                continue
            ratio = self._slow_log_ratio(i)
            noise = 2 * self._noise[2] / np.maximum(self._slow_n[i], 0.5)
            z[i] = ratio / np.sqrt(0.025**2 + self._slow_var[i] + noise)
            effect[i] = self._slow_p[i] * (np.exp(np.clip(ratio, -20, 5)) - 1) * centre
        return z, effect
