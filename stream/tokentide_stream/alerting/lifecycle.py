"""From findings to alerts: grouping, pending, firing, resolved. Pure; the time is the windows'.

A finding opens an alert, or joins one that is open and can have the same cause. An alert is held for a moment before it
is told, so that of several findings the best one names it. It fires when its rule's `for` has passed, and is over when
its finding has ended and stayed away for `resolve_after`. A later finding of the same keys waits out the `cooldown`.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Final

from tokentide_schemas.alerting.receivers import SEVERITY_RANK
from tokentide_schemas.alerts import AlertKind, AlertState, Severity, alert_id
from tokentide_stream.alerting.found import EVENT_KINDS, Ended, Found, Slot, may_be_one_cause

AT_ONCE: Final = frozenset({AlertKind.OUTAGE, AlertKind.SILENCE, AlertKind.PRICE_CUT, AlertKind.LAUNCH})
"""Kinds that need no second look: what they are called does not change with the next window."""
HOLD: Final = dt.timedelta(seconds=60)
EVENT_HOLD: Final = dt.timedelta(seconds=300)
"""New models and prices come first and what they cause after them: the effect, if there is one, is the alert."""
LINK: Final = dt.timedelta(seconds=600)
"""Findings within this of an alert's begin, or of its end, can be of its cause."""


class Phase(Enum):
    """held: not said yet. The rest is as in `AlertState`; over: the finding was gone before it was told."""

    HELD = "held"
    PENDING = "pending"
    FIRING = "firing"
    RESOLVED = "resolved"


@dataclass(frozen=True, slots=True)
class Alert:
    """One cause. is_told: its changes are published; a restart may know of one that never was.

    ended_at: its finding's end was seen, and it is over unless it comes again before `resolve_after` has passed.
    """

    id: uuid.UUID
    lead: Found
    phase: Phase
    opened_at: dt.datetime
    fires_at: dt.datetime
    members: tuple[Found, ...] = ()
    ended_at: dt.datetime | None = None
    is_accepted: bool = False
    last_value: float | None = None
    is_told: bool = True
    silenced_by: str = ""
    severity: Severity = Severity.INFO
    resolved_at: dt.datetime | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """A state that an alert has reached. never_fired: it ended while pending, so that nobody is told."""

    alert: Alert
    state: AlertState
    at: dt.datetime
    never_fired: bool = False


