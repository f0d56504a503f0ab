"""Positions, pending ranges and tokens, case by case."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokentide_sinks.ranges import MetadataError, Position, Range, encode_metadata, insert_token, read_position, take

EPOCH = "e1"
RANGES = st.tuples(st.integers(0, 2**40), st.integers(0, 10_000)).map(lambda pair: Range(pair[0], sum(pair)))


def test_a_group_that_never_committed_starts_from_nothing() -> None:
    assert read_position(-1001, None, EPOCH) == Position(0)


def test_a_commit_without_metadata_is_a_plain_position() -> None:
    assert read_position(7, None, EPOCH) == Position(7)
    assert read_position(7, "", EPOCH) == Position(7)


@given(st.one_of(st.none(), RANGES), st.integers(0, 2**40))
def test_what_was_committed_is_read_back(pending: Range | None, offset: int) -> None:
    at = pending.first if pending else offset
    assert read_position(at, encode_metadata(EPOCH, pending), EPOCH) == Position(at, pending)


@given(RANGES)
def test_metadata_stays_far_below_the_brokers_limit(pending: Range) -> None:
    assert len(encode_metadata("A" * 22, pending).encode()) < 200


def test_a_commit_of_a_topic_that_is_gone_starts_from_nothing() -> None:
    assert read_position(500, encode_metadata("e0", Range(500, 600)), EPOCH) == Position(0)


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ("not json", "another application in its group"),
        ("[]", "another application in its group"),
        ('{"v":1}', "another application in its group"),
        ('{"v":1,"epoch":"e1","first":3}', "another application in its group"),
        ('{"v":1,"epoch":"e1","first":9,"last":3}', "another application in its group"),
        ('{"v":2,"epoch":"e1"}', "commit metadata version 2; this sink reads 1"),
        (encode_metadata(EPOCH, Range(3, 9)), "begins before the committed offset 5"),
    ],
)
def test_metadata_that_this_sink_did_not_write_is_refused(metadata: str, message: str) -> None:
    with pytest.raises(MetadataError, match=message):
        read_position(5, metadata, EPOCH)


@pytest.mark.parametrize(("first", "last"), [(-1, 0), (5, 4)])
def test_a_range_that_is_none_cannot_be_made(first: int, last: int) -> None:
    with pytest.raises(ValueError, match=f"not a range of offsets: {first}..{last}"):
        Range(first, last)


def test_nothing_is_taken_from_an_empty_buffer() -> None:
    assert take(Position(3), []) is None
    assert take(Position(3, Range(3, 4)), []) is None


def test_without_a_pending_range_the_whole_buffer_is_taken() -> None:
    assert take(Position(3), [3, 4, 9]) == (3, Range(3, 9))


def test_a_pending_range_waits_until_the_buffer_reaches_its_end() -> None:
    position = Position(3, Range(3, 6))
    assert take(position, [3, 4, 5]) is None
    assert take(position, [3, 4, 5, 6]) == (4, Range(3, 6))


def test_a_pending_range_keeps_its_bounds_whatever_follows_or_is_missing() -> None:
    position = Position(3, Range(3, 6))
    assert take(position, [3, 4, 5, 6, 7, 8]) == (4, Range(3, 6))
    assert take(position, [4, 5, 9]) == (2, Range(3, 6))
    assert take(position, [7, 8]) == (0, Range(3, 6))


def test_an_offset_that_is_done_is_refused() -> None:
    with pytest.raises(ValueError, match="offset 2 is done already; next is 3"):
        take(Position(3), [2, 3])


@given(RANGES, RANGES, st.sampled_from(["e1", "e2"]), st.integers(0, 3), st.integers(0, 3))
def test_a_token_names_one_range_of_one_partition_of_one_topic(a: Range, b: Range, epoch: str, p: int, q: int) -> None:
    same = (a, EPOCH, p) == (b, epoch, q)
    assert (insert_token("t", EPOCH, p, a) == insert_token("t", epoch, q, b)) is same


def test_metadata_is_versioned_json() -> None:
    assert json.loads(encode_metadata(EPOCH, Range(1, 2))) == {"v": 1, "epoch": "e1", "first": 1, "last": 2}
