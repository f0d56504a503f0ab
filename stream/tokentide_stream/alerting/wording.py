"""Alerts as records of the alerts topic: summaries in words, labels. Pure."""

from __future__ import annotations

import datetime as dt
from typing import Final

from tokentide_schemas.alerting.rules import Dimension, NewModelRule
from tokentide_schemas.alerts import AlertChange, AlertKind, AlertState
from tokentide_stream.alerting.found import Found
from tokentide_stream.alerting.lifecycle import Change

NEVER_FIRED: Final = "ended before it fired"
MAX_ALSO: Final = 12
_WHAT: Final = {"tokens": "tokens", "requests": "requests", "cost": "spend"}


def summary(found: Found, state: AlertState) -> str:
    """One line: what happened to whom, by how much."""
    text = _sentence(found)
    if found.rule.scope.given:
        text += f" (within {found.rule.scope})"
    if found.is_learning:
        text += " [learning]"
    return f"Over: {text}" if state is AlertState.RESOLVED else text


def _sentence(found: Found) -> str:
    key = found.keys[0]
    more = f" and {len(found.keys) - 1} more" if len(found.keys) > 1 else ""
    who = "all traffic" if found.dimension == Dimension.TOTAL else f"{found.dimension} {key}{more}"
    value, reference = found.value or 0.0, found.reference or 0.0
    if found.unit == "pp":
        what = f"{_WHAT.get(found.measure, found.measure)} share {reference:.1f} % -> {value:.1f} %"
        return f"{_SHARE_WORDS.get(found.kind, 'shift')}: {who}, {what} ({found.change or 0.0:+.1f} pp)"
    if found.kind is AlertKind.SILENCE:
        return f"silence: {who} has no requests, {reference:,.0f} a window expected"
    if found.kind in (AlertKind.SPIKE, AlertKind.DROP, AlertKind.VOLUME_DRIFT):
        word = {AlertKind.SPIKE: "spike", AlertKind.DROP: "drop"}.get(found.kind, "drift")
        return f"{word}: {who}, {reference:,.0f} -> {value:,.0f} {found.measure} a window"
    if found.unit == "ratio":
        rates = {AlertKind.ERROR_RATE: "error rate", AlertKind.USAGE_MISSING_RATE: "requests without usage"}
        return f"{rates.get(found.kind, 'late events')}: {who}, {reference:.1%} -> {value:.1%}"
    if found.kind is AlertKind.LATENCY:
        return f"latency: {who}, {found.measure.rpartition('_')[2]} {reference:,.0f} -> {value:,.0f} ms"
    if found.kind is AlertKind.BUDGET:
        note = dict(found.note)
        will = "is forecast to be exceeded" if note.get("is_forecast") else "is exceeded"
        return f"budget {key} {will}: {value / 1e9:,.2f} of {reference / 1e9:,.2f} USD"
    if found.kind is AlertKind.PRICE_CHANGE:
        return f"price: {key}, {reference / 1e3:,.3f} -> {value / 1e3:,.3f} USD per million tokens"
    if found.kind is AlertKind.NEW_MODEL:
        return f"new model: {key}, {value:,.0f} requests since its first"
    return f"{found.kind.value}: {who}, {reference:,.6g} -> {value:,.6g} {found.unit}"


_SHARE_WORDS: Final = {
    AlertKind.LAUNCH: "launch",
    AlertKind.SUBSTITUTION: "substitution",
    AlertKind.PRICE_CUT: "price cut",
    AlertKind.OUTAGE: "outage",
    AlertKind.BURST: "burst",
    AlertKind.VERBOSITY: "more or fewer tokens a request",
    AlertKind.DRIFT: "drift",
}


def record(change: Change, silenced_by: str, emitted_at: dt.datetime) -> AlertChange:
    """The change as it is published."""
    alert, found = change.alert, change.alert.lead
    labels = dict(found.rule.labels)
    if alert.members:
        also = dict.fromkeys(f"{one.rule.name}: {one.kind.value} {one.keys[0]}" for one in alert.members)
        labels["also"] = "; ".join(list(also)[:MAX_ALSO])
    if found.is_learning:
        labels["learning"] = "yes"
    if found.significance:
        labels["significance"] = f"{found.significance:.1f}"
    labels |= {name: f"{number:.6g}" for name, number in found.note}
    by = NEVER_FIRED if change.never_fired else silenced_by
    return AlertChange(
        alert_id=alert.id,
        state=change.state,
        rule=found.rule.name,
        kind=found.kind,
        severity=alert.severity,
        measure=found.measure,
        dimension=found.dimension,
        scope=str(found.rule.scope),
        keys=found.keys,
        direction=found.direction,
        value=found.value if alert.last_value is None else alert.last_value,
        reference=found.reference,
        change=found.change,
        unit=found.unit,
        window_s=found.rule.window_s,
        started_at=found.started_at,
        detected_at=found.detected_at,
        changed_at=change.at,
        emitted_at=emitted_at,
        summary=summary(found, change.state),
        contributions=found.contributions,
        labels=labels,
        runbook_url=found.rule.runbook_url,
        is_silenced=bool(by),
        silenced_by=by,
    )


def found_again(change: AlertChange, rules: dict[str, object]) -> Found:
    """A finding from what was said about it, where the history that gave it no longer shows it."""
    rule = rules.get(change.rule) or NewModelRule(name=change.rule, severity=change.severity)
    return Found(
        rule=rule,  # type: ignore[arg-type]
        kind=change.kind,
        measure=change.measure,
        dimension=change.dimension,
        keys=change.keys,
        direction=change.direction,
        value=change.value,
        reference=change.reference,
        change=change.change,
        unit=change.unit,
        started_at=change.started_at,
        detected_at=change.detected_at,
        contributions=change.contributions,
    )
