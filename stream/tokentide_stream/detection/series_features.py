"""Views of one series in which unusual values stick out: each step gives, for each view, a number that is near 0 where
all is as usual, or None while the view has nothing to compare with. Pure and causal."""

from __future__ import annotations

import math
from collections import deque

import numpy as np

_DAY_S = 86_400.0
_SLOTS = 96
"""Quarters of an hour of the day."""
NAMES = ("point", "level", "unrest", "spread", "shape", "season", "range")


class SeriesFeatures:
    """State of the views of one series."""

    def __init__(self, short: int = 12, lags: int = 16, references: int = 400) -> None:
        self._short = short
        self._lags = lags
        self._references = references
        self._n = 0
        self._fast = self._slow = 0.0
        self._scale = 0.0
        self._slow_mean = self._slow_var = 0.0
        self._high = self._low = 0.0
        self._step = math.inf
        self._recent: deque[float] = deque(maxlen=max(short, lags))
        self._surprises: deque[float] = deque(maxlen=short)
        self._surprise_mean = self._surprise_var = 0.0
        self._spread_mean = self._spread_var = 0.0
        self._windows = np.zeros((references, lags))
        self._window_count = 0
        self._stride = 1
        self._days: dict[int, dict[int, tuple[float, float]]] = {}
        self._slot_errors: deque[float] = deque(maxlen=short)
        self._day_list: list[int] = []

    def step(self, time_s: float, value: float) -> tuple[float | None, ...]:
        """The views of the next value, in the order of `NAMES`, before it becomes part of the past."""
        if self._n == 0:
            self._fast = self._slow = self._slow_mean = self._high = self._low = value
            self._learn(time_s, value, 0.0)
            return (None,) * len(NAMES)
        unit = self._unit(value)
        nearest = self._nearest_at_this_hour(time_s, value)
        error = min(abs(value - self._fast), abs(value - self._recent[-1]), abs(value - self._slow))
        surprise = math.log1p(min(error, nearest) / unit)
        season, slot_error = self._season(nearest, unit)
        views = (
            surprise,
            self._level(value, unit),
            self._unrest(surprise),
            self._spread(value, unit),
            self._shape(value, unit),
            season,
            self._range(value, unit),
        )
        self._surprises.append(surprise)
        self._slot_errors.append(slot_error)
        self._learn(time_s, value, error)
        return views

    def _unit(self, value: float) -> float:
        """The size of a usual error: learned, and at least what the resolution and range of the past allow."""
        spread = self._high - self._low
        floor = max(0.01 * spread, self._step if math.isfinite(self._step) else 0.0)
        if spread <= 0:
            # All the past is one value: the first other value can be measured only against that.
            # Where that is 0, a value below 2 counts by itself and is hardly told, a larger one as a number of things.
            floor = 0.05 * abs(self._slow_mean) or min(2.0, max(1e-6, 1.3 * abs(value)))
        return max(self._scale, floor, 1e-12 * abs(self._slow_mean), 1e-300)

    def _level(self, value: float, unit: float) -> float:
        recent = [*self._recent, value][-self._short :]
        mean = sum(recent) / len(recent)
        deviation = math.sqrt(self._slow_var) + 0.25 * unit
        return math.log1p(abs(mean - self._slow_mean) / deviation)

    def _unrest(self, surprise: float) -> float | None:
        if len(self._surprises) < self._short:
            return None
        mean = (sum(self._surprises) + surprise) / (self._short + 1)
        return max(0.0, (mean - self._surprise_mean) / (math.sqrt(self._surprise_var) + 0.05))

    def _spread(self, value: float, unit: float) -> float | None:
        """Unusually little movement: a line gone flat."""
        if len(self._recent) < self._short:
            return None
        recent = list(self._recent)[-self._short :]
        low, high = min(*recent, value), max(*recent, value)
        log_spread = math.log1p((high - low) / unit)
        view = max(0.0, (self._spread_mean - log_spread) / (math.sqrt(self._spread_var) + 0.1))
        alpha = max(0.002, 1 / (self._n + 1))
        change = log_spread - self._spread_mean
        self._spread_mean += alpha * change
        self._spread_var += alpha * (change * change - self._spread_var)
        return view

    def _shape(self, value: float, unit: float) -> float | None:
        """Distance to the nearest of the past's windows of the same length."""
        if len(self._recent) < self._lags - 1 or self._window_count < 30:
            self._keep_window(value)
            return None
        window = np.array([*self._recent, value][-self._lags :])
        known = self._windows[: min(self._window_count, self._references)]
        distances = np.abs(known - window).mean(axis=1)
        nearest = float(np.partition(distances, 2)[:3].mean())
        self._keep_window(value)
        return math.log1p(nearest / (unit + 0.02 * (self._high - self._low)))

    def _keep_window(self, value: float) -> None:
        """Every window until there is no more room; then a window of each second, third ... place."""
        if len(self._recent) < self._lags - 1 or self._n % max(1, self._n // self._references + 1):
            return
        self._windows[self._window_count % self._references] = [*self._recent, value][-self._lags :]
        self._window_count += 1

    def _nearest_at_this_hour(self, time_s: float, value: float) -> float:
        """Distance to the nearest value at this time of the day on any day before; infinite where there is none."""
        if not math.isfinite(time_s):
            return math.inf
        day, second = divmod(time_s, _DAY_S)
        slot = int(second * _SLOTS / _DAY_S)
        nearest = math.inf
        for other in self._day_list:
            if other == int(day):
                continue
            slots = self._days[other]
            for near in (slot - 1, slot, slot + 1):
                past = slots.get(near % _SLOTS)
                if past is not None:
                    nearest = min(nearest, max(0.0, past[0] - value, value - past[1]))
        return nearest

    def _season(self, nearest: float, unit: float) -> tuple[float | None, float]:
        """Mean distance over the last values to the nearest at that time of the day, on any day before."""
        if len(self._day_list) < 4 or not math.isfinite(nearest):
            return None, 0.0
        error = nearest / (unit + 0.02 * (self._high - self._low))
        if len(self._slot_errors) < self._short:
            return None, error
        return math.log1p((sum(self._slot_errors) + error) / (self._short + 1)), error

    def _range(self, value: float, unit: float) -> float:
        beyond = max(value - self._high, self._low - value, 0.0)
        return math.log1p(beyond / (0.1 * (self._high - self._low) + unit))

    def _learn(self, time_s: float, value: float, error: float) -> None:
        self._n += 1
        n = self._n
        if self._recent:
            change = abs(value - self._recent[-1])
            if change > 0:
                self._step = min(self._step, change)
        self._recent.append(value)
        self._fast += 0.3 * (value - self._fast)
        self._slow += 0.05 * (value - self._slow)
        alpha = max(0.002, 1 / n)
        clipped = min(error, 6 * self._scale) if self._scale > 0 and n > 20 else error
        self._scale += alpha * (clipped - self._scale)
        delta = value - self._slow_mean
        self._slow_mean += alpha * delta
        self._slow_var += alpha * ((1 - alpha) * delta * delta - self._slow_var)
        self._high, self._low = max(self._high, value), min(self._low, value)
        if len(self._surprises) == self._short:
            mean = sum(self._surprises) / self._short
            delta = mean - self._surprise_mean
            self._surprise_mean += alpha * delta
            self._surprise_var += alpha * (delta * delta - self._surprise_var)
        self._remember_day(time_s, value)

    def _remember_day(self, time_s: float, value: float) -> None:
        if not math.isfinite(time_s):
            return
        day, second = divmod(time_s, _DAY_S)
        number, slot = int(day), int(second * _SLOTS / _DAY_S)
        slots = self._days.get(number)
        if slots is None:
            slots = self._days[number] = {}
            self._day_list.append(number)
            if len(self._day_list) > 15:
                del self._days[self._day_list.pop(0)]
        low, high = slots.get(slot, (value, value))
        slots[slot] = (min(low, value), max(high, value))
