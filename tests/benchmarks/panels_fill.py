"""Fills a store with traffic of many months and what the platform derives from it. The load of `panels.py`.

Raw events come from the simulator's model and go through the sinks' client, day by day with the study's growth. Rollups
are the GROUP BY that the stream worker's rows equal, a row for each source partition, in as many inserts as leave
several parts; the newest days come hour by hour, some rows in two versions.
"""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np
import pyarrow as pa

from tokentide_producers.event_ids import EventIds
from tokentide_producers.history.scenario import Scenario
from tokentide_producers.traffic_model import TrafficModel
from tokentide_schemas.catalogue import Catalogue, load_catalogue
from tokentide_schemas.cubes import CUBES, DAY_S, HOUR_S, MEASURES_BY_NAME, Cube, stored_cubes
from tokentide_schemas.dimensions import dimension_sql
from tokentide_schemas.user_tables import CHUNK_RECORDS
from tokentide_sinks.catalogue_loader import load_into_store
from tokentide_sinks.migrate import migrate
from tokentide_sinks.store import Store

DAY_MS: Final = DAY_S * 1000
HOUR_MS: Final = HOUR_S * 1000
DAYS_PER_MONTH: Final = 30.5
EVENTS_PER_ENVELOPE: Final = 500
MAX_INSERT_ROWS: Final = 250_000
TIER_PIECE_DAYS: Final = 4
FRESH_DAYS: Final = 2
"""Days at the end that are stored hour by hour."""
SAMPLE_DAYS: Final = 14
USERS: Final = 300_000
EPOCH: Final = "bench"
TOPIC: Final = "tokentide.usage"
Report = Callable[[str, float], None]
"""Called with what is being made, and how much of it is done (0 to 1)."""


@dataclass(frozen=True, slots=True)
class Load:
    """What to fill. end_ms: the newest event lies just before it. minute_days, hour_days: how far back they reach."""

    events: int
    months: int
    end_ms: int
    partitions: int = 4
    minute_days: int = 90
    hour_days: int = 100_000

    @property
    def start_ms(self) -> int:
        """Midnight (UTC) of the first day."""
        return int(self.end_ms - self.months * DAYS_PER_MONTH * DAY_MS) // DAY_MS * DAY_MS


