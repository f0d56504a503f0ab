"""Latency quantiles from bucket histograms, against their own reference."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tokentide_stream.detection.findings import Changes


@dataclass(frozen=True, slots=True)
class LatencyConfig:
    """quantile: the one watched. min_ratio: smallest rise (1.5: half as much again). min_change_ms: smallest absolute
    rise. min_count: requests over the tested windows, so that the quantile is more than a few requests."""

    window_s: int = 60
    quantile: float = 0.95
    min_ratio: float = 1.5
    min_change_ms: float = 250.0
    min_count: int = 100
    accept_after_s: int = 86_400
    ready_after_windows: int = 10


class LatencyDetector:
    def __init__(self, config: LatencyConfig, upper_bounds_ms: Sequence[float]) -> None:
        """upper_bounds_ms: each bucket's upper bound, ascending; the last may be inf."""
        self._config = config
        self._upper_bounds_ms = upper_bounds_ms

    def step(self, window_start: dt.datetime, counts_by_key: Mapping[str, Sequence[float]]) -> Changes:
        """Bucket counts (not cumulative) by key. Unit: ms."""
        raise NotImplementedError
