"""Rows that only the store refuses, and events that senders without identity send again: counted right everywhere."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator
from typing import Any

import pytest

from end_to_end.harness import Stack, wait_until
from tokentide_schemas.envelope import CONTENT_TYPE_NDJSON

pytestmark = pytest.mark.long

PROVIDER = "the store does not like it"


def lines(model: str, ids: range, provider: str = "p", tokens: int = 1) -> bytes:
    rows: list[dict[str, Any]] = [
        {
            "event_id": f"0190a5d2-0000-7000-8000-{number:012d}",
            "occurred_at": dt.datetime.now(dt.UTC).isoformat(),
            "request_model": model,
            "provider": provider,
            "input_uncached_tokens": 0,
            "output_tokens": tokens,
            "usage_reported": True,
            "outcome": "ok",
        }
        for number in ids
    ]
    return b"\n".join(json.dumps(row).encode() for row in rows)


def send(stack: Stack, value: bytes) -> None:
    stack.send(value, [("content-type", CONTENT_TYPE_NDJSON.encode())], 1)


def requests(stack: Stack, model: str) -> tuple[int, int]:
    raw = stack.value(f"SELECT count() FROM events WHERE model = '{model}'")
    return int(raw), int(stack.value(f"SELECT sum(requests) FROM rollup_1m WHERE model = '{model}'"))


@pytest.mark.embedded
def test_an_event_that_a_plain_sender_repeats_is_counted_once(stack: Stack) -> None:
    model = "repeated/plain"
    send(stack, lines(model, range(100, 110)))
    send(stack, lines(model, range(105, 115)))
    wait_until(lambda: requests(stack, model) == (15, 15), "fifteen events in raw and rollup")
    assert requests(stack, model) == (15, 15)
    stack.verify()


@pytest.fixture
def picky(stack: Stack) -> Iterator[Stack]:
    stack.rows(f"ALTER TABLE events ADD CONSTRAINT picky CHECK provider != '{PROVIDER}'")
    yield stack
    stack.rows("ALTER TABLE events DROP CONSTRAINT IF EXISTS picky")


@pytest.mark.embedded
def test_rows_that_the_store_refuses_become_dead_letters_and_go_back_into_the_raw_table_alone(picky: Stack) -> None:
    model = "refused/by-the-store"
    value = b"\n".join(
        (lines(model, range(200, 230)), lines(model, range(230, 232), PROVIDER), lines(model, range(232, 300)))
    )
    send(picky, value)
    wait_until(lambda: requests(picky, model) == (98, 100), "98 rows in raw, 100 in the rollup")
    query = "SELECT row, detail FROM dead_letters_open WHERE reason = 'store_rejected' ORDER BY row"
    # They are written after the rows that were good.
    wait_until(lambda: len(picky.rows(query)) == 2, "the dead letters")
    letters = picky.rows(query)
    assert [row for row, _ in letters] == [30, 31]
    assert not any(PROVIDER in detail for _, detail in letters)
    picky.verify()

    picky.rows("ALTER TABLE events DROP CONSTRAINT picky")
    dry = json.loads(picky.run("dlq", "replay", "--reason", "store_rejected", "--dry-run", "--format", "json").stdout)
    assert (dry[0]["replayed_letters"], requests(picky, model)) == (2, (98, 100))
    done = json.loads(picky.run("dlq", "replay", "--reason", "store_rejected", "--format", "json").stdout)
    assert (done[0]["replayed_letters"], done[0]["refused_letters"]) == (2, 0)
    wait_until(lambda: requests(picky, model)[0] == 100, "the two rows in the raw table")
    picky.verify()
    assert requests(picky, model) == (100, 100)
    again = json.loads(picky.run("dlq", "replay", "--reason", "store_rejected", "--format", "json").stdout)
    assert again[0]["letters"] == 0
    listed = json.loads(picky.run("dlq", "list", "--reason", "store_rejected", "--format", "json").stdout)
    assert [(row["status"], row["letters"]) for row in listed] == [("replayed", 2)]


@pytest.mark.embedded
def test_what_is_still_wrong_stays_open_until_it_is_discarded(stack: Stack) -> None:
    stack.send(b'{"nonsense": 1}', [("content-type", b"application/json")], 1)
    stack.send(b"<xml/>", [("content-type", b"application/x-dlq-test")], 1)
    count = "SELECT count() FROM dead_letters_open WHERE reason = 'unsupported_content_type' AND partition = 1"
    wait_until(lambda: stack.value(count) >= 1, "the dead letter")
    options = ("--reason", "unsupported_content_type", "--partition", "1", "--format", "json")
    tried = json.loads(stack.run("dlq", "replay", *options).stdout)[0]
    assert tried["replayed_letters"] == 0
    assert "unsupported_content_type" in tried["refused"][0][1]
    shown = json.loads(stack.run("dlq", "show", tried["refused"][0][0], "--format", "json").stdout)[0]
    assert shown["record_bytes"] == len(b"<xml/>")
    assert "<xml/>" not in json.dumps(shown)
    stack.run("dlq", "discard", *options, "--why", "a test")
    assert stack.value(count) == 0
    listed = json.loads(stack.run("dlq", "list", *options, "--status", "discarded").stdout)
    assert listed[0]["letters"] >= 1
    stack.verify()
