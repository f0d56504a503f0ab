"""Checkpoints: what is written is read back, and what cannot be read is said."""

from __future__ import annotations

import hashlib
import json
import struct

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st
from tests.stream.builders import T0_MS, at, counts, event, new_state, record
from tests.stream.replacing import rows_of
from tests.stream.worlds import CUBES, PLAIN_MODEL_CUBE, PartitionLog, cases, partition_logs

from tokentide_schemas.cubes import Cube
from tokentide_stream.checkpoint import FORMAT, CheckpointError, dump, load, peek
from tokentide_stream.partition import PartitionState


def written(*cubes: Cube) -> bytes:
    state = new_state(0, cubes or (PLAIN_MODEL_CUBE,))
    state.apply([at(0, 0), at(1, 300), at(2, 1)])
    state.flush()
    return dump(state, "epoch-1")


@cases(60)
@given(partition_logs(0, max_records=8), st.sampled_from([0, 60, 3_600]))
def test_a_state_goes_on_after_a_checkpoint_as_if_it_had_never_stopped(log: PartitionLog, lateness_s: int) -> None:
    half = len(log.records) // 2
    state = PartitionState(CUBES, lateness_s)
    state.apply(log.records[:half])
    state.flush()
    restored = load(dump(state, "e"), CUBES, lateness_s)
    for each in (state, restored):
        each.apply(log.records[half:])
    first, second = state.flush(), restored.flush()
    assert (first.version, first.watermark_ms, first.applied_events) == (
        second.version,
        second.watermark_ms,
        second.applied_events,
    )
    assert first.rows.keys() == second.rows.keys()
    for cube in CUBES:
        if cube.name in first.rows:
            assert dict(rows_of(first.rows[cube.name], cube.dimensions)) == dict(
                rows_of(second.rows[cube.name], cube.dimensions)
            )
    assert (state.late_events, state.duplicate_envelopes) == (restored.late_events, restored.duplicate_envelopes)


def test_peek_tells_epoch_and_offset() -> None:
    assert peek(written()) == ("epoch-1", 2)


def test_a_checkpoint_of_an_untouched_partition_is_from_before_its_first_offset() -> None:
    value = dump(new_state(), "e")
    assert peek(value) == ("e", -1)
    assert load(value, (PLAIN_MODEL_CUBE,), 0).apply([at(0, 0)]) == 1


def test_what_a_checkpoint_holds_unpublished_is_published_after_the_recovery() -> None:
    state = new_state()
    state.apply([at(0, 0)])
    state.flush()
    state.apply([at(1, 1)])
    restored = load(dump(state, "e"), (PLAIN_MODEL_CUBE,), 0)
    assert restored.is_dirty
    changes = restored.flush()
    assert (changes.version, counts(changes.rows["model"])) == (1, {(0, 0): 2})


def test_a_cube_with_other_dimensions_is_an_error() -> None:
    with pytest.raises(CheckpointError, match=r"cube 'model' has other .* give the changed cube another name"):
        load(written(), (Cube("model", ("model",)),), 0)


def test_a_cube_that_is_no_longer_configured_is_left_out() -> None:
    state = load(written(*CUBES), (PLAIN_MODEL_CUBE,), 0)
    state.apply([at(3, 2)])
    assert counts(state.flush().rows["model"]) == {(0, 5): 2}


def packed(head: object) -> bytes:
    text = zstandard.compress(json.dumps(head).encode())
    return struct.pack("<I", len(text)) + text


@pytest.mark.parametrize(
    "value", [b"", b"garbage", zstandard.compress(b""), zstandard.compress(b"\x05\x00\x00\x00hello")]
)
def test_bytes_that_are_no_checkpoint_are_an_error(value: bytes) -> None:
    with pytest.raises(CheckpointError, match="unreadable checkpoint"):
        peek(value)


def test_a_checkpoint_that_was_cut_off_is_an_error_and_never_an_older_state() -> None:
    state = new_state()
    # Incompressible labels: more than one block of the compressor, so that a cut one has a readable beginning.
    labels = [hashlib.sha256(b"%d" % n).hexdigest() for n in range(5_000)]
    state.apply([record(0, *(event(T0_MS, model=label) for label in labels))])
    state.flush()
    whole = dump(state, "e")
    assert len(whole) > 150_000
    for length in (1, 10, 200, len(whole) // 2, len(whole) - 10, len(whole) - 1):
        with pytest.raises(CheckpointError, match="unreadable checkpoint"):
            peek(whole[:length])


def test_another_format_is_an_error() -> None:
    with pytest.raises(CheckpointError, match=f"checkpoint format {FORMAT + 1}; this worker reads {FORMAT}"):
        peek(packed({"format": FORMAT + 1}))
