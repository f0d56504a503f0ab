"""A key's first appearance."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from tokentide_stream.detection.findings import Changes


@dataclass(frozen=True, slots=True)
class NewKeyConfig:
    """min_requests: a new key is told when it has had so many, within `within_s` of its first. quiet_s: keys that are
    seen in the first `quiet_s` of all are the stock, not new."""

    window_s: int = 60
    min_requests: int = 100
    within_s: int = 86_400
    quiet_s: int = 900


class NewKeyDetector:
    """Tells each key once; a finding ends at the step after it was told."""

    def __init__(self, config: NewKeyConfig, known: Iterable[str] = ()) -> None:
        """known: keys that were there before."""
        self._config = config
        self._known = set(known)

    def step(self, window_start: dt.datetime, requests_by_key: Mapping[str, float]) -> Changes:
        """Kind: new_model. Unit: requests since the first."""
        raise NotImplementedError
