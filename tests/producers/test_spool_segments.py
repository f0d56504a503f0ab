from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tokentide_producers.outgoing import UNPLACED, OutgoingEnvelope
from tokentide_producers.spool import records
from tokentide_producers.spool.directory import SpoolDirectory, SpoolError
from tokentide_producers.spool.records import Damage, SpooledEnvelope

HOLDER = """
import sys
from pathlib import Path
from tokentide_producers.outgoing import OutgoingEnvelope
from tokentide_producers.spool.directory import SpoolDirectory
segment = SpoolDirectory(Path(sys.argv[1])).create()
segment.append([OutgoingEnvelope(b"value", 3, 0, 0, "theirs")])
print("held", flush=True)
sys.stdin.read()
"""


def envelope(value: bytes, partition: int = UNPLACED, sequence: int = -1, events: int = 1) -> OutgoingEnvelope:
    return OutgoingEnvelope(value, events, 7, 0, "live", partition, sequence)


def directory(path: Path) -> SpoolDirectory:
    return SpoolDirectory(path / "spool")


def contents(spool: SpoolDirectory) -> list[SpooledEnvelope]:
    found = []
    for segment in spool.take_over():
        found += segment.read().envelopes
        segment.close()
    return found


def test_what_was_sent_keeps_its_identity_and_what_was_not_gets_the_segments(tmp_path: Path) -> None:
    spool = directory(tmp_path)
    segment = spool.create()
    segment.append([envelope(b"a"), envelope(b"b", 3, 41)])
    segment.append([envelope(b"c")])
    segment.close()
    own = segment.segment_id
    assert contents(spool) == [
        SpooledEnvelope(b"a", 1, 7, own, UNPLACED, 0),
        SpooledEnvelope(b"b", 1, 7, "live", 3, 41),
        SpooledEnvelope(b"c", 1, 7, own, UNPLACED, 2),
    ]


def test_a_segment_belongs_to_its_writer_until_that_is_gone(tmp_path: Path) -> None:
    spool = directory(tmp_path)
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(spool.path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        try:
            assert holder.stdout.readline() == "held\n"
            assert contents(spool) == []
        finally:
            holder.kill()
            holder.wait()
        assert [found.value for found in contents(spool)] == [b"value"]


def test_a_segment_that_is_taken_over_is_not_taken_twice(tmp_path: Path) -> None:
    spool = directory(tmp_path)
    spool.create().close()
    first = list(spool.take_over())
    assert len(first) == 1
    assert list(spool.take_over()) == []
    first[0].remove()
    assert spool.segments() == []


def test_the_partition_count_of_the_first_sending_stays(tmp_path: Path) -> None:
    spool = directory(tmp_path)
    spool.create().close()
    (segment,) = spool.take_over()
    assert segment.partitions(4) == 4
    segment.close()
    (again,) = spool.take_over()
    assert again.partitions(12) == 4
    again.remove()
    assert list(spool.path.iterdir()) == []


def test_a_child_of_a_fork_does_not_take_the_lock_away(tmp_path: Path) -> None:
    spool = directory(tmp_path)
    segment = spool.create()
    child = os.fork()
    if child == 0:
        segment.close()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert list(spool.take_over()) == []
    segment.close()
    assert len(list(spool.take_over())) == 1


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "spool").write_text("a file")
    with pytest.raises(SpoolError, match=r"spool cannot be made: .*|.*/spool"):
        directory(tmp_path).create()


def test_the_oldest_segment_goes_first(tmp_path: Path) -> None:
    spool = directory(tmp_path)
    for number in range(3):
        segment = spool.create()
        segment.append([envelope(b"%d" % number, events=10 + number)])
        os.utime(segment.path, ns=(number, number))
        segment.close()
    gone = spool.evict_oldest()
    assert gone is not None
    assert [one.events for one in gone.envelopes] == [10]
    assert sorted(one.value for one in contents(spool)) == [b"1", b"2"]


VALUES = st.lists(st.binary(max_size=200), min_size=1, max_size=8)


@given(VALUES, st.data())
def test_what_a_crash_cut_off_ends_the_segment_and_the_rest_is_whole(values: list[bytes], data: st.DataObject) -> None:
    parts = [records.encode(envelope(value), "s", number) for number, value in enumerate(values)]
    whole = b"".join(parts)
    cut = data.draw(st.integers(0, len(whole)))
    kept = sum(1 for number in range(len(parts)) if sum(map(len, parts[: number + 1])) <= cut)
    found = list(records.decode(whole[:cut], 0))
    assert [one.value for one in found if isinstance(one, SpooledEnvelope)] == values[:kept]
    damage = [one for one in found if isinstance(one, Damage)]
    assert all(one.is_end for one in damage)
    assert sum(one.size_bytes for one in damage) == cut - sum(map(len, parts[:kept]))


@settings(max_examples=200)
@given(VALUES, st.data())
def test_a_changed_byte_costs_only_its_own_record_and_is_reported(values: list[bytes], data: st.DataObject) -> None:
    parts = [records.encode(envelope(value), "s", number) for number, value in enumerate(values)]
    hit = data.draw(st.integers(0, len(parts) - 1))
    place = data.draw(st.integers(0, len(parts[hit]) - 1))
    flipped = data.draw(st.integers(1, 255))
    broken = bytearray(b"".join(parts))
    broken[sum(map(len, parts[:hit])) + place] ^= flipped
    found = list(records.decode(bytes(broken), 0))
    expected = [value for number, value in enumerate(values) if number != hit]
    assert [one.value for one in found if isinstance(one, SpooledEnvelope)] == expected
    sequences = [one.sequence for one in found if isinstance(one, SpooledEnvelope)]
    assert sequences == [number for number in range(len(values)) if number != hit]
    assert sum(one.size_bytes for one in found if isinstance(one, Damage)) == len(parts[hit])
