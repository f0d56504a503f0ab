"""Mutual exclusion through the store alone: who may change the schema now.

A lease has a generation. Whoever wants the next one inserts a row under the deduplication token of that generation: the
store keeps the first insert and drops every other, also across the replicas of a cluster, so the row that is there says
who won. A generation is taken once for ever; a slow contender cannot take one that was held in the meantime.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from tokentide_schemas.cluster_ddl import Cluster, render
from tokentide_sinks.store import Store, StoreUnavailableError

LEASES: Final = """CREATE TABLE IF NOT EXISTS schema_leases
(
    generation UInt64,
    holder String,
    until_ms Int64,
    released Bool
)
ENGINE = MergeTree
ORDER BY generation
SETTINGS non_replicated_deduplication_window = 1000"""

LEASE_MS: Final = 60_000
"""Longer than any statement of a migration takes; a holder that died is waited for as long."""
PAUSE_S: Final = 0.2
_ROWS_SQL: Final = (
    "SELECT generation, holder, max(until_ms), max(released), toUnixTimestamp64Milli(now64(3)) FROM schema_leases "
    "WHERE generation = (SELECT max(generation) FROM schema_leases) GROUP BY generation, holder"
)


class LeaseHeldError(StoreUnavailableError):
    """Somebody else is changing the schema, for longer than we wait."""


class LeaseLostError(StoreUnavailableError):
    """Our lease ran out while we worked, and another process may have taken over."""


@dataclass(frozen=True, slots=True)
class LeaseState:
    """The newest generation: 0 when nobody ever held one."""

    generation: int
    holder: str
    is_free: bool


def state_of(rows: Sequence[Sequence[Any]]) -> LeaseState:
    """What the newest rows say, by the store's clock alone."""
    if not rows:
        return LeaseState(0, "", is_free=True)
    generation, holder, until_ms, released, now_ms = rows[0]
    return LeaseState(int(generation), str(holder), bool(released) or int(until_ms) <= int(now_ms))


class Lease:
    """A held lease. `renew` before each step; it asks the store when a third of the span is over."""

    def __init__(self, store: Store, generation: int, holder: str, lease_ms: int) -> None:
        self._store = store
        self._generation = generation
        self._holder = holder
        self._lease_ms = lease_ms
        self._renewed_s = time.monotonic()

    def renew(self) -> None:
        """Hold it for at least two thirds of a span from now. Raises LeaseLostError when it had ended."""
        started_s = time.monotonic()
        if (started_s - self._renewed_s) * 3_000 < self._lease_ms:
            return
        state = state_of(self._store.rows(_ROWS_SQL))
        if state.generation != self._generation or state.holder != self._holder or state.is_free:
            raise LeaseLostError("the migration lease ran out; another process may be migrating. Run it again")
        _write(self._store, self._generation, self._holder, self._lease_ms, f"renew-{uuid.uuid4()}")
        self._renewed_s = started_s

    def release(self) -> None:
        """Give it back."""
        _write(self._store, self._generation, self._holder, 0, f"release-{uuid.uuid4()}", released=True)


def _write(store: Store, generation: int, holder: str, lease_ms: int, token: str, *, released: bool = False) -> None:
    store.command(
        "INSERT INTO schema_leases (generation, holder, until_ms, released) VALUES "
        f"({generation}, '{holder}', toUnixTimestamp64Milli(now64(3)) + {lease_ms}, {str(released).lower()})",
        {"insert_deduplication_token": token, "insert_deduplicate": 1, "async_insert": 0},
    )


def try_acquire(store: Store, lease_ms: int = LEASE_MS) -> Lease | None:
    """The lease, or None when somebody has it. The table must exist. Raises StoreError."""
    state = state_of(store.rows(_ROWS_SQL))
    if not state.is_free:
        return None
    generation, holder = state.generation + 1, str(uuid.uuid4())
    _write(store, generation, holder, lease_ms, f"acquire-{generation}")
    now = state_of(store.rows(_ROWS_SQL))
    won = now.generation == generation and now.holder == holder and not now.is_free
    return Lease(store, generation, holder, lease_ms) if won else None


@contextmanager
def held(
    store: Store,
    cluster: Cluster | None = None,
    *,
    wait_s: float = 120.0,
    lease_ms: int = LEASE_MS,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[Lease]:
    """Hold the lease for the block. Raises LeaseHeldError after `wait_s`, StoreError."""
    for statement in render(LEASES, cluster):
        store.command(statement)
    deadline = clock() + wait_s
    while (lease := try_acquire(store, lease_ms)) is None:
        if clock() >= deadline:
            raise LeaseHeldError(
                f"another process has been changing the schema for over {wait_s:g} s; wait for it, or see who it is "
                "in the table schema_leases"
            )
        sleep(PAUSE_S)
    try:
        yield lease
    finally:
        lease.release()
