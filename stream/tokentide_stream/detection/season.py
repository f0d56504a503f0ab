"""What was seen at this time of day on the days before: the seasonal reference of many keys at once. Pure."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

DAY_S = 86_400
_LEAST_WINDOWS_OF_A_DAY = 7
_DAYS = 15
_MIN_BIN_S = 900
_ENVELOPE_S = 2_700
_ENVELOPE_LAG_WINDOWS = 6
_SHRINK_COUNT = 60.0
_COMPARABLE = 0.5
"""Part of a day's bins that has to be there on both sides."""
_KEEPS_SHAPE = 5.0
"""A key that has become more than so many times what it was, or less, is no longer the same."""


def long_s(window_s: int) -> int:
    """A day, or seven windows where they are longer: how long a shift is news, and a new key new."""
    return max(DAY_S, _LEAST_WINDOWS_OF_A_DAY * window_s)


class Season:
    """A ring of days x bins of the day x keys.

    The profile of a bin is a mean over the days before, in which days of the same weekday count most, then days of
    the same half of the week; with four days or more the highest and lowest are left out. It is shrunk towards its
    neighbours' mean the more, the fewer requests it rests on.
    """

    def __init__(self, window_s: int, capacity: int) -> None:
        self.bin_s = max(window_s, _MIN_BIN_S)
        self.bins = max(1, round(DAY_S / self.bin_s))
        self._values = np.zeros((_DAYS, self.bins, capacity))
        self._told = np.zeros((_DAYS, self.bins, capacity), dtype=bool)
        self._seen = np.zeros((_DAYS, self.bins))
        self._day_of_row = np.full(_DAYS, -1, dtype=np.int64)
        self._reach = min(self.bins // 2, max(1, -(-_ENVELOPE_S // self.bin_s)))
        self._envelope_lag_days = _ENVELOPE_LAG_WINDOWS * window_s // DAY_S
        self._place: tuple[int, int] | None = None
        self._sum = np.zeros(capacity)
        self._sum_told = np.zeros(capacity, dtype=bool)
        self._count = 0
        self._profiles: dict[int, Floats] = {}
        self._high = self._low = self._usual = np.zeros(capacity)
        self._counts = np.zeros(capacity)
        self.days_known = 0

    def grow(self, capacity: int) -> None:
        """Room for more keys; what they had before they were seen is zero."""
        more = capacity - self._sum.size
        self._values = np.pad(self._values, ((0, 0), (0, 0), (0, more)))
        self._told = np.pad(self._told, ((0, 0), (0, 0), (0, more)))
        self._counts = np.pad(self._counts, (0, more))
        self._sum, self._sum_told = np.pad(self._sum, (0, more)), np.pad(self._sum_told, (0, more))
        for name in ("_high", "_low", "_usual"):
            setattr(self, name, np.pad(getattr(self, name), (0, more)))
        self._profiles = {b: np.pad(p, (0, more)) for b, p in self._profiles.items()}

    def _bin(self, time_s: float) -> tuple[int, int]:
        day, second = divmod(time_s, DAY_S)
        return int(day), min(self.bins - 1, int(second // self.bin_s))

    def expected(self, time_s: float, counts_a_window: Floats, windows_a_bin: float) -> Floats | None:
        """Each key's value at that time by the days before; None before there is such a day. counts_a_window: each
        key's usual requests, which say how far a bin can be trusted."""
        day, place = self._bin(time_s)
        if self._place != (day, place):
            self._turn(day, place, counts_a_window * windows_a_bin)
        if place not in self._profiles:
            return None
        if self.bins < 24 or windows_a_bin <= 1:
            return self._profiles[place]
        offset = (time_s % DAY_S) / self.bin_s - place - 0.5 + 0.5 / windows_a_bin
        other = (place + (1 if offset > 0 else -1)) % self.bins
        if other not in self._profiles:
            return self._profiles[place]
        return (1 - abs(offset)) * self._profiles[place] + abs(offset) * self._profiles[other]

    def is_familiar(self, time_s: float) -> bool:
        """A whole day of the same half of the week (working days, weekend) was seen before."""
        today = int(time_s // DAY_S)
        whole = (self._seen > 0).mean(axis=1) >= 0.8
        days = self._day_of_row[whole & (self._day_of_row >= 0) & (self._day_of_row < today)]
        # Day 0 of the epoch was a Thursday.
        return bool((((days + 3) % 7 >= 5) == ((today + 3) % 7 >= 5)).any())

    def envelope(self) -> tuple[Floats, Floats]:
        """Lowest (or usual, where that is lower) and highest value of each key around this time, on any day."""
        return self._low, self._high

    def known_range(self) -> tuple[Floats, Floats]:
        """Between these a value is nothing new at this time: somewhat beyond what was seen, and the further the more
        that was away from the usual, as a daily job is not of the same size every day."""
        usual = np.maximum(self._usual, 1e-12)
        above = np.clip((self._high - usual) / usual, 0.0, 1.0)
        below = np.clip((usual - self._low) / (0.5 * usual), 0.0, 1.0)
        away = np.maximum(above, below)
        return self._low * (0.97 - 0.22 * away), self._high * (1.03 + 0.47 * away)

    def add(self, values: Floats, is_told: Bools) -> None:
        """The window's values, after `expected` was asked for its time. is_told: keys that are not as usual."""
        self._sum += values
        self._sum_told |= is_told
        self._count += 1

    def rebase(self, key: int, level: float) -> None:
        """The key's history as if it had always had this level, in its own daily shape where it has one."""
        history = self._values[self._seen > 0][:, key]
        mean = float(history.mean()) if history.size else 0.0
        if mean > 0.2 * level:
            self._values[:, :, key] *= level / mean
        else:
            self._values[:, :, key] = level
        self._told[:, :, key] = False
        self._place = None if self._count == 0 else self._place
        for profile in self._profiles.values():
            profile[key] = level if mean <= 0.2 * level else profile[key] * level / mean

    def restart(self, key: int, since_s: float) -> None:
        """The key's level is what it has been since that time, and that is usual; of what was before its shape over the
        day and the week is kept, at the new level, where the two can be compared."""
        starts = self._day_of_row[:, None] * DAY_S + np.arange(self.bins)[None, :] * self.bin_s
        old, seen = starts < since_s, self._seen > 0
        scale = self._scales(key, old, seen)
        self._values[:, :, key] = np.where(old, self._values[:, :, key] * scale[:, None], self._values[:, :, key])
        self._told[:, :, key] = old & (self._told[:, :, key] | (scale == 0)[:, None])
        self._sum_told[key] = False
        if self._place is not None and self.days_known:
            self._learn(*self._place, self._counts)

    def _scales(self, key: int, old: Bools, seen: Bools) -> Floats:
        """For each day: by what its values become such as they are now; 0 where nothing says so."""
        values, usable = self._values[:, :, key], old & seen & ~self._told[:, :, key]
        now = np.where(~old & seen, values, 0.0).sum(axis=0)
        known = (~old & seen).sum(axis=0)
        now = np.divide(now, known, out=np.zeros(self.bins), where=known > 0)
        scale = np.zeros(len(values))
        today = int(self._day_of_row.max())
        for row in np.flatnonzero((usable & (known > 0)).mean(axis=1) >= _COMPARABLE):
            both = usable[row] & (known > 0)
            before = float(values[row][both].sum())
            ratio = float(now[both].sum()) / before if before > 0 else 0.0
            scale[row] = ratio if 1 / _KEEPS_SHAPE <= ratio <= _KEEPS_SHAPE else 0.0
        weekend = (self._day_of_row + 3) % 7 >= 5
        # The last day is compared with days of its half of the week alone; the others' change is theirs.
        same = (weekend == ((today + 3) % 7 >= 5)) & (scale > 0)
        if not same.any():
            return np.zeros(len(values))
        return np.where(same, scale, np.where(usable.any(axis=1), float(np.median(scale[same])), 0.0))

    def _turn(self, day: int, place: int, counts: Floats) -> None:
        if self._place is not None and self._count:
            old_day, old_place = self._place
            row = old_day % _DAYS
            self._values[row, old_place] = self._sum / self._count
            self._told[row, old_place] = self._sum_told
            self._seen[row, old_place] = 1
        if self._place is None or self._place[0] != day:
            row = day % _DAYS
            if self._day_of_row[row] != day:
                self._seen[row] = 0
                self._day_of_row[row] = day
        self._place = (day, place)
        self._sum[:] = 0
        self._sum_told[:] = False
        self._count = 0
        self._counts = counts
        self._learn(day, place, counts)

    def _learn(self, day: int, place: int, counts: Floats) -> None:
        rows = np.flatnonzero((self._day_of_row >= 0) & (self._day_of_row < day) & (self._day_of_row > day - _DAYS))
        near = np.arange(place - self._reach - 1, place + self._reach + 2) % self.bins
        rows = rows[(self._seen[np.ix_(rows, near)] > 0).any(axis=1)] if rows.size else rows
        self.days_known = int(rows.size)
        self._profiles = {}
        if not rows.size:
            return
        seen = self._seen[np.ix_(rows, near)] > 0
        values = self._values[np.ix_(rows, near)]
        told = self._told[np.ix_(rows, near)]
        usable = seen[:, :, None] & ~told
        weights = self._day_weights(self._day_of_row[rows], day)[:, None, None] * usable
        if rows.size >= 4:
            inner = np.where(usable, values, np.nan)
            trim = ~((inner > np.nanmin(np.where(usable, values, np.inf), axis=0))
                     & (inner < np.nanmax(np.where(usable, values, -np.inf), axis=0)))  # fmt: skip
            weights = np.where(trim, weights * 0.15, weights)
        total = weights.sum(axis=0)
        own = np.divide((values * weights).sum(axis=0), total, out=np.zeros_like(total), where=total > 0)
        smooth_weight = total.sum(axis=0)
        smooth = np.divide(
            (own * total).sum(axis=0), smooth_weight, out=np.zeros(own.shape[1]), where=smooth_weight > 0
        )
        trust = counts * rows.size / (counts * rows.size + _SHRINK_COUNT)
        missing = smooth_weight <= 0
        for at in (self._reach, self._reach + 1, self._reach + 2):
            profile = np.where(total[at] > 0, trust * own[at] + (1 - trust) * smooth, smooth)
            if missing.any():
                profile = np.where(missing, np.nan, profile)
            self._profiles[int(near[at])] = profile
        # Of long windows the last are left out: a shift that has just begun must not make itself known.
        settled = self._day_of_row[rows] < day - self._envelope_lag_days
        if not settled.any():
            settled[:] = True
        seen, values = seen[settled], values[settled]
        raw_high = np.where(seen[:, :, None], values, -np.inf)[:, 1:-1].max(axis=(0, 1))
        self._high = np.maximum(np.where(np.isfinite(raw_high), raw_high, 0.0), 0.0)
        lows = np.where(seen[:, :, None], values, np.inf)[:, 1:-1].min(axis=(0, 1))
        everything = self._values[rows][self._seen[rows] > 0]
        usual = np.median(everything[:: max(1, len(everything) // 200)], axis=0)
        self._low = np.minimum(np.where(np.isfinite(lows), lows, usual), usual)
        self._usual = usual

    @staticmethod
    def _day_weights(days: npt.NDArray[np.int64], today: int) -> Floats:
        # Day 0 of the epoch was a Thursday.
        weekday, this = (days + 3) % 7, (today + 3) % 7
        same_half = (weekday >= 5) == (this >= 5)
        age = np.exp2(-(today - days) / 7.0)
        if not same_half.any():
            return age
        return age * np.where(weekday == this, 4.0, np.where(same_half, 2.0, 0.04))
