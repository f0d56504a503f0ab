"""`score`: how improbable each value of a series is, given the values before it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from tokentide_stream.detection.series_features import NAMES, SeriesFeatures
from tokentide_stream.detection.tail import Tail
from tokentide_stream.detection.timeforms import all_epoch_seconds

_LARGEST = 1e100
_TELLING = 1.75
"""-log10 of the probability that scores 0.5."""
_SETTLING_VALUES = 24
_REST_VALUES = 100.0
_REST_PART = 0.04
_WEIGHTS = {"point": 1.0, "level": 1.0, "unrest": 1.0, "spread": 1.0, "shape": 1.0, "season": 1.0, "range": 1.0}
_LEAST_SCALES = {"point": 0.25, "level": 0.15, "unrest": 0.4, "spread": 0.4, "shape": 0.15, "season": 0.2, "range": 0.3}


def score(timestamps: Sequence[Any], values: Sequence[Any]) -> npt.NDArray[np.float64]:
    """Anomaly scores in [0, 1], one for each value, comparable between series: 0.3 is about one in 1,000 values of a
    series without anomalies.

    timestamps: datetimes (naive is UTC), datetime64, epoch numbers or ISO texts, in the order of the values. values:
    numbers; a value that is missing (None, NaN, infinite) scores 0 and leaves no trace. Causal: the scores of a prefix
    are the prefix of the scores. Raises ValueError where the lengths differ.
    """
    numbers = _numbers(values)
    times = all_epoch_seconds(timestamps)
    if times.size != numbers.size:
        raise ValueError(f"{times.size} timestamps for {numbers.size} values: give one timestamp for each value")
    scorer = SeriesScorer()
    return np.array(
        [scorer.step(t, v) for t, v in zip(times.tolist(), numbers.tolist(), strict=True)], dtype=np.float64
    )


class SeriesScorer:
    """The same, value by value."""

    def __init__(self) -> None:
        self._features = SeriesFeatures()
        self._tails = [Tail(_LEAST_SCALES[name]) for name in NAMES]
        self._seen = 0
        self._told = 0.0
        self._settling = 0

    def step(self, time_s: float, value: float) -> float:
        """Score of the next value."""
        if not math.isfinite(value):
            return 0.0
        views = self._features.step(time_s, max(-_LARGEST, min(_LARGEST, value)))
        self._seen += 1
        surprise = 0.0
        for view, tail, name in zip(views, self._tails, NAMES, strict=True):
            surprise = max(surprise, _WEIGHTS[name] * tail.surprise(view))
            tail.add(view)
        surprise = max(0.0, surprise - math.log10(len(NAMES))) * min(1.0, self._seen / 200)
        # What was told is not told again while it lasts: only by how much a value is more improbable than that.
        fresh = max(0.0, surprise - self._told)
        self._told *= 1 - 1 / max(_REST_VALUES, _REST_PART * self._seen)
        if fresh >= _TELLING:
            self._told, self._settling = surprise, _SETTLING_VALUES
        elif self._settling:
            # The slower views are still filling with what was just told.
            self._told, self._settling = max(self._told, surprise), self._settling - 1
        return fresh / (fresh + _TELLING)


def _numbers(values: Sequence[Any]) -> npt.NDArray[np.float64]:
    array = np.asarray(values, dtype=object) if not isinstance(values, np.ndarray) else values
    if array.dtype == object:
        return np.array([np.nan if v is None else float(v) for v in array.tolist()], dtype=np.float64)
    return array.astype(np.float64)
