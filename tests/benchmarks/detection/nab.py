"""A scorer by the published definition of the Numenta Anomaly Benchmark (Lavin and Ahmad 2015, arXiv 1510.03336)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .series import Series

Floats = npt.NDArray[np.float64]
_PROBATION = 0.15
_PROBATION_OF_AT_MOST = 5_000


@dataclass(frozen=True)
class Profile:
    """What a detection outside of every window costs, and a window without one; one in a window earns up to 1."""

    name: str
    false_cost: float
    miss_cost: float


STANDARD = Profile("standard", 0.11, 1.0)
LOW_FP = Profile("reward low FP", 0.22, 1.0)
LOW_FN = Profile("reward low FN", 0.11, 2.0)
PROFILES = (STANDARD, LOW_FP, LOW_FN)


def probation(length: int) -> int:
    """Values at the start that are not scored."""
    return int(_PROBATION * min(length, _PROBATION_OF_AT_MOST))


def scaled_sigmoid(position: float) -> float:
    """1 far before a window's end, 0 at it, -1 far after it. position: relative to the window's length, 0 its end."""
    if position > 3:
        return -1.0
    return 2 / (1 + math.exp(5 * position)) - 1


def scored_windows(series: Series) -> list[tuple[int, int]]:
    start = probation(len(series.values))
    return [w for w in series.windows if w[1] >= start]


def raw_score(series: Series, scores: Floats, threshold: float, profile: Profile = STANDARD) -> float:
    """Only the earliest detection in a window counts: the earlier, the more. Detections after a window cost the less,
    the nearer they are to it."""
    start = probation(len(scores))
    windows = scored_windows(series)
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
            total -= profile.miss_cost
    for at in found[outside]:
        before = [w for w in windows if w[1] < at]
        if not before:
            total -= profile.false_cost
            continue
        first, last = before[-1]
        total += profile.false_cost * scaled_sigmoid((at - last) / max(1, last - first - 1))
    return total


def corpus_score(
    corpus: Sequence[Series], scores: Sequence[Floats], threshold: float, profile: Profile = STANDARD
) -> float:
    """0: nothing is ever told. 100: every window at its first value, and nothing else. Raw scores are summed over the
    series before they are set between the two."""
    windows = sum(len(scored_windows(s)) for s in corpus)
    total = sum(raw_score(s, v, threshold, profile) for s, v in zip(corpus, scores, strict=True))
    return 100 * (total + profile.miss_cost * windows) / ((1 + profile.miss_cost) * windows)


def best_threshold(
    corpus: Sequence[Series], scores: Sequence[Floats], profile: Profile = STANDARD
) -> tuple[float, float]:
    """The one threshold for the whole corpus with the highest score, and that score."""
    everything = np.concatenate([v[probation(len(v)) :] for v in scores])
    positive = everything[everything > 0]
    if not positive.size:
        return 1.0, corpus_score(corpus, scores, 1.0, profile)
    tries = np.unique(np.quantile(positive, 1 - np.geomspace(1e-5, 0.1, 40)))
    best = max((corpus_score(corpus, scores, float(t), profile), float(t)) for t in tries)
    return best[1], best[0]


def average_precision(series: Series, scores: Floats) -> float:
    """Area under the precision-recall curve by values, each value of a window counting as one to find; NaN without
    windows."""
    is_unusual = np.zeros(len(scores), dtype=bool)
    for first, last in series.windows:
        is_unusual[first : last + 1] = True
    if not is_unusual.any():
        return math.nan
    order = np.argsort(-scores, kind="stable")
    hits = np.cumsum(is_unusual[order])
    ends = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)
    precision, recall = hits[ends] / (ends + 1), hits[ends] / hits[-1]
    return float((np.diff(recall, prepend=0.0) * precision).sum())
