"""An alert as each receiver's wire format. Pure: time and secrets are arguments."""

from __future__ import annotations

import datetime as dt
import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from tokentide_schemas.alerting.values import duration_text
from tokentide_schemas.alerts import AlertChange, AlertState, Contribution

WEBHOOK_VERSION: Final = "1"
SIGNATURE_HEADER: Final = "X-Tokentide-Signature"
RESEND_EVERY_S: Final = 120.0
"""How often Alertmanager hears of an alert that goes on."""
EXPIRES_AFTER_S: Final = 600.0
"""How long Alertmanager keeps an alert of which it hears no more: several missed repeats."""
_CONTRIBUTIONS: Final = 5
_HEADER_CHARS: Final = 150
_TEXT_CHARS: Final = 2_900


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """A POST. The address is no part of it: it may be a secret."""

    path: str
    headers: Mapping[str, str]
    body: bytes = field(repr=False)


def webhook_request(change: AlertChange, secret: bytes | None, now: dt.datetime) -> HttpRequest:
    """The change as JSON. With a secret it is signed: `t=<unix seconds>,v1=<hex HMAC-SHA256 of "t.body">`."""
    body = _json({"version": WEBHOOK_VERSION, **change.model_dump(mode="json")})
    headers = _headers(change)
    if secret is not None:
        headers[SIGNATURE_HEADER] = signature(secret, int(now.timestamp()), body)
    return HttpRequest("", headers, body)


def signature(secret: bytes, timestamp_s: int, body: bytes) -> str:
    """Value of the signature header. A reader computes it again and refuses old timestamps."""
    mac = hmac.new(secret, f"{timestamp_s}.".encode() + body, hashlib.sha256)
    return f"t={timestamp_s},v1={mac.hexdigest()}"


def alertmanager_request(change: AlertChange, now: dt.datetime, firing: AlertChange | None = None) -> HttpRequest:
    """Alertmanager's API v2. `firing`: the change that began it; Alertmanager knows an alert by its labels, so the end
    must carry those of the begin."""
    first = firing or change
    labels = {
        **{f"tokentide_{name}": value for name, value in first.labels.items()},
        "alertname": first.rule,
        "severity": first.severity.value,
        "kind": first.kind.value,
        "measure": first.measure,
        "dimension": first.dimension,
        "scope": first.scope,
        "key": first.keys[0],
        "direction": first.direction,
        "alert_id": str(first.alert_id),
    }
    annotations = {
        "summary": change.summary,
        "description": "\n".join([_size(change), *_parts(change)]),
        "keys": ", ".join(change.keys),
        "runbook_url": change.runbook_url,
    }
    ended = change.state is AlertState.RESOLVED
    ends_at = change.changed_at if ended else now + dt.timedelta(seconds=EXPIRES_AFTER_S)
    alert: dict[str, Any] = {
        "labels": {name: value for name, value in labels.items() if value},
        "annotations": {name: value for name, value in annotations.items() if value},
        "startsAt": _rfc3339(first.started_at),
        "endsAt": _rfc3339(ends_at),
    }
    if change.runbook_url.startswith(("http://", "https://")):
        alert["generatorURL"] = change.runbook_url
    return HttpRequest("/api/v2/alerts", _headers(change), _json([alert]))


_MARKS: Final = {"critical": ":red_circle:", "warning": ":large_orange_circle:", "info": ":large_blue_circle:"}


