"""Filling the raw table up to a number of events: copies of what a load has stored, on days of their own.

Only the raw table grows so far: rollups grow with time and labels, not with events. The copies bear another topic's
name, so that ledger and users are not counted from them.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

from tests.benchmarks.suite.stack_load import Stack

MERGED_PAUSE_S: Final = 3.0
LONGEST_MERGES_S: Final = 120.0


def fill_up(stack: Stack, events: int, say: Callable[[str], None]) -> float:
    """Copy until the raw table holds so many events, and wait for its merges. Returns the seconds that took."""
    client = stack.client()
    began = time.monotonic()
    own = _count(client, "kafka_topic != 'bench'")
    day = 0
    while (missing := events - _count(client, "1")) > 0:
        day += 1
        rows = min(missing, own)
        # Random node bits keep ids apart; their order within the millisecond does not matter here.
        client.command(
            f"INSERT INTO events SELECT * REPLACE (occurred_at - INTERVAL {day} DAY AS occurred_at, "
            f"generateUUIDv7(rowNumberInAllBlocks()) AS event_id, 'bench' AS kafka_topic) "
            f"FROM (SELECT * FROM events WHERE kafka_topic != 'bench' LIMIT {rows})",
            settings={"optimize_on_insert": 0, "max_insert_threads": 2, "insert_deduplicate": 0},
        )
        if _count(client, "1") < events - missing + rows:
            raise RuntimeError(f"{rows} copies were inserted and are not all there")
        say(f"{_count(client, '1'):,} events are stored ({time.monotonic() - began:.0f} s)")
    _wait_for_merges(client)
    client.close()
    return time.monotonic() - began


def _count(client: Any, condition: str) -> int:
    return int(client.query(f"SELECT count() FROM events WHERE {condition}").result_rows[0][0])


def _wait_for_merges(client: Any) -> None:
    """Until nothing was merged for a while: merges of the copies are not the load's."""
    deadline = time.monotonic() + LONGEST_MERGES_S
    quiet_since = time.monotonic()
    while time.monotonic() < deadline and time.monotonic() - quiet_since < MERGED_PAUSE_S:
        if client.query("SELECT count() FROM system.merges").result_rows[0][0]:
            quiet_since = time.monotonic()
        time.sleep(0.25)
