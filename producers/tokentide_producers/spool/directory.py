"""The spool's directory: segments that processes write, hold by a lock, and take over from those that are gone.

A segment belongs to the process that holds its lock. The operating system drops the lock with the process, also at
kill -9, so a segment that can be locked is one that somebody may send and delete.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import Final

from tokentide_producers.outgoing import OutgoingEnvelope, new_producer_id
from tokentide_producers.spool import records

SEGMENT_BYTES: Final = 16 * 1024 * 1024
SUFFIX: Final = ".spool"
_PLACE_SUFFIX: Final = ".place"
DAMAGED_SUFFIX: Final = ".damaged"
_MAKE_ROOM: Final = "make room there or set another spool_dir"


class SpoolError(OSError):
    """The spool cannot be written or read; says where and what to do."""


class SpoolFullError(SpoolError):
    """No room within the bound that the settings give."""


@dataclass(frozen=True, slots=True)
class SegmentContent:
    """What a segment holds: its envelopes in order, and its damaged stretches."""

    envelopes: list[records.SpooledEnvelope]
    damage: list[records.Damage]


class Segment:
    """A segment whose lock this process holds."""

    def __init__(self, path: Path, file: FileIO, segment_id: str) -> None:
        self.path = path
        self.segment_id = segment_id
        self._file = file
        self._records = 0

    @property
    def size_bytes(self) -> int:
        """Bytes in the file."""
        return os.fstat(self._file.fileno()).st_size

    def append(self, envelopes: list[OutgoingEnvelope]) -> None:
        """Write and fsync; afterwards the envelopes outlive the process and the machine. Raises SpoolError."""
        start = self._file.tell()
        parts = []
        for envelope in envelopes:
            parts.append(records.encode(envelope, self.segment_id, self._records))
            self._records += 1
        try:
            _write_whole(self._file, b"".join(parts))
            os.fsync(self._file.fileno())
        except OSError as error:
            self._cut(start)
            raise SpoolError(f"{self.path} cannot be written: {error.strerror}; {_MAKE_ROOM}") from error

    def _cut(self, size: int) -> None:
        """Take back a write that did not succeed. A record number that was given is not given again."""
        try:
            self._file.seek(size)
            self._file.truncate(size)
        except OSError:
            # What follows would stand behind half a record; the reader finds its way, but a new segment is better.
            self.close()

    def read(self) -> SegmentContent:
        """Everything in the segment. Raises SpoolError when it cannot be read."""
        try:
            data = self.path.read_bytes()
        except OSError as error:
            raise SpoolError(f"{self.path} cannot be read: {error.strerror}") from error
        head = records.read_header(data)
        if head is None:
            return SegmentContent([], [records.Damage(0, len(data), True)] if data else [])
        envelopes, damage = [], []
        for part in records.decode(data, head[1]):
            if isinstance(part, records.Damage):
                damage.append(part)
            else:
                envelopes.append(part)
        return SegmentContent(envelopes, damage)

    def partitions(self, of_topic: int) -> int:
        """The partition count that places this segment's unsent envelopes: the topic's when it was first sent.

        It is on disk before the first of them is sent, so a drain that is broken off goes on in the same partition.
        """
        place = self.path.with_suffix(_PLACE_SUFFIX)
        try:
            return int(json.loads(place.read_text())["partitions"])
        except FileNotFoundError:
            pass
        except (ValueError, KeyError, TypeError) as error:
            raise SpoolError(f"{place} is damaged ({error}); move {self.path.name} away and look at it") from error
        partial = place.with_suffix(".partial")
        with partial.open("w") as file:
            file.write(json.dumps({"partitions": of_topic}))
            file.flush()
            os.fsync(file.fileno())
        partial.replace(place)
        _fsync_folder(self.path.parent)
        return of_topic

    def remove(self, *, keep_damaged: bool = False) -> None:
        """Everything in it is acknowledged: delete it. A damaged one is kept aside under another name."""
        if keep_damaged:
            self.path.rename(self.path.with_suffix(DAMAGED_SUFFIX))
        else:
            self.path.unlink(missing_ok=True)
        self.path.with_suffix(_PLACE_SUFFIX).unlink(missing_ok=True)
        self.close()

    def close(self) -> None:
        """Let go of the lock; whoever comes next may send the segment."""
        self._file.close()

    @property
    def is_closed(self) -> bool:
        """The lock was let go."""
        return self._file.closed


class SpoolDirectory:
    """A folder of segments, of all processes. segment_bytes: a segment of this size gets nothing more."""

    def __init__(self, path: Path, segment_bytes: int = SEGMENT_BYTES) -> None:
        self.path = path
        self.segment_bytes = segment_bytes

    def prepare(self) -> None:
        """Make the folder; only its user may look inside. Raises SpoolError."""
        try:
            self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise SpoolError(f"the spool's folder {self.path} cannot be made: {error.strerror}") from error

    def size_bytes(self) -> int:
        """Bytes of all segments."""
        return sum(size for _path, size in self._files())

    def segments(self) -> list[Path]:
        """Segments of all processes, oldest first."""
        return [path for path, _size in self._files()]

    def _files(self) -> list[tuple[Path, int]]:
        found = []
        for path in self.path.glob(f"*{SUFFIX}"):
            try:
                status = path.stat()
            except FileNotFoundError:
                continue  # another process has just sent and deleted it
            found.append((status.st_mtime_ns, path, status.st_size))
        return [(path, size) for _time, path, size in sorted(found)]

    def create(self) -> Segment:
        """A new segment of this process. Raises SpoolError."""
        self.prepare()
        segment_id = new_producer_id()
        path = self.path / f"{segment_id}{SUFFIX}"
        try:
            # Unbuffered: a child of a fork must not have half of a record to write.
            file = path.open("xb", buffering=0)
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _write_whole(file, records.header(segment_id))
            _fsync_folder(self.path)
        except OSError as error:
            raise SpoolError(f"{path} cannot be made: {error.strerror}; {_MAKE_ROOM}") from error
        return Segment(path, file, segment_id)

    def take_over(self) -> Iterator[Segment]:
        """Segments that no living process holds, oldest first, each locked; the caller removes or closes each."""
        for path in self.segments():
            segment = self._lock(path)
            if segment is not None:
                yield segment

    def evict_oldest(self) -> SegmentContent | None:
        """Delete the oldest segment that nobody holds and say what is lost with it; None when there is none."""
        for segment in self.take_over():
            content = segment.read()
            segment.remove()
            return content
        return None

    def _lock(self, path: Path) -> Segment | None:
        try:
            file = path.open("r+b", buffering=0)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise SpoolError(f"{path} cannot be opened: {error.strerror}") from error
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            return None
        if not path.exists():
            # Sent and deleted by its owner between our opening and our locking it.
            file.close()
            return None
        return Segment(path, file, path.stem)


def _write_whole(file: FileIO, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[file.write(view) :]


def _fsync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
