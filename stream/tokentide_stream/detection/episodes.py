"""Open findings by key: told once, ended when back or accepted. Pure."""

from __future__ import annotations

import datetime as dt
from collections.abc import Hashable
from dataclasses import dataclass

from tokentide_stream.detection.findings import Changes, EndReason, Finding, FindingEnd

_CALM_WINDOWS = 2


@dataclass
class _Episode:
    finding: Finding
    calm: int = 0


class Episodes:
    """One open finding a name at most. Every step: `start` what is new, `follow` what is open."""

    def __init__(self, accept_after_s: float) -> None:
        self._accept_after_s = accept_after_s
        self._open: dict[Hashable, _Episode] = {}

    def __contains__(self, name: Hashable) -> bool:
        return name in self._open

    def names(self) -> list[Hashable]:
        """What is open, oldest first."""
        return list(self._open)

    def finding(self, name: Hashable) -> Finding:
        """The open finding; KeyError where there is none."""
        return self._open[name].finding

    def start(self, name: Hashable, finding: Finding, changes: Changes) -> None:
        """Tell it, unless the name is open already."""
        if name not in self._open:
            self._open[name] = _Episode(finding)
            changes.started.append(finding)

    def follow(self, name: Hashable, is_back: bool, at: dt.datetime, changes: Changes) -> EndReason | None:
        """Ended "returned" after two windows that are back, "accepted" when it has lasted too long to be news."""
        episode = self._open[name]
        episode.calm = episode.calm + 1 if is_back else 0
        if episode.calm >= _CALM_WINDOWS:
            return self.end(name, at, "returned", changes)
        if (at - episode.finding.detected_at).total_seconds() >= self._accept_after_s:
            return self.end(name, at, "accepted", changes)
        return None

    def end(self, name: Hashable, at: dt.datetime, reason: EndReason, changes: Changes) -> EndReason:
        """End it now."""
        changes.ended.append(FindingEnd(self._open.pop(name).finding, at, reason))
        return reason
