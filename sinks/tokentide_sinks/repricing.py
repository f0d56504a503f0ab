"""Correcting stored costs after a price fix: raw table first, then the rollups, exactly and repeatably.

Every step leaves a state from which the next run goes on: the mutation changes only rows that differ from the
catalogue, and a rollup's correction is absolute, so whatever a crash cut off is done by running again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pyarrow as pa

from tokentide_schemas.catalogue import Catalogue, split_variant
from tokentide_schemas.cubes import CUBES, Cube
from tokentide_sinks import repricing_sql as sql
from tokentide_sinks.store import Store

RECHECKS: Final = 5
"""How often a group that is still moving is looked at again, a second apart."""
IDLE_AFTER_MS: Final = 3_600_000
"""A partition this far behind the newest is idle: when all of it is counted, it does not hold the rest back."""
MAX_MS: Final = 2**62
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

Names = tuple[str, str, str]


class RepricingError(Exception):
    """The recomputation cannot be done, or not to its end."""


@dataclass(frozen=True, slots=True)
class Change:
    """Events of one provider and model that would move from one price row to another. Costs in nano-USD."""

    provider: str
    model: str
    old_version: str
    new_version: str
    first: datetime
    last: datetime
    events: int
    old_nanousd: int
    new_nanousd: int
    newly_known: int

    @property
    def delta_nanousd(self) -> int:
        """By how much the stored cost would grow."""
        return self.new_nanousd - self.old_nanousd


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a recomputation did. moving_groups: rollup groups left alone, as raw table and rollup hold other events."""

    run: int
    since: datetime
    until: datetime
    events: int
    delta_nanousd: int
    corrections: int
    moving_groups: int


def price_segments(catalogue: Catalogue, names: Iterable[Names]) -> list[dict[str, Any]]:
    """Rows of `repricing_prices` (without `run`) for each (provider, model, request_model) that has a price."""
    rows = []
    for provider, model, request_model in names:
        for price in catalogue.series(provider, model, split_variant(request_model)[1]):
            first_ms = _first_ms(price.valid_from)
            last_ms = MAX_MS if price.valid_until is None else _first_ms(price.valid_until) - 1
            if last_ms < first_ms:
                continue
            rows.append(
                {
                    "provider": provider,
                    "model": model,
                    "request_model": request_model,
                    "first_ms": first_ms,
                    "last_ms": last_ms,
                    "version": price.version,
                    "min_input_tokens": [tier.min_input_tokens for tier in price.tiers],
                    "nanousd_per_million": [n for tier in price.tiers for n in tier.nanousd_per_million_tokens],
                    "per_request_nanousd": price.per_request_nanousd,
                    "per_tool_call_nanousd": price.per_tool_call_nanousd,
                }
            )
    return rows


