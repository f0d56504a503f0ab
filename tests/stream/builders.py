"""Short ways to write records, for tests that say one thing."""

from __future__ import annotations

from typing import Any

import polars as pl
from tests.stream.worlds import PLAIN_MODEL_CUBE, encode, event_from

from tokentide_schemas.cubes import Cube
from tokentide_schemas.envelope import Record
from tokentide_stream.partition import PartitionState

T0_MS = 1_790_000_040_000
"""A full minute."""
PLAIN_BITS = 0


def event(occurred_ms: int, **fields: Any) -> dict[str, Any]:
    """A small event at a time; `fields` replace its own."""
    return {**event_from(PLAIN_BITS, occurred_ms), **fields}


def record(
    offset: int,
    *events: dict[str, Any],
    appended_ms: int | None = None,
    identity: tuple[str, int] | None = None,
    form: str = "arrow",
    partition: int = 0,
) -> Record:
    """A record that was appended when its newest event occurred, unless told otherwise."""
    value, headers = encode(list(events), form, identity)
    when = max(e["occurred_ms"] for e in events) if appended_ms is None else appended_ms
    return Record(partition, offset, when, value, headers)


def at(offset: int, *seconds: float, **more: Any) -> Record:
    """A record with one event for each number of seconds after T0."""
    return record(offset, *(event(T0_MS + int(s * 1000)) for s in seconds), **more)


def new_state(lateness_s: int = 0, cubes: tuple[Cube, ...] = (PLAIN_MODEL_CUBE,)) -> PartitionState:
    return PartitionState(cubes, lateness_s)


def counts(frame: pl.DataFrame) -> dict[tuple[float, int], int]:
    """Requests by (minutes after T0, segment relative to T0's minute or 0), all groups together."""
    found: dict[tuple[float, int], int] = {}
    for row in frame.iter_rows(named=True):
        minute = (row["window_start_s"] * 1000 - T0_MS) / 60_000
        segment = row["segment"] and row["segment"] - T0_MS // 60_000
        found[minute, segment] = found.get((minute, segment), 0) + row["requests"]
    return found
