"""Alerts and rules as tables for a terminal of 80 columns. No IO."""

from __future__ import annotations

import datetime as dt
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from tokentide_schemas.alerting import AlertConfig
from tokentide_schemas.alerting.rules import AnyRule
from tokentide_schemas.alerting.values import duration_text
from tokentide_schemas.alerts import AlertChange, AlertKind, AlertState, Contribution, Severity

if TYPE_CHECKING:
    from tokentide_deploy.alerts_backtest import Backtest

_STYLES: Final = {
    "critical": "bold red",
    "warning": "yellow",
    "info": "cyan",
    "firing": "bold red",
    "pending": "yellow",
}
_PARTS: Final = tuple(Contribution.model_fields)
MAX_PARTS: Final = 12


def new_console() -> Console:
    """As wide as the terminal; 80 columns where there is none."""
    return Console(highlight=False)


def config_tables(config: AlertConfig) -> Iterator[RenderableType]:
    """Rules, then what else the file has."""
    table = Table()
    table.add_column("rule", no_wrap=True)
    for name in ("watches", "tells when", "severity"):
        table.add_column(name, overflow="fold")
    for rule in config.rules:
        style = "" if rule.enabled else "dim"
        name = rule.name if rule.name in config.shipped else f"{rule.name} *"
        severity = _coloured(rule.severity.value) if rule.enabled else Text("off")
        table.add_row(Text(name), Text(watches(rule)), Text(condition(rule)), severity, style=style)
    yield table
    if config.shipped != {rule.name for rule in config.rules}:
        yield Text("* from your file; the others are shipped")
    for one in config.receivers:
        least = "" if one.min_severity is Severity.INFO else f", from {one.min_severity.value} on"
        yield Text(f"receiver {one.name}: {one.type}{least}{'' if one.send_resolved else ', without ends'}")
    for budget in config.budgets:
        whose = {"": "everybody together", "*": "each tenant"}.get(budget.tenant, f"tenant {budget.tenant}")
        yield Text(f"budget {budget.name}: {budget.usd:,.2f} USD a {budget.per}, {whose}")
    for silence in config.silences:
        until = "" if silence.until is None else f" until {_moment(silence.until)}"
        yield Text(f"silence {silence.name}{until}")
    for window in config.maintenance:
        repeats = f", again every {duration_text(window.repeats_s)}" if window.repeats_s else ""
        yield Text(f"maintenance {window.name}: {_moment(window.starts_at)} to {_moment(window.until)}{repeats}")


def watches(rule: AnyRule) -> str:
    """What a rule looks at."""
    dimension = getattr(rule, "dimension", None)
    measure = getattr(rule, "measure", None)
    what = rule.kind.replace("_", " ") if dimension is None else f"{rule.kind.replace('_', ' ')}: {dimension.value}"
    what += f" by {measure.value}" if measure is not None else ""
    return what + (f" in {rule.scope}" if rule.scope.given else "")


def condition(rule: AnyRule) -> str:
    """Its smallest change worth telling."""
    parts = []
    for name, text in (
        ("min_change_pp", "{:g} pp"),
        ("min_change_ratio", "{:.0%} change"),
        ("min_rate", "{:.0%}"),
    ):
        if hasattr(rule, name):
            parts.append(text.format(getattr(rule, name)))
    if rule.for_s:
        parts.append(f"for {duration_text(rule.for_s)}")
    return ", ".join(parts)


def alerts_table(alerts: list[dict[str, Any]]) -> Table:
    """One line or two for each alert."""
    table = Table()
    table.add_column("id", no_wrap=True)
    table.add_column("state", no_wrap=True)
    table.add_column("began (UTC)", no_wrap=True)
    table.add_column("what", ratio=1)
    for alert in alerts:
        state = "silenced" if alert["is_silenced"] else str(alert["state"])
        table.add_row(
            str(alert["alert_id"])[:8],
            _coloured(state),
            f"{alert['started_at']:%m-%d %H:%M}",
            _coloured(str(alert["severity"]), ": ") + Text(str(alert["summary"]).removeprefix("Over: ")),
        )
    return table


