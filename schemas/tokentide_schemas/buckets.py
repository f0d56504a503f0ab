"""Buckets: integer ranges that turn a number into a dimension, so that its distribution can be added up exactly.

A value's bucket is written as the bucket's lower bound. Counts by bucket are sums like any other, over partitions,
windows and tiers, and quantiles come from them with a known error.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]

UNKNOWN: Final = -1
"""Bucket of a value that is not known; never mixed with 0."""


@dataclass(frozen=True, slots=True)
class Buckets:
    """Ranges [lowers[i], lowers[i + 1]), the last without an end. lowers: ascending integers that begin with 0."""

    lowers: tuple[int, ...]

    def __post_init__(self) -> None:
        if self.lowers[:1] != (0,) or any(a >= b for a, b in zip(self.lowers, self.lowers[1:], strict=False)):
            raise ValueError("bucket bounds must begin with 0 and ascend")

    def numbers(self, values: Ints, known: npt.NDArray[np.bool_]) -> Ints:
        """For each value the number of its bucket from 1 on, 0 where it is not known. Values must not be negative."""
        found = np.searchsorted(np.asarray(self.lowers, np.int64), values, side="right")
        return np.where(known, found, 0).astype(np.int64)

    def sql(self, value: str, known: str) -> str:
        """The value's bucket as ClickHouse expression of type Int32: its lower bound, or -1 where it is not known."""
        bounds = ", ".join(map(str, self.lowers))
        return f"if({known}, toInt32(roundDown(toInt64({value}), [{bounds}])), toInt32({UNKNOWN}))"

    @property
    def estimates(self) -> tuple[float, ...]:
        """For each bucket its middle, the best single guess for a value in it; the last bucket's is its bound."""
        middles = [(low + high - 1) / 2 for low, high in zip(self.lowers, self.lowers[1:], strict=False)]
        return (*middles, float(self.lowers[-1]))

    def estimate_sql(self, bucket: str) -> str:
        """`estimates` of a column of lower bounds, as ClickHouse expression; NULL for an unknown one."""
        lowers = ", ".join(map(str, self.lowers))
        middles = ", ".join(f"{value:.1f}" for value in self.estimates)
        return f"if({bucket} < 0, NULL, transform({bucket}, [{lowers}], [{middles}], toFloat64({bucket})))"

    def quantile(self, counts: Sequence[int] | Ints, q: float) -> float:
        """The value that a share q of the counted values does not exceed, by lower rank, estimated by its bucket.

        counts: for each bucket. Raises ValueError when nothing was counted.
        """
        cumulative = np.cumsum(np.asarray(counts, np.int64))
        total = int(cumulative[-1]) if len(cumulative) else 0
        if total <= 0:
            raise ValueError("no value was counted, so there is no quantile")
        rank = int(q * (total - 1))
        return self.estimates[int(np.searchsorted(cumulative, rank, side="right"))]


def geometric(limit: int, percent: int = 10) -> Buckets:
    """Bounds that grow by at most `percent` from 10 on, and by 1 below, up to `limit`.

    A bucket's middle is within half of `percent` of every value in it, for values from 10 to `limit`; whole numbers
    below 20 have buckets of their own and are exact. Integer arithmetic only, so the bounds are the same everywhere.
    """
    bounds = [0]
    while bounds[-1] < limit:
        bounds.append(max(bounds[-1] + 1, bounds[-1] * (100 + percent) // 100))
    return Buckets(tuple(bounds))


def powers_of_two(highest: int) -> Buckets:
    """0, 1, 2, 4 and so on up to 2 ** highest."""
    return Buckets((0, *(1 << n for n in range(highest + 1))))


DURATION_MS: Final = geometric(86_400_000)
"""Milliseconds up to a day: a quantile is within 5 % of the exact one (values of 10 and more)."""
TOKENS_PER_S: Final = geometric(1_000_000)
"""Tokens a second up to a million, with the same error."""
TOKEN_COUNTS: Final = powers_of_two(30)
"""Tokens of a request: the factor of two that a value lies in."""
