"""A database filled as the platform fills it: records decoded and judged by the raw sink's code, rolled up by the
worker's, and inserted by the sinks' client. Only Kafka and the clocks are left out."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa

from tokentide_schemas import topics
from tokentide_schemas.arrow import table_from_events
from tokentide_schemas.catalogue import load_catalogue
from tokentide_schemas.cubes import CUBES, stored_cubes
from tokentide_schemas.envelope import CONTENT_TYPE_ARROW, Record, encode_arrow, headers_for
from tokentide_schemas.event import UsageEvent
from tokentide_schemas.event_ids import Delivered
from tokentide_sinks.catalogue_loader import load_into_store
from tokentide_sinks.migrate import migrate
from tokentide_sinks.rows import dead_letter_rows, event_rows, judge, ledger_rows
from tokentide_sinks.store import Store
from tokentide_stream.partition import PartitionState
from tokentide_stream.publish import partials

EPOCH = "seed"
LATENESS_S = 120


def at_ms(text: str) -> int:
    """Milliseconds since 1970 of an ISO time in UTC."""
    return int(dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC).timestamp() * 1000)


def usage_event(number: int, **fields: Any) -> UsageEvent:
    """A complete event; `number` makes its id. `fields` replace the defaults."""
    plain: dict[str, Any] = {
        "event_id": uuid.UUID(int=(7 << 76) | (2 << 62) | (number + 1)),
        "occurred_at": "2026-11-16T10:00:00Z",
        "request_model": "openai/gpt-5",
        "model": "openai/gpt-5",
        "provider": "openai",
        "input_uncached_tokens": 0,
        "output_tokens": 0,
        "usage_reported": True,
        "outcome": "ok",
    }
    return UsageEvent(**{**plain, **fields})


def record(
    partition: int,
    offset: int,
    events: Sequence[UsageEvent],
    appended_at_ms: int,
    identity: tuple[str, int] | None = None,
) -> Record:
    """The record that a producer would have sent."""
    producer, sequence = identity or (f"producer-{partition}", offset)
    headers = dict(headers_for(CONTENT_TYPE_ARROW, len(events), producer, sequence))
    return Record(partition, offset, appended_at_ms, encode_arrow(table_from_events(events)), headers)


def prepare(store: Store, now_ms: int) -> None:
    """Tables, views and the shipped catalogue."""
    migrate(store)
    load_into_store(store, load_catalogue(()), (), now_ms)


def fill(store: Store, records: Iterable[Record], now_ms: int) -> None:
    """Store the records' rows and rollups."""
    by_partition: dict[int, list[Record]] = {}
    for item in records:
        by_partition.setdefault(item.partition, []).append(item)
    watermarks: list[Mapping[str, Any]] = []
    for partition, batch in by_partition.items():
        judged = judge(batch, Delivered(), None)
        _insert(store, "events", event_rows(judged, topics.USAGE, partition, now_ms))
        _insert(store, "ingest_ledger", ledger_rows(judged, topics.USAGE, EPOCH, partition, now_ms))
        _insert(store, "dead_letters", dead_letter_rows(judged, topics.USAGE, EPOCH, partition, now_ms))
        state = PartitionState(CUBES, LATENESS_S)
        rollups: dict[str, list[pa.Table]] = {}
        for item in batch:
            # A flush between two records closes windows in between, as it does in the worker.
            state.apply([item])
            for table, rows in _flushed(state, partition, now_ms):
                rollups.setdefault(table, []).append(rows)
        for table, pieces in rollups.items():
            _insert(store, table, pa.concat_tables(pieces).unify_dictionaries().combine_chunks())
        watermarks.append(
            {
                "topic": topics.USAGE,
                "epoch": EPOCH,
                "partition": partition,
                "applied_offset": state.applied_offset,
                "published_offset": state.applied_offset,
                "watermark": dt.datetime.fromtimestamp(state.watermark_ms / 1000, dt.UTC),
                "published_watermark": dt.datetime.fromtimestamp(state.watermark_ms / 1000, dt.UTC),
                "applied_events": state.applied_events,
                "emitted_at": dt.datetime.fromtimestamp(now_ms / 1000, dt.UTC),
            }
        )
    _insert(store, "stream_watermarks", pa.Table.from_pylist([dict(row) for row in watermarks]))


def _flushed(state: PartitionState, partition: int, now_ms: int) -> Iterator[tuple[str, pa.Table]]:
    changes = state.flush()
    for cube in stored_cubes(CUBES):
        rows = changes.rows.get(cube.name)
        if rows is not None and len(rows):
            yield (
                cube.partials_table,
                partials(cube, rows, epoch=EPOCH, partition=partition, version=changes.version, emitted_at_ms=now_ms),
            )


def _insert(store: Store, table: str, rows: pa.Table) -> None:
    if rows.num_rows:
        store.insert(table, rows)
