"""A key's first appearance. Pure."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from tokentide_schemas.alerts import AlertKind
from tokentide_stream.detection.findings import Changes, Finding, FindingEnd


@dataclass(frozen=True, slots=True)
class NewKeyConfig:
    """min_requests: a new key is told when it has had so many, within `within_s` of its first. quiet_s: keys that are
    seen in the first `quiet_s` of all are the stock, not new."""

    window_s: int = 60
    min_requests: int = 100
    within_s: int = 86_400
    quiet_s: int = 900


class NewKeyDetector:
    """Tells each key once; a finding ends ("accepted") at the step after it was told."""

    def __init__(self, config: NewKeyConfig, known: Iterable[str] = ()) -> None:
        """known: keys that were there before."""
        self._config = config
        self._known = set(known)
        self._counts: dict[str, tuple[dt.datetime, float]] = {}
        self._first: dt.datetime | None = None
        self._told: list[Finding] = []

    def step(self, window_start: dt.datetime, requests_by_key: Mapping[str, float]) -> Changes:
        """Kind: new_model. Unit: requests since the first."""
        config = self._config
        changes = Changes(ended=[FindingEnd(finding, window_start, "accepted") for finding in self._told])
        self._first = self._first or window_start
        for key, requests in requests_by_key.items():
            if requests <= 0 or key in self._known:
                continue
            if (window_start - self._first).total_seconds() < config.quiet_s:
                self._known.add(key)
                continue
            first, count = self._counts.get(key, (window_start, 0.0))
            if (window_start - first).total_seconds() > config.within_s:
                first, count = window_start, 0.0
            count += requests
            self._counts[key] = (first, count)
            if count >= config.min_requests:
                del self._counts[key]
                self._known.add(key)
                changes.started.append(
                    Finding(AlertKind.NEW_MODEL, key, "up", window_start, first, count, None, None, "requests")
                )
        self._told = list(changes.started)
        return changes
