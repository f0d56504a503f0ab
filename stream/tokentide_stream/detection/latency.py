"""Latency quantiles from bucket histograms, against their own reference. Pure."""

from __future__ import annotations

import datetime as dt
import math
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from tokentide_schemas.alerts import AlertKind
from tokentide_stream.detection.episodes import Episodes
from tokentide_stream.detection.findings import Changes, Finding
from tokentide_stream.detection.season import Floats

_TESTED = 3
_CRITICAL = 4.0


@dataclass(frozen=True, slots=True)
class LatencyConfig:
    """quantile: the one watched. min_ratio: smallest rise (1.5: half as much again). min_change_ms: smallest absolute
    rise. min_count: requests over the three windows tested together, so that the quantile is more than a few."""

    window_s: int = 60
    quantile: float = 0.95
    min_ratio: float = 1.5
    min_change_ms: float = 250.0
    min_count: int = 100
    accept_after_s: int = 86_400
    ready_after_windows: int = 10


@dataclass
class _Known:
    """mean, variance: of the log of the quantile over three windows."""

    mean: float = 0.0
    variance: float = 0.05**2
    seen: int = 0
    above: int = 0
    last: deque[Floats] = field(default_factory=lambda: deque(maxlen=_TESTED))


def quantile_ms(counts: Floats, upper_bounds_ms: Sequence[float], quantile: float) -> float:
    """Interpolated within its bucket on the log scale; the last bucket's lower bound where it has no upper one."""
    cumulative = np.cumsum(counts)
    wanted = quantile * float(cumulative[-1])
    place = int(np.searchsorted(cumulative, wanted))
    place = min(place, len(counts) - 1)
    upper = upper_bounds_ms[place]
    lower = upper_bounds_ms[place - 1] if place else upper_bounds_ms[0] / 2
    if math.isinf(upper):
        return float(lower)
    before = float(cumulative[place - 1]) if place else 0.0
    part = (wanted - before) / max(float(counts[place]), 1e-9)
    lower = max(lower, 1e-3)
    return float(lower * (max(upper, lower) / lower) ** min(1.0, max(0.0, part)))


class LatencyDetector:
    """Tells rises only, where two windows in a row agree."""

    def __init__(self, config: LatencyConfig, upper_bounds_ms: Sequence[float]) -> None:
        """upper_bounds_ms: each bucket's upper bound, ascending; the last may be inf. Raises ValueError otherwise."""
        bounds = [float(bound) for bound in upper_bounds_ms]
        if not bounds or bounds != sorted(bounds) or bounds[0] <= 0:
            raise ValueError(f"upper_bounds_ms {bounds} must be positive and ascending")
        self._config = config
        self._bounds = bounds
        self._known: dict[str, _Known] = {}
        self._episodes = Episodes(config.accept_after_s)
        self._alpha = 1 - 0.5 ** (config.window_s / max(21_600, 12 * config.window_s))

    def step(self, window_start: dt.datetime, counts_by_key: Mapping[str, Sequence[float]]) -> Changes:
        """Bucket counts (not cumulative) by key; a key without requests is left as it is. Unit: ms."""
        changes = Changes()
        for key, counts in counts_by_key.items():
            if len(counts) != len(self._bounds):
                raise ValueError(f"{key}: {len(counts)} bucket counts for {len(self._bounds)} bounds")
            column = np.asarray(counts, dtype=np.float64)
            if column.sum() > 0:
                self._step(window_start, key, column, changes)
        return changes

    def _step(self, at: dt.datetime, key: str, counts: Floats, changes: Changes) -> None:
        config = self._config
        known = self._known.setdefault(key, _Known())
        known.last.append(counts)
        pooled = np.sum(known.last, axis=0)
        now = quantile_ms(pooled, self._bounds, config.quantile)
        usual = math.exp(known.mean) if known.seen else now
        if key in self._episodes:
            alone = quantile_ms(counts, self._bounds, config.quantile)
            is_back = alone < usual + 0.4 * (self._episodes.finding(key).change or 0.0)
            reason = self._episodes.follow(key, is_back, at, changes)
            if reason == "accepted":
                known.mean = math.log(now)
            if reason is not None:
                known.last.clear()
            return
        if pooled.sum() < config.min_count:
            return
        z = (math.log(now) - known.mean) / math.sqrt(known.variance + 0.05**2) if known.seen else 0.0
        is_high = z >= _CRITICAL and now >= config.min_ratio * usual and now - usual >= config.min_change_ms
        known.above = known.above + 1 if is_high else 0
        if known.above >= 2 and known.seen >= config.ready_after_windows:
            started = at - dt.timedelta(seconds=config.window_s)
            finding = Finding(AlertKind.LATENCY, key, "up", at, started, now, usual, now - usual, "ms", z,
                              known.seen * config.window_s < 86_400, {"quantile": config.quantile})  # fmt: skip
            self._episodes.start(key, finding, changes)
            known.above = 0
            return
        if not is_high:
            self._learn(known, now)

    def _learn(self, known: _Known, now_ms: float) -> None:
        if not known.seen:
            known.mean = math.log(now_ms)
        known.seen += 1
        alpha = max(self._alpha, 1 / (known.seen + 1))
        change = math.log(now_ms) - known.mean
        limit = 4 * math.sqrt(known.variance + 0.05**2)
        change = max(-limit, min(limit, change))
        known.mean += alpha * change
        known.variance += alpha * (change * change - known.variance)
