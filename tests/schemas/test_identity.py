"""Which envelopes a partition has delivered: the same answers as a plain set, in bounded memory."""

from __future__ import annotations

import json
from unittest import mock

from hypothesis import given
from hypothesis import strategies as st

from tokentide_schemas import identity
from tokentide_schemas.identity import DAY_MS, HORIZON_DAYS, IDENTITY_HORIZON_MS, MAX_STRETCHES, SeenEnvelopes

HOUR_MS = 3_600_000
START_MS = 1_769_860_800_000

_ADMISSIONS = st.lists(
    st.tuples(
        st.sampled_from(["a", "b", "c"]),
        st.integers(0, 12),
        # Append times mostly stand still or go on, cross days and the horizon at times, and now and then step back.
        st.sampled_from([0, 0, 0, 1, HOUR_MS, DAY_MS, IDENTITY_HORIZON_MS, -1, -HOUR_MS, -3 * DAY_MS]),
    ),
    max_size=60,
)


class PlainMemory:
    """The definition, word for word: every admission is kept, and the newest stretches within the horizon count."""

    def __init__(self) -> None:
        self.admitted: dict[str, list[tuple[int, int]]] = {}
        self.clock_ms = 0

    def remembered(self, producer_id: str) -> set[int]:
        admissions = self.admitted.get(producer_id, [])
        stretches: list[list[tuple[int, int]]] = []
        for one in admissions:
            goes_on = stretches and stretches[-1][-1] == (one[0] - 1, one[1])
            stretches[-1].append(one) if goes_on else stretches.append([one])
        oldest = self.clock_ms // DAY_MS - HORIZON_DAYS
        return {number for each in stretches[-identity.MAX_STRETCHES :] for number, day in each if day >= oldest}

    def admit(self, producer_id: str, sequence: int, appended_at_ms: int) -> bool:
        self.clock_ms = max(self.clock_ms, appended_at_ms)
        if sequence in self.remembered(producer_id):
            return False
        self.admitted.setdefault(producer_id, []).append((sequence, self.clock_ms // DAY_MS))
        return True


def rebuilt(memory: PlainMemory) -> SeenEnvelopes:
    """What recovery makes of the admissions of the days that count."""
    seen = SeenEnvelopes()
    seen.restore_clock(memory.clock_ms)
    for producer_id, admissions in memory.admitted.items():
        for sequence, day in admissions:
            if day >= memory.clock_ms // DAY_MS - HORIZON_DAYS:
                seen.restore(producer_id, sequence, sequence, day)
    return seen


@given(_ADMISSIONS, st.dictionaries(st.integers(0, 60), st.booleans()), st.integers(1, 5))
def test_answers_follow_the_definition_whenever_the_state_is_loaded_or_rebuilt(
    admissions: list[tuple[str, int, int]], restarts: dict[int, bool], bound: int
) -> None:
    with mock.patch.object(identity, "MAX_STRETCHES", bound):
        worker, sink, expected = SeenEnvelopes(), SeenEnvelopes(), PlainMemory()
        now_ms = START_MS
        for number, (producer_id, sequence, step_ms) in enumerate(admissions):
            now_ms += step_ms
            if restarts.get(number) is True:
                worker = SeenEnvelopes.load(json.loads(json.dumps(worker.dump())))
            if restarts.get(number) is False:
                sink = rebuilt(expected)
            answer = expected.admit(producer_id, sequence, now_ms)
            assert worker.admit(producer_id, sequence, now_ms) == answer
            assert sink.admit(producer_id, sequence, now_ms) == answer


def test_a_dump_does_not_change_when_more_is_admitted() -> None:
    seen = SeenEnvelopes()
    seen.admit("p", 1, START_MS)
    dump = seen.dump()
    seen.admit("p", 2, START_MS)
    assert dump == {"clock_ms": START_MS, "producers": {"p": [[1, 1, START_MS // DAY_MS]]}}


def test_a_producer_that_sends_in_order_needs_one_stretch_a_day() -> None:
    seen = SeenEnvelopes()
    for number in range(10_000):
        seen.admit("p", number, START_MS)
    assert len(seen.dump()["producers"]["p"]) == 1


def test_a_producer_with_gaps_is_remembered_up_to_the_bound_newest_first() -> None:
    seen = SeenEnvelopes()
    for number in range(MAX_STRETCHES + 10):
        assert seen.admit("p", 2 * number, START_MS)
    assert len(seen.dump()["producers"]["p"]) == MAX_STRETCHES
    assert not seen.admit("p", 2 * (MAX_STRETCHES + 9), START_MS)
    assert seen.admit("p", 0, START_MS), "the oldest stretch was forgotten"


def test_silent_producers_leave_memory_and_busy_ones_stay() -> None:
    seen = SeenEnvelopes()
    for number in range(100):
        seen.admit(f"gone-{number}", 0, START_MS)
    for hour in range(IDENTITY_HORIZON_MS // HOUR_MS + 3):
        seen.admit("busy", hour, START_MS + hour * HOUR_MS)
    assert len(seen) == 1
    assert len(seen.dump()["producers"]["busy"]) <= HORIZON_DAYS + 1


def test_a_repeat_is_known_for_seven_days_after_its_own_and_a_busy_producer_changes_nothing_about_that() -> None:
    for day, new in ((HORIZON_DAYS, False), (HORIZON_DAYS + 1, True)):
        seen = SeenEnvelopes()
        seen.admit("p", 5, START_MS)
        for hour in range(24 * day):
            seen.admit("p", 100 + hour, START_MS + hour * HOUR_MS)
        assert seen.admit("p", 5, START_MS // DAY_MS * DAY_MS + day * DAY_MS) == new
