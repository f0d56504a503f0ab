"""Events by a plain Kafka producer into a stack of one's own, and what the stack then says of them."""

from __future__ import annotations

import datetime as dt
import json
import uuid

from end_to_end.harness import Stack, wait_until
from tokentide_schemas.envelope import CONTENT_TYPE_NDJSON

SUMS = "SELECT count(), sum(input_uncached_tokens), sum(output_tokens), uniqExact(event_id) FROM usage"
ROLLUP = "SELECT sum(requests), sum(input_uncached_tokens), sum(output_tokens) FROM rollup_1m"


def send(stack: Stack, events: int) -> None:
    """Events with ids of their own, spread over every partition."""
    for number in range(events):
        event = {
            "event_id": str(uuid.uuid4()),
            "occurred_at": dt.datetime.now(dt.UTC).isoformat(),
            "request_model": f"acme/model-{number % 3}",
            "provider": "acme",
            "input_uncached_tokens": 10 + number,
            "output_tokens": 5,
            "usage_reported": True,
            "outcome": "ok",
        }
        stack.send(json.dumps(event).encode(), [("content-type", CONTENT_TYPE_NDJSON.encode())], number % 4)


def settled(stack: Stack, events: int) -> tuple[object, object]:
    """Wait until so many events are everywhere and `verify` holds; the sums of raw table and rollup."""
    wait_until(lambda: stack.value("SELECT count() FROM usage") == events, f"{events} raw events", 120)
    wait_until(lambda: stack.value("SELECT sum(requests) FROM rollup_1m") == events, f"{events} in the rollup", 120)
    stack.verify()
    return stack.rows(SUMS), stack.rows(ROLLUP)
