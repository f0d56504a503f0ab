"""A stopped stack's backup, restored into an empty folder, passes `verify` and goes on counting exactly."""

from __future__ import annotations

import datetime as dt
import json
import uuid
from pathlib import Path

import pytest

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
    wait_until(lambda: stack.value("SELECT count() FROM usage") == events, f"{events} raw events", 120)
    wait_until(lambda: stack.value("SELECT sum(requests) FROM rollup_1m") == events, f"{events} in the rollup", 120)
    stack.verify()
    return stack.rows(SUMS), stack.rows(ROLLUP)


@pytest.mark.embedded
def test_a_restored_backup_passes_verify_and_counts_on_exactly(tmp_path: Path) -> None:
    file, restored = tmp_path / "backup.tar", tmp_path / "elsewhere" / "restored"
    with Stack(tmp_path / "first") as first:
        send(first, 40)
        before = settled(first, 40)
        refused = first.run("backup", "create", str(file), check=False)
        assert refused.returncode == 3 and "Stop that one" in refused.stderr
    made = first.run("backup", "create", str(file))
    assert "Kafka and store" in made.stdout

    second = Stack(restored)
    second.run("backup", "restore", str(file))
    with second:
        assert settled(second, 40) == before
        send(second, 15)
        after = settled(second, 55)
        assert after[0] == [(55, before[0][0][1] + sum(range(10, 25)), 55 * 5, 55)]  # type: ignore[index]
