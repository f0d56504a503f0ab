"""What the share-shift detector can be asked for. Plain data."""

from __future__ import annotations

from dataclasses import dataclass

from tokentide_stream.detection.findings import Measure


@dataclass(frozen=True, slots=True)
class ShareShiftConfig:
    """The defaults need no tuning.

    window_s: the windows' length; 60 to 86,400. min_effect_pp: a smaller change of a share is never told.
    min_requests: total requests over the tested windows, below which nothing is told. accept_after_s: a shift that
    lasts as long, and has come to rest, is the new normal; an outage is waited for outage_accept_after_s. measures:
    whose shares are watched. ready_after_windows: before them, nothing is told.
    """

    window_s: int = 60
    scope: str = ""
    measures: tuple[Measure, ...] = ("requests", "tokens")
    min_effect_pp: float = 1.0
    min_requests: int = 30
    accept_after_s: int = 86_400
    learning_accept_after_s: int = 7_200
    outage_accept_after_s: int = 7 * 86_400
    ready_after_windows: int = 10
