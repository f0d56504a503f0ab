"""Dead letters as a person handles them: names, filters, and what a second reading makes of a record. No IO."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import asdict
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokentide_schemas import topics
from tokentide_schemas.envelope import CONTENT_TYPE_NDJSON, Record, decode
from tokentide_sinks.dlq import (
    MAX_ROWS,
    OFFSETS_OF_A_PRODUCER,
    SHOWN,
    Attempt,
    Filter,
    Letter,
    Outcome,
    attempt,
    identity,
    letter_id,
    parse_id,
)
from tokentide_sinks.rows import WHOLE_RECORD

NOW_MS = 1_769_860_800_000
OFFSETS = st.integers(0, 2**40)
ROWS = st.integers(WHOLE_RECORD, MAX_ROWS - 2)


def event(**changes: Any) -> dict[str, Any]:
    return {
        "occurred_at": dt.datetime.fromtimestamp(NOW_MS / 1000, dt.UTC).isoformat(),
        "request_model": "m",
        "provider": "p",
        "input_uncached_tokens": 1,
        "output_tokens": 1,
        "usage_reported": True,
        "outcome": "ok",
        **changes,
    }


def record(*lines: dict[str, Any] | bytes) -> Record:
    value = b"\n".join(line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines)
    return Record(2, 17, NOW_MS, value, {topics.HEADER_CONTENT_TYPE: CONTENT_TYPE_NDJSON.encode()})


def letter(row: int = WHOLE_RECORD, reason: str = "missing_field", events: int = 1) -> Letter:
    return Letter("epoch", 2, 17, row, reason, "", events, NOW_MS)


@given(st.integers(0, 1000), OFFSETS, ROWS)
def test_a_letters_name_leads_back_to_it(partition: int, offset: int, row: int) -> None:
    assert parse_id(letter_id(partition, offset, row)) == (partition, offset, row)


@pytest.mark.parametrize("text", ["", "1", "1/", "a/2", "1/2/3/4", "-1/2", "1/2/-1", "1/2 OR 1=1", "1/٣"])
def test_what_is_no_name_is_refused_before_it_reaches_a_query(text: str) -> None:
    with pytest.raises(ValueError, match="PARTITION/OFFSET"):
        parse_id(text)
    with pytest.raises(ValueError, match="PARTITION/OFFSET"):
        Filter(letters=(text,)).sql()


def test_a_filter_carries_what_people_type_as_parameters() -> None:
    since = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    where, parameters = Filter(reason="x' OR 1", partition=3, since=since, letters=("2/17/4", "2/18")).sql()
    assert "x' OR 1" not in where
    assert parameters["reason"] == "x' OR 1"
    assert parameters["since"] == int(since.timestamp() * 1000)
    assert "until" not in parameters
    assert "(2, 17, 4), (2, 18, -1)" in where


@given(st.tuples(OFFSETS, ROWS), st.tuples(OFFSETS, ROWS))
def test_two_origins_never_share_a_replay_identity(one: tuple[int, int], other: tuple[int, int]) -> None:
    assert (identity("e", 1, *one) == identity("e", 1, *other)) == (one == other)
    assert identity("e", 1, *one) != identity("f", 1, *one)
    assert identity("e", 1, *one) != identity("e", 2, *one)


def test_replays_of_near_origins_share_a_producer_so_that_memory_is_not_spent_on_names() -> None:
    names = {identity("e", 1, offset, WHOLE_RECORD)[0] for offset in range(2 * OFFSETS_OF_A_PRODUCER)}
    assert len(names) == 2


def test_a_record_that_is_gone_goes_nowhere() -> None:
    tried = attempt(letter(), None)
    assert not tried.outgoing
    assert "no longer in the topic" in tried.problem


def test_what_is_still_refused_says_why_without_a_value_of_it() -> None:
    tried = attempt(letter(), record(event(provider=["secret-marker"])))
    assert not tried.outgoing
    assert tried.problem.startswith("invalid_value")
    assert "secret-marker" not in tried.problem


def test_of_a_whole_record_the_good_rows_go_back_and_the_bad_ones_are_named() -> None:
    tried = attempt(letter(events=3), record(event(), event(output_tokens=-1), event(output_tokens=7)))
    assert tried.events == 2
    assert [one.row for one in tried.remaining] == [1]
    (outgoing,) = tried.outgoing
    assert outgoing.partition == 2
    again = decode(Record(2, 99, NOW_MS, outgoing.value, dict(outgoing.headers)))
    assert again.table is not None and again.identity is not None
    assert again.table.column("output_tokens").to_pylist() == [1, 7]
    assert (again.identity.producer_id, again.identity.sequence) == identity("epoch", 2, 17, WHOLE_RECORD)


def test_a_row_goes_back_alone_with_its_own_time_and_without_its_neighbours_labels() -> None:
    tried = attempt(letter(row=1), record(event(provider="neighbour-marker"), event(output_tokens=5)))
    (outgoing,) = tried.outgoing
    assert outgoing.events == 1
    assert b"neighbour-marker" not in outgoing.value
    again = decode(Record(2, 99, NOW_MS + 9_000_000, outgoing.value, dict(outgoing.headers)))
    assert again.table is not None
    assert [int(t.timestamp() * 1000) for t in again.table.column("occurred_at").to_pylist()] == [NOW_MS]


def test_a_second_replay_is_byte_for_byte_the_first() -> None:
    first, second = (attempt(letter(row=1), record(event(), event())) for _ in range(2))
    assert first.outgoing == second.outgoing


def test_a_row_that_the_record_does_not_have_is_said() -> None:
    assert "no such row" in attempt(letter(row=9), record(event())).problem


def test_only_rows_that_the_store_had_refused_are_repairs_of_the_raw_table() -> None:
    for reason, is_repair in (("store_rejected", True), ("missing_field", False)):
        (outgoing,) = attempt(letter(row=0, reason=reason), record(event())).outgoing
        assert ((topics.HEADER_REPAIR, topics.REPAIR_RAW) in outgoing.headers) == is_repair


def test_an_outcome_counts_every_letter_and_event_and_shows_a_few() -> None:
    outcome = Outcome()
    good = attempt(letter(events=3), record(event(), event(output_tokens=-1), event()))
    outcome.add(good)
    for _ in range(30):
        outcome.add(Attempt(letter(events=4), problem="still wrong"))
    assert (outcome.letters, outcome.replayed_letters, outcome.refused_letters) == (31, 1, 30)
    assert (outcome.replayed_events, outcome.refused_events) == (2, 1 + 120)
    assert outcome.refused == [("2/17", "still wrong")] * SHOWN
    assert "SHOWN" not in asdict(outcome), "what the command prints is counts only"