@dataclass(slots=True)
class Lifecycle:
    """All open alerts, and the ones that were over not long ago."""

    alerts: list[Alert] = field(default_factory=list)
    recent: list[Alert] = field(default_factory=list)
    _waiting: list[tuple[dt.datetime, Found]] = field(default_factory=list)

    def step(self, now: dt.datetime, started: Sequence[Found], ended: Sequence[Ended]) -> list[Change]:
        """Take a window's findings. now: the window's end. Steps come in order of time."""
        for end in ended:
            self._end(end)
        gone = {end.slot for end in ended}
        self._waiting = [(at, found) for at, found in self._waiting if found.slot not in gone]
        ready = [found for at, found in self._waiting if at <= now]
        self._waiting = [(at, found) for at, found in self._waiting if at > now]
        for found in sorted([*ready, *started], key=lambda one: one.weight):
            self._start(found, now)
        changes = [change for alert in list(self.alerts) for change in self._advance(alert, now)]
        self._forget(now)
        return changes

    def _end(self, end: Ended) -> None:
        for number, alert in enumerate(self.alerts):
            if alert.lead.slot == end.slot and alert.lead.kind not in EVENT_KINDS and alert.ended_at is None:
                self.alerts[number] = replace(
                    alert, ended_at=end.ended_at, last_value=end.value, is_accepted=end.is_accepted
                )

    def _start(self, found: Found, now: dt.datetime) -> None:
        for number, alert in enumerate(self.alerts):
            if alert.lead.slot == found.slot:
                # The same condition again: it had not stayed away.
                if found.kind not in EVENT_KINDS:
                    self.alerts[number] = replace(alert, ended_at=None, is_accepted=False)
                return
        for number, alert in enumerate(self.alerts):
            if self._joins(found, alert):
                self.alerts[number] = _joined(alert, found, now)
                return
        for alert in self.recent:
            if self._is_aftermath(found, alert):
                return
        wait_until = self._cooldown_end(found)
        if wait_until is not None and wait_until > now:
            self._waiting.append((wait_until, found))
            return
        self.alerts.append(_opened(found, now))

    def _joins(self, found: Found, alert: Alert) -> bool:
        if alert.phase is not Phase.HELD and found.tier < alert.lead.tier:
            # An outage is not told by saying that a price has changed.
            return False
        near_begin = abs(found.detected_at - alert.lead.detected_at) <= LINK
        near_end = alert.ended_at is not None and found.detected_at - alert.ended_at <= LINK
        near = near_begin or near_end or abs(found.started_at - alert.lead.started_at) <= LINK / 2
        return near and any(may_be_one_cause(found, other) for other in (alert.lead, *alert.members))

    def _is_aftermath(self, found: Found, alert: Alert) -> bool:
        """What a cause's end moves back is no cause of its own."""
        if found.tier < alert.lead.tier or alert.lead.kind in EVENT_KINDS:
            return False
        if found.slot == alert.lead.slot or alert.resolved_at is None or found.detected_at - alert.resolved_at > LINK:
            return False
        return any(may_be_one_cause(found, other) for other in (alert.lead, *alert.members))

    def _cooldown_end(self, found: Found) -> dt.datetime | None:
        ends = [
            alert.resolved_at + dt.timedelta(seconds=alert.lead.rule.cooldown_s)
            for alert in self.recent
            if alert.resolved_at is not None and alert.lead.slot == found.slot
        ]
        return max(ends, default=None)

    def _advance(self, alert: Alert, now: dt.datetime) -> list[Change]:
        changes: list[Change] = []
        place = next(number for number, one in enumerate(self.alerts) if one.id == alert.id)
        if alert.phase is Phase.HELD:
            if alert.ended_at is not None and alert.fires_at > now:
                del self.alerts[place]
                return changes
            told_from = alert.opened_at + _hold(alert.lead)
            if told_from <= now < alert.fires_at:
                alert = replace(alert, phase=Phase.PENDING)
                changes.append(Change(alert, AlertState.PENDING, now))
        if alert.phase in (Phase.HELD, Phase.PENDING):
            if alert.ended_at is not None and alert.phase is Phase.PENDING and alert.fires_at > now:
                alert = replace(alert, phase=Phase.RESOLVED, resolved_at=now)
                changes.append(Change(alert, AlertState.RESOLVED, now, never_fired=True))
            elif alert.fires_at <= now:
                alert = replace(alert, phase=Phase.FIRING, severity=_severity(alert))
                changes.append(Change(alert, AlertState.FIRING, now))
                if alert.lead.kind in EVENT_KINDS:
                    alert = replace(alert, ended_at=now)
        elif alert.phase is Phase.FIRING and alert.ended_at is not None:
            calm = dt.timedelta(0) if alert.is_accepted else dt.timedelta(seconds=alert.lead.rule.resolve_after_s)
            if alert.ended_at + calm <= now:
                alert = replace(alert, phase=Phase.RESOLVED, resolved_at=now)
                changes.append(Change(alert, AlertState.RESOLVED, now))
        if alert.phase is Phase.RESOLVED:
            del self.alerts[place]
            if not (changes and changes[-1].never_fired):
                self.recent.append(alert)
        else:
            self.alerts[place] = alert
        return changes

    def _forget(self, now: dt.datetime) -> None:
        self.recent = [
            alert
            for alert in self.recent
            if alert.resolved_at is not None
            and now - alert.resolved_at <= max(LINK, dt.timedelta(seconds=alert.lead.rule.cooldown_s))
        ]

    def mark_silenced(self, alert: Alert, by: str) -> None:
        """Remember that a firing alert was not told, so that its end is not told either."""
        for number, one in enumerate(self.alerts):
            if one.id == alert.id:
                self.alerts[number] = replace(one, silenced_by=by)


def _severity(alert: Alert) -> Severity:
    """The gravest of what is one cause."""
    rules = [one.rule for one in (alert.lead, *alert.members)]
    return max((rule.severity for rule in rules), key=lambda one: SEVERITY_RANK[one])


def _hold(found: Found) -> dt.timedelta:
    if found.kind in EVENT_KINDS:
        return EVENT_HOLD
    return dt.timedelta(0) if found.kind in AT_ONCE else HOLD


def _fires_at(found: Found, opened_at: dt.datetime) -> dt.datetime:
    return opened_at + max(_hold(found), dt.timedelta(seconds=found.rule.for_s))


def _opened(found: Found, now: dt.datetime) -> Alert:
    return Alert(_id(found), found, Phase.HELD, now, _fires_at(found, now), severity=found.rule.severity)


def _joined(alert: Alert, found: Found, now: dt.datetime) -> Alert:
    """A held alert takes the better finding's name; one that was said keeps its own."""
    if alert.phase is Phase.HELD and found.weight < alert.lead.weight:
        fires_at = max(now, min(_fires_at(found, now), max(alert.fires_at, now)))
        fires_at = _fires_at(found, now) if alert.lead.kind in EVENT_KINDS else fires_at
        members = (*alert.members, alert.lead)
        return Alert(_id(found), found, Phase.HELD, now, fires_at, members, severity=found.rule.severity)
    return replace(alert, members=(*alert.members, found))


def _id(found: Found) -> uuid.UUID:
    scope = str(found.rule.scope)
    return alert_id(found.rule.name, scope, found.dimension, found.kind.value, found.keys[0], found.started_at)


def open_slots(alerts: Iterable[Alert]) -> set[Slot]:
    """Slots of the alerts' leads."""
    return {alert.lead.slot for alert in alerts}