def alert_page(alert: Mapping[str, Any]) -> Iterator[RenderableType]:
    """Everything that is known of one alert."""
    yield Text(str(alert["summary"]), style="bold")
    yield Text(f"{alert['severity']} {alert['kind']} by rule {alert['rule']}, id {alert['alert_id']}")
    times = Table("state", "at (UTC)", "", box=None)
    times.add_row("began", _moment(alert["started_at"]), "start of the first window of the cause")
    times.add_row("detected", _moment(alert["detected_at"]), "end of the window that showed it")
    for state in AlertState:
        at = alert[f"{state.value}_at"]
        if at is not None:
            times.add_row(state.value, _moment(at), "")
    yield times
    if alert["is_silenced"]:
        yield Text(f"not told: {alert['silenced_by']}")
    if alert["contributions"]:
        yield attribution(alert)
    for name, value in sorted(alert["labels"].items()):
        yield Text(f"{name}: {value}")
    if alert["runbook_url"]:
        yield Text(f"runbook: {alert['runbook_url']}")


def attribution(alert: Mapping[str, Any]) -> Table:
    """Who gained and who lost: shares before and after, and the change of the measure by mix and by volume."""
    table = Table(title=f"{alert['dimension']}, {alert['measure']} of a window", title_justify="left")
    table.add_column(str(alert["dimension"]), overflow="fold")
    for name in ("before", "after", "change", "by mix", "by volume"):
        table.add_column(name, justify="right", no_wrap=True)
    given = alert["contributions"]
    parts = [one if isinstance(one, dict) else dict(zip(_PARTS, one, strict=True)) for one in given]
    for part in parts[:MAX_PARTS]:
        table.add_row(
            str(part["key"]),
            f"{part['before']:.1f} %",
            f"{part['after']:.1f} %",
            "" if part["change_pp"] is None else f"{part['change_pp']:+.1f} pp",
            _amount(part["mix_change"]),
            _amount(part["volume_change"]),
        )
    return table


def backtest_tables(result: Backtest) -> Iterator[RenderableType]:
    """What would have fired, then how often each rule would have."""
    span = f"{_moment(result.first)} to {_moment(result.last)}"
    if result.fired:
        table = Table()
        table.add_column("fires (UTC)", no_wrap=True)
        table.add_column("ends", no_wrap=True)
        table.add_column("what", ratio=1)
        for one in result.fired:
            ended = result.ended_at.get(str(one.alert_id))
            silenced = f" (silenced by {one.silenced_by})" if one.is_silenced else ""
            severity = _coloured(one.severity.value, ": ")
            table.add_row(
                f"{one.changed_at:%m-%d %H:%M}",
                "" if ended is None else _after(one.changed_at, ended),
                severity + Text(one.summary + silenced),
            )
        yield table
        counts = Table("rule", "would have fired")
        counts.columns[1].justify = "right"
        for rule, count in Counter(one.rule for one in result.fired).most_common():
            counts.add_row(rule, str(count))
        yield counts
    quiet = len(set(result.rules) - {one.rule for one in result.fired})
    yield Text(
        f"{len(result.fired)} alerts in {result.windows:,} minutes with traffic ({span}), after learning from "
        f"{result.learned:,} minutes; {quiet} of {len(result.rules)} rules stayed quiet."
    )


def trial_alert(now: dt.datetime) -> AlertChange:
    """An alert that says of itself that it is none."""
    return AlertChange(
        alert_id=uuid.uuid4(),
        state=AlertState.FIRING,
        rule="test",
        kind=AlertKind.SUBSTITUTION,
        severity=Severity.INFO,
        measure="tokens",
        dimension="model",
        keys=("example/model",),
        direction="up",
        value=12.5,
        reference=10.0,
        change=2.5,
        unit="pp",
        window_s=60,
        started_at=now,
        detected_at=now,
        changed_at=now,
        emitted_at=now,
        summary="This is a test of tokentide's alerts; nothing has happened.",
        labels={"test": "yes"},
    )


def _coloured(word: str, after: str = "") -> Text:
    return Text(word + after, style=_STYLES.get(word, ""))


def _after(began: dt.datetime, ended: dt.datetime) -> str:
    return f"{ended:%H:%M}" if ended.date() == began.date() else f"{ended:%m-%d %H:%M}"


def _amount(value: float | None) -> str:
    if value is None:
        return ""
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if abs(value) >= size:
            return f"{value / size:+.1f}{unit}"
    return f"{value:+.0f}"


def _moment(at: dt.datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M}"
