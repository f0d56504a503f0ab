"""One measure's mix: what each key's part should be, how far it is from that, and how unusual that is. Pure.

The method stands in docs/detection.md. All arrays run over keys.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tokentide_stream.detection.mix_centre import GONE, centre_of
from tokentide_stream.detection.mix_noise import MixNoise
from tokentide_stream.detection.mix_ring import MixRing
from tokentide_stream.detection.mix_slow import SLOW_S, SlowMeans
from tokentide_stream.detection.season import DAY_S, Bools, Floats, Season, long_s

_LAG = 3
_SCALE_S = 10_800
_LEAST_HISTORY_S = 0.9 * DAY_S


@dataclass(frozen=True)
class Reading:
    """A window seen by one measure. expected, observed: amounts; usual: the same by the days before alone, where there
    are some. z: (horizons, keys); effect: idiosyncratic change in fractions of the total, the part that the mix of the
    others does not explain. slow_*: against the days before."""

    total: float
    centre: float
    expected: Floats
    usual: Floats
    observed: Floats
    z: Floats
    effect: Floats
    share_change: Floats
    one_window_z: Floats
    slow_z: Floats
    slow_effect: Floats


class MixReference:
    """State of one measure. `read` then `update` for each window, in order of time."""

    def __init__(self, window_s: int, capacity: int, prior_dispersion: float, is_mix: bool = True) -> None:
        """prior_dispersion: variance of a count over its mean, before anything is known. is_mix: parts of a whole, of
        which only the proportions count; otherwise each key's amount counts by itself and "share" below is amount."""
        self._is_mix = is_mix
        self._window_s = window_s
        self.season = Season(window_s, capacity)
        self._size = capacity
        self.level_x = np.zeros(capacity)
        self.level_p = np.zeros(capacity)
        self.recent = np.zeros(capacity)
        self._unit = np.zeros(capacity)
        self._unit_weight = np.zeros(capacity)
        self._ring = MixRing(capacity)
        self._noise = MixNoise(window_s, capacity, prior_dispersion)
        self._slow = SlowMeans(window_s, capacity, is_mix)
        self._lag_x = np.zeros((_LAG, capacity))
        self._lag_p = np.ones((_LAG, capacity))
        self._pattern: Floats | None = None
        self._x = np.zeros(capacity)
        self._epsilon = 1e-6
        self._first_s: float | None = None
        self._had_profile = False
        self._return_to_season = False

    @property
    def windows(self) -> int:
        """Windows learned from so far."""
        return self._ring.windows

    def grow(self, capacity: int) -> None:
        """Room for more keys."""
        more = capacity - self._size
        for name in ("level_x", "level_p", "recent", "_unit", "_unit_weight", "_x"):
            setattr(self, name, np.pad(getattr(self, name), (0, more)))
        for name in ("_lag_x", "_lag_p"):
            setattr(self, name, np.pad(getattr(self, name), ((0, 0), (0, more))))
        for part in (self._ring, self._noise, self._slow):
            part.grow(more)
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
        self._set_pattern(self._profile(time_s, total))
        if self._return_to_season and self._pattern is not None:
            self._follow_season(held | young)
        weights = self.weights()
        weights[young] = 0.0
        share = amounts / total
        unit = np.maximum(self._unit, 1e-12)
        ratio = np.divide(share, weights, out=np.ones(self._size), where=weights > 0)
        usable = (weights > 0) & ~held & ~young
        known = self.windows and self._is_mix
        centre = centre_of(ratio, weights, weights * total / unit, usable) if known else 1.0
        expected = weights * centre
        # The scale of the relative weights would wander; it is drawn back to a sum of 1.
        pull = min(0.05, self._window_s / _SCALE_S)
        if known:
            centre = float(np.clip(centre * max(1e-3, float(weights.sum())) ** pull, 0.02, 50.0))
        self._x = share / centre
        noise, floor = self._noise.usual(), self._floor()
        self._ring.put(amounts / unit, expected * total / unit, total, share - expected, held)
        z, effect = self._ring.statistics(held, noise, floor)
        now = self._ring.expected_now()
        one_window_z = self._ring.now() / np.sqrt(noise[0] + floor * floor * now)
        normal = weights.sum()
        change = share - weights / normal if normal > 0 else share
        nothing = np.zeros((len(SLOW_S), self._size))
        slow_z, slow_effect = (nothing, nothing) if self._pattern is None else self._slow.compare(noise[2], centre)
        usual = expected if self._pattern is None else self._pattern * centre
        mean = (expected * total, usual * total, share * total)
        return Reading(total, centre, *mean, z, effect, change, one_window_z, slow_z, slow_effect)

    def _profile(self, time_s: float, total: float) -> Floats | None:
        usual = self.recent * total / np.maximum(self._unit, 1e-12)
        profile = self.season.expected(time_s, usual, self.season.bin_s / self._window_s)
        if self._first_s is None:
            self._first_s = time_s
        # The minutes before midnight are no earlier day.
        return None if time_s - self._first_s < _LEAST_HISTORY_S else profile

    def _floor(self) -> float:
        """Relative error of the reference itself that is always allowed for; without a season, also what one can do in
        the time the level lags behind."""
        return 0.02 if self._pattern is not None else 0.02 + min(0.25, 0.03 * 14 * self._window_s / 3_600)

    def thresholds(self, critical: float) -> Floats:
        """(horizons, keys): the critical value, or more for keys that have been that far off for no reason before."""
        if self._pattern is not None:
            # The noise around a new reference is known only after some windows of it.
            critical *= 1 + 0.5 * min(1.0, 12 / max(1, self._slow.windows))
        return self._noise.thresholds(critical, np.maximum(self._ring.expected_now(), 1.0))

    @property
    def knows_season(self) -> bool:
        """The last window was compared with the days before."""
        return self._pattern is not None

    def is_broad(self, reading: Reading, is_now: bool = False) -> bool:
        """Many keys have left their reference at once: the season is another one, and not one key the cause. is_now:
        within the last windows, rather than within hours."""
        fit = (self._ring.expected_now() >= 20) & (reading.expected > 0.005 * reading.total)
        moved = np.maximum(np.abs(reading.z).max(axis=0), np.abs(reading.one_window_z)) >= 3.0
        if not is_now:
            moved |= np.abs(reading.slow_z[0]) >= 2.5
        gone = reading.observed < GONE * reading.expected
        return bool((fit & moved & ~gone).sum() >= max(3.0, 0.25 * fit.sum()))

    def agreeing(self, windows: int) -> Bools:
        """Keys that lie clearly on one side in each of the last windows."""
        return self._ring.agreeing(windows, self._noise.phi[0])

    def onset(self, key: int, direction: float) -> int:
        """How many of the last windows, this one included, lie on that side without a break."""
        return self._ring.onset(key, direction)

    def ramp_windows(self, key: int) -> int:
        """For how many windows the key has been rising; 0 where it has risen at once."""
        return self._ring.ramp_windows(key)

    def recent_effect(self, windows: int) -> Floats:
        """Mean idiosyncratic effect over the last windows, held or not."""
        return self._ring.recent_effect(windows)

    def update(self, held: Bools, young: Bools, told: Bools) -> None:
        """Learn from the window just read. held, young: as in `read`. told: not as usual, left out of the season."""
        x, skip, windows = self._x, held | young, self.windows
        has_season = self._pattern is not None
        # What the noise was like before the season was known is forgotten as fast as it was learned.
        seen = self._slow.windows + 4 if has_season else windows + 8
        alpha = max(self._alpha(DAY_S, 12), 1 / seen)
        self._noise.learn(self._ring, skip, alpha, self._floor(), self._slow.windows)
        pattern = self._pattern if self._pattern is not None else np.ones(self._size)
        self._learn_level(x, pattern, held, young)
        if has_season:
            self._slow.learn(x, pattern, self._ring.expected_now(), skip, self._alpha(7 * DAY_S, 24))
        alpha = self._alpha(10_800, 4)
        self.recent = x if not windows else self.recent + alpha * (x - self.recent)
        self.season.add(x, told)
        self._ring.advance()

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
        self._slow.reset(key)
        self.forget(key)

    def restart(self, key: int, now_s: float) -> None:
        """What the key has been for the last day is its reference from now on; its recent level, where a day is not
        there yet."""
        if self._pattern is None or self.season.days_known == 0:
            self.rebase(key)
            return
        self.season.restart(key, now_s - long_s(self._window_s) - self.season.bin_s)
        profile = self.season.expected(now_s, self.recent, 1.0)
        level = float(profile[key]) if profile is not None and np.isfinite(profile[key]) else float(self.recent[key])
        self._pattern[key] = level
        self.level_x[key] = self.level_p[key] = max(level, self._epsilon)
        self._lag_x[:, key] = self._lag_p[:, key] = self.level_x[key]
        self._slow.reset(key)
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
        self._slow.follow_season(skip)
        self._ring.clear(keep=skip)

    def slow_reference(self) -> Floats:
        """What the last day should have been by the days before, a window."""
        level: Floats = self._slow.p[-1].copy()
        return level

    def dispersion(self) -> Floats:
        """Variance of a window's count over its mean."""
        # On the root scale the variance is a quarter of that, and u is twice the root.
        phi: Floats = np.maximum(self._noise.phi[0], 1.0)
        return phi

    def is_settled(self, key: int, size: float) -> bool:
        """The key's last hours are no longer on the move against its last day."""
        return self._pattern is None or self._slow.is_settled(key, size)

    def forget(self, key: int) -> None:
        """The last windows say nothing about this key: it has just been told of, or has just ended."""
        self._ring.forget(key)

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
            self._noise.begin_season()
        unknown = np.isnan(profile)
        self._pattern = np.where(unknown, self.recent, profile)
        if unknown.any():
            self._pattern = np.nan_to_num(self._pattern)

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
        rel = np.sqrt(self.dispersion() / np.maximum(self._ring.expected_now(), 1.0))
        bound = np.exp(np.minimum(3 * np.maximum(rel, 0.03), 2.0))
        self._lag_x[at] = np.clip(x, expected / bound, expected * bound) if self.windows > 4 else x
        self._lag_p[at] = pattern
        move = ~held & ~young
        first = self.windows == 0
        self.level_x = np.where(move, used_x if first else self.level_x + alpha * (used_x - self.level_x), self.level_x)
        self.level_p = np.where(move, used_p if first else self.level_p + alpha * (used_p - self.level_p), self.level_p)
