"""The share-shift detector, window by window. Pure: time comes in with the window."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass

from tokentide_stream.detection.findings import Measure, ShareShift, Sums, Transitions


@dataclass(frozen=True, slots=True)
class ShareShiftConfig:
    """The defaults need no tuning.

    window_s: the windows' length; 60 to 86,400. min_effect_pp: a smaller change of a share is never told.
    min_requests: total requests over the tested windows, below which nothing is told. false_alarms_per_key_day: the
    budget that the thresholds follow from. accept_after_s: a shift that lasts as long is the new normal; an outage is
    waited for outage_accept_after_s. measures: whose shares are watched.
    """

    window_s: int = 60
    scope: str = ""
    measures: tuple[Measure, ...] = ("requests", "tokens")
    min_effect_pp: float = 1.0
    min_requests: int = 30
    false_alarms_per_key_day: float = 0.0005
    accept_after_s: int = 86_400
    learning_accept_after_s: int = 7_200
    outage_accept_after_s: int = 7 * 86_400
    ready_after_windows: int = 10


class ShareShiftDetector:
    """Shares of one dimension in one scope. One instance each; steps in order of time, one for each closed window."""

    def __init__(self, config: ShareShiftConfig) -> None:
        self._config = config

    @property
    def is_learning(self) -> bool:
        """Less than a day of history: only shifts that no daily season could make are told."""
        raise NotImplementedError

    @property
    def open_shifts(self) -> list[ShareShift]:
        """Told and not ended, oldest first."""
        raise NotImplementedError

    def step(self, window_start: dt.datetime, sums_by_key: Mapping[str, Sums]) -> Transitions:
        """Take the next window. A key that is absent has had nothing. Windows that are skipped count as missing, not
        as zero; a window that does not come after the last one raises ValueError."""
        raise NotImplementedError
