"""Verification's SQL against the worker's own rows, for every shipped cube and tier, in a real ClickHouse."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.schemas.embedded import ask

from tokentide_deploy.verify import sql
from tokentide_schemas.arrow import EVENT_SCHEMA, column_array
from tokentide_schemas.clickhouse import statements
from tokentide_schemas.cubes import CUBES, Cube, stored_cubes
from tokentide_schemas.dimensions import DERIVED, OTHER
from tokentide_schemas.envelope import CONTENT_TYPE_ARROW, Record, encode_arrow, headers_for
from tokentide_schemas.event import UsageEvent, default_of
from tokentide_stream.partition import PartitionState
from tokentide_stream.publish import partials

START_MS = 1_790_000_040_000
LIMITED = Cube("limited", ("app", "model"), limits=(("app", 4),), tiers=(3_600,))
CONFIGURED = (*CUBES, LIMITED)
LABELS = {
    "model": 6,
    "provider": 3,
    "category": 4,
    "app": 9,
    "tenant": 5,
    "country": 0,
    "finish_reason": 2,
}


def table(rng: np.random.Generator, occurred_ms: np.ndarray) -> pa.Table:
    """Random events with unknown numbers, own keys, unlabelled requests and odd weights."""
    n = len(occurred_ms)
    arrays = []
    for field in EVENT_SCHEMA:
        name = field.name
        required = UsageEvent.model_fields[name].is_required()
        if name == "event_id":
            values: Any = [rng.bytes(16) for _ in range(n)]
        elif name == "occurred_at":
            arrays.append(pa.array(occurred_ms).cast(field.type))
            continue
        elif name == "country":
            values = rng.choice(["US", "DE", ""], n).tolist()
        elif name == "outcome":
            values = rng.choice(["ok", "error"], n).tolist()
        elif name == "finish_reason":
            values = rng.choice(["stop", "tool_calls"], n).tolist()
        elif name in LABELS:
            values = [f"{name}-{i}" if i or name == "model" else "" for i in rng.integers(0, LABELS[name], n)]
            values = [value or ("x" if name == "provider" else "") for value in values]
        elif name == "request_model":
            values = ["asked"] * n
        elif name == "category_weight":
            values = rng.choice([1.0, 2.5, 0.0005, 33.3335], n).tolist()
        elif name in ("latency_ms", "time_to_first_token_ms", "cost_nanousd"):
            values = [None if rng.random() < 0.2 else int(v) for v in rng.integers(0, 90_000, n)]
        elif pa.types.is_boolean(field.type):
            values = (rng.random(n) < 0.8).tolist()
        elif name.endswith("_tokens"):
            values = rng.integers(0, 70_000, n).tolist()
        else:
            assert not required, name
            values = [default_of(name)] * n
        arrays.append(column_array(values, field.type))
    return pa.Table.from_arrays(arrays, schema=EVENT_SCHEMA)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A directory for ClickHouse, and the statements that fill it with events and with what two partitions publish."""
    folder = tmp_path_factory.mktemp("world")
    fill = statements(CONFIGURED)
    columns = [f.name for f in EVENT_SCHEMA if f.name not in ("event_id", "session_hash", "user_hash", "api_key_hash")]
    rows: dict[str, list[pa.Table]] = {}
    for partition in (0, 1):
        rng = np.random.default_rng(partition)
        state = PartitionState(CONFIGURED, 60)
        published = []
        for offset in range(30):
            now_ms = START_MS + offset * 40_000
            events = table(rng, now_ms - rng.choice([0, 0, 0, 20_000, 500_000], 50))
            rows.setdefault("events", []).append(events.select(columns))
            headers = dict(headers_for(CONTENT_TYPE_ARROW, 50, f"p{partition}", offset))
            state.apply([Record(partition, offset, now_ms, encode_arrow(events), headers)])
            if offset % 7 == 0 or offset == 29:
                published.append(state.flush())
        for changes in published:
            for cube in stored_cubes(CONFIGURED):
                if cube.name in changes.rows:
                    one = partials(
                        cube,
                        changes.rows[cube.name],
                        epoch="e",
                        partition=partition,
                        version=changes.version,
                        emitted_at_ms=START_MS,
                    )
                    rows.setdefault(cube.partials_table, []).append(one)
    for name, tables in rows.items():
        pq.write_table(pa.concat_tables(tables).unify_dictionaries(), folder / f"{name}.parquet")
        names = ", ".join(tables[0].column_names)
        source = f"file('{folder}/{name}.parquet', Parquet)"
        given, more = (f"{names}, event_id", ", generateUUIDv4()") if name == "events" else (names, "")
        fill.append(f"INSERT INTO {name} ({given}) SELECT {names}{more} FROM {source}")
    return folder / "chdb", fill


def test_every_cube_and_tier_equals_its_raw_events_and_a_lost_row_is_found(world: tuple[Path, list[str]]) -> None:
    directory, fill = world
    everything = sql.Span()
    stored = stored_cubes(CONFIGURED)
    questions = []
    for cube in stored:
        without = ("app",) if cube.name.startswith("limited") else ()
        questions.append(sql.differences(cube, sql.Span(without=without), 20))
    flags = [sql.folded(cube, everything) for cube in stored if cube.guarded]
    counted = [sql.windows(cube, everything) for cube in stored]
    by_app = sql.differences(LIMITED, everything, 20)
    views = [f"SELECT sum(requests) AS n FROM {name}" for cube in CONFIGURED for name in cube.views]
    quantile = (
        "SELECT quantileExactWeighted(0.95)(assumeNotNull(latency_ms_estimate), toUInt64(requests)) AS q "
        "FROM rollup_latency_1m WHERE latency_ms_bucket >= 0"
    )
    exact = "SELECT quantileExact(0.95)(assumeNotNull(latency_ms)) AS q FROM events WHERE latency_ms IS NOT NULL"
    lose = [
        f"DELETE FROM {cube.partials_table} WHERE window_start = (SELECT min(window_start) FROM {cube.partials_table})"
        for cube in stored
    ]
    asked = [*fill, *questions, *flags, *counted, by_app, *views, quantile, exact, *lose, *questions]
    answers = ask(directory, asked)[len(fill) :]

    def take(count: int) -> list[list[dict[str, Any]]]:
        nonlocal answers
        taken, answers = answers[:count], answers[count:]
        return taken

    for cube, rows in zip(stored, take(len(stored)), strict=True):
        assert rows == [], cube.name
    for cube, (row,) in zip([c for c in stored if c.guarded], take(len(flags)), strict=True):
        folded = [name for name, flag in zip(cube.guarded, row.values(), strict=True) if flag]
        assert folded == (["app"] if cube.name.startswith("limited") else []), cube.name
    assert all(next(iter(row.values())) > 0 for (row,) in take(len(stored)))
    (compared_by_app,) = take(1)
    assert any(OTHER in row.values() for row in compared_by_app)
    assert {row["n"] for (row,) in take(len(views))} == {3_000}
    ((estimated,), (truth,)) = take(2)
    assert abs(estimated["q"] - truth["q"]) <= 0.05 * truth["q"]
    take(len(lose))
    for cube, rows in zip(stored, take(len(stored)), strict=True):
        assert rows, cube.name


def test_a_derived_dimension_is_compared_as_the_number_that_it_is() -> None:
    (speed,) = [cube for cube in CUBES if cube.name == "output_speed"]
    assert DERIVED["output_tokens_per_s_bucket"].sql in sql.grouped_raw(speed, sql.Span())