@dataclass(frozen=True, slots=True)
class Span:
    """From start_ms to before end_ms."""

    start_ms: int
    end_ms: int

    def pieces(self, length_ms: int) -> Iterator[Span]:
        """Cut where `length_ms` since 1970 is full."""
        start = self.start_ms
        while start < self.end_ms:
            end = min((start // length_ms + 1) * length_ms, self.end_ms)
            yield Span(start, end)
            start = end


def fill(store: Store, load: Load, report: Report, done: set[str], finished: Callable[[str], None]) -> None:
    """Everything, in order, without the steps in `done`; `finished` is called after each. Raises StoreError."""
    migrate(store)
    catalogue = load_catalogue(())
    load_into_store(store, catalogue, (), load.end_ms)
    users = ("user_months", "users_1d", "user_requests_1d", "ingest_ledger")
    samples = ("pipeline_samples", "dead_letters", "stream_watermarks")
    steps: list[tuple[str, Sequence[str], Callable[[], None]]] = [
        ("events", ("events",), lambda: _fill_events(store, load, catalogue, report)),
        *(
            (
                cube.name,
                [part.partials_table for part in stored_cubes([cube])],
                partial(_fill_cube, store, load, cube, report),
            )
            for cube in CUBES
        ),
        ("users", users, lambda: _fill_users(store, load, report)),
        ("pipeline", samples, lambda: _fill_pipeline(store, load)),
    ]
    for name, tables, step in steps:
        if name not in done:
            for table in tables:
                store.command(f"TRUNCATE TABLE {table}")
            step()
            finished(name)


def days(load: Load) -> list[tuple[Span, int]]:
    """Each day with its number of events, which grow as the study's traffic did."""
    spans = list(Span(load.start_ms, load.end_ms).pieces(DAY_MS))
    scenario = Scenario(load_catalogue(()))
    offset = scenario.end - dt.datetime.fromtimestamp(load.end_ms / 1000, dt.UTC).date()
    weights = [
        scenario.value("volume", dt.datetime.fromtimestamp(span.start_ms / 1000, dt.UTC).date() + offset)
        * (span.end_ms - span.start_ms)
        for span in spans
    ]
    ends = np.cumsum(weights)
    counts = np.diff(np.round(ends / ends[-1] * load.events).astype(np.int64), prepend=0)
    return list(zip(spans, counts.tolist(), strict=True))


def _fill_events(store: Store, load: Load, catalogue: Catalogue, report: Report) -> None:
    model = TrafficModel(catalogue, dt.datetime.fromtimestamp(load.end_ms / 1000, dt.UTC))
    rng, ids = np.random.default_rng(7), EventIds(1)
    done = envelopes = 0
    # One insert is under way while the next block is drawn.
    with ThreadPoolExecutor(1) as pool:
        waiting: Future[None] = pool.submit(lambda: None)
        for span, count in days(load):
            for first in range(0, count, MAX_INSERT_ROWS):
                rows = min(MAX_INSERT_ROWS, count - first)
                length = span.end_ms - span.start_ms
                start, end = (span.start_ms + length * at // count for at in (first, first + rows))
                batch = model.generate(rows, rng, start, end - start, f"gateway-{envelopes % 4}", ids)
                table = _with_loyal_users(pa.Table.from_batches([batch]), rng)
                block = _with_origin(table, load.partitions, envelopes)
                envelopes += -(-rows // EVENTS_PER_ENVELOPE)
                waiting.result()
                waiting = pool.submit(store.insert, "events", block, f"events-{done}")
                done += rows
                report("raw events", done / load.events)
        waiting.result()


def _with_loyal_users(table: pa.Table, rng: np.random.Generator) -> pa.Table:
    """Each model has users of its own, few of whom are busy, and shares a thousand with all others. The simulator draws
    users without looking at the model: after a year everybody would have used every model."""
    model = table.column("model").unify_dictionaries().combine_chunks()
    codes = model.indices.to_numpy().astype(np.uint64)
    requests = np.bincount(codes.astype(np.int64), minlength=len(model.dictionary))
    population = np.maximum(100, USERS * requests / table.num_rows)[codes.astype(np.int64)]
    own = (population * rng.random(table.num_rows) ** 2.5).astype(np.uint64) + (codes + np.uint64(1) << np.uint64(32))
    user = np.where(rng.random(table.num_rows) < 0.1, rng.integers(0, 1000, table.num_rows).astype(np.uint64), own)
    mixed = user * np.uint64(0x9E3779B97F4A7C15)
    hashes = np.stack([mixed ^ (mixed >> np.uint64(29)), mixed * np.uint64(0xBF58476D1CE4E5B9)], axis=1)
    known = rng.random(table.num_rows) > 0.1
    column = pa.FixedSizeBinaryArray.from_buffers(
        pa.binary(16), table.num_rows, [None, pa.py_buffer((hashes * known[:, None].astype(np.uint64)).tobytes())]
    )
    place = table.schema.get_field_index("user_hash")
    return table.set_column(place, table.schema.field(place), column)


def _with_origin(table: pa.Table, partitions: int, first_envelope: int) -> pa.Table:
    rows = table.num_rows
    envelope = first_envelope + np.arange(rows) // EVENTS_PER_ENVELOPE
    partition, offset = envelope % partitions, envelope // partitions
    names = pa.array([f"producer-{number}" for number in range(partitions)])
    ingested = table.column("occurred_at").cast(pa.int64()).to_numpy() + 800
    columns = {
        "ingested_at": pa.array(ingested).cast(pa.timestamp("ms", "UTC")),
        "kafka_topic": pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, np.int32)), pa.array([TOPIC])),
        "kafka_partition": pa.array(partition.astype(np.uint16)),
        "kafka_offset": pa.array(offset.astype(np.uint64)),
        "producer_id": pa.DictionaryArray.from_arrays(pa.array(partition.astype(np.int32)), names),
        "producer_sequence": pa.array(offset.astype(np.uint64)),
    }
    for name, column in columns.items():
        table = table.append_column(name, column)
    return table


def _fill_cube(store: Store, load: Load, cube: Cube, report: Report) -> None:
    midnight = load.end_ms // DAY_MS * DAY_MS
    for part in (cube, *cube.tier_cubes):
        back = {60: load.minute_days, HOUR_S: load.hour_days}.get(part.window_s, 100_000)
        span = Span(max(load.start_ms, midnight - back * DAY_MS), load.end_ms)
        fresh = Span(max(span.start_ms, span.end_ms // DAY_MS * DAY_MS - FRESH_DAYS * DAY_MS), span.end_ms)
        length = (1 if part.window_s < HOUR_S else TIER_PIECE_DAYS) * DAY_MS
        pieces = [
            *Span(span.start_ms, fresh.start_ms).pieces(length),
            *fresh.pieces(max(HOUR_MS, part.window_s * 1000)),
        ]
        shorter = [tier for tier in cube.tier_cubes if tier.window_s < part.window_s]
        source = shorter[0] if shorter and midnight - load.hour_days * DAY_MS <= load.start_ms else None
        for number, piece in enumerate(pieces, start=1):
            if piece.start_ms >= fresh.start_ms:
                # An open window is stored again and again; the row with the highest version counts.
                half = Span(piece.start_ms, (piece.start_ms + piece.end_ms) // 2)
                store.command(_partials_sql(part, half, 0), _GROUPING)
            store.command(_summed_sql(part, source, piece) if source else _partials_sql(part, piece, 1), _GROUPING)
            report(part.partials_table, number / len(pieces))


_GROUPING: Final = {"max_bytes_before_external_group_by": 3_000_000_000, "max_insert_threads": 1}


def _keys(cube: Cube) -> list[str]:
    return ["window_start", *cube.dimensions, "source_epoch", "source_partition"]


def _partials_sql(cube: Cube, span: Span, version: int) -> str:
    keys = {
        "window_start": f"toDateTime(intDiv(toUnixTimestamp(occurred_at), {cube.window_s}) * {cube.window_s}, 'UTC')"
    }
    keys |= {name: dimension_sql(name, "e") for name in cube.dimensions}
    keys |= {"source_epoch": f"'{EPOCH}'", "source_partition": "kafka_partition"}
    sums = {name: MEASURES_BY_NAME[name].sql for name in cube.measures}
    selected = ", ".join(f"{sql} AS {name}" for name, sql in {**keys, **sums}.items())
    # A sum has the name of the column that it sums: inside, the column is meant.
    return (
        f"INSERT INTO {cube.partials_table} ({', '.join([*keys, *sums])}, segment, version, emitted_at) "
        f"SELECT {selected}, 0, {version}, now64(3) FROM events AS e "
        f"WHERE occurred_at >= fromUnixTimestamp64Milli({span.start_ms}, 'UTC') "
        f"AND occurred_at < fromUnixTimestamp64Milli({span.end_ms}, 'UTC') "
        f"GROUP BY {', '.join(keys.values())} SETTINGS prefer_column_name_to_alias = 1"
    )


def _summed_sql(cube: Cube, source: Cube, span: Span) -> str:
    """Longer windows from shorter ones, which have the same sums."""
    keys = _keys(cube)
    of_source = [f"toStartOfInterval(p.window_start, toIntervalSecond({cube.window_s}))", *(f"p.{k}" for k in keys[1:])]
    sums = ", ".join(f"sum(p.{name})" for name in cube.measures)
    return (
        f"INSERT INTO {cube.partials_table} ({', '.join([*keys, *cube.measures])}, segment, version, emitted_at) "
        f"SELECT {', '.join(of_source)}, {sums}, 0, 1, now64(3) FROM {source.partials_table} AS p FINAL "
        f"WHERE p.window_start >= {span.start_ms // 1000} AND p.window_start < {span.end_ms // 1000} "
        f"GROUP BY {', '.join(of_source)}"
    )


def _fill_users(store: Store, load: Load, report: Report) -> None:
    pieces = list(Span(load.start_ms, load.end_ms).pieces(TIER_PIECE_DAYS * DAY_MS))
    for number, piece in enumerate(pieces, start=1):
        rows = (
            f"FROM events WHERE occurred_at >= fromUnixTimestamp64Milli({piece.start_ms}, 'UTC') "
            f"AND occurred_at < fromUnixTimestamp64Milli({piece.end_ms}, 'UTC')"
        )
        known = f"{rows} AND user_hash != toFixedString('', 16)"
        for statement in (
            f"INSERT INTO user_months SELECT DISTINCT toStartOfMonth(occurred_at), model, user_hash {known}",
            "INSERT INTO users_1d SELECT toDate(occurred_at) AS day, model, uniqCombined64State(17)(user_hash) "
            f"{known} GROUP BY day, model",
            "INSERT INTO user_requests_1d SELECT toDate(occurred_at) AS day, model, kafka_topic, "
            f"'{EPOCH}', kafka_partition, intDiv(kafka_offset, {CHUNK_RECORDS}) AS chunk, count(), "
            f"countIf(user_hash = toFixedString('', 16)), max(kafka_offset) {rows} "
            "GROUP BY day, model, kafka_topic, kafka_partition, chunk",
            f"INSERT INTO ingest_ledger SELECT kafka_topic, '{EPOCH}', kafka_partition, kafka_offset, "
            "max(ingested_at), any(producer_id), any(producer_sequence), count(), true, min(occurred_at), count(), "
            f"0, 0, max(ingested_at), '' {rows} GROUP BY kafka_topic, kafka_partition, kafka_offset",
        ):
            store.command(statement, _GROUPING)
        report("users and ledger", number / len(pieces))


def _fill_pipeline(store: Store, load: Load) -> None:
    end_s = load.end_ms // 1000
    samples = SAMPLE_DAYS * DAY_S // 5
    store.command(
        f"INSERT INTO pipeline_samples SELECT {end_s} - number * 5, component, '{TOPIC}', partition, 1000 + number, "
        f"1000 + number, number % 7, number % 3000 FROM numbers({samples}) "
        f"ARRAY JOIN ['sink', 'stream', 'worker'] AS component ARRAY JOIN range({load.partitions}) AS partition",
        {"max_partitions_per_insert_block": 0},
    )
    store.command(
        "INSERT INTO dead_letters (topic, epoch, partition, offset, row, reason, detail, events, producer_id, "
        f"appended_at, rejected_at) SELECT '{TOPIC}', '{EPOCH}', number % {load.partitions}, number * 977, 0, "
        "['unreadable', 'invalid_value', 'too_large'][1 + number % 3], '', 1, 'producer-0', "
        f"fromUnixTimestamp64Milli({load.end_ms} - number * 600000, 'UTC'), "
        f"fromUnixTimestamp64Milli({load.end_ms} - number * 600000, 'UTC') FROM numbers(5000)",
        {"max_partitions_per_insert_block": 0},
    )
    end = f"fromUnixTimestamp64Milli({load.end_ms}, 'UTC')"
    store.command(
        f"INSERT INTO stream_watermarks SELECT '{TOPIC}', '{EPOCH}', number, 1000000, "
        f"{end}, {load.events}, {end}, 1000000, {end} FROM numbers({load.partitions})"
    )


def wait_for_merges(store: Store, timeout_s: float = 900.0) -> None:
    """Until the engine merges nothing any more. Raises TimeoutError."""
    deadline, quiet = time.monotonic() + timeout_s, 0
    while quiet < 5:
        quiet = 0 if store.rows("SELECT count() FROM system.merges")[0][0] else quiet + 1
        if time.monotonic() > deadline:
            raise TimeoutError(f"the store still merges after {timeout_s:g} s; use more time or fewer events")
        time.sleep(1)
