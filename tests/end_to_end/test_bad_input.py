"""Bad input lands in the dead letters with its reason; the stream goes on; everything is accounted for."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import pytest

from end_to_end.harness import Stack, wait_until
from tokentide_schemas.arrow import table_from_events
from tokentide_schemas.envelope import CONTENT_TYPE_ARROW, CONTENT_TYPE_JSON, CONTENT_TYPE_NDJSON, encode_arrow
from tokentide_schemas.event import UsageEvent


def event(**changes: Any) -> dict[str, Any]:
    return {
        "occurred_at": dt.datetime.now(dt.UTC).isoformat(),
        "request_model": "bad-input/model",
        "provider": "bad-input",
        "input_uncached_tokens": 10,
        "output_tokens": 5,
        "usage_reported": True,
        "outcome": "ok",
        **changes,
    }


def arrow_bytes() -> bytes:
    rows = [
        UsageEvent.model_validate({**event(), "event_id": f"0190a5d0-0000-7000-8000-{i:012d}"}) for i in range(1, 9)
    ]
    return encode_arrow(table_from_events(rows))


def json_record(data: Any) -> bytes:
    return json.dumps(data).encode()


BAD_RECORDS = {
    "a truncated Arrow stream": (arrow_bytes()[:-100], CONTENT_TYPE_ARROW, "invalid_arrow"),
    "invalid JSON": (b'{"occurred_at": ', CONTENT_TYPE_JSON, "invalid_json"),
    "a negative token count": (json_record(event(output_tokens=-1)), CONTENT_TYPE_JSON, "invalid_value"),
    "a prompt field": (json_record(event(prompt="marker-of-content")), CONTENT_TYPE_JSON, "content_field"),
    "an event from the year 2100": (
        json_record(event(occurred_at="2100-01-01T00:00:00Z")),
        CONTENT_TYPE_JSON,
        "timestamp_in_future",
    ),
    "an empty object": (b"{}", CONTENT_TYPE_JSON, "missing_field"),
    "no value at all": (None, CONTENT_TYPE_JSON, "empty"),
    "another content type": (b"<xml/>", "application/xml", "unsupported_content_type"),
}


def dead_letters(stack: Stack) -> list[tuple[str, str]]:
    return [
        (str(reason), str(detail)) for reason, detail in stack.rows("SELECT reason, detail FROM dead_letters FINAL")
    ]


@pytest.mark.embedded
@pytest.mark.parametrize("name", BAD_RECORDS)
def test_a_bad_record_lands_in_the_dead_letters_with_its_reason(stack: Stack, name: str) -> None:
    value, content_type, reason = BAD_RECORDS[name]
    before = sum(found == reason for found, _ in dead_letters(stack))
    stack.send(value, [("content-type", content_type.encode())])
    wait_until(
        lambda: sum(found == reason for found, _ in dead_letters(stack)) > before, f"a dead letter of reason {reason}"
    )
    assert not any("marker-of-content" in detail for _, detail in dead_letters(stack))


@pytest.mark.embedded
def test_good_events_between_bad_ones_are_stored_and_everything_is_accounted_for(stack: Stack) -> None:
    model = "bad-input/good-among-bad"
    lines = [
        event(request_model=model),
        event(request_model=model, output_tokens=-5),
        event(request_model=model, messages=[{"role": "user", "content": "marker-of-content"}]),
        event(request_model=model, input_uncached_tokens=90),
    ]
    ndjson = b"\n".join(map(json_record, lines))
    for partition in range(3):
        stack.send(ndjson, [("content-type", CONTENT_TYPE_NDJSON.encode())], partition)
    totals = f"SELECT sum(requests), sum(total_tokens) FROM rollup_1m WHERE model = '{model}'"
    wait_until(lambda: tuple(stack.rows(totals)[0]) == (6, 330), "the good events in the rollup")
    assert stack.value(f"SELECT count() FROM events WHERE model = '{model}'") == 6
    report = stack.verify()
    assert sum(account["ledger_rejected"] for account in report["accounts"]) >= 6


@pytest.mark.embedded
def test_an_envelope_that_is_sent_twice_is_counted_once(stack: Stack) -> None:
    model = "bad-input/sent-twice"
    rows = [
        UsageEvent.model_validate(
            {**event(request_model=model, model=model), "event_id": f"0190a5d1-0000-7000-8000-{i:012d}"}
        )
        for i in range(1, 101)
    ]
    headers = [
        ("content-type", CONTENT_TYPE_ARROW.encode()),
        ("tokentide-count", b"100"),
        ("tokentide-producer", b"spool-test"),
        ("tokentide-sequence", b"0"),
    ]
    value = encode_arrow(table_from_events(rows))
    for _ in range(3):
        stack.send(value, headers, 2)
    wait_until(lambda: stack.value(f"SELECT sum(requests) FROM rollup_1m WHERE model = '{model}'") == 100, "the rollup")
    report = stack.verify()
    assert stack.value(f"SELECT count() FROM events WHERE model = '{model}'") == 100
    assert stack.value(f"SELECT sum(requests) FROM rollup_1m WHERE model = '{model}'") == 100
    assert sum(account["ledger_duplicates"] for account in report["accounts"]) == 200
