"""A mix's exponential means over hours and a day against the same means of its season. Pure."""

from __future__ import annotations

import numpy as np

from tokentide_stream.detection.mix_centre import weighted_median
from tokentide_stream.detection.season import Bools, Floats

SLOW_S = (5_400, 21_600, 86_400)
"""Time constants of the means; all longer in proportion where the first were less than one and a half windows."""
_LEAST_WINDOWS = 1.5
_SMALL = 1e-9


class SlowMeans:
    """is_mix: only the keys' proportions count."""

    def __init__(self, window_s: int, capacity: int, is_mix: bool) -> None:
        self._window_s = window_s
        self._is_mix = is_mix
        self._spans_s = [span_s * max(1.0, _LEAST_WINDOWS * window_s / SLOW_S[0]) for span_s in SLOW_S]
        self.x = np.zeros((len(SLOW_S), capacity))
        self.p = np.zeros((len(SLOW_S), capacity))
        self._n = np.zeros((len(SLOW_S), capacity))
        self._variance = np.zeros((len(SLOW_S), capacity))
        self.windows = 0
        """Windows with a seasonal reference so far."""

    def grow(self, more: int) -> None:
        """Room for more keys."""
        for name in ("x", "p", "_n", "_variance"):
            setattr(self, name, np.pad(getattr(self, name), ((0, 0), (0, more))))

    def reset(self, key: int) -> None:
        """What the key has been is its reference."""
        self.x[:, key] = self.p[:, key]

    def follow_season(self, skip: Bools) -> None:
        """The same for all keys but these."""
        self.x = np.where(skip, self.x, self.p)

    def is_settled(self, key: int, size: float) -> bool:
        """The key's last hours are no longer on the move against its last day, by the measure of that size."""
        near = float(self.x[0, key]) - float(self.p[0, key])
        day = float(self.x[-1, key]) - float(self.p[-1, key])
        return abs(near - day) < 0.35 * abs(size)

    def learn(self, x: Floats, pattern: Floats, expected: Floats, skip: Bools, variance_alpha: float) -> None:
        """A window's parts, what the season says of them, and the counts expected."""
        self.windows += 1
        for i, seconds in enumerate(self._spans_s):
            alpha = max(self._window_s / (self._window_s + seconds), 1 / self.windows)
            self.x[i] += alpha * (x - self.x[i])
            self.p[i] += alpha * (pattern - self.p[i])
            self._n[i] = self._n[i] * (1 - alpha) + expected
            ratio = self._log_ratio(i)
            clipped = np.minimum(ratio**2, 4 * np.maximum(self._variance[i], 0.03**2))
            learned = self._variance[i] + variance_alpha * (clipped - self._variance[i])
            self._variance[i] = np.where(skip, self._variance[i], learned)

    def compare(self, noise: Floats, centre: float) -> tuple[Floats, Floats]:
        """z and effect, (time constants, keys). noise: dispersion by key."""
        z = np.zeros(self.x.shape)
        effect = np.zeros_like(z)
        for i, seconds in enumerate(self._spans_s):
            if self.windows * self._window_s < seconds or self.windows < 6:
                continue
            ratio = self._log_ratio(i)
            z[i] = ratio / np.sqrt(0.025**2 + self._variance[i] + 2 * noise / np.maximum(self._n[i], 0.5))
            effect[i] = self.p[i] * (np.exp(np.clip(ratio, -20, 5)) - 1) * centre
        return z, effect

    def _log_ratio(self, i: int) -> Floats:
        ratio: Floats = np.log((self.x[i] + _SMALL) / (self.p[i] + _SMALL))
        if not self._is_mix:
            return ratio
        median = weighted_median(ratio, np.sqrt(self.p[i]))
        return ratio if median is None else ratio - median
