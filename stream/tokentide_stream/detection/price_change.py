"""Unit cost by model and provider: a change of price."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass

from tokentide_stream.detection.findings import Changes, Sums


@dataclass(frozen=True, slots=True)
class PriceChangeConfig:
    """min_change: smallest relative change of nanousd for a token. confirm_windows: as many windows have to agree."""

    window_s: int = 60
    min_change: float = 0.05
    min_tokens: float = 10_000.0
    confirm_windows: int = 2


class PriceChangeDetector:
    """Tells a change once; the new price is the reference from then on, so a change ends ("accepted") at the step
    after it was told."""

    def __init__(self, config: PriceChangeConfig) -> None:
        self._config = config

    def step(self, window_start: dt.datetime, sums_by_key: Mapping[str, Sums]) -> Changes:
        """cost in nano-USD; keys without cost are skipped. Unit: nanousd (for a token)."""
        raise NotImplementedError
