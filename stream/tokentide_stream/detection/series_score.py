"""`score`: how improbable each value of a series is, given the values before it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from tokentide_stream.detection.series_features import NAMES, SeriesFeatures
from tokentide_stream.detection.tail import Tail
from tokentide_stream.detection.timeforms import all_epoch_seconds

_LARGEST = 1e150
"""Its square is still a number."""
_TELLING = 1.6
"""-log10 of the probability that scores 0.5."""
_SETTLING_VALUES = 24
_REST_VALUES = 100.0
_REST_PART = 0.04
_HELD = 0.49
"""What a score may be while what was told lasts: below telling, above all that is usual."""
_HELD_HALF = 0.1
_HANDICAPS = {"unrest": 0.3, "spread": 0.3}
"""Views of many values at once wander; they have to show that much more."""
_LEAST_SCALES = {"point": 0.25, "level": 0.15, "unrest": 0.4, "spread": 0.4, "shape": 0.15, "season": 0.2, "range": 0.3}


def score(timestamps: Iterable[Any], values: Iterable[Any]) -> npt.NDArray[np.float64]:
    """Anomaly scores in [0, 1), one for each value, comparable between series: one threshold fits all.

    0.5 and above: told, at about one in 1,000 values of series as they are, once at the onset of what is unusual. While
    that lasts the score stays below 0.5, and above what usual values score. The first values score little: they count
    in proportion to their number up to 200.

    timestamps: datetimes (naive is UTC), datetime64, epoch numbers or ISO texts, in the order of the values. They say
    the time of the day; gaps, repeated and disordered times are no error. values: numbers; one that is missing (None,
    NaN, infinite) scores 0 and leaves no trace. Both may be any iterable. Causal: the scores of a prefix are the prefix
    of the scores. Raises ValueError where the numbers of them differ, or that names what cannot be read by its place.
    """
    for name, given in (("timestamps", timestamps), ("values", values)):
        if not isinstance(given, Iterable):
            raise ValueError(f"{name} are {type(given).__name__}: give an iterable, one for each value")
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
            if view is None:
                continue
            surprise = max(surprise, tail.surprise(view) - _HANDICAPS.get(name, 0.0))
            tail.add(view)
        surprise = max(0.0, surprise - math.log10(len(NAMES)))
        # What was told is not told again while it lasts: only by how much a value is more improbable than that.
        fresh = max(0.0, surprise - self._told)
        lasting = min(surprise, self._told)
        held = _HELD * lasting / (lasting + _HELD_HALF)
        self._told *= 1 - 1 / max(_REST_VALUES, _REST_PART * self._seen)
        if fresh >= _TELLING:
            self._told, self._settling = surprise, _SETTLING_VALUES
        elif self._settling:
            # The slower views are still filling with what was just told.
            self._told, self._settling = max(self._told, surprise), self._settling - 1
        return max(held, fresh / (fresh + _TELLING))


def _numbers(values: Iterable[Any]) -> npt.NDArray[np.float64]:
    if isinstance(values, np.ndarray) and values.dtype != object:
        return np.asarray(values.ravel(), dtype=np.float64)
    numbers = []
    for place, value in enumerate(values):
        try:
            numbers.append(math.nan if value is None else float(value))
        except (TypeError, ValueError):
            raise ValueError(f"value {place} is {value!r}: give a number, or None where it is missing") from None
        except OverflowError:
            numbers.append(_LARGEST if value > 0 else -_LARGEST)
    return np.array(numbers, dtype=np.float64)
