"""Workers that die between any two writes, hang, and hand partitions over: what they publish is the oracle's."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import event as note
from hypothesis import given
from hypothesis import strategies as st
from tests.stream.builders import T0_MS, event, record
from tests.stream.cluster import Broker, Cluster
from tests.stream.oracle import Logged, account, plain
from tests.stream.replacing import ReplacingTable
from tests.stream.worlds import CUBES, GROUPINGS, PartitionLog, World, cases, worlds

from tokentide_schemas.cubes import MEASURE_NAMES, Cube
from tokentide_schemas.rollups import HEADER_KIND, KIND_PARTIALS, KIND_PROGRESS, Progress, decode_partials
from tokentide_stream import checkpoint_parts

BY_NAME = {cube.name: cube for cube in CUBES}
KINDS = ("read", "read", "read", "read on", "tick", "tick", "finish", "fuse", "fuse", "kill", "move", "steal")
PART_BYTES = st.sampled_from([checkpoint_parts.PART_BYTES, 900])
"""Checkpoints in one record, and in several."""
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
@given(worlds(max_partitions=2, max_records=9), STEPS, st.integers(0, 999), PART_BYTES)
def test_what_workers_publish_equals_the_oracle_wherever_they_die(
    world: World, steps: list[tuple[str, int, int, int]], order: int, part_bytes: int
) -> None:
    async def live() -> Cluster:
        cluster = Cluster(world)
        for kind, index, partition, amount in steps:
            await cluster.step(kind, index, partition, amount)
        await cluster.complete()
        return cluster

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoint_parts, "PART_BYTES", part_bytes)
        cluster = asyncio.run(live())
    note(f"crashes: {min(cluster.crashes, 3)}")
    assert_equals_the_oracle(cluster.broker, order)


def assert_equals_the_oracle(broker: Broker, order: int = 0) -> None:
    """Rows in any order of arrival, progress reports, and what is left to deliver after a clean stop."""
    world = broker.world
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


def small_log() -> PartitionLog:
    """Four records, two of them the same envelope, each minute's window closed by the next."""
    records, facts = [], []
    for offset, minute, identity in ((0, 0, ("gw", 1)), (1, 1, None), (2, 5, ("gw", 1)), (3, 5, ("gw", 2))):
        happened = event(T0_MS + minute * 60_000)
        records.append(record(offset, happened, identity=identity))
        producer, sequence = identity or (None, None)
        facts.append(Logged(offset, happened["occurred_ms"], producer, sequence, (happened,)))
    return PartitionLog(0, tuple(records), tuple(facts))


@pytest.mark.parametrize("write_before_death", [False, True])
@pytest.mark.parametrize(("part_bytes", "fuse"), [*((1 << 20, n) for n in range(14)), *((900, n) for n in range(28))])
@pytest.mark.parametrize("generations", [1, 2])
def test_a_checkpoint_may_be_cut_after_any_write_in_any_generation(
    generations: int, part_bytes: int, fuse: int, write_before_death: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint_parts, "PART_BYTES", part_bytes)

    async def live() -> Cluster:
        cluster = Cluster(World(0, (small_log(),)))
        for generation in range(generations):
            await cluster.step("read", 0, 0, 0)
            if generation == generations - 1:
                outlet = cluster.members[0].outlet
                outlet.fuse, outlet.write_before_death = fuse, write_before_death
                await cluster.step("read", 0, 0, 0)
            await cluster.step("finish", 0, 0, 0)
            cluster.replace(0, 0)
        await cluster.complete()
        return cluster

    assert_equals_the_oracle(asyncio.run(live()).broker)


@pytest.mark.parametrize("furthest_first", [False, True])
def test_recovery_takes_the_furthest_checkpoint_whatever_the_order_of_the_keys(furthest_first: bool) -> None:
    async def live() -> Cluster:
        cluster = Cluster(World(0, (small_log(),)))
        written: list[bytes] = []
        for _ in range(2):
            await cluster.step("read", 0, 0, 0)
            await cluster.step("finish", 0, 0, 0)
            written += cluster.broker.checkpoints[0].values()
        if furthest_first:
            written.reverse()
        cluster.broker.checkpoints[0] = {b"0/%d" % i: value for i, value in enumerate(written)}
        cluster.replace(0, 0)
        await cluster.complete()
        return cluster

    assert_equals_the_oracle(asyncio.run(live()).broker)


@pytest.mark.parametrize("fuse", range(12))
def test_a_partition_that_left_and_came_back_keeps_a_whole_checkpoint_at_any_moment(
    fuse: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint_parts, "PART_BYTES", 900)

    async def live() -> Cluster:
        cluster = Cluster(World(0, (small_log(),)))
        member = cluster.members[0]
        # The same process: its keys are those of the checkpoint that it recovers.
        for _ in range(2):
            await cluster.step("read", 0, 0, 0)
            await cluster.step("finish", 0, 0, 0)
            member.worker.drop([0])
        member.outlet.fuse, member.outlet.write_before_death = fuse, False
        await cluster.step("read", 0, 0, 0)
        await cluster.step("finish", 0, 0, 0)
        assert cluster.broker.furthest_checkpoint(0) >= 1
        cluster.replace(0, 0)
        await cluster.complete()
        return cluster

    assert_equals_the_oracle(asyncio.run(live()).broker)
