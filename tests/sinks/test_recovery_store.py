"""What a sink rebuilds from the ledger is what it would know had it never stopped; asked of a real store."""

from __future__ import annotations

import random

import pytest

from sinks.stored_world import EPOCH, World
from tokentide_schemas import topics
from tokentide_schemas.identity import DAY_MS, SeenEnvelopes
from tokentide_sinks.recovery import load_delivered, load_end

START_MS = 1_769_860_800_000


def write(world: World, rows: list[tuple[int, int, str, int | None, bool, int]]) -> None:
    values = ", ".join(
        f"('{topics.USAGE}', '{EPOCH}', 3, {offset}, fromUnixTimestamp64Milli({appended_ms}), '{producer}', "
        f"{'NULL' if sequence is None else sequence}, 1, {admitted}, {1 - duplicates}, {duplicates}, 0)"
        for offset, appended_ms, producer, sequence, admitted, duplicates in rows
    )
    world.store.command(
        "INSERT INTO ingest_ledger (topic, epoch, partition, offset, appended_at, producer_id, producer_sequence, "
        f"events, admitted, stored_events, duplicate_events, rejected_events) VALUES {values}"
    )


@pytest.mark.parametrize("seed", range(6))
def test_envelopes_are_known_as_if_the_sink_had_never_stopped(world: World, seed: int) -> None:
    chance = random.Random(seed)
    lived, now_ms, rows = SeenEnvelopes(), START_MS, []
    next_of = dict.fromkeys("abc", 0)
    for offset in range(400):
        now_ms += chance.choice([0, 0, 1, 1000, 3_600_000, DAY_MS // 2, -DAY_MS, -5])
        producer = chance.choice(["a", "b", "c", ""])
        if not producer:
            # Without identity it moves no clock, however far it is in the future.
            rows.append((offset, now_ms + 30 * DAY_MS, "", None, False, 0))
            continue
        sequence = next_of[producer] if chance.random() < 0.6 else chance.randrange(0, 40)
        next_of[producer] = max(next_of[producer], sequence + 1)
        admitted = lived.admit(producer, sequence, now_ms)
        rows.append((offset, now_ms, producer, sequence, admitted, int(not admitted)))
    write(world, rows)
    write(world, rows[100:200])
    rebuilt = load_delivered(world.store, topics.USAGE, EPOCH, 3, 400).envelopes
    questions = [(producer, number) for producer in "abc" for number in range(max(next_of.values()) + 2)]
    assert [rebuilt.admit(*question, now_ms) for question in questions] == [
        lived.admit(*question, now_ms) for question in questions
    ]


def test_a_partition_without_records_knows_nothing_and_ends_at_zero(world: World) -> None:
    assert len(load_delivered(world.store, topics.USAGE, EPOCH, 3, 0).envelopes) == 0
    assert load_end(world.store, topics.USAGE, EPOCH, 3) == 0
    write(world, [(0, START_MS, "", None, False, 0), (1, START_MS, "a", 1, True, 0)])
    assert load_end(world.store, topics.USAGE, EPOCH, 3) == 2
