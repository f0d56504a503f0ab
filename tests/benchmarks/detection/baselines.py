"""Detectors that the project's own are measured against: two plain ones, and those of a maintained library (river).

A share baseline runs on each key's token share and tells a key again only after it has been quiet for a day; the alerts
of one window are one alert, its keys by size of change, as for the project's detector. Each has one parameter, which
`__main__` chooses on the development seeds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
from river import anomaly, drift, preprocessing

from .judge import Told
from .mixes import Mix
from .series import Series

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
_WARM_WINDOWS = 24


def _shares(mix: Mix) -> Floats:
    total = np.maximum(mix.tokens.sum(axis=1, keepdims=True), 1)
    shares: Floats = mix.tokens / total
    return shares


def _told(mix: Mix, flags: Flags, change: Floats) -> list[Told]:
    quiet = max(1, 86_400 // mix.window_s)
    last = np.full(flags.shape[1], -quiet)
    told = []
    for t in range(_WARM_WINDOWS, len(flags)):
        now = np.flatnonzero(flags[t])
        fresh = [int(k) for k in now if t - last[k] >= quiet]
        last[now] = t
        if fresh:
            told.append(Told(t, tuple(sorted(fresh, key=lambda k: -abs(change[t, k])))))
    return told


def _lagged_mean(shares: Floats, windows: int) -> Floats:
    sums = np.cumsum(np.vstack([np.zeros((1, shares.shape[1])), shares]), axis=0)
    at = np.arange(len(shares))
    first = np.maximum(0, at - windows)
    mean: Floats = (sums[at] - sums[first]) / np.maximum(1, at - first)[:, None]
    return mean


def fixed_threshold(mix: Mix, parameter: float) -> list[Told]:
    """A share further than that from its mean over the last day."""
    shares = _shares(mix)
    change = shares - _lagged_mean(shares, 86_400 // mix.window_s)
    return _told(mix, np.abs(change) >= parameter, change)


def z_score(mix: Mix, parameter: float) -> list[Told]:
    """A share further from its mean over the last day than so many standard deviations, and a percentage point."""
    shares = _shares(mix)
    day = 86_400 // mix.window_s
    mean = _lagged_mean(shares, day)
    deviation = np.sqrt(np.maximum(_lagged_mean(shares**2, day) - mean**2, 1e-12))
    change = shares - mean
    return _told(mix, (np.abs(change) >= parameter * deviation) & (np.abs(change) >= 0.01), change)


def _by_key(mix: Mix, make: Callable[[], object], see: Callable[[object, float], bool]) -> list[Told]:
    shares = _shares(mix)
    change = shares - _lagged_mean(shares, 86_400 // mix.window_s)
    flags = np.zeros(shares.shape, dtype=bool)
    for key in range(shares.shape[1]):
        detector = make()
        for t, value in enumerate(shares[:, key].tolist()):
            flags[t, key] = see(detector, value)
    return _told(mix, flags & (np.abs(change) >= 0.01), change)


def _drift_seen(detector: object, value: float) -> bool:
    detector.update(value)  # type: ignore[attr-defined]
    return bool(detector.drift_detected)  # type: ignore[attr-defined]


def adwin(mix: Mix, parameter: float) -> list[Told]:
    """river ADWIN (Bifet and Gavalda 2007), parameter: delta."""
    return _by_key(mix, lambda: drift.ADWIN(delta=parameter, clock=1), _drift_seen)


def page_hinkley(mix: Mix, parameter: float) -> list[Told]:
    """river Page-Hinkley, parameter: threshold."""
    return _by_key(mix, lambda: drift.PageHinkley(min_instances=24, delta=0.002, threshold=parameter), _drift_seen)


SHARE_BASELINES: dict[str, tuple[Callable[[Mix, float], list[Told]], tuple[float, ...]]] = {
    "fixed threshold": (fixed_threshold, (0.02, 0.03, 0.05, 0.08)),
    "z-score": (z_score, (3.0, 4.0, 6.0, 9.0)),
    "river ADWIN": (adwin, (1e-2, 1e-4, 1e-8, 1e-16)),
    "river Page-Hinkley": (page_hinkley, (0.05, 0.1, 0.3, 1.0)),
}


def windowed_gaussian(series: Series) -> Floats:
    """Tail probability under the mean and deviation of the last 1,000 values, mapped to [0, 1]."""
    values = np.nan_to_num(series.values, nan=float(np.nanmedian(series.values)))
    scores = np.zeros(len(values))
    for i in range(30, len(values)):
        past = values[max(0, i - 1000) : i]
        z = abs(values[i] - past.mean()) / (past.std() + 1e-9)
        scores[i] = 1 - np.exp(-z)
    return scores


def relative_entropy(series: Series) -> Floats:
    """Windows of 52 values in 5 bins against those seen before (after Wang and others 2011)."""
    values = np.nan_to_num(series.values, nan=float(np.nanmedian(series.values)))
    scores = np.zeros(len(values))
    known: list[Floats] = []
    for i in range(104, len(values), 1):
        if i % 26:
            continue
        low, high = values[:i].min(), values[:i].max()
        counts = np.histogram(np.clip(values[i - 52 : i], low, high), bins=5, range=(low, high + 1e-9))[0] + 0.5
        p = counts / counts.sum()
        least = min((float((p * np.log(p / q)).sum()) for q in known), default=0.0)
        scores[i] = 1 - np.exp(-least)
        if least > 0.1 or not known:
            known.append(p)
    return scores


def half_space_trees(series: Series) -> Floats:
    """river HalfSpaceTrees (Tan, Ting and Liu 2011) on scaled values and their change."""
    model = preprocessing.MinMaxScaler() | anomaly.HalfSpaceTrees(n_trees=15, height=6, window_size=250, seed=1)
    scores = np.zeros(len(series.values))
    last = 0.0
    for i, value in enumerate(series.values.tolist()):
        if value != value:
            continue
        x = {"value": value, "change": value - last}
        last = value
        scores[i] = float(model.score_one(x)) if i > 250 else 0.0
        model.learn_one(x)
    return scores


def gaussian_scorer(series: Series) -> Floats:
    """river GaussianScorer over the last 1,000 values."""
    model = anomaly.GaussianScorer(window_size=1000, grace_period=100)
    scores = np.zeros(len(series.values))
    for i, value in enumerate(series.values.tolist()):
        if value != value:
            continue
        scores[i] = float(model.score_one(None, value))
        model.learn_one(None, value)
    return scores


def rested(scores: Floats, threshold: float) -> Floats:
    """The same rest after an alarm as the project's own score has, so that the comparison is of the statistics."""
    out = np.zeros(len(scores))
    last = -(10**9)
    for i in np.flatnonzero(scores >= threshold):
        if i - last >= max(100, 0.04 * i):
            out[i] = scores[i]
        last = int(i)
    return out


SERIES_BASELINES: dict[str, Callable[[Series], Floats]] = {
    "windowed Gaussian": windowed_gaussian,
    "relative entropy": relative_entropy,
    "river HalfSpaceTrees": half_space_trees,
    "river GaussianScorer": gaussian_scorer,
}


def series_thresholds(scores: Sequence[Floats]) -> list[float]:
    """Quantiles of all positive scores."""
    everything = np.concatenate([s[s > 0] for s in scores])
    return [float(t) for t in np.unique(np.quantile(everything, 1 - np.geomspace(1e-4, 0.05, 25)))]
