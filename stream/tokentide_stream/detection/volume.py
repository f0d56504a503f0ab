"""Volumes: spike, drop, silence and slow drift, of the total and of each key."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass

from tokentide_stream.detection.findings import Changes


@dataclass(frozen=True, slots=True)
class VolumeConfig:
    """window_s: the windows' length. min_change: smallest relative change that is told (0.5: up or down by half of the
    reference). min_count: smallest absolute change in a window. silence_probability: a key is silent when that many
    requests were expected that none at all is as improbable. accept_after_s: a change that lasts is the new normal."""

    window_s: int = 60
    min_change: float = 0.5
    min_count: float = 20.0
    silence_probability: float = 1e-6
    drift_min_change: float = 0.25
    accept_after_s: int = 86_400
    ready_after_windows: int = 15


class VolumeDetector:
    """Counts by key; '' is the caller's name for the total where it passes one."""

    def __init__(self, config: VolumeConfig) -> None:
        self._config = config

    def is_learning(self, key: str) -> bool:
        """True until the key has a full day of history."""
        raise NotImplementedError

    def step(self, window_start: dt.datetime, count_by_key: Mapping[str, float]) -> Changes:
        """The next window's counts; a key that was known and is absent counts as zero. Kinds: spike, drop, silence,
        volume_drift. Unit: requests (a window)."""
        raise NotImplementedError
