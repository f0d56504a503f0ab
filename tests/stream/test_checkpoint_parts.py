"""A checkpoint that is larger than a record: whatever is cut off while it is written, the one before it is whole."""

from __future__ import annotations

import pytest
from tests.stream.builders import T0_MS, event, new_state, record

from tokentide_stream import checkpoint
from tokentide_stream.checkpoint_parts import Writes, furthest, held, plan

KEY = b"0/aa"


def dumped(offset: int, epoch: str = "e") -> bytes:
    state = new_state(0)
    state.apply([record(n, event(T0_MS + n, model=f"model-{n}")) for n in range(offset + 1)])
    return checkpoint.dump(state, epoch)


def put(table: dict[bytes, bytes], writes: Writes) -> None:
    table |= dict(writes.parts)
    table |= dict([writes.head])
    for key in writes.obsolete:
        del table[key]


def test_a_small_checkpoint_is_one_record_and_a_large_one_comes_back_from_its_parts() -> None:
    value = dumped(3)
    assert plan(KEY, value).parts == ()
    assert furthest({KEY: value}, "e").value == value
    table: dict[bytes, bytes] = {}
    put(table, plan(KEY, value, part_bytes=500))
    assert len(table) == 1 + -(-len(value) // 500)
    assert furthest(table, "e").value == value
    assert furthest(table, "e").applied_offset == 3


def test_every_prefix_of_the_writes_leaves_the_older_or_the_newer_checkpoint() -> None:
    table: dict[bytes, bytes] = {}
    last = None
    for offset in (0, 9, 4, 2, 30, 31):
        value = dumped(offset)
        slot, counts = held(table, KEY)
        writes = plan(KEY, value, slot=slot, slot_parts=counts, part_bytes=700)
        steps = [*writes.parts, writes.head]
        for done in range(len(steps)):
            found = furthest(table | dict(steps[:done]), "e") if last is not None else None
            assert found is None or found.value == last
        put(table, writes)
        last = value
        assert furthest(table, "e").value == value
        assert held(table, KEY)[0] == (1 - slot if writes.parts else 0)
        assert len(table) == 1 + sum(held(table, KEY)[1])


def test_parts_of_a_checkpoint_that_has_become_small_are_deleted() -> None:
    table: dict[bytes, bytes] = {}
    put(table, plan(KEY, dumped(9), part_bytes=700))
    slot, counts = held(table, KEY)
    put(table, plan(KEY, dumped(1), slot=slot, slot_parts=counts))
    assert list(table) == [KEY]


@pytest.mark.parametrize("harm", ["missing", "foreign"])
def test_an_index_without_its_parts_is_passed_over_for_another_workers_checkpoint(harm: str) -> None:
    table: dict[bytes, bytes] = {}
    writes = plan(KEY, dumped(9), part_bytes=700)
    put(table, writes)
    name = writes.parts[1][0]
    if harm == "missing":
        del table[name]
    else:
        table[name] = b"x" * len(table[name])
    with pytest.raises(checkpoint.CheckpointError, match="parts are missing of 0/aa"):
        furthest(table, "e")
    table[b"0/bb"] = dumped(2)
    found = furthest(table, "e")
    assert (found.applied_offset, found.incomplete) == (2, (KEY,))


def test_checkpoints_of_a_topic_that_was_made_anew_do_not_count() -> None:
    table: dict[bytes, bytes] = {}
    put(table, plan(KEY, dumped(9, "old"), part_bytes=700))
    assert furthest(table, "e").value is None
