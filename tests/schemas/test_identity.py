"""Which envelopes a partition has delivered: the same answers as a plain set, in bounded memory."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from tokentide_schemas import identity
from tokentide_schemas.identity import IDENTITY_HORIZON_MS, MAX_INTERVALS, SeenEnvelopes, SequenceRuns

HOUR_MS = 3_600_000
START_MS = 1_769_860_800_000

_ADMISSIONS = st.lists(
    st.tuples(
        st.sampled_from(["a", "b", "c"]),
        st.integers(0, 12),
        # Append times mostly stand still or go on, cross the horizon at times, and now and then step back.
        st.sampled_from(
            [0, 0, 0, 1, HOUR_MS, IDENTITY_HORIZON_MS, IDENTITY_HORIZON_MS + 1, -1, -HOUR_MS, -5 * HOUR_MS]
        ),
    ),
    max_size=60,
)


class PlainSets:
    """The definition: all pairs, and a producer's are dropped when it was silent for longer than the horizon."""

    def __init__(self) -> None:
        self.sequences: dict[str, set[int]] = {}
        self.last_ms: dict[str, int] = {}
        self.now_ms = 0

    def admit(self, producer_id: str, sequence: int, appended_at_ms: int) -> bool:
        self.now_ms = max(self.now_ms, appended_at_ms)
        if self.last_ms.get(producer_id, appended_at_ms) < self.now_ms - IDENTITY_HORIZON_MS:
            self.sequences.pop(producer_id)
            self.last_ms.pop(producer_id)
        self.last_ms[producer_id] = max(self.last_ms.get(producer_id, 0), appended_at_ms)
        known = self.sequences.setdefault(producer_id, set())
        new = sequence not in known
        known.add(sequence)
        return new


@given(_ADMISSIONS, st.sets(st.integers(0, 60)))
def test_answers_are_those_of_plain_sets_whenever_the_state_is_dumped_and_loaded(
    admissions: list[tuple[str, int, int]], restarts: set[int]
) -> None:
    seen, expected = SeenEnvelopes(), PlainSets()
    now_ms = START_MS
    for number, (producer_id, sequence, step_ms) in enumerate(admissions):
        now_ms += step_ms
        if number in restarts:
            seen = SeenEnvelopes.load(json.loads(json.dumps(seen.dump())))
        assert seen.admit(producer_id, sequence, now_ms) == expected.admit(producer_id, sequence, now_ms)


@given(st.lists(st.integers(0, 40)), st.lists(st.integers(0, 40)))
def test_a_state_restored_from_runs_answers_like_the_one_that_lived(before: list[int], after: list[int]) -> None:
    lived, restored = SeenEnvelopes(), SeenEnvelopes()
    for sequence in before:
        lived.admit("p", sequence, START_MS)
    numbers = sorted(set(before))
    first = 0
    for i in range(len(numbers)):
        if i + 1 == len(numbers) or numbers[i + 1] != numbers[i] + 1:
            restored.restore("p", numbers[first], numbers[i], START_MS)
            first = i + 1
    assert restored.dump() == lived.dump()
    assert [restored.admit("p", n, START_MS) for n in after] == [lived.admit("p", n, START_MS) for n in after]


@given(st.lists(st.integers(0, 60)))
def test_runs_are_sorted_disjoint_and_never_adjacent(numbers: list[int]) -> None:
    runs = SequenceRuns()
    for number in numbers:
        runs.add(number)
    members = [n for start, end in zip(runs.starts, runs.ends, strict=True) for n in range(start, end + 1)]
    assert members == sorted(set(numbers))
    assert all(end + 1 < start for end, start in zip(runs.ends, runs.starts[1:], strict=False))


def test_a_dump_does_not_change_when_more_is_admitted() -> None:
    seen = SeenEnvelopes()
    seen.admit("p", 1, START_MS)
    dump = seen.dump()
    seen.admit("p", 2, START_MS)
    assert dump == {"p": [START_MS, [1], [1]]}


def test_a_producer_that_sends_in_order_needs_one_run() -> None:
    runs = SequenceRuns()
    for number in range(10_000):
        runs.add(number)
    assert (runs.starts, runs.ends) == ([0], [9_999])


def test_a_producer_with_gaps_is_remembered_up_to_the_bound_newest_first() -> None:
    runs = SequenceRuns()
    for number in range(0, 2 * (MAX_INTERVALS + 10), 2):
        assert runs.add(number)
    assert len(runs.starts) == MAX_INTERVALS
    assert not runs.add(2 * (MAX_INTERVALS + 9))
    assert runs.add(0), "the oldest run was forgotten"


def test_restored_runs_are_bounded_as_well() -> None:
    runs = SequenceRuns()
    for number in range(0, 2 * (MAX_INTERVALS + 10), 2):
        runs.add_run(number, number)
    assert (len(runs.starts), len(runs.ends)) == (MAX_INTERVALS, MAX_INTERVALS)


def test_silent_producers_leave_memory_and_busy_ones_stay() -> None:
    seen = SeenEnvelopes()
    for number in range(100):
        seen.admit(f"gone-{number}", 0, START_MS)
    for hour in range(IDENTITY_HORIZON_MS // HOUR_MS + 3):
        seen.admit("busy", hour, START_MS + hour * HOUR_MS)
    assert len(seen) == 1
    assert not seen.admit("busy", 0, START_MS + identity.IDENTITY_HORIZON_MS)


def test_at_the_horizon_a_repeat_is_still_known_and_past_it_not() -> None:
    for silence_ms, new in ((IDENTITY_HORIZON_MS, False), (IDENTITY_HORIZON_MS + 1, True)):
        seen = SeenEnvelopes()
        seen.admit("p", 5, START_MS)
        assert seen.admit("p", 5, START_MS + silence_ms) == new


def test_when_append_times_step_back_a_forgotten_producer_stays_forgotten() -> None:
    # Whether the memory was swept in between must not matter: the worker and the sink sweep at different records.
    for sweep in (True, False):
        seen = SeenEnvelopes()
        seen.admit("p", 5, START_MS)
        if not sweep:
            seen._collected_at_ms = START_MS + IDENTITY_HORIZON_MS + 1
        seen.admit("q", 0, START_MS + IDENTITY_HORIZON_MS + 1)
        assert seen.admit("p", 5, START_MS + IDENTITY_HORIZON_MS - 1)
