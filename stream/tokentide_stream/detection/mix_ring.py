"""A mix's last windows: counts, expectations and what differs, by key. Pure."""

from __future__ import annotations

import numpy as np

from tokentide_stream.detection.season import Bools, Floats

HORIZONS = (2, 3, 6, 12)
"""Numbers of windows that are looked at together."""
_LARGEST_PART = (0.85, 0.85, 0.6, 0.5)
"""What one window may contribute to the effect over a horizon."""
_RING = max(HORIZONS)
_LEAST_RAMP = 4
_RAMP_RATIO = 1.7
_LARGEST_STEP = 0.55
_FIELDS = ("n", "e", "u", "share", "held")


def root_difference(counts: Floats, expected: Floats) -> Floats:
    """Twice the difference of the roots: of variance 1 for Poisson counts (Anscombe 1948)."""
    difference: Floats = 2 * (np.sqrt(counts + 0.375) - np.sqrt(expected + 0.375))
    return difference


class MixRing:
    """The last twelve windows. `put` for each, then `advance`."""

    def __init__(self, capacity: int) -> None:
        self.n = np.zeros((_RING, capacity))
        self.e = np.zeros((_RING, capacity))
        self.u = np.zeros((_RING, capacity))
        self.share = np.zeros((_RING, capacity))
        self.held = np.zeros((_RING, capacity))
        self._total = np.zeros(_RING)
        self.windows = 0

    def grow(self, more: int) -> None:
        """Room for more keys, which have had nothing."""
        for name in _FIELDS:
            setattr(self, name, np.pad(getattr(self, name), ((0, 0), (0, more))))

    def put(self, n: Floats, e: Floats, total: float, share_change: Floats, held: Bools) -> None:
        """The window: counts, expected counts, the total, change of the share, and the keys with an open shift."""
        at = self.windows % _RING
        self.held[at] = held
        self.n[at], self.e[at], self.u[at] = n, e, root_difference(n, e)
        self._total[at] = total
        self.share[at] = share_change

    def advance(self) -> None:
        self.windows += 1

    def expected_now(self) -> Floats:
        """Expected counts of the window that was put last."""
        now: Floats = self.e[self.windows % _RING]
        return now

    def now(self) -> Floats:
        """How far the window that was put last is from its expectation, on the root scale."""
        now: Floats = self.u[self.windows % _RING]
        return now

    def rows(self, horizon: int) -> list[int] | None:
        """Places of the last windows, this one first; None where there are fewer."""
        if self.windows + 1 < horizon:
            return None
        return [(self.windows - j) % _RING for j in range(horizon)]

    def statistics(self, held: Bools, noise: Floats, floor: float) -> tuple[Floats, Floats]:
        """z and effect, (horizons, keys). noise: dispersion by horizon, the single window first. floor: relative error
        of the expectation. Windows in which a key was held count for it only while it is."""
        z = np.zeros((len(HORIZONS), self.n.shape[1]))
        effect = np.zeros_like(z)
        for i, horizon in enumerate(HORIZONS):
            rows = self.rows(horizon)
            if rows is None:
                continue
            clean = 1.0 - self.held[rows] * (1 - held)
            sum_n, sum_e = (self.n[rows] * clean).sum(axis=0), (self.e[rows] * clean).sum(axis=0)
            sums = root_difference(sum_n, sum_e)
            z[i] = sums / np.sqrt(noise[i + 1] + floor * floor * sum_e)
            totals = self._total[rows]
            parts = self.share[rows] * clean * totals[:, None]
            effect[i] = parts.sum(axis=0) / totals.sum()
            # One window alone is not a shift, however far out it is.
            z[i] *= np.abs(parts).max(axis=0) <= _LARGEST_PART[i] * np.abs(parts.sum(axis=0))
            agree = (np.sign(sums) * self.u[rows] > 0).sum(axis=0)
            z[i] *= agree >= (2 if horizon == 2 else np.ceil(0.7 * horizon))
        return z, effect

    def agreeing(self, windows: int, dispersion: Floats) -> Bools:
        """Keys that lie clearly on one side in each of the last windows."""
        rows = self.rows(windows)
        if rows is None:
            return np.zeros(self.n.shape[1], dtype=bool)
        last = self.u[rows]
        least = 1.2 * np.sqrt(np.maximum(dispersion, 1.0))
        above = np.all(last > least, axis=0)
        below = np.all(last < -least, axis=0)
        return np.asarray(above | below, dtype=bool)

    def onset(self, key: int, direction: float) -> int:
        """How many of the last windows, this one included, lie on that side without a break."""
        back = 0
        while back < min(_RING, self.windows + 1):
            if direction * self.u[(self.windows - back) % _RING][key] <= 1.0:
                break
            back += 1
        return max(1, back)

    def ramp_windows(self, key: int) -> int:
        """For how many windows the key has been rising: four at least, in the second half of them by far more than in
        the first (7 to 3 or more where it rises in a line, 1 to 1 where it has risen at once), and no single step is
        most of it. Otherwise 0."""
        back = self.onset(key, 1.0)
        if back < _LEAST_RAMP:
            return 0
        rise = self.share[[(self.windows - j) % _RING for j in range(back)], key]
        half = back // 2
        is_step = np.abs(np.diff(rise)).max() > _LARGEST_STEP * rise.max()
        return back if rise[:half].mean() >= _RAMP_RATIO * rise[-half:].mean() and not is_step else 0

    def recent_effect(self, windows: int) -> Floats:
        """Mean idiosyncratic effect over the last windows, held or not."""
        rows = [(self.windows - j) % _RING for j in range(min(windows, self.windows + 1))]
        totals = self._total[rows]
        mean: Floats = (self.share[rows] * totals[:, None]).sum(axis=0) / totals.sum()
        return mean

    def forget(self, key: int) -> None:
        """The last windows say nothing about this key."""
        self.n[:, key] = self.e[:, key]
        self.u[:, key] = 0.0
        self.share[:, key] = 0.0

    def clear(self, keep: Bools) -> None:
        """The last windows say nothing about any key but these."""
        for name in ("n", "e", "u", "share"):
            ring = getattr(self, name)
            ring[:] = np.where(keep, ring, 0.0)
