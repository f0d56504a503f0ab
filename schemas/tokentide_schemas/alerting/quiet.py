"""Silences, maintenance windows: when an alert is stored but not told."""

from __future__ import annotations

import datetime as dt
from typing import Annotated

from pydantic import Field, StringConstraints, model_validator

from tokentide_schemas.alerting.values import Duration, Instant, Match, Name, Section
from tokentide_schemas.alerts import AlertKind

Comment = Annotated[str, StringConstraints(max_length=500)]


class Silence(Section):
    """Alerts that fit are not told from `from` (default: always) until `until` (default: for ever)."""

    name: Name
    match: Match
    starts_at: Annotated[Instant | None, Field(alias="from")] = None
    until: Instant | None = None
    comment: Comment = ""

    @model_validator(mode="after")
    def _is_a_silence(self) -> Silence:
        if self.match == Match():
            raise ValueError("match is empty and would silence everything (for that, use maintenance)")
        if self.starts_at is not None and self.until is not None and self.until <= self.starts_at:
            raise ValueError("ends before it begins (put until after from)")
        return self

    def holds(self, at: dt.datetime) -> bool:
        """Whether it is in force at an instant."""
        return (self.starts_at is None or self.starts_at <= at) and (self.until is None or at < self.until)


class Maintenance(Section):
    """A planned time: alerts that begin in it are not told. `repeats`: again after so long, such as 1d or 7d."""

    name: Name
    starts_at: Annotated[Instant, Field(alias="from")]
    until: Instant
    repeats_s: Annotated[Duration, Field(alias="repeats")] = 0
    match: Match = Field(default_factory=Match)
    comment: Comment = ""

    @model_validator(mode="after")
    def _has_a_length(self) -> Maintenance:
        if self.until <= self.starts_at:
            raise ValueError("ends before it begins (put until after from)")
        if self.repeats_s and self.repeats_s < (self.until - self.starts_at).total_seconds():
            raise ValueError("begins again before it ends (make repeats longer than the window)")
        return self

    def holds(self, at: dt.datetime) -> bool:
        """Whether it is in force at an instant."""
        since = at - self.starts_at
        if since < dt.timedelta(0):
            return False
        if self.repeats_s:
            since = dt.timedelta(seconds=since.total_seconds() % self.repeats_s)
        return since < self.until - self.starts_at


def silenced_by(
    silences: tuple[Silence, ...],
    maintenance: tuple[Maintenance, ...],
    at: dt.datetime,
    rule: str,
    kind: AlertKind,
    keys: tuple[str, ...],
    labels: dict[str, str],
) -> str:
    """Name of what keeps such an alert from being told at an instant; '' when it is to be told."""
    quiets: tuple[Silence | Maintenance, ...] = (*silences, *maintenance)
    for quiet in quiets:
        if quiet.holds(at) and quiet.match.fits(rule, kind, keys, labels):
            return quiet.name
    return ""
