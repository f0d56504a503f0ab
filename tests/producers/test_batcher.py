from hypothesis import given
from hypothesis import strategies as st

from tokentide_producers.batcher import Batcher


def batcher(max_events: int = 3, max_bytes: int = 100, max_wait_s: float = 0.2) -> Batcher:
    return Batcher(max_events=max_events, max_bytes=max_bytes, max_wait_s=max_wait_s)


def test_a_batch_is_closed_by_count() -> None:
    b = batcher()
    assert [b.add([n], 1, 0.0) for n in range(3)] == [True, False, True]
    (batch,) = b.take(0.0)
    assert batch.rows == [[0], [1], [2]] and batch.first_event == 0 and batch.size_bytes == 3
    assert b.take(100.0) == []


def test_a_batch_never_holds_more_bytes_than_allowed_unless_one_row_does() -> None:
    b = batcher(max_events=10)
    b.add(["a"], 60, 0.0)
    assert b.add(["b"], 60, 0.0)
    assert b.add(["c"], 500, 0.0)
    assert [batch.size_bytes for batch in b.take(0.0)] == [60, 60, 500]


def test_a_batch_is_due_when_its_first_row_is_old_enough() -> None:
    b = batcher()
    assert b.due_in_s(0.0) is None
    b.add(["a"], 1, 10.0)
    b.add(["b"], 1, 10.15)
    assert b.take(10.19) == []
    assert abs((b.due_in_s(10.15) or 0) - 0.05) < 1e-9
    assert [batch.rows for batch in b.take(10.2)] == [[["a"], ["b"]]]


def test_everything_can_be_taken_at_once() -> None:
    b = batcher()
    b.add(["a"], 1, 0.0)
    assert [batch.rows for batch in b.take(0.0, everything=True)] == [[["a"]]]


@given(st.lists(st.tuples(st.integers(1, 80), st.booleans())))
def test_every_row_comes_out_once_in_order_and_is_numbered(steps: list[tuple[int, bool]]) -> None:
    b = batcher()
    taken = []
    for number, (size, take) in enumerate(steps):
        b.add([number], size, float(number))
        if take:
            taken += b.take(float(number))
        assert b.oldest_event == sum(len(batch.rows) for batch in taken)
    taken += b.take(0.0, everything=True)
    assert [row for batch in taken for row in batch.rows] == [[n] for n in range(len(steps))]
    assert b.added == len(steps)
    first = 0
    for batch in taken:
        assert batch.first_event == first and len(batch.rows) <= 3
        first += len(batch.rows)
