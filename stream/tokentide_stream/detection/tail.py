"""How far out in its own past's tail a value lies. Pure."""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections import deque

_TAIL = 0.05


class Tail:
    """-log10 of the probability of so high a value, by the values before it.

    Within the past: the empirical share of values at least as high. Beyond its 95 % quantile: an exponential tail with
    the mean excess as scale (peaks over threshold with shape 0: Pickands 1975), at least `least_scale`.
    """

    def __init__(self, least_scale: float, memory: int = 5_000) -> None:
        self._least_scale = least_scale
        self._sorted: list[float] = []
        self._order: deque[float] = deque()
        self._memory = memory

    def surprise(self, value: float) -> float:
        """Of a value that has not been added yet; 0 while there is nothing to compare with."""
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
        return math.log10((n + 1) / (k + 1)) + (value - threshold) / (scale * math.log(10))

    def add(self, value: float) -> None:
        insort(self._sorted, value)
        self._order.append(value)
        if len(self._order) > self._memory:
            del self._sorted[bisect_left(self._sorted, self._order.popleft())]
