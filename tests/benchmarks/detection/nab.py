"""A scorer by the published definition of the Numenta Anomaly Benchmark (Lavin and Ahmad 2015), standard profile."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from .series import Series

Floats = npt.NDArray[np.float64]
_FALSE_COST = 0.11
_PROBATION = 0.15
_PROBATION_AT_MOST = 750


def probation(length: int) -> int:
    """Values at the start that are not scored."""
    return min(int(_PROBATION * length), int(_PROBATION * 5_000)) if length else 0


def scaled_sigmoid(position: float) -> float:
    """1 far before a window's end, 0 at it, -1 far after it. position: relative to the window's length, 0 its end."""
    if position > 3:
        return -1.0
    return 2 / (1 + math.exp(5 * position)) - 1


def raw_score(series: Series, scores: Floats, threshold: float) -> float:
    """The earliest detection in a window earns up to 1, a missed window costs 1, a detection outside up to 0.11."""
    start = probation(len(scores))
    windows = [w for w in series.windows if w[1] >= start]
    found = np.flatnonzero(scores >= threshold)
    found = found[found >= start]
    total = 0.0
    outside = np.ones(len(found), dtype=bool)
    for first, last in windows:
        inside = (found >= first) & (found <= last)
        outside &= ~inside
        if inside.any():
            width = last - first + 1
            at = int(found[inside][0])
            total += scaled_sigmoid(-(last - at + 1) / width) / scaled_sigmoid(-1.0)
        else:
            total -= 1.0
    for at in found[outside]:
        before = [w for w in windows if w[1] < at]
        if not before:
            total -= _FALSE_COST
            continue
        first, last = before[-1]
        width = last - first
        total += _FALSE_COST * scaled_sigmoid((at - last) / max(1, width - 1))
    return total


def corpus_score(corpus: Sequence[Series], scores: Sequence[Floats], threshold: float) -> float:
    """0: nothing is ever told. 100: every window at its first value, and nothing else."""
    windows = sum(len([w for w in s.windows if w[1] >= probation(len(s.values))]) for s in corpus)
    total = sum(raw_score(s, v, threshold) for s, v in zip(corpus, scores, strict=True))
    return 100 * (total + windows) / (2 * windows)


def best_threshold(corpus: Sequence[Series], scores: Sequence[Floats]) -> tuple[float, float]:
    """The one threshold for the whole corpus with the highest score, and that score."""
    everything = np.concatenate([v[probation(len(v)) :] for v in scores])
    tries = (
        np.unique(np.quantile(everything[everything > 0], 1 - np.geomspace(1e-5, 0.1, 60)))
        if (everything > 0).any()
        else [1.0]
    )
    best = max((corpus_score(corpus, scores, float(t)), float(t)) for t in tries)
    return best[1], best[0]