def _first_ms(instant: datetime) -> int:
    """The first millisecond that is not before `instant`."""
    return -(-((instant - _EPOCH) // timedelta(microseconds=1)) // 1000)


def selected(catalogue: Catalogue, names: Iterable[Names], provider: str | None, model: str | None) -> list[Names]:
    """The combinations that a command's --provider and --model mean; any name of either is understood."""
    wanted_provider = None if provider is None else catalogue.resolve_provider(provider)
    wanted_model = None if model is None else catalogue.resolve(model)
    return [
        (p, m, r)
        for p, m, r in names
        if wanted_provider in (None, catalogue.resolve_provider(p)) and wanted_model in (None, catalogue.resolve(m))
    ]


def aligned(since_ms: int, until_ms: int, window_s: int) -> tuple[int, int]:
    """The windows that the range touches, as seconds: start of the first, end of the last."""
    window_ms = window_s * 1000
    return since_ms // window_ms * window_s, -(-until_ms // window_ms) * window_s


class Repricer:
    """Compares and corrects the costs of one store by one catalogue.

    allowed_lateness_s: the worker's setting. say: gets a line for each step and while one is going on. Raises
    StoreError's subclasses and RepricingError.
    """

    def __init__(
        self,
        store: Store,
        catalogue: Catalogue,
        *,
        cubes: Sequence[Cube] = CUBES,
        allowed_lateness_s: int = 120,
        say: Callable[[str], None] = lambda _line: None,
        clock: Callable[[], float] = time.time,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._store = store
        self._catalogue = catalogue
        self._cubes = [cube for cube in cubes if sql.costs(cube)]
        self._lateness_s = allowed_lateness_s
        self._say = say
        self._clock = clock
        self._pause = pause

    def closed_until_ms(self) -> int:
        """Up to when windows can no longer change: now when everything that came is counted, else by watermark.

        Raises RepricingError while the worker has not reported on a partition that has events.
        """
        epoch = "(SELECT argMax(epoch, emitted_at) FROM stream_watermarks)"
        worker = {
            int(partition): (int(offset), int(watermark))
            for partition, offset, watermark in self._store.rows(
                "SELECT partition, max(applied_offset), toUnixTimestamp64Milli(max(watermark)) FROM stream_watermarks "
                f"WHERE epoch = {epoch} GROUP BY partition"
            )
        }
        raw = {
            int(partition): int(offset)
            for partition, offset in self._store.rows(
                f"SELECT partition, max(offset) FROM ingest_ledger WHERE epoch = {epoch} GROUP BY partition"
            )
        }
        now_ms = int(self._clock() * 1000)
        if all(worker.get(partition, (-1, 0))[0] >= offset for partition, offset in raw.items()):
            return now_ms // 60_000 * 60_000
        silent = sorted(set(raw) - set(worker))
        if silent:
            raise RepricingError(
                f"the stream worker has not reported on partition {', '.join(map(str, silent))}: wait until it has"
            )
        newest = max(watermark for _, watermark in worker.values())
        holding = [
            watermark
            for partition, (offset, watermark) in worker.items()
            if watermark >= newest - IDLE_AFTER_MS or offset < raw.get(partition, -1)
        ]
        return (min(holding) - self._lateness_s * 1000) // 60_000 * 60_000

    def check(
        self, since: datetime, until: datetime | None = None, provider: str | None = None, model: str | None = None
    ) -> list[Change]:
        """What the present catalogue would change in [since, until), largest first. Changes no cost."""
        since_ms, until_ms = _ms(since), int(self._clock() * 1000) if until is None else _ms(until)
        if self._prepare(since_ms, until_ms, provider, model) is None:
            return []
        return self._changes(since_ms, until_ms)

    def recompute(
        self, since: datetime, until: datetime | None = None, provider: str | None = None, model: str | None = None
    ) -> Outcome:
        """Correct raw costs in [since, until), then every rollup; `until` is cut to what no worker can change.

        Run again it changes nothing; after an interruption it goes on where that was.
        """
        closed_ms = self.closed_until_ms()
        since_ms, until_ms = _ms(since), closed_ms if until is None else _ms(until)
        if until_ms > closed_ms:
            self._say(f"windows after {_at(closed_ms):%Y-%m-%d %H:%M} UTC may still change: correcting up to there")
            until_ms = closed_ms
        if since_ms >= until_ms:
            raise RepricingError(
                f"nothing is closed since {since:%Y-%m-%d %H:%M} UTC: windows are closed up to "
                f"{_at(closed_ms):%Y-%m-%d %H:%M} UTC; give an earlier --since or wait"
            )
        self._wait_for_mutations()
        started_ms = int(self._clock() * 1000)
        unfinished = self._unfinished()
        run = self._prepare(since_ms, until_ms, provider, model)
        changes = [] if run is None else self._changes(since_ms, until_ms)
        run = run or self._next_run()
        events, delta = sum(c.events for c in changes), sum(c.delta_nanousd for c in changes)
        record = (since_ms, until_ms, events, delta)
        self._record(run, record, 0, started_ms, 0)
        if changes:
            self._say(f"correcting {events:,} raw events")
            self._store.command(sql.update(since_ms, until_ms), sql.UPDATE_SETTINGS)
            self._wait_for_mutations()
        first_ms = min([since_ms, *(row[1] for row in unfinished)])
        last_ms = max([until_ms, *(row[2] for row in unfinished if row[2] <= closed_ms)])
        corrections = moving = 0
        for cube in self._cubes:
            self._say(f"correcting the rollups of cube {cube.name}")
            done, left = self._correct(cube, first_ms, last_ms, run)
            corrections += done
            moving += left
        if not moving:
            for number, since_, until_ in ((run, since_ms, until_ms), *unfinished):
                self._record(
                    number, record if number == run else (since_, until_, 0, 0), corrections, started_ms, started_ms
                )
        return Outcome(run, _at(since_ms), _at(until_ms), events, delta, corrections, moving)

    def _changes(self, since_ms: int, until_ms: int) -> list[Change]:
        rows = self._store.rows(sql.changes(since_ms, until_ms))
        return [Change(r[0], r[1], r[2], r[3], _utc(r[4]), _utc(r[5]), *map(int, r[6:])) for r in rows]

    def _prepare(self, since_ms: int, until_ms: int, provider: str | None, model: str | None) -> int | None:
        """Bring the prices of all names in the traffic to the dictionary; None when nothing has a price."""
        seen = [(str(p), str(m), str(r)) for p, m, r in self._store.rows(sql.names_in_traffic(since_ms, until_ms))]
        rows = price_segments(self._catalogue, selected(self._catalogue, seen, provider, model))
        if not rows:
            return None
        self._say(
            f"comparing {len(seen):,} combinations of provider and model with catalogue {self._catalogue.version}"
        )
        run = self._next_run()
        types = {"min_input_tokens": pa.list_(pa.int64()), "nanousd_per_million": pa.list_(pa.int64())}
        texts = ("provider", "model", "request_model", "version")
        columns = {
            name: pa.array([row[name] for row in rows], pa.utf8() if name in texts else types.get(name, pa.int64()))
            for name in rows[0]
        }
        self._store.insert("repricing_prices", pa.table({"run": pa.array([run] * len(rows), pa.uint64()), **columns}))
        self._store.command("SYSTEM RELOAD DICTIONARY repricing")
        for (old,) in self._store.rows(f"SELECT DISTINCT run FROM repricing_prices WHERE run < {run}"):
            self._store.command(f"ALTER TABLE repricing_prices DROP PARTITION {int(old)}")
        return run

    def _next_run(self) -> int:
        newest = self._store.rows(
            "SELECT greatest((SELECT max(run) FROM repricing_prices), (SELECT max(run) FROM repricing_runs))"
        )[0][0]
        return max(int(self._clock() * 1000), int(newest) + 1)

    def _unfinished(self) -> list[tuple[int, int, int]]:
        rows = self._store.rows(
            "SELECT run, toUnixTimestamp64Milli(since), toUnixTimestamp64Milli(until) FROM repricing_runs FINAL "
            "WHERE finished_at = 0 ORDER BY run"
        )
        return [(int(run), int(since), int(until)) for run, since, until in rows]

    def _record(
        self, run: int, work: tuple[int, int, int, int], corrections: int, started_ms: int, finished_ms: int
    ) -> None:
        since_ms, until_ms, events, delta = work
        instant = pa.timestamp("ms", "UTC")
        row = {
            "run": pa.array([run], pa.uint64()),
            "catalogue_version": pa.array([self._catalogue.version]),
            "since": pa.array([since_ms]).cast(instant),
            "until": pa.array([until_ms]).cast(instant),
            "events": pa.array([events], pa.uint64()),
            "delta_nanousd": pa.array([delta], pa.int64()),
            "correction_rows": pa.array([corrections], pa.uint64()),
            "started_at": pa.array([started_ms]).cast(instant),
            "finished_at": pa.array([finished_ms]).cast(instant),
        }
        self._store.insert("repricing_runs", pa.table(row))

    def _correct(self, cube: Cube, since_ms: int, until_ms: int, run: int) -> tuple[int, int]:
        since_s, until_s = aligned(since_ms, until_ms, cube.window_s)
        done = left = 0
        for attempt in range(RECHECKS):
            flags = self._store.rows(sql.folded(cube, since_s, until_s))[0] if cube.guarded else ()
            folded = [name for name, flag in zip(cube.guarded, flags, strict=True) if flag]
            due, left = map(int, self._store.rows(sql.due(cube, since_s, until_s, folded))[0])
            if due:
                # A run's second attempt must win over its first.
                self._store.command(sql.correct(cube, since_s, until_s, run + attempt, folded))
                done += due
            if not left:
                break
            if attempt + 1 < RECHECKS:
                self._pause(1.0)
        for tier in cube.tier_cubes:
            start_s, end_s = aligned(since_s * 1000, until_s * 1000, tier.window_s)
            self._store.command(sql.correct_tier(cube, tier, start_s, end_s, run))
        return done, left

    def _wait_for_mutations(self) -> None:
        told = -1
        while True:
            unfinished, parts, failure = self._store.rows(sql.OPEN_MUTATIONS)[0]
            if not int(unfinished):
                return
            if failure:
                raise RepricingError(
                    f"a change of the raw table fails: {failure}; see system.mutations, and KILL MUTATION to give it up"
                )
            if int(parts) != told:
                told = int(parts)
                self._say(f"the raw table is being rewritten: {told} parts to go")
            self._pause(0.2)


def _ms(instant: datetime) -> int:
    return (instant - _EPOCH) // timedelta(milliseconds=1)


def _at(ms: int) -> datetime:
    return _EPOCH + timedelta(milliseconds=ms)


def _utc(value: datetime) -> datetime:
    return value if value.tzinfo is not None else value.replace(tzinfo=UTC)
