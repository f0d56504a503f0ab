"""A store process with this version's tables, and events put into it as the sinks and the worker would."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from store.conftest import StoreProcess
from tokentide_schemas import topics
from tokentide_schemas.arrow import table_from_events
from tokentide_schemas.block import Block
from tokentide_schemas.catalogue import Catalogue, load_catalogue
from tokentide_schemas.clickhouse import statements
from tokentide_schemas.costing import with_computed_costs
from tokentide_schemas.cubes import CUBES, MEASURES_BY_NAME, Cube, stored_cubes
from tokentide_schemas.dimensions import dimension_sql
from tokentide_schemas.event import UsageEvent
from tokentide_sinks.store import Store

EPOCH = "epoch-1"
OWN = """
authors:
  - {{id: maker, name: Maker, origin: rest_of_world}}
providers:
  - {{id: host, name: Host}}
models:
  - {{id: maker/one, name: One, open_weights: true, reasoning: false, context_length_tokens: 8000,
     release_date: 2025-01-01, total_parameters_billion: 7, aliases: [uno]}}
prices:
  - {{provider: host, model: maker/one, valid_from: 2026-01-01, confidence: list, source: test,
     usd_per_million_tokens: {{input_uncached: "{price}", input_cache_read: "0.000000123", output: "2.5"}},
     usd_per_request: "0.001", usd_per_tool_call: "0.0005",
     tiers: [{{above_input_tokens: 1000, usd_per_million_tokens: {{input_uncached: "4.000000001", output: "5"}}}}],
     free_periods: [{{start: "2026-01-10T00:00:00Z", end: "2026-01-11T00:00:00Z"}}]}}
"""


def own_catalogue(folder: Path, price: str) -> Catalogue:
    """The shipped catalogue and one model more, at `price` USD for a million prompt tokens."""
    path = folder / f"{uuid.uuid4().hex}.yaml"
    path.write_text(OWN.format(price=price))
    return load_catalogue([path])


def usage(**changes: Any) -> UsageEvent:
    """An event of the own model at the own provider."""
    fields = {
        "event_id": str(uuid.uuid4()),
        "occurred_at": "2026-01-05T10:00:30Z",
        "request_model": "maker/one",
        "model": "maker/one",
        "provider": "host",
        "input_uncached_tokens": 100,
        "output_tokens": 10,
        "usage_reported": True,
        "outcome": "ok",
    }
    return UsageEvent.model_validate({**fields, **changes})


class World:
    """One store; each test gets a fresh database."""

    def __init__(self, process: StoreProcess) -> None:
        self.process = process
        self.store = Store(f"http://tokentide@127.0.0.1:{process.port}/tokentide")
        self._next_offset = 0
        for statement in statements(CUBES):
            self.store.command(statement)

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """Rows of a query."""
        return [tuple(row) for row in self.store.rows(sql)]

    def value(self, sql: str) -> Any:
        """The first value of a query's first row."""
        return self.rows(sql)[0][0]

    def empty(self) -> None:
        """Remove the events and everything that follows from them."""
        kept = ("schema_migrations",)
        for (name,) in self.rows(
            "SELECT name FROM system.tables WHERE database = 'tokentide' AND engine LIKE '%MergeTree'"
        ):
            if name not in kept and not name.startswith("catalogue"):
                self.store.command(f"TRUNCATE TABLE {name}")
        self._next_offset = 0

    def put(
        self,
        events: Sequence[UsageEvent],
        pricer: Catalogue | None = None,
        *,
        ledger: bool = True,
        epoch: str = EPOCH,
        offset: int | None = None,
        age_s: int = 0,
    ) -> int:
        """Store events as one record of partition 0, priced by `pricer`, `age_s` ago; returns the record's offset."""
        table = table_from_events(events)
        rows = table.num_rows
        block = Block(table, np.zeros(rows, np.int32), (rows,), ((),))
        if pricer is not None:
            block = with_computed_costs(block, pricer)
        offset, now_ms = self._next_offset if offset is None else offset, int(time.time() * 1000) - age_s * 1000
        self._next_offset = offset + 1
        instant = pa.timestamp("ms", "UTC")
        table = block.table
        for name, column in {
            "ingested_at": pa.array([now_ms] * rows).cast(instant),
            "kafka_topic": pa.array([topics.USAGE] * rows),
            "kafka_partition": pa.array([0] * rows, pa.uint16()),
            "kafka_offset": pa.array([offset] * rows, pa.uint64()),
            "producer_id": pa.array([""] * rows),
            "producer_sequence": pa.nulls(rows, pa.uint64()),
        }.items():
            table = table.append_column(name, column)
        self.store.insert("events", table)
        if ledger:
            self.put_ledger(offset, rows, epoch, age_s)
        return offset

    def put_ledger(self, offset: int, events: int, epoch: str = EPOCH, age_s: int = 0) -> None:
        """Say in the ledger that a record is stored."""
        then = f"now64(3) - INTERVAL {age_s} SECOND"
        self.store.command(
            "INSERT INTO ingest_ledger (topic, epoch, partition, offset, appended_at, producer_id, events, admitted, "
            f"stored_events, duplicate_events, rejected_events, recorded_at) VALUES ('{topics.USAGE}', '{epoch}', 0, "
            f"{offset}, {then}, '', {events}, true, {events}, 0, 0, {then})"
        )

    def roll_up(self, cubes: Sequence[Cube] = CUBES, version: int = 1) -> None:
        """What the worker publishes for the events as they are now, and that it has applied all of them."""
        for cube in stored_cubes(cubes):
            window = f"toStartOfInterval(toDateTime(e.occurred_at, 'UTC'), INTERVAL {cube.window_s} SECOND)"
            dimensions = ", ".join(f"{dimension_sql(d, 'e')} AS {d}" for d in cube.dimensions)
            sums = ", ".join(f"toInt64({MEASURES_BY_NAME[name].sql}) AS {name}_" for name in cube.measures)
            keys = ", ".join(("window_start", *cube.dimensions))
            measures = ", ".join(cube.measures)
            self.store.command(
                f"INSERT INTO {cube.partials_table} ({keys}, source_epoch, source_partition, segment, version, "
                f"{measures}, emitted_at) SELECT {keys}, '{EPOCH}', 0, 0, {version}, "
                f"{', '.join(f'{name}_' for name in cube.measures)}, now64(3) FROM (SELECT {window} AS window_start, "
                f"{dimensions}, {sums} FROM events AS e GROUP BY {keys})"
            )
        self.store.command(
            "INSERT INTO stream_watermarks (topic, epoch, partition, applied_offset, watermark, applied_events, "
            f"emitted_at) SELECT '{topics.USAGE}', '{EPOCH}', 0, max(kafka_offset), max(occurred_at), count(), "
            "now64(3) FROM events"
        )


@contextmanager
def running_world(folder: Path) -> Iterator[World]:
    """A world on a store process of its own."""
    process = StoreProcess(folder)
    try:
        yield World(process.start())
    finally:
        process.stop()
