"""Workers that die between any two writes, hang, and hand partitions over: what they publish is the oracle's."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pyarrow as pa
from hypothesis import event as note
from hypothesis import given
from hypothesis import strategies as st
from tests.stream.cluster import Broker, Cluster
from tests.stream.oracle import account, plain
from tests.stream.replacing import ReplacingTable
from tests.stream.worlds import CUBES, GROUPINGS, World, cases, worlds

from tokentide_schemas.cubes import MEASURE_NAMES, Cube
from tokentide_schemas.rollups import HEADER_KIND, KIND_PARTIALS, KIND_PROGRESS, Progress, decode_partials

BY_NAME = {cube.name: cube for cube in CUBES}
KINDS = ("read", "read", "read", "read on", "tick", "tick", "finish", "fuse", "fuse", "kill", "move", "steal")
STEPS = st.lists(
    st.tuples(st.sampled_from(KINDS), st.integers(0, 1), st.integers(0, 1), st.integers(0, 7)), min_size=6, max_size=24
)


def rows_of_record(cube: Cube, table: pa.Table) -> list[tuple[tuple[Any, ...], int, dict[str, int]]]:
    rows = []
    for row in table.to_pylist():
        key = (int(row["window_start"].timestamp()), row["segment"], *(row[name] for name in cube.dimensions))
        rows.append((key, row["version"], {name: row[name] for name in MEASURE_NAMES}))
    return rows


def assert_progress_is_never_ahead_of_the_rows(broker: Broker, partition: int, lateness_s: int) -> None:
    """What a progress report covers is in the records before it."""
    facts = broker.world.partitions[partition].facts
    tables = {name: ReplacingTable() for name in BY_NAME}
    for headers, value in broker.rollups.get(partition, []):
        if headers[HEADER_KIND] == KIND_PARTIALS:
            cube, table = decode_partials(BY_NAME, headers, value)
            for key, version, values in rows_of_record(cube, table):
                tables[cube.name].insert(key, version, values)
        else:
            assert headers[HEADER_KIND] == KIND_PROGRESS
            report = Progress.model_validate_json(value)
            covered = account([f for f in facts if f.offset <= report.applied_offset], GROUPINGS, lateness_s)
            assert (report.watermark_ms, report.applied_events) == (covered.watermark_ms, covered.accepted)
            for name, totals in covered.totals.items():
                for key, total in totals.items():
                    published = tables[name].newest(key)
                    assert published is not None and published["requests"] >= total["requests"]


@cases(120)
@given(worlds(max_partitions=2, max_records=9), STEPS, st.integers(0, 999))
def test_what_workers_publish_equals_the_oracle_wherever_they_die(
    world: World, steps: list[tuple[str, int, int, int]], order: int
) -> None:
    async def live() -> Cluster:
        cluster = Cluster(world)
        for kind, index, partition, amount in steps:
            await cluster.step(kind, index, partition, amount)
        await cluster.complete()
        return cluster

    cluster = asyncio.run(live())
    broker = cluster.broker
    note(f"crashes: {min(cluster.crashes, 3)}")
    for log in world.partitions:
        truth = account(log.facts, GROUPINGS, world.lateness_s)
        tables = {name: ReplacingTable() for name in BY_NAME}
        arrivals = list(broker.rollups.get(log.number, []))
        random.Random(order).shuffle(arrivals)
        for headers, value in arrivals:
            if headers[HEADER_KIND] == KIND_PARTIALS:
                cube, table = decode_partials(BY_NAME, headers, value)
                for key, version, values in rows_of_record(cube, table):
                    tables[cube.name].insert(key, version, values)
        for name, table in tables.items():
            table.assert_versions_never_decrease()
            assert table.final() == plain(truth.totals[name])
        assert_progress_is_never_ahead_of_the_rows(broker, log.number, world.lateness_s)
        if log.records:
            # After a clean stop nothing is left to deliver again.
            assert broker.furthest_checkpoint(log.number) == log.records[-1].offset
            assert broker.committed.get(log.number, 0) == log.records[-1].offset + 1
