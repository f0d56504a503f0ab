"""What receivers get, byte by byte: golden files, and what the formats promise."""

from __future__ import annotations

import datetime as dt
import hashlib
import hmac
import json
from pathlib import Path

import pytest

from sinks.notify.alerts_world import an_alert
from tokentide_schemas.alerts import AlertChange
from tokentide_sinks.notify.requests import (
    SIGNATURE_HEADER,
    HttpRequest,
    alertmanager_request,
    log_line,
    slack_request,
    webhook_request,
)

GOLDEN = Path(__file__).parent / "golden"
NOW = dt.datetime(2026, 11, 22, 22, 15, 10, tzinfo=dt.UTC)
SECRET = b"correct horse"


def as_text(request: HttpRequest) -> str:
    head = "".join(f"{name}: {value}\n" for name, value in sorted(request.headers.items()))
    return f"POST {request.path}\n{head}\n{json.dumps(json.loads(request.body), indent=2, ensure_ascii=False)}\n"


FIRING, RESOLVED = an_alert(), an_alert(state="resolved", value=0.4, change=0.4, summary="openai/gpt-5.1-codex is back")
CASES = {
    "webhook-firing.txt": as_text(webhook_request(FIRING, SECRET, NOW)),
    "webhook-unsigned.txt": as_text(webhook_request(RESOLVED, None, NOW)),
    "alertmanager-firing.txt": as_text(alertmanager_request(FIRING, NOW)),
    "alertmanager-resolved.txt": as_text(alertmanager_request(RESOLVED, NOW, FIRING)),
    "slack-firing.txt": as_text(slack_request(FIRING)),
    "slack-resolved.txt": as_text(slack_request(RESOLVED)),
    "log.txt": log_line(FIRING) + "\n",
}


@pytest.mark.parametrize("name", CASES)
def test_the_wire_format_is_the_golden_one(name: str) -> None:
    assert CASES[name] == (GOLDEN / name).read_text(encoding="utf-8")


def test_every_golden_file_is_compared() -> None:
    assert {path.name for path in GOLDEN.iterdir()} == set(CASES)


def test_a_webhooks_signature_is_over_time_and_body_and_its_body_is_the_change() -> None:
    request = webhook_request(FIRING, SECRET, NOW)
    time_part, mac_part = request.headers[SIGNATURE_HEADER].split(",")
    timestamp = time_part.removeprefix("t=")
    assert int(timestamp) == int(NOW.timestamp())
    expected = hmac.new(SECRET, timestamp.encode() + b"." + request.body, hashlib.sha256).hexdigest()
    assert mac_part == f"v1={expected}"
    content = json.loads(request.body)
    assert content.pop("version") == "1"
    assert AlertChange.model_validate(content) == FIRING


def test_alertmanager_is_told_the_end_with_the_labels_of_the_begin() -> None:
    worse = an_alert(state="resolved", severity="critical", keys=("b", "a"))
    first = json.loads(alertmanager_request(FIRING, NOW).body)[0]
    last = json.loads(alertmanager_request(worse, NOW, FIRING).body)[0]
    assert first["labels"] == last["labels"]
    assert first["startsAt"] == last["startsAt"]
    assert first["endsAt"] > NOW.isoformat() and last["endsAt"] == "2026-11-22T22:45:00.000Z"


def test_slacks_own_signs_in_a_key_are_escaped_and_long_texts_are_cut() -> None:
    hostile = an_alert(summary="<!channel> & " + "x" * 5_000, rule="r")
    content = json.loads(slack_request(hostile).body)
    section = content["blocks"][1]["text"]["text"]
    assert section.startswith("&lt;!channel&gt; &amp; ") and len(section) <= 3_000
    assert "<!channel>" not in content["text"]
    assert len(content["blocks"][0]["text"]["text"]) <= 150


def test_a_log_line_is_one_line_whatever_a_key_holds() -> None:
    assert "\n" not in log_line(an_alert(keys=("a\nERROR forged",), summary="x\ny"))
