"""The raw sink dies, hangs and is replaced at any step: each offset is stored once, and the ledger has all of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import find, given, settings
from hypothesis import strategies as st
from hypothesis.errors import NoSuchExample
from tests.sinks.raw_sink_model import (
    Group,
    Sink,
    Store,
    believing_what_is_pending,
    ignoring_what_is_pending,
)
from tests.stream.oracle import account
from tests.stream.worlds import PartitionLog, cases, partition_logs

from tokentide_sinks.ranges import Position, read_position

LOGS = partition_logs(3, max_records=10)
STEPS = st.lists(
    st.tuples(st.sampled_from(["read", "read", "cycle", "cycle", "die", "hang", "zombie"]), st.integers(0, 5)),
    max_size=16,
)
Step = tuple[str, int]
PositionOf = Callable[[int, str | None, str], Position]


def advance(cycle: Iterator[str], steps: int) -> None:
    for _ in range(steps):
        if next(cycle, None) is None:
            return


def life(log: PartitionLog, steps: list[Step], position_of: PositionOf = read_position) -> tuple[Store, Group]:
    """Run the steps, then a last healthy member to the end of the log."""
    store, group = Store(), Group()
    sink = Sink(log.records, store, group, position_of=position_of)
    hanging: list[Iterator[str]] = []
    for kind, amount in steps:
        if kind == "read":
            sink.read(amount + 1)
        elif kind == "cycle":
            advance(sink.cycle(), 9)
        elif kind == "zombie" and hanging:
            # One that was replaced while it hung goes on: its inserts arrive now.
            advance(hanging[amount % len(hanging)], amount)
        elif kind in ("die", "hang"):
            unfinished = sink.cycle()
            advance(unfinished, amount)
            if kind == "hang":
                hanging.append(unfinished)
            sink = Sink(log.records, store, group, position_of=position_of)
    sink.read(len(log.records))
    advance(sink.cycle(), 9)
    advance(sink.cycle(), 9)
    for unfinished in hanging:
        advance(unfinished, 9)
    return store, group


def expected_rows(log: PartitionLog) -> Counter[int]:
    return +Counter(account(log.facts, (), 0).stored)


@cases(300)
@given(LOGS, STEPS)
def test_each_event_is_stored_once_and_each_offset_is_in_the_ledger(log: PartitionLog, steps: list[Step]) -> None:
    store, group = life(log, steps)
    truth = account(log.facts, (), 0)
    assert Counter(offset for offset, _ in store.events) == expected_rows(log)
    assert sorted(store.ledger) == [record.offset for record in log.records]
    for fact in log.facts:
        row = store.ledger[fact.offset]
        stored = truth.stored[fact.offset]
        duplicate = fact.offset in truth.duplicate_offsets
        declared = row["events"]
        assert row["stored_events"] == stored
        assert row["duplicate_events"] == (declared if duplicate else truth.repeated_rows[fact.offset])
        assert row["stored_events"] + row["duplicate_events"] + row["rejected_events"] == declared
        if fact.readable:
            assert declared == len(fact.events)
    refused = {*truth.future, *truth.too_old, *truth.malformed}
    rows = {key for key in store.letters if key[1] >= 0}
    whole = {offset for offset, row in store.letters if row < 0}
    assert whole >= {fact.offset for fact in log.facts if not fact.readable}
    assert rows | {(offset, 0) for offset in whole} >= refused
    if log.records:
        assert read_position(group.offset, group.metadata, "epoch-1") == Position(log.records[-1].offset + 1)


def goes_wrong(log: PartitionLog, steps: list[Step], position_of: PositionOf) -> bool:
    try:
        store, _ = life(log, steps, position_of)
    except AssertionError:
        return True
    return Counter(offset for offset, _ in store.events) != expected_rows(log)


@pytest.mark.parametrize("position_of", [ignoring_what_is_pending, believing_what_is_pending])
def test_the_check_finds_a_sink_that_doubles_or_loses(position_of: PositionOf) -> None:
    seeking: Any = settings(max_examples=3_000, deadline=None, database=None)
    log, steps = find(st.tuples(LOGS, STEPS), lambda case: goes_wrong(*case, position_of), settings=seeking)
    assert not goes_wrong(log, steps, read_position)


def test_the_search_for_a_wrong_sink_comes_back_empty_for_the_real_one() -> None:
    seeking: Any = settings(max_examples=300, deadline=None, database=None)
    with pytest.raises(NoSuchExample):
        find(st.tuples(LOGS, STEPS), lambda case: goes_wrong(*case, read_position), settings=seeking)
