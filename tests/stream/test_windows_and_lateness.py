"""Edges of windows, watermarks and lateness, one at a time."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
from tests.stream.builders import T0_MS, at, counts, event, new_state, record
from tests.stream.worlds import PLAIN_MODEL_CUBE, encode

from tokentide_schemas.arrow import EVENT_SCHEMA
from tokentide_schemas.cubes import Cube
from tokentide_schemas.envelope import Record, decode, encode_arrow
from tokentide_stream import partition as partition_module
from tokentide_stream.partition import PartitionState, ShrinkingPartialError


def rows(state: PartitionState) -> dict[tuple[float, int], int]:
    changes = state.flush().rows
    return counts(changes["model"]) if changes else {}


def test_a_window_takes_its_first_and_last_millisecond() -> None:
    state = new_state()
    state.apply([at(0, 0, 59.999, 60)])
    assert rows(state) == {(0, 0): 2, (1, 0): 1}


def test_the_watermark_is_zero_before_the_first_event() -> None:
    assert new_state().watermark_ms == 0


def test_the_watermark_is_the_newest_event_of_an_envelope() -> None:
    state = new_state()
    state.apply([at(0, 10, 30, 20)])
    assert state.watermark_ms == T0_MS + 30_000


def test_the_watermark_never_passes_the_append_time() -> None:
    state = new_state()
    state.apply([at(0, 300, appended_ms=T0_MS)])
    assert state.watermark_ms == T0_MS


def test_the_watermark_never_goes_back() -> None:
    state = new_state()
    state.apply([at(0, 30)])
    state.apply([at(1, 10, appended_ms=T0_MS)])
    assert state.watermark_ms == T0_MS + 30_000


def test_an_event_more_than_ten_minutes_ahead_is_not_counted_and_moves_nothing() -> None:
    state = new_state()
    assert state.apply([at(0, 600.001, appended_ms=T0_MS)]) == 0
    assert (state.watermark_ms, state.applied_offset) == (0, 0)


def test_an_event_exactly_ten_minutes_ahead_is_counted_in_its_window() -> None:
    state = new_state()
    assert state.apply([at(0, 600, appended_ms=T0_MS)]) == 1
    assert rows(state) == {(10, 0): 1}


def test_an_event_is_late_from_the_millisecond_at_which_its_window_closes() -> None:
    lateness_s = 30
    open_until, closed = 89.999, 90
    for newest, segment in ((open_until, 0), (closed, 1)):
        state = new_state(lateness_s)
        state.apply([at(0, newest)])
        state.apply([at(1, 59)])
        assert state.late_events == (1 if segment else 0)
        assert rows(state) == {(1, 0): 1, (0, segment): 1}


def test_an_envelope_is_judged_by_the_watermark_before_it() -> None:
    state = new_state()
    state.apply([at(0, 600, 0)])
    assert state.late_events == 0
    assert rows(state) == {(10, 0): 1, (0, 0): 1}


def test_envelopes_of_one_batch_meet_the_watermark_of_those_before_them() -> None:
    state = new_state()
    state.apply([at(0, 0), at(1, 600), at(2, 1)])
    assert state.late_events == 1
    assert rows(state) == {(0, 0): 1, (10, 0): 1, (0, 10): 1}


def test_late_events_of_one_watermark_minute_share_a_segment_and_of_the_next_begin_another() -> None:
    state = new_state()
    state.apply([at(0, 600)])
    state.apply([at(1, 0)])
    assert rows(state) == {(10, 0): 1, (0, 10): 1}
    state.apply([at(2, 1)])
    assert rows(state) == {(0, 10): 2}
    state.apply([at(3, 660)])
    state.apply([at(4, 2)])
    assert rows(state) == {(11, 0): 1, (0, 11): 1}


def test_memory_is_freed_once_a_window_and_its_late_segments_can_no_longer_change() -> None:
    state = new_state(60)
    state.apply([at(0, 0)])
    state.flush()
    assert state.open_groups == 1
    state.apply([at(1, 120)])
    state.apply([at(2, 1)])
    state.flush()
    # Open: the newest window and the late segment of this minute.
    assert state.open_groups == 2
    state.apply([at(3, 300)])
    state.flush()
    assert state.open_groups == 1


def test_each_cube_closes_its_own_windows_and_late_means_late_in_any() -> None:
    hours = Cube("hours", ("model",), 3_600)
    for cubes in ((PLAIN_MODEL_CUBE, hours), (hours, PLAIN_MODEL_CUBE)):
        state = new_state(0, cubes)
        state.apply([at(0, 300)])
        state.apply([at(1, 0)])
        assert state.late_events == 1
        changed = state.flush().rows
        assert set(changed["hours"]["segment"]) == {0}
        assert sorted(changed["model"]["segment"]) == [0, T0_MS // 60_000 + 5]


def test_a_repeated_envelope_counts_once_and_leaves_the_watermark_alone() -> None:
    state = new_state()
    state.apply([at(0, 0, identity=("gw", 1))])
    state.apply([at(1, 0, identity=("gw", 1), appended_ms=T0_MS + 60_000)])
    assert (state.applied_events, state.duplicate_envelopes, state.applied_offset) == (1, 1, 1)


def test_an_unreadable_envelope_does_not_use_up_its_identity() -> None:
    state = new_state()
    good = at(1, 0, identity=("gw", 1))
    state.apply([Record(0, 0, T0_MS, b"\x00", good.headers), good])
    assert (state.applied_events, state.duplicate_envelopes) == (1, 0)


def test_an_offset_that_is_delivered_twice_in_one_batch_counts_once() -> None:
    state = new_state()
    first, second = at(0, 0), at(1, 1)
    assert state.apply([first, second, first, second]) == 2
    assert (state.applied_events, state.applied_offset) == (2, 1)


def test_a_flush_without_new_events_changes_nothing() -> None:
    state = new_state()
    state.apply([at(0, 0)])
    state.flush()
    assert not state.is_dirty
    again = state.flush()
    assert (again.rows, again.version, again.applied_events) == ({}, 0, 1)


def test_a_flush_publishes_whole_sums_of_changed_groups_only() -> None:
    state = new_state(3_600)
    state.apply([at(0, 0), record(1, event(T0_MS, provider="other"))])
    state.flush()
    state.apply([at(2, 1)])
    changed = state.flush().rows["model"]
    assert changed["provider"].to_list() == ["acme"]
    assert changed["requests"].to_list() == [2]


def test_a_sum_that_would_shrink_stops_the_worker_instead_of_being_published() -> None:
    state = new_state()
    state.apply([at(0, 0)])
    changed = state.flush().rows["model"]
    # A damaged state: one more request makes the 64-bit sum wrap round to a negative number.
    damaged = changed.with_columns(requests=(changed["requests"] * 0) + (2**63 - 1))
    state.restore_rows({"model": damaged})
    state.apply([at(1, 0)])
    with pytest.raises(ShrinkingPartialError, match=r"cube model: .*stopping.*Restart to recover"):
        state.flush()


def test_open_rows_are_refused_while_a_flush_is_due() -> None:
    state = new_state()
    state.apply([at(0, 0)])
    with pytest.raises(RuntimeError, match="flush before open_rows"):
        state.open_rows()


WIDE_CUBE = Cube("wide", ("model", "provider", "category", "subcategory", "gateway"))


def envelope_with_unused_labels(offset: int) -> Record:
    """One event whose label dictionaries carry 32,000 values each that no row uses."""
    value, headers = encode([event(T0_MS, model="small")], "arrow", None)
    table = decode(Record(0, offset, T0_MS, value, headers)).table
    assert table is not None
    for name in WIDE_CUBE.dimensions:
        i = EVENT_SCHEMA.get_field_index(name)
        used = table.column(i).to_pylist()
        crowded = pa.array(used + [f"unused {offset} {n}" for n in range(32_000)], pa.utf8()).dictionary_encode()
        indices = pa.array([0], pa.int16())
        table = table.set_column(i, EVENT_SCHEMA.field(i), pa.DictionaryArray.from_arrays(indices, crowded.dictionary))
    return Record(0, offset, T0_MS, encode_arrow(table), headers)


def test_envelopes_with_huge_unused_dictionaries_cannot_stall_a_partition() -> None:
    state = new_state(cubes=(WIDE_CUBE,))
    newest = record(1, event(T0_MS + 600_000, model="small"))
    state.apply([envelope_with_unused_labels(0), newest, envelope_with_unused_labels(2)])
    state.apply([envelope_with_unused_labels(3)])
    changed = state.flush().rows["wide"]
    assert counts(changed) == {(0, 0): 1, (10, 0): 1, (0, 10): 2}
    assert set(changed["model"]) == {"small"}
    assert set(changed["gateway"]) == {""}


def test_the_pure_core_reads_no_clock() -> None:
    folder = Path(str(partition_module.__file__)).parent
    for name in ("partition.py", "rollup.py", "labels.py", "aggregate.py", "checkpoint.py", "publish.py"):
        text = (folder / name).read_text(encoding="utf-8")
        assert "import time" not in text and "datetime" not in text and "import random" not in text, name
