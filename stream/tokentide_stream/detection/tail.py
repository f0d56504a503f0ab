"""How far out in the tail of its own past a value lies. Pure."""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections import deque

_TAIL = 0.05
_LEARNED_VALUES = 200
"""Before a tail has so many values, what it says counts in proportion to their number."""
_FURTHER_TAILS = (0.01, 0.003)
_LEAST_EXCEEDANCES = 8


class Tail:
    """-log10 of the probability of so high a value, by the values before it.

    Within the past: the empirical share of values at least as high. Beyond its 95 % quantile: an exponential tail with
    the mean excess as scale (peaks over threshold with shape 0: Pickands 1975), at least `least_scale`. Beyond the 99 %
    and 99.7 % quantiles the same with the median excess, and the lowest of them counts: a series that is calm but for
    one spike in a hundred values has a second, longer tail, which the calm part of it does not show.
    """

    def __init__(self, least_scale: float, memory: int = 5_000) -> None:
        self._least_scale = least_scale
        self._sorted: list[float] = []
        self._order: deque[float] = deque()
        self._memory = memory

    def surprise(self, value: float) -> float:
        """Of a value that has not been added yet; 0 while there is nothing to compare with."""
        return self._surprise(value) * min(1.0, len(self._sorted) / _LEARNED_VALUES)

    def _surprise(self, value: float) -> float:
        past = self._sorted
        n = len(past)
        if n < 20 or value <= 0:
            return 0.0
        at_least = n - bisect_left(past, value)
        k = max(5, int(n * _TAIL))
        threshold = past[n - k]
        if at_least >= k or value <= threshold:
            return -math.log10((at_least + 1) / (n + 1))
        top = past[n - k :]
        # The very largest are left out: one anomaly told before must not hide the next.
        spare = k // 20
        kept = top[: k - spare]
        scale = max(self._least_scale, (sum(kept) - len(kept) * threshold) / len(kept) * (1.15 if spare else 1.0))
        surprise = math.log10((n + 1) / (k + 1)) + (value - threshold) / (scale * math.log(10))
        for part in _FURTHER_TAILS:
            k = int(n * part)
            if k < _LEAST_EXCEEDANCES:
                break
            threshold = past[n - k]
            if value <= threshold:
                return min(surprise, -math.log10((at_least + 1) / (n + 1)))
            # The median, not the mean: one anomaly among a few exceedances must not hide the next.
            scale = max(self._least_scale, (past[n - (k + 1) // 2] - threshold) / math.log(2))
            surprise = min(surprise, math.log10((n + 1) / (k + 1)) + (value - threshold) / (scale * math.log(10)))
        return surprise

    def add(self, value: float) -> None:
        insort(self._sorted, value)
        self._order.append(value)
        if len(self._order) > self._memory:
            del self._sorted[bisect_left(self._sorted, self._order.popleft())]
