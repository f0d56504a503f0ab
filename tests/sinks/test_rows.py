"""What the raw sink writes about each record: rows, ledger, dead letters."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st
from tests.stream.builders import T0_MS, at, event, record
from tests.stream.worlds import PartitionLog, cases, partition_logs

from tokentide_schemas.envelope import Record
from tokentide_schemas.event_ids import Delivered
from tokentide_sinks.rows import WHOLE_RECORD, dead_letter_rows, event_rows, judge, ledger_rows

SECRET = "the user's words"


def test_a_repeat_is_recorded_as_duplicate_and_stores_nothing() -> None:
    batch = judge([at(0, 0, 1, identity=("gw", 7)), at(1, 0, 1, identity=("gw", 7))], Delivered())
    rows = ledger_rows(batch, "t", "e", 0, 1).to_pylist()
    assert [(r["admitted"], r["stored_events"], r["duplicate_events"], r["rejected_events"]) for r in rows] == [
        (True, 2, 0, 0),
        (False, 0, 2, 0),
    ]
    assert event_rows(batch, "t", 0, 1)["kafka_offset"].to_pylist() == [0, 0]
    assert dead_letter_rows(batch, "t", "e", 0, 1).num_rows == 0


def test_an_unreadable_record_is_one_dead_letter_for_the_whole_and_is_not_admitted() -> None:
    spoilt = Record(0, 4, T0_MS, SECRET.encode(), at(0, 0, identity=("gw", 1)).headers)
    seen = Delivered()
    batch = judge([spoilt], seen)
    (letter,) = dead_letter_rows(batch, "t", "e", 0, 1).to_pylist()
    assert (letter["row"], letter["offset"], letter["events"]) == (WHOLE_RECORD, 4, 1)
    assert SECRET not in str(letter)
    (row,) = ledger_rows(batch, "t", "e", 0, 1).to_pylist()
    assert (row["admitted"], row["rejected_events"], len(seen.envelopes)) == (False, 1, 0)


def test_a_refused_row_is_named_by_its_place_in_the_envelope() -> None:
    ahead = event(T0_MS + 11 * 60_000)
    batch = judge([record(9, event(T0_MS), ahead, event(T0_MS), appended_ms=T0_MS, form="ndjson")], Delivered())
    (letter,) = dead_letter_rows(batch, "t", "e", 0, 1).to_pylist()
    assert (letter["row"], letter["reason"], letter["events"]) == (1, "timestamp_in_future", 1)
    (row,) = ledger_rows(batch, "t", "e", 0, 1).to_pylist()
    assert (row["events"], row["stored_events"], row["rejected_events"]) == (3, 2, 1)


def test_stored_rows_say_where_they_came_from() -> None:
    batch = judge([at(3, 0), at(5, 1, 2, identity=("gw", 8))], Delivered())
    rows = event_rows(batch, "usage", 2, T0_MS).select(
        ["kafka_topic", "kafka_partition", "kafka_offset", "producer_id", "producer_sequence"]
    )
    assert [tuple(row.values()) for row in rows.to_pylist()] == [
        ("usage", 2, 3, "", None),
        ("usage", 2, 5, "gw", 8),
        ("usage", 2, 5, "gw", 8),
    ]


def test_an_empty_range_gives_empty_tables() -> None:
    batch = judge([], Delivered())
    assert batch.fates == ()
    assert event_rows(batch, "t", 0, 1).num_rows == ledger_rows(batch, "t", "e", 0, 1).num_rows == 0
    assert dead_letter_rows(batch, "t", "e", 0, 1).num_rows == 0


@cases(60)
@given(partition_logs(0, max_records=9), st.lists(st.integers(0, 9), max_size=3))
def test_each_record_is_judged_alike_in_any_batches(log: PartitionLog, cuts: list[int]) -> None:
    whole = judge(log.records, Delivered())
    seen = Delivered()
    bounds = [0, *sorted(cuts), len(log.records)]
    ledgers, letters, ids = [], [], []
    for first, last in itertools.pairwise(bounds):
        batch = judge(log.records[first:last], seen)
        ledgers += ledger_rows(batch, "t", "e", 0, 1).to_pylist()
        letters += dead_letter_rows(batch, "t", "e", 0, 1).to_pylist()
        ids += event_rows(batch, "t", 0, 1)["event_id"].to_pylist()
    assert ledgers == ledger_rows(whole, "t", "e", 0, 1).to_pylist()
    assert letters == dead_letter_rows(whole, "t", "e", 0, 1).to_pylist()
    assert ids == event_rows(whole, "t", 0, 1)["event_id"].to_pylist()
