"""Every wire format's golden body, through the real collector and Kafka, is the expected event field by field."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from producers.collector.serving import HASH_KEY, Topic, as_text, counted
from tokentide_producers.hashing import IdentifierHasher
from tokentide_schemas.columns import NO_HASH
from tokentide_schemas.event import COLUMNS, default_of

GOLDEN = Path(__file__).parent / "golden"
INDEX: dict[str, Any] = json.loads((GOLDEN / "index.json").read_text())


def _expected(name: str) -> list[dict[str, Any]]:
    hasher = IdentifierHasher(HASH_KEY)
    defaults = {field: default_of(field) for field in COLUMNS if field not in ("occurred_at", "event_id")}
    defaults = {k: v.hex() if isinstance(v, bytes) else v for k, v in defaults.items() if not repr(v).startswith("Pyd")}
    events = []
    for listed in json.loads((GOLDEN / name).read_text()):
        event = {**defaults, **listed}
        for field, value in event.items():
            if isinstance(value, str) and value.startswith("hmac:"):
                event[field] = hasher(value.removeprefix("hmac:")).hex()
        events.append(event)
    return events


@pytest.mark.parametrize("name", INDEX)
def test_a_golden_body_sent_twice_is_stored_once_as_the_expected_events(
    name: str, collector: httpx.Client, fresh: Topic
) -> None:
    case = INDEX[name]
    body = (GOLDEN / name).read_bytes()
    for _ in range(2):
        answer = collector.post(case["path"], content=body, headers=case["headers"])
        assert answer.status_code == 200, answer.text
        assert "GOLDEN-MARKER" not in answer.text
    records = fresh.take()
    stored = sorted((as_text(event) for event in counted(records)), key=lambda event: str(event["occurred_at"]))
    expected = sorted(_expected(case["expected"]), key=lambda event: str(event["occurred_at"]))
    assert len(stored) == len(expected)
    for got, wanted in zip(stored, expected, strict=True):
        if "event_id" not in wanted:
            assert got.pop("event_id") != NO_HASH.hex()
        assert got == wanted
    assert not any(b"GOLDEN-MARKER" in (record.value or b"") for record in records)


def test_every_golden_file_is_listed() -> None:
    files = {path.name for path in GOLDEN.iterdir()} - {"index.json"}
    assert files == INDEX.keys() | {case["expected"] for case in INDEX.values()}
