"""The worker's promises, one at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from tests.stream.builders import at
from tests.stream.cluster import Cluster, CrashError, Event
from tests.stream.worlds import PartitionLog, World

from tokentide_schemas.envelope import Record
from tokentide_schemas.rollups import HEADER_KIND, KIND_PARTIALS, KIND_PROGRESS
from tokentide_stream import checkpoint_parts
from tokentide_stream import worker as worker_module
from tokentide_stream.checkpoint import CheckpointError


def cluster_of(*records: Record) -> Cluster:
    return Cluster(World(60, (PartitionLog(0, records, ()),)))


def run(scenario: Callable[[Cluster], object], *records: Record) -> Cluster:
    cluster = cluster_of(*records)

    async def live() -> None:
        await scenario(cluster)  # type: ignore[misc]

    asyncio.run(live())
    return cluster


def kinds(cluster: Cluster) -> list[bytes]:
    return [headers[HEADER_KIND] for headers, _ in cluster.broker.rollups.get(0, [])]


def test_rows_come_before_the_progress_report_that_covers_them() -> None:
    async def scenario(cluster: Cluster) -> None:
        await cluster.members[0].read(0, 2)
        await cluster.members[0].worker.finish()

    cluster = run(scenario, at(0, 0), at(1, 1))
    assert kinds(cluster) == [KIND_PARTIALS, KIND_PARTIALS, KIND_PROGRESS]


def test_nothing_is_acknowledged_before_the_checkpoint_interval_is_over() -> None:
    async def scenario(cluster: Cluster) -> None:
        member = cluster.members[0]
        await member.read(0, 1)
        cluster.now_s += 1
        await member.worker.step()
        assert kinds(cluster) == [KIND_PARTIALS, KIND_PARTIALS, KIND_PROGRESS]
        assert cluster.broker.committed == {}
        cluster.now_s += 3
        await member.worker.step()
        assert cluster.broker.committed == {0: 1}

    run(scenario, at(0, 0))


def test_a_failed_write_of_rows_ends_the_step_without_checkpoint_or_acknowledgement() -> None:
    async def scenario(cluster: Cluster) -> None:
        member = cluster.members[0]
        await member.read(0, 1)
        member.outlet.fuse = 1
        with pytest.raises(CrashError):
            await member.worker.finish()

    cluster = run(scenario, at(0, 0))
    assert (cluster.broker.checkpoints.get(0), cluster.broker.committed) == (None, {})


def test_envelopes_that_the_recovered_checkpoint_includes_are_acknowledged_without_new_ones() -> None:
    async def scenario(cluster: Cluster) -> None:
        first = cluster.members[0]
        await first.read(0, 2)
        first.outlet.fuse, first.outlet.write_before_death = 3, True
        with pytest.raises(CrashError):
            await first.worker.finish()
        assert cluster.broker.furthest_checkpoint(0) == 1
        assert cluster.broker.committed == {}
        cluster.replace(0, 0)
        await cluster.members[0].read(0, 2)
        await cluster.members[0].worker.finish()
        assert cluster.broker.committed == {0: 2}
        assert cluster.members[0].worker.events_total == 0

    run(scenario, at(0, 0), at(1, 1))


def test_a_new_incarnation_removes_the_checkpoints_of_those_before_it_after_its_own() -> None:
    async def scenario(cluster: Cluster) -> None:
        await cluster.members[0].read(0, 1)
        await cluster.members[0].worker.finish()
        before = set(cluster.broker.checkpoints[0])
        cluster.replace(0, 0)
        await cluster.members[0].read(0, 1)
        await cluster.members[0].worker.finish()
        after = set(cluster.broker.checkpoints[0])
        assert len(before) == len(after) == 1 and before != after

    run(scenario, at(0, 0), at(1, 1))


def test_a_checkpoint_of_a_topic_that_was_made_anew_is_not_used() -> None:
    async def scenario(cluster: Cluster) -> None:
        await cluster.members[0].read(0, 1)
        await cluster.members[0].worker.finish()
        cluster.replace(0, 1)
        cluster.members[0].worker.epoch = "epoch-2"
        await cluster.members[0].read(0, 1)
        await cluster.members[0].worker.finish()
        assert cluster.members[0].worker.events_total == 1

    run(scenario, at(0, 0))


def test_a_partition_that_was_taken_away_leaves_nothing_behind() -> None:
    async def scenario(cluster: Cluster) -> None:
        member = cluster.members[0]
        await member.read(0, 2)
        member.revoke(0)
        await member.worker.finish()
        assert member.worker.status()["partitions"] == 0

    assert kinds(run(scenario, at(0, 0), at(1, 1))) == []


def test_a_checkpoint_of_more_parts_than_can_be_kept_is_said_before_anything_is_sent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(checkpoint_parts, "PART_BYTES", 10)
    monkeypatch.setattr(checkpoint_parts, "MAX_PARTS", 3)

    async def scenario(cluster: Cluster) -> None:
        await cluster.members[0].read(0, 1)
        with pytest.raises(CheckpointError, match=r"the checkpoint has \d+ bytes, at most 30 can be kept"):
            await cluster.members[0].worker.finish()

    broker = run(scenario, at(0, 0)).broker
    assert (broker.committed, broker.checkpoints.get(0)) == ({}, None)


def test_the_status_counts_events_lag_and_groups() -> None:
    async def scenario(cluster: Cluster) -> None:
        await cluster.members[0].worker.receive(Event(cluster.members[0], at(0, 0, 61)))
        cluster.now_s += 1
        await cluster.members[0].worker.step()
        assert cluster.members[0].worker.status() == {
            "applied_events_total": 2,
            "missing_offsets_total": 0,
            "lag_records": 1,
            "open_groups": 3,
            "late_events": 0,
            "duplicate_envelopes": 0,
            "folded_requests": 0,
            "partitions": 1,
            "checkpoint_age_s": 1.0,
            "checkpoint_bytes": 0,
            "watermark_age_s": 0.0,
        }

    run(scenario, at(0, 0, 61), at(1, 2))


@pytest.mark.parametrize(
    ("read_before", "delivered"),
    [((), (2,)), ((), (0, 2)), ((0,), (2,)), ((0,), (1, 3))],
    ids=["at the beginning", "within the first batch", "after a checkpoint", "within a later batch"],
)
def test_a_record_that_was_passed_over_ends_the_worker(
    read_before: tuple[int, ...], delivered: tuple[int, ...]
) -> None:
    records = [at(0, 0), at(1, 1), at(2, 2), at(3, 3)]

    async def scenario(cluster: Cluster) -> None:
        worker = cluster.members[0].worker
        for batch in filter(None, (read_before, delivered)):
            for offset in batch:
                await worker.receive(Event(cluster.members[0], records[offset]))
            if batch is delivered:
                with pytest.raises(worker_module.MissedRecordsError, match="was delivered"):
                    await worker.finish()
            else:
                await worker.finish()

    run(scenario, *records)


def test_a_gap_that_the_topic_has_as_well_is_counted_and_passed() -> None:
    records = [at(0, 0), at(3, 1)]

    async def scenario(cluster: Cluster) -> None:
        await cluster.members[0].read(0, 4)
        await cluster.members[0].worker.finish()
        assert cluster.members[0].worker.events_total == 2
        assert cluster.members[0].worker.missing_offsets == 2

    run(scenario, *records)


def test_a_topic_whose_beginning_is_gone_is_read_from_where_it_begins() -> None:
    async def scenario(cluster: Cluster) -> None:
        await cluster.members[0].read(0, 1)
        await cluster.members[0].worker.finish()
        assert cluster.members[0].worker.events_total == 1
        assert cluster.members[0].worker.missing_offsets == 0

    run(scenario, at(50, 0))


def test_a_gap_that_kafka_does_not_explain_ends_the_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(cluster: Cluster) -> None:
        member = cluster.members[0]
        monkeypatch.setattr(member.outlet, "next_record", lambda _partition, _offset: None)
        await member.worker.receive(Event(member, at(3, 3)))
        with pytest.raises(worker_module.MissedRecordsError, match="did not say"):
            await member.worker.finish()

    run(scenario, at(0, 0), at(3, 3))


def test_what_comes_between_two_publications_is_counted_as_one_batch() -> None:
    batches: list[int] = []

    async def scenario(cluster: Cluster) -> None:
        member = cluster.members[0]
        for _ in range(2):
            await member.read(0, 1)
            await member.worker.step()
        assert member.worker.events_total == 0
        state = member.worker.partitions[0].state
        count = state.apply
        state.apply = lambda records: (batches.append(len(records)), count(records))[1]  # type: ignore[method-assign]
        cluster.now_s += 1
        await member.worker.step()
        assert member.worker.events_total == 2

    run(scenario, at(0, 0), at(1, 1))
    assert batches == [2]


def test_a_worker_that_needs_long_to_publish_leaves_longer_pauses() -> None:
    async def scenario(cluster: Cluster) -> None:
        member = cluster.members[0]
        worker = member.worker
        make = worker._records

        def slowly(*arguments: object) -> object:
            cluster.now_s += 2
            return make(*arguments)  # type: ignore[arg-type]

        worker._records = slowly  # type: ignore[method-assign,assignment]
        await member.read(0, 1)
        cluster.now_s += 1
        await worker.step()
        published = len(kinds(cluster))
        assert published == 3
        await member.read(0, 1)
        cluster.now_s += 4 * 2 - 2 - 0.5
        await worker.step()
        assert len(kinds(cluster)) == published
        cluster.now_s += 1
        await worker.step()
        assert len(kinds(cluster)) > published

    run(scenario, at(0, 0), at(1, 1))