def slack_request(change: AlertChange) -> HttpRequest:
    """Slack's incoming webhook: blocks, and a text for notifications and other readers of the format."""
    ended = change.state is AlertState.RESOLVED
    mark = ":large_green_circle:" if ended else _MARKS[change.severity.value]
    head = f"{'Resolved' if ended else change.severity.value.capitalize()}: {change.kind.value.replace('_', ' ')}"
    where = f"{change.dimension}{f' in {change.scope}' if change.scope else ''}"
    began = f"Began {_slack_time(change.started_at)}"
    fields = [
        f"*{'Was' if ended else 'Size'}*\n{_escape(_size(change))}",
        f"*Where*\n{_escape(where)}",
        f"*{'Time' if ended else 'Began'}*\n{_lasted(change) if ended else _slack_time(change.started_at)}",
        f"*Rule*\n{_escape(change.rule)}",
    ]
    blocks: list[dict[str, Any]] = [
        {"type": "header", "text": {"type": "plain_text", "text": _cut(f"{mark} {head}", _HEADER_CHARS)}},
        {"type": "section", "text": {"type": "mrkdwn", "text": _cut(_escape(change.summary), _TEXT_CHARS)}},
        {"type": "section", "fields": [{"type": "mrkdwn", "text": _cut(text, 2_000)} for text in fields]},
    ]
    if parts := _parts(change):
        text = "\n".join(f"• {_escape(part)}" for part in parts)
        blocks.append({"type": "section", "text": {"type": "mrkdwn", "text": _cut(text, _TEXT_CHARS)}})
    footer = [began] if ended else []
    if change.runbook_url.startswith(("http://", "https://")):
        footer.append(f"<{_escape(change.runbook_url)}|What to do>")
    footer.append(f"`{change.alert_id}`")
    blocks.append({"type": "context", "elements": [{"type": "mrkdwn", "text": " · ".join(footer)}]})
    text = f"{head}: {change.summary}"
    return HttpRequest("", _headers(change), _json({"text": _escape(text), "blocks": blocks}))


def log_line(change: AlertChange) -> str:
    """One line: `alert firing critical launch ... {json}`."""
    short = {
        "alert_id": str(change.alert_id),
        "rule": change.rule,
        "dimension": change.dimension,
        "scope": change.scope,
        "keys": list(change.keys),
        "value": change.value,
        "reference": change.reference,
        "change": change.change,
        "unit": change.unit,
        "started_at": _rfc3339(change.started_at),
        "detected_at": _rfc3339(change.detected_at),
    }
    head = f"alert {change.state.value} {change.severity.value} {change.kind.value}"
    # A key is whatever a gateway sent: JSON keeps it on one line.
    return f"{head} {json.dumps(change.summary)} {json.dumps(short)}"


def _headers(change: AlertChange) -> dict[str, str]:
    return {
        "Content-Type": "application/json",
        "User-Agent": "tokentide-notify",
        "Idempotency-Key": f"{change.alert_id}/{change.state.value}",
    }


def _json(content: Any) -> bytes:
    return json.dumps(content, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode()


def _size(change: AlertChange) -> str:
    """`0.0 -> 8.1 pp (+8.1 pp) in 1m windows`."""
    parts = []
    if change.reference is not None and change.value is not None:
        parts.append(f"{_number(change.reference, change.unit)} → {_number(change.value, change.unit)}")
    if change.change is not None:
        parts.append(f"({_number(change.change, change.unit, sign=True)})")
    return " ".join([*parts, f"in {duration_text(change.window_s)} windows"])


def _parts(change: AlertChange) -> list[str]:
    return [_part(one) for one in change.contributions[:_CONTRIBUTIONS]]


def _part(one: Contribution) -> str:
    text = f"{one.key}: {_number(one.before, '')} → {_number(one.after, '')}"
    return text if one.change_pp is None else f"{text} ({one.change_pp:+.1f} pp)"


def _number(value: float, unit: str, *, sign: bool = False) -> str:
    if unit == "nanousd":
        return f"{value / 1e9:{'+' if sign else ''},.2f} USD"
    digits = 0 if value == 0 or abs(value) >= 1_000 else 3 if unit == "ratio" or abs(value) < 0.1 else 1
    return f"{value:{'+' if sign else ''},.{digits}f} {unit}".rstrip()


def _lasted(change: AlertChange) -> str:
    seconds = max(0, round((change.changed_at - change.started_at).total_seconds()))
    return f"lasted {duration_text(seconds - seconds % 60 if seconds >= 60 else seconds)}"


def _rfc3339(at: dt.datetime) -> str:
    return at.astimezone(dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _slack_time(at: dt.datetime) -> str:
    # Slack shows it in each reader's own time zone, and the part after the bar where it cannot.
    return f"<!date^{int(at.timestamp())}^{{date_short_pretty}} {{time}}|{at.astimezone(dt.UTC):%Y-%m-%d %H:%M} UTC>"


def _escape(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _cut(text: str, chars: int) -> str:
    return text if len(text) <= chars else text[: chars - 1] + "…"
