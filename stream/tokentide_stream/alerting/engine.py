"""The engine without its edges: minutes in, changes of alerts out. Live, replay and backtest are the same steps."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final

from tokentide_schemas.alerting import AlertConfig
from tokentide_schemas.alerting.quiet import silenced_by
from tokentide_schemas.alerts import AlertChange, AlertState
from tokentide_stream.alerting.budget_evaluator import BudgetEvaluator
from tokentide_stream.alerting.evaluator_base import Evaluator
from tokentide_stream.alerting.evaluators import make_evaluators
from tokentide_stream.alerting.facts import ModelFacts
from tokentide_stream.alerting.found import EVENT_KINDS, Ended, Found
from tokentide_stream.alerting.lifecycle import Alert, Change, Lifecycle, Phase
from tokentide_stream.alerting.sources import MINUTE_S
from tokentide_stream.alerting.windows import MODELS, Window, merged
from tokentide_stream.alerting.wording import found_again, record

ENOUGH_MINUTES: Final = 0.9
"""Part of a longer window's minutes that have to be known."""


class Engine:
    """All rules over one stream of minutes."""

    def __init__(self, config: AlertConfig, facts: ModelFacts) -> None:
        self.config = config
        self.facts = facts
        self.evaluators: list[Evaluator] = make_evaluators(config.rules, config.budgets, facts)
        self.lifecycle = Lifecycle()
        self.evaluated_until: dt.datetime | None = None
        self.windows = 0
        self._minutes: dict[int, list[Window]] = {
            one.rule.window_s: [] for one in self.evaluators if one.rule.window_s != MINUTE_S
        }
        self._has_traffic = False

    @property
    def open_alerts(self) -> list[Alert]:
        """Told and not over."""
        return [alert for alert in self.lifecycle.alerts if alert.is_told and alert.phase is Phase.FIRING]

    def step(self, minute: Window) -> list[Change]:
        """Take the next minute; what has changed. ValueError for a minute that does not come after the last one."""
        if self.evaluated_until is not None and minute.start < self.evaluated_until:
            raise ValueError(f"minute {minute.start:%H:%M} was evaluated already (up to {self.evaluated_until:%H:%M})")
        self.evaluated_until = minute.end
        if not self._has_traffic:
            # Before the first events there is nothing to compare, and the first minute began before they did.
            self._has_traffic = minute.requests > 0
            return []
        self.windows += 1
        self.facts.learn(minute.models.get(MODELS, {}))
        started: list[Found] = []
        ended: list[Ended] = []
        for window in (minute, *self._longer(minute)):
            for evaluator in self.evaluators:
                if evaluator.rule.window_s == window.window_s:
                    new, over = evaluator.step(window)
                    started += new
                    ended += over
        return self.lifecycle.step(minute.end, started, ended)

    def _longer(self, minute: Window) -> Iterable[Window]:
        for window_s, minutes in self._minutes.items():
            start = minute.end - dt.timedelta(seconds=window_s)
            minutes[:] = [*(one for one in minutes if one.start >= start), minute]
            is_full = int(minute.end.timestamp()) % window_s == 0
            if is_full and len(minutes) >= ENOUGH_MINUTES * window_s / MINUTE_S:
                yield merged(minutes, start, window_s)

    def records(self, changes: Sequence[Change], emitted_at: dt.datetime) -> list[AlertChange]:
        """The changes as they are published; those of alerts that were never told are left out."""
        found = []
        for change in changes:
            alert = change.alert
            if not alert.is_told:
                continue
            by = alert.silenced_by
            if change.state is AlertState.FIRING:
                lead = alert.lead
                quiet = (self.config.silences, self.config.maintenance)
                by = silenced_by(*quiet, change.at, lead.rule.name, lead.kind, lead.keys, dict(lead.rule.labels))
                if by:
                    self.lifecycle.mark_silenced(alert, by)
            found.append(record(change, by, emitted_at))
        return found

    def spend_before(self, hour: dt.datetime, total_nanousd: int, by_tenant: dict[str, int]) -> None:
        """An hour of history, for budgets alone. Hours come in order, all before the first minute."""
        for evaluator in self.evaluators:
            if isinstance(evaluator, BudgetEvaluator):
                evaluator.spend(Window(hour, 3_600), total_nanousd, by_tenant)

    def resume(self, said: Sequence[AlertChange], until: dt.datetime) -> None:
        """Go on from what was published up to `until`, after the history up to there was taken, its changes dropped.

        What was said counts: an alert that history shows and nobody was told of stays untold, one that was told and
        that history does not show is over soon, and one that was only held is still to be told.
        """
        newest: dict[str, AlertChange] = {}
        for change in said:
            newest[str(change.alert_id)] = change
        rules: dict[str, object] = {rule.name: rule for rule in self.config.rules}
        open_said = {key: one for key, one in newest.items() if one.state is not AlertState.RESOLVED}
        alerts = []
        for alert in self.lifecycle.alerts:
            match = open_said.pop(str(alert.id), None) or _same_slot(open_said, alert)
            if match is not None:
                alerts.append(_taken_over(alert, match))
            elif alert.phase is Phase.HELD and str(alert.id) not in newest:
                alerts.append(alert)
            else:
                alerts.append(replace(alert, is_told=False))
        for change in open_said.values():
            lead = found_again(change, rules)
            alert = Alert(change.alert_id, lead, Phase(change.state.value), change.changed_at, change.changed_at)
            alerts.append(_taken_over(replace(alert, ended_at=until), change))
        self.lifecycle.alerts = alerts
        over = {str(alert.id): alert for alert in self.lifecycle.recent}
        # What was over before it fired is forgotten, as it is without a restart.
        fired = {change.alert_id for change in said if change.state is AlertState.FIRING}
        self.lifecycle.recent = [
            # What history still shows is known better than what was said of it.
            over.get(str(change.alert_id))
            or Alert(
                change.alert_id,
                found_again(change, rules),
                Phase.RESOLVED,
                change.changed_at,
                change.changed_at,
                ended_at=change.changed_at,
                resolved_at=change.changed_at,
            )
            for change in newest.values()
            if change.state is AlertState.RESOLVED and change.alert_id in fired
        ]


def _same_slot(open_said: dict[str, AlertChange], alert: Alert) -> AlertChange | None:
    for key, change in open_said.items():
        if (change.rule, change.kind.value, change.keys[0]) == alert.lead.slot:
            return open_said.pop(key)
    return None


def _taken_over(alert: Alert, said: AlertChange) -> Alert:
    """The alert under the identity and in the state that were said."""
    lead = replace(alert.lead, started_at=said.started_at, detected_at=said.detected_at)
    phase = Phase(said.state.value)
    fires_at = said.changed_at if phase is Phase.FIRING else alert.fires_at
    ended_at = said.changed_at if lead.kind in EVENT_KINDS and phase is Phase.FIRING else alert.ended_at
    return replace(
        alert,
        id=said.alert_id,
        lead=lead,
        phase=phase,
        fires_at=fires_at,
        ended_at=ended_at,
        is_told=True,
        silenced_by=said.silenced_by,
        severity=said.severity,
    )
