"""The rows that the store refuses are found, the others are stored once, wherever the sink dies."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokentide_sinks.bisection import Split, TooManyRefusalsError, begin, chunk_token, settle
from tokentide_sinks.ranges import Range, encode_metadata, read_position


class CrashError(Exception):
    """The process is gone."""


class Table:
    """Stores a chunk as a whole or refuses it; drops a chunk whose token it knows. `bad` may change at any time."""

    def __init__(self, bad: set[int]) -> None:
        self.bad = bad
        self.rows: list[int] = []
        self.tokens: set[str] = set()
        self.inserts = 0

    def insert(self, first: int, end: int) -> int | None:
        self.inserts += 1
        token = chunk_token("t", first, end)
        if token in self.tokens:
            return None
        if self.bad & set(range(first, end)):
            return 469
        self.tokens.add(token)
        self.rows += range(first, end)
        return None


def run(table: Table, rows: int, steps: list[int], on_crash: Callable[[], None] = lambda: None) -> Split:
    """Settle; each number of `steps` is how many durable steps a process lives."""
    committed = begin(rows)
    for life in [*steps, 10**9]:
        left = life

        def tick() -> None:
            nonlocal left
            if left == 0:
                raise CrashError
            left -= 1

        def record(split: Split) -> None:
            nonlocal committed
            tick()
            read = read_position(7, encode_metadata("e", Range(7, 9), split), "e").split
            assert read == split
            committed = split

        def insert(first: int, end: int) -> int | None:
            code = table.insert(first, end)
            tick()
            return code

        try:
            return settle(committed, rows, record, insert, 1_000)
        except CrashError:
            on_crash()
    raise AssertionError("the last process does not die")


@given(st.integers(1, 60), st.sets(st.integers(0, 59), max_size=6), st.lists(st.integers(0, 9), max_size=8))
def test_good_rows_are_stored_once_and_bad_ones_named_wherever_it_dies(
    rows: int, bad: set[int], steps: list[int]
) -> None:
    table = Table(bad)
    split = run(table, rows, steps)
    refused = {row for row, _ in split.refused}
    assert refused == {row for row in bad if row < rows}
    assert sorted(table.rows) == [row for row in range(rows) if row not in refused]


@given(st.integers(1, 60), st.sets(st.integers(0, 59), max_size=6), st.lists(st.integers(0, 9), min_size=1, max_size=8))
def test_each_row_has_one_fate_although_the_constraint_goes_away_between_two_crashes(
    rows: int, bad: set[int], steps: list[int]
) -> None:
    table = Table(bad)
    split = run(table, rows, steps, on_crash=table.bad.clear)
    assert sorted([*table.rows, *(row for row, _ in split.refused)]) == list(range(rows))


def test_one_bad_row_costs_a_number_of_inserts_that_grows_with_the_logarithm() -> None:
    table = Table({123_456})
    run(table, 250_000, [])
    assert table.inserts <= 4 * 18


def test_a_table_that_refuses_everything_ends_the_search_at_the_limit() -> None:
    table = Table(set(range(250_000)))
    with pytest.raises(TooManyRefusalsError, match="6 rows refused, last with ClickHouse error 469"):
        settle(begin(250_000), 250_000, lambda _split: None, table.insert, 5)
    assert table.inserts < 40


def test_two_hundred_refused_rows_fit_into_a_commit() -> None:
    split = Split(999_999, 1, tuple((900_000 + row, 469) for row in range(200)))
    assert len(encode_metadata("A" * 22, Range(2**50, 2**50 + 9), split)) < 4_096


@pytest.mark.parametrize(("done", "size", "refused"), [(-1, 1, ()), (0, 0, ()), (3, 1, ((3, 1),))])
def test_what_is_no_place_in_a_block_cannot_be_made(done: int, size: int, refused: tuple[tuple[int, int], ...]) -> None:
    with pytest.raises(ValueError, match="not a place in a block"):
        Split(done, size, refused)


@pytest.mark.parametrize("place", [0, 1, 124_999, 125_000, 131_071, 131_072, 249_998, 249_999])
def test_the_bound_holds_wherever_the_bad_row_is(place: int) -> None:
    table = Table({place})
    run(table, 250_000, [])
    assert table.inserts <= 4 * 18
