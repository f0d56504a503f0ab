"""Rates against their own reference: errors, missing usage, late data."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass

from tokentide_schemas.alerts import AlertKind
from tokentide_stream.detection.findings import Changes


@dataclass(frozen=True, slots=True)
class ProportionConfig:
    """kind: error_rate, usage_missing_rate or late_rate. floor: a rate below it is never told. min_change: smallest
    rise in the rate (0.02: two points). min_trials: requests over the tested windows."""

    kind: AlertKind = AlertKind.ERROR_RATE
    window_s: int = 60
    floor: float = 0.02
    min_change: float = 0.02
    min_trials: int = 50
    accept_after_s: int = 86_400
    ready_after_windows: int = 5


class ProportionDetector:
    """Tells rises only; a rate that falls is good news."""

    def __init__(self, config: ProportionConfig) -> None:
        self._config = config

    def step(self, window_start: dt.datetime, hits_and_trials: Mapping[str, tuple[float, float]]) -> Changes:
        """(hits, trials) by key, e.g. (errors, requests). Unit: ratio."""
        raise NotImplementedError
