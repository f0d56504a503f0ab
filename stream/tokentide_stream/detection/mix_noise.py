"""How much a mix's counts vary for no reason, by key and horizon. Pure."""

from __future__ import annotations

from collections import deque

import numpy as np

from tokentide_stream.detection.mix_ring import HORIZONS, MixRing, root_difference
from tokentide_stream.detection.season import DAY_S, Bools, Floats

_TAIL_LAG = 4
_PHI_SNAPSHOTS = 5
_PHI_SNAPSHOT_S = 21_600


class MixNoise:
    """phi: dispersion, variance over mean, of the sums over one window and over each horizon. Tails: how far a key has
    been off for no reason within a week."""

    def __init__(self, window_s: int, capacity: int, prior: float) -> None:
        self._window_s = window_s
        self._prior = prior
        self.phi = np.full((1 + len(HORIZONS), capacity), prior)
        self._old_phi: deque[Floats] = deque(maxlen=_PHI_SNAPSHOTS)
        self._tail = np.zeros((len(HORIZONS), capacity))
        self._next_tail = np.zeros((_TAIL_LAG, len(HORIZONS), capacity))

    def grow(self, more: int) -> None:
        """Room for more keys."""
        two = ((0, 0), (0, more))
        self.phi = np.pad(self.phi, two, constant_values=self._prior)
        self._tail = np.pad(self._tail, two)
        self._next_tail = np.pad(self._next_tail, ((0, 0), (0, 0), (0, more)))
        self._old_phi = deque((np.pad(p, two, constant_values=self._prior) for p in self._old_phi), _PHI_SNAPSHOTS)

    def usual(self) -> Floats:
        """Dispersion by horizon, hardly more than it was a day ago: a slow shift must not pass as its own noise."""
        now: Floats = np.maximum(self.phi, 1.0)
        if len(self._old_phi) < _PHI_SNAPSHOTS:
            return now
        bounded: Floats = np.minimum(now, 1.5 * np.maximum(self._old_phi[0], 1.0))
        return bounded

    def thresholds(self, critical: float, expected: Floats) -> Floats:
        """(horizons, keys): the critical value, or more for keys that have been that far off for no reason before."""
        # Two or three windows of a bursty key may be one session.
        bursty = np.where(self.phi[0] > 0.1 * expected, 1.5, 1.0) * np.where(self.phi[0] > 4, 1.0, 1 / 1.5)
        factor = np.array([np.maximum(bursty, 1.0) if h <= 3 else np.ones(expected.size) for h in HORIZONS])
        return np.maximum(critical * factor, 1.25 * self._tail)

    def begin_season(self) -> None:
        """What varied without a season was in part the season itself."""
        self._tail = np.minimum(self._tail, 4.0)
        self.phi = self._prior + 0.2 * np.maximum(self.phi - self._prior, 0.0)

    def learn(self, ring: MixRing, skip: Bools, alpha: float, floor: float, since_profile: int) -> None:
        """From the window that was put last. alpha: weight of it; since_profile: windows with a seasonal reference."""
        self._learn_tails(skip, ring.windows)
        every = max(1, _PHI_SNAPSHOT_S // self._window_s)
        if since_profile >= 2 * every and since_profile >= 12 and since_profile % every == 0:
            self._old_phi.append(self.phi.copy())
        for i, horizon in enumerate((1, *HORIZONS)):
            rows = ring.rows(horizon)
            if rows is None:
                continue
            n, e = ring.n[rows].sum(axis=0), ring.e[rows].sum(axis=0)
            square = root_difference(n, e) ** 2
            clipped = np.minimum(square, 16 * np.maximum(self.phi[i], 1.0))
            self.phi[i] = np.where(skip, self.phi[i], self.phi[i] + alpha * (clipped - self.phi[i]))
            if i:
                z = np.sqrt(square / (np.maximum(self.phi[i], 1.0) + floor * floor * e))
                self._next_tail[_TAIL_LAG - 1, i - 1] = z

    def _learn_tails(self, skip: Bools, windows: int) -> None:
        """A few windows later, when a reason would have been told."""
        decay = 0.5 ** (self._window_s / (7 * DAY_S))
        if windows > 8:
            grown = np.maximum(self._tail * decay, self._next_tail[0])
            self._tail = np.where(skip, self._tail, grown)
        self._next_tail[:, :, skip] = 0.0
        self._next_tail[:-1] = self._next_tail[1:]
        self._next_tail[-1] = 0.0
