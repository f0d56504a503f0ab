"""Stored events against what was sent: every column, those that nobody gave by their defaults."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any, Final

from end_to_end.harness import Stack, wait_until
from tokentide_schemas.columns import NO_HASH
from tokentide_schemas.event import COLUMNS, default_of

Row = dict[str, Any]
HASHES: Final = ("session_hash", "user_hash", "api_key_hash")
PRICED: Final = ("cost_nanousd", "cost_source", "price_version")
COMPARED: Final = [name for name in COLUMNS if name != "event_id"]


class _Some:
    """Stands for any value that is there: times of a real clock."""

    def __eq__(self, other: object) -> bool:
        return other is not None

    def __hash__(self) -> int:
        return 0

    def __repr__(self) -> str:
        return "some value"


SOME: Final = _Some()


def stored(stack: Stack, where: str) -> list[Row]:
    """The rows in the order of their ids, hashes as bytes, times with their zone."""
    rows = []
    # As text: ClickHouse compares the halves of UUIDs the other way round.
    for values in stack.rows(f"SELECT {', '.join(COMPARED)} FROM events WHERE {where} ORDER BY toString(event_id)"):
        row = dict(zip(COMPARED, values, strict=True))
        row |= {name: bytes(row[name]) for name in HASHES}
        row["occurred_at"] = row["occurred_at"].replace(tzinfo=dt.UTC)
        rows.append(row)
    return rows


def expect_stored(stack: Stack, where: str, wanted: Sequence[Row]) -> None:
    """Wait for the rows, then compare each column. A cost that was not given may have been computed."""
    wait_until(lambda: len(stored(stack, where)) >= len(wanted), f"{len(wanted)} events where {where}", 120)
    defaults = {name: default_of(name) for name in COMPARED if name != "occurred_at"}
    defaults |= dict.fromkeys(HASHES, NO_HASH)
    rows = stored(stack, where)
    assert len(rows) == len(wanted)
    for number, (row, given) in enumerate(zip(rows, wanted, strict=True)):
        assert not given.keys() - set(COMPARED), given.keys() - set(COMPARED)
        full = {**defaults, "occurred_at": SOME, **given}
        if "cost_nanousd" not in given:
            full |= {name: row[name] for name in PRICED}
        different = {name: (row[name], full[name]) for name in COMPARED if full[name] != row[name]}
        assert not different, (number, different)
