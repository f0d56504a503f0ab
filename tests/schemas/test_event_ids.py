"""Which event ids a partition has delivered: the definition, restarts and bounded memory."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokentide_schemas.event_ids import SeenEventIds

LOGS = st.lists(st.lists(st.integers(0, 9), max_size=4), max_size=25)


def id_of(number: int) -> bytes:
    return number.to_bytes(16, "big")


def by_definition(log: list[list[int]], capacity: int) -> list[list[bool]]:
    """A row is new when no earlier row of its record and none of the remembered records has its id."""
    answers = []
    for number, ids in enumerate(log):
        remembered: set[int] = set()
        held = 0
        for before in reversed(log[:number]):
            if held >= capacity:
                break
            held += len(set(before))
            remembered |= set(before)
        answers.append([i not in remembered and i not in ids[:place] for place, i in enumerate(ids)])
    return answers


@given(LOGS, st.integers(1, 12), st.sets(st.integers(0, 25)))
def test_answers_are_the_definitions_whenever_the_state_is_dumped_and_loaded(
    log: list[list[int]], capacity: int, restarts: set[int]
) -> None:
    seen = SeenEventIds(capacity)
    answers = []
    for offset, ids in enumerate(log):
        if offset in restarts:
            seen = SeenEventIds.load(seen.dump(), capacity)
        answers.append(seen.admit(offset, [id_of(i) for i in ids]))
    assert answers == by_definition(log, capacity)


@given(LOGS, st.integers(1, 12), st.integers(0, 25))
def test_the_newest_records_alone_give_the_same_state(log: list[list[int]], capacity: int, more: int) -> None:
    lived = SeenEventIds(capacity)
    for offset, ids in enumerate(log):
        lived.admit(offset, [id_of(i) for i in ids])
    held, first = 0, len(log)
    while first and held < capacity:
        first -= 1
        held += len(set(log[first]))
    rebuilt = SeenEventIds(capacity)
    for offset in range(max(0, first - more), len(log)):
        rebuilt.restore(offset, [id_of(i) for i in dict.fromkeys(log[offset])])
    assert rebuilt.dump() == lived.dump()


def test_memory_is_bounded() -> None:
    seen = SeenEventIds(100)
    for offset in range(10_000):
        seen.admit(offset, [id_of(offset * 3 + i) for i in range(3)])
    assert len(seen) <= 102


def test_a_cut_dump_is_refused() -> None:
    seen = SeenEventIds()
    seen.admit(0, [id_of(1)])
    with pytest.raises(ValueError, match="wrong length"):
        SeenEventIds.load(seen.dump()[:-1])
