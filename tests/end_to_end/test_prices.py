"""Costs through the whole stack: computed on the way, corrected after a price fix, and still proven by verify."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

import pytest

from end_to_end.harness import Stack, wait_until
from tokentide_schemas.envelope import CONTENT_TYPE_NDJSON, headers_for

FIX = """
prices:
  - {provider: openai, model: openai/gpt-4o, valid_from: 2024-10-02, confidence: list, source: contract,
     usd_per_million_tokens: {input_uncached: "5", output: "20"}}
"""
OLD_NANOUSD, NEW_NANOUSD = 1_000 * 2_500 + 100 * 10_000, 1_000 * 5_000 + 100 * 20_000


def event(app: str, occurred_at: str, **changes: Any) -> dict[str, Any]:
    fields = {
        "occurred_at": occurred_at,
        "request_model": "gpt-4o-2024-08-06",
        "model": "openai/gpt-4o",
        "provider": "openai",
        "app": app,
        "input_uncached_tokens": 1_000,
        "output_tokens": 100,
        "usage_reported": True,
        "outcome": "ok",
    }
    return {**fields, **changes}


def send(stack: Stack, *events: dict[str, Any]) -> None:
    value = b"\n".join(json.dumps(one).encode() for one in events)
    stack.send(value, list(headers_for(CONTENT_TYPE_NDJSON)), partition=0)


@pytest.mark.embedded
def test_a_price_fix_reaches_raw_events_and_rollups_and_verify_still_holds(stack: Stack, tmp_path: Path) -> None:
    app = f"prices-{uuid.uuid4().hex[:8]}"
    user = uuid.uuid4().hex
    send(
        stack,
        event(app, "2026-03-05T10:00:10Z", user_hash=user),
        event(app, "2026-03-05T10:00:20Z", is_byok=True, user_hash=user),
        event(app, "2026-03-05T10:00:30Z", cost_nanousd=7, cost_source="reported"),
        event(app, "2026-03-05T11:00:30Z", model="nobody/nothing", request_model="nobody/nothing"),
    )
    raw = f"SELECT count(), sum(cost_nanousd), countIf(cost_nanousd IS NULL) FROM events WHERE app = '{app}'"
    wait_until(lambda: tuple(stack.rows(raw)[0]) == (4, 2 * OLD_NANOUSD + 7, 1), "the raw events with their costs")
    stack.verify()
    sums = "sum(cost_nanousd), sum(byok_cost_nanousd), sum(cost_unknown_requests)"
    rollup = f"SELECT {sums} FROM rollup_app_{{}} WHERE app = '{app}'"
    for tier in ("1m", "1h", "1d"):
        assert tuple(stack.rows(rollup.format(tier))[0]) == (OLD_NANOUSD + 7, OLD_NANOUSD, 1), tier

    own = tmp_path / "own.yaml"
    own.write_text(FIX)
    period = ("--since", "2026-03-05", "--until", "2026-03-06", "--catalogue", str(own))
    told = stack.run("prices", "check", *period, "--format", "json", check=False)
    assert told.returncode == 1, told.stderr
    (change,) = [row for row in json.loads(told.stdout) if row["model"] == "openai/gpt-4o"]
    assert (change["events"], change["change_usd"]) == (2, "0.007")
    corrected = stack.run("prices", "recompute", *period)
    assert "2 events corrected by 0.007 USD" in corrected.stdout, corrected.stdout + corrected.stderr
    again = stack.run("prices", "recompute", *period)
    assert "0 events corrected by 0.00 USD, 0 rollup groups" in again.stdout, again.stdout
    assert tuple(stack.rows(raw)[0]) == (4, 2 * NEW_NANOUSD + 7, 1)
    for tier in ("1m", "1h", "1d"):
        assert tuple(stack.rows(rollup.format(tier))[0]) == (NEW_NANOUSD + 7, NEW_NANOUSD, 1), tier
    stack.verify()

    unknown = json.loads(stack.run("catalogue", "unknown", "--format", "json").stdout)
    assert "nobody/nothing" in {row["model"] for row in unknown}
    attributes = f"SELECT author, open_weights FROM usage WHERE app = '{app}' AND model = 'nobody/nothing'"
    assert [tuple(row) for row in stack.rows(attributes)] == [("unknown", "unknown")]
    users = "SELECT users, requests_without_user FROM users_by_model_1d WHERE day = '2026-03-05' AND canonical_model = "
    nobody = f"{users} 'nobody/nothing'"
    wait_until(lambda: [tuple(row) for row in stack.rows(nobody)] == [(0, 1)], "the users to be counted")
    assert stack.value(f"{users} 'openai/gpt-4o'") >= 1


def test_wrong_catalogue_files_are_told_all_at_once(stack: Stack, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(FIX.replace("openai/gpt-4o", "openai/gpt-4ö").replace("confidence: list", "confidence: sure"))
    result = stack.run("catalogue", "load", str(wrong), check=False)
    assert result.returncode == 1
    assert result.stderr.count(str(wrong)) >= 2, result.stderr
    assert "confidence" in result.stderr and "model" in result.stderr


@pytest.mark.embedded
def test_verify_names_the_remedy_where_raw_and_rollup_were_priced_by_different_catalogues(stack: Stack) -> None:
    app = f"mismatch-{uuid.uuid4().hex[:8]}"
    send(stack, event(app, "2026-03-07T10:00:10Z"))
    wait_until(lambda: stack.value(f"SELECT count() FROM events WHERE app = '{app}'") == 1, "the raw event")
    stack.verify()
    # What the sink would have stored with another price than the worker's.
    stack.rows(
        "ALTER TABLE events UPDATE cost_nanousd = 1, price_version = 'another' "
        f"WHERE app = '{app}' SETTINGS mutations_sync = 2"
    )
    told = stack.run("verify", "--format", "json", "--wait-s", "90", check=False)
    findings = [finding["what"] for finding in json.loads(told.stdout)["findings"]]
    assert findings and all("tokentide prices recompute --since 2026-03-07" in what for what in findings), findings
    stack.run("prices", "recompute", "--since", "2026-03-07", "--until", "2026-03-08")
    stack.verify()
    assert stack.value(f"SELECT cost_nanousd FROM events WHERE app = '{app}'") == OLD_NANOUSD
