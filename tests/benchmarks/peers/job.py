"""What every peer has to do, and the parts that are no framework's: addresses, tables, counting.

The job: each JSON event of a topic becomes a row of `peer_raw` and is counted in `peer_counts` by minute, model and
category.
Inserts are large (100,000 rows or a second). Peers run in an environment of their own and get addresses as variables.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

import clickhouse_connect
import msgspec

SERVERS = os.environ["PEER_KAFKA"]
TOPIC = os.environ["PEER_TOPIC"]
GROUP = os.environ["PEER_GROUP"]
ROWS = 100_000
WAIT_S = 1.0
RAW, COUNTS = "peer_raw", "peer_counts"


class Event(msgspec.Struct):
    """The three fields that counting needs; msgspec passes over the rest without making objects of it."""

    occurred_at: int
    model: str
    category: str


decode_event = msgspec.json.Decoder(Event).decode
Key = tuple[int, str, str]


def client() -> Any:
    """A ClickHouse client."""
    return clickhouse_connect.get_client(
        host="127.0.0.1",
        port=int(os.environ["PEER_CLICKHOUSE_PORT"]),
        username="tokentide",
        database="tokentide",
        autogenerate_session_id=False,
        compress=False,
    )


def count(values: Sequence[bytes]) -> Counter[Key]:
    """Events by minute (seconds since 1970), model and category."""
    found: Counter[Key] = Counter()
    for value in values:
        event = decode_event(value)
        found[event.occurred_at // 60_000 * 60, event.model, event.category] += 1
    return found


def insert_raw(store: Any, values: Sequence[bytes]) -> None:
    """JSON lines as they came: the store parses them, which costs less than doing so here."""
    store.raw_insert(RAW, insert_block=b"\n".join(values), fmt="JSONEachRow", settings=SETTINGS)


def insert_counts(store: Any, counts: Counter[Key]) -> None:
    """Counts are added up by the table."""
    rows = [(*key, requests) for key, requests in counts.items()]
    store.insert(COUNTS, rows, column_names=["window_start", "model", "category", "requests"])


SETTINGS = {"async_insert": 0, "input_format_skip_unknown_fields": 1, "date_time_input_format": "basic"}


class Due:
    """True once enough rows have come or have waited long enough."""

    def __init__(self) -> None:
        self._since = time.monotonic()

    def __call__(self, rows: int) -> bool:
        now = time.monotonic()
        if rows >= ROWS or (rows and now - self._since >= WAIT_S):
            self._since = now
            return True
        return False


CONSUMER = {
    "bootstrap.servers": SERVERS,
    "group.id": GROUP,
    "auto.offset.reset": "earliest",
    "enable.auto.commit": False,
    "fetch.queue.backoff.ms": 10,
    "queued.min.messages": 200_000,
    "queued.max.messages.kbytes": 262_144,
}
