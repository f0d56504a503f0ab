"""Fast random draws from fixed distributions: a table of 65,536 quantiles each, read at random 16-bit places. Pure.

A draw costs a few nanoseconds, whatever the distribution; shares are exact to 1 / 65,536 (1 / 1,048,576 for `WIDE`).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from statistics import NormalDist
from typing import Any, Final

import numpy as np
import numpy.typing as npt

PLACES: Final = 1 << 16
WIDE_PLACES: Final = 1 << 20

U16 = npt.NDArray[np.uint16]
IntCodes = npt.NDArray[Any]


class Randoms:
    """A supply of random 16-bit columns of n rows, drawn from one generator."""

    def __init__(self, rng: np.random.Generator, n: int) -> None:
        self._rng = rng
        self._n = n

    def places(self) -> U16:
        """n places of a table."""
        return np.frombuffer(self._rng.bytes(2 * self._n), np.uint16)

    def wide_places(self) -> npt.NDArray[np.uint32]:
        """n places of a wide table."""
        return np.frombuffer(self._rng.bytes(4 * self._n), np.uint32) >> np.uint32(12)

    def below(self, share: float | npt.NDArray[np.uint16]) -> npt.NDArray[np.bool_]:
        """True for this share of the rows (a number, or thresholds of `thresholds` for each row)."""
        limit = np.uint16(min(round(share * PLACES), PLACES - 1)) if isinstance(share, float) else share
        result: npt.NDArray[np.bool_] = self.places() < limit
        return result


def thresholds(shares: Sequence[float]) -> U16:
    """Probabilities as limits for `Randoms.below`."""
    return np.minimum(np.round(np.asarray(shares) * PLACES), PLACES - 1).astype(np.uint16)


def code_table(shares: Sequence[float] | npt.NDArray[np.float64], places: int = PLACES) -> npt.NDArray[np.int16]:
    """A table in which code k takes the part shares[k] of the places. Shares are normalised."""
    ends = np.cumsum(np.asarray(shares, dtype=np.float64))
    codes: npt.NDArray[np.int16] = np.searchsorted(
        ends / ends[-1], (np.arange(places) + 0.5) / places, side="right"
    ).astype(np.int16)
    return codes


@cache
def log_normal_factors(sigma: float) -> npt.NDArray[np.float32]:
    """A table of log-normal factors with mean 1: multiply by the mean that is wanted."""
    normal = NormalDist()
    z = np.array([normal.inv_cdf((place + 0.5) / PLACES) for place in range(PLACES)])
    factors = np.exp(sigma * z)
    table: npt.NDArray[np.float32] = (factors / factors.mean()).astype(np.float32)
    return table


@cache
def part_table(mean: float) -> npt.NDArray[np.float32]:
    """A table of parts between 0 and 1 with this mean: the power of a uniform draw."""
    exponent = (1 - mean) / mean
    u = (np.arange(PLACES) + 0.5) / PLACES
    return (u**exponent).astype(np.float32)
