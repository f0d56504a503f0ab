"""Alerts, their changes and what became of telling them, as the rows that the dashboard tests put into the store."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any, Final

from tokentide_schemas.alert_deliveries import AlertDelivery, DeliveryOutcome
from tokentide_schemas.alerts import AlertChange, AlertState, alert_id

MINUTE: Final = dt.timedelta(minutes=1)
_KINDS: Final = ("launch", "outage", "price_cut", "spike", "error_rate")


def alert(number: int, began: dt.datetime, state: AlertState, **changed: Any) -> AlertChange:
    """One change of the alert `number`; it fires after two minutes and ends after thirty."""
    kind = _KINDS[number % len(_KINDS)]
    key = f"acme/model-{number}"
    at = began + {"pending": 1, "firing": 2, "resolved": 30}[state.value] * MINUTE
    fields: dict[str, Any] = {
        "alert_id": alert_id(f"rule-{number % 3}", "", "model", kind, key, began),
        "state": state,
        "rule": f"rule-{number % 3}",
        "kind": kind,
        "severity": ("warning", "critical", "info")[number % 3],
        "measure": "tokens",
        "dimension": "model",
        "scope": "category=programming" if number % 2 else "",
        "keys": (key, "acme/loser"),
        "direction": "down" if kind == "outage" else "up",
        "value": 8.0,
        "reference": 0.0,
        "change": 8.0,
        "unit": "pp",
        "window_s": 60,
        "started_at": began,
        "detected_at": began + (1 + number % 3) * MINUTE,
        "changed_at": at,
        "emitted_at": at + MINUTE / 6,
        "summary": f"{key} took 8.0 pp of all tokens within two minutes, mostly from acme/loser",
        "contributions": (
            {"key": key, "before": 0.0, "after": 8.0, "change_pp": 8.0, "mix_change": 9e6, "volume_change": 0.0},
            {"key": "acme/loser", "before": 20.0, "after": 12.0, "change_pp": -8.0},
        ),
        "runbook_url": "https://docs.example.com/runbooks/launch",
    }
    return AlertChange.model_validate(fields | changed)


def changes(newest: dt.datetime, apart: dt.timedelta, count: int) -> list[AlertChange]:
    """`count` alerts that began `apart` from each other, the last at `newest`: the last two go on, the one before them
    is silenced, the first was pending only."""
    found = []
    for number in range(count):
        began = newest - (count - 1 - number) * apart
        quiet = {"is_silenced": True, "silenced_by": "night-batch"} if number == count - 3 else {}
        found.append(alert(number, began, AlertState.PENDING))
        if number > 0:
            found.append(alert(number, began, AlertState.FIRING, **quiet))
        if 0 < number < count - 3:
            found.append(alert(number, began, AlertState.RESOLVED, **quiet))
    return found


def deliveries(told: list[AlertChange]) -> list[AlertDelivery]:
    """The log and a webhook have everything; Slack is down."""
    found = []
    for change in told:
        if change.is_silenced or change.state is AlertState.PENDING:
            continue
        for receiver in ("log", "webhook", "slack"):
            ok = receiver != "slack"
            found.append(
                AlertDelivery(
                    receiver=receiver,
                    receiver_type=receiver,
                    alert_id=change.alert_id,
                    state=change.state,
                    outcome=DeliveryOutcome.DELIVERED if ok else DeliveryOutcome.RETRYING,
                    attempts=1 if ok else 3,
                    http_status={"log": None, "webhook": 200, "slack": 503}[receiver],
                    error="" if ok else "answered 503 Service Unavailable",
                    changed_at=change.changed_at,
                    attempted_at=change.changed_at + MINUTE / 4,
                    latency_ms=40,
                )
            )
    return found


def insert(execute: Callable[[str], None], newest: dt.datetime, apart: dt.timedelta, count: int = 12) -> None:
    """Into `alert_changes` and `alert_deliveries` by SQL."""
    told = changes(newest, apart, count)
    for table, rows in (("alert_changes", told), ("alert_deliveries", deliveries(told))):
        for row in rows:
            _insert(execute, table, row.model_dump())


def _insert(execute: Callable[[str], None], table: str, row: dict[str, Any]) -> None:
    execute(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({', '.join(_literal(value) for value in row.values())})")


def _literal(value: Any) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, dt.datetime):
        return f"toDateTime64({value.timestamp():.3f}, 3, 'UTC')"
    if isinstance(value, tuple):
        return f"[{', '.join(_literal(one) for one in value)}]"
    if isinstance(value, dict) and "key" in value:
        return f"({', '.join(_literal(one) for one in value.values())})"
    if isinstance(value, dict):
        return "map()"
    text = getattr(value, "value", None) or str(value)
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
