"""Repeated events of senders whose envelopes have no identity: by event id, within the newest ids of a partition.

The raw sink and the stream worker both run this over the same partition in offset order and so agree about every row.
Only ids that the sender gave count: a derived id is unique by its place in the log. Only rows that pass the block's
checks count, which is a function of the record alone; so an event that was refused and is sent again corrected is new.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
import pyarrow as pa

from tokentide_schemas.block import Block
from tokentide_schemas.envelope import Envelope
from tokentide_schemas.identity import SeenEnvelopes

MAX_EVENT_IDS: Final = 100_000
"""A repeat is recognised while at most this many other ids came after it in its partition."""

ID_BYTES: Final = 16
_HEAD: Final = struct.Struct("<I")
_RECORD: Final = np.dtype([("offset", "<i8"), ("ids", "<u4")])


class SeenEventIds:
    """The event ids that a partition's newest records without identity carried.

    Remembers whole records: the smallest number of newest ones that hold `capacity` ids together. A record counts
    with all its distinct ids, repeats included, so the state depends on the newest records only and can be rebuilt
    from them. At most `capacity` + 100,000 (the ids of one record) are in memory.
    """

    def __init__(self, capacity: int = MAX_EVENT_IDS) -> None:
        if capacity < 1:
            raise ValueError(f"capacity must be at least 1, not {capacity}")
        self._capacity = capacity
        self._records: deque[tuple[int, list[bytes]]] = deque()
        self._newest: dict[bytes, int] = {}
        self._total = 0
        self._dumped: bytes | None = None

    def __len__(self) -> int:
        return len(self._newest)

    def admit(self, offset: int, ids: Sequence[bytes]) -> list[bool]:
        """For each id whether it came for the first time. Call in offset order, once for each record with ids."""
        fresh = []
        distinct: dict[bytes, None] = {}
        for event_id in ids:
            fresh.append(event_id not in self._newest and event_id not in distinct)
            distinct[event_id] = None
        self.restore(offset, list(distinct))
        return fresh

    def restore(self, offset: int, distinct_ids: list[bytes]) -> None:
        """Take up a record's distinct ids without asking whether they are new (recovery), in offset order."""
        if not distinct_ids:
            return
        self._dumped = None
        self._records.append((offset, distinct_ids))
        self._newest.update(dict.fromkeys(distinct_ids, offset))
        self._total += len(distinct_ids)
        while self._total - len(self._records[0][1]) >= self._capacity:
            oldest, gone = self._records.popleft()
            self._total -= len(gone)
            for event_id in gone:
                if self._newest[event_id] == oldest:
                    del self._newest[event_id]

    def dump(self) -> bytes:
        """State as bytes, for a checkpoint; they are kept until something changes."""
        if self._dumped is None:
            self._dumped = self._bytes()
        return self._dumped

    def _bytes(self) -> bytes:
        index = np.array([(offset, len(ids)) for offset, ids in self._records], _RECORD)
        return b"".join((_HEAD.pack(len(index)), index.tobytes(), *(b"".join(ids) for _, ids in self._records)))

    @classmethod
    def load(cls, data: bytes, capacity: int = MAX_EVENT_IDS) -> SeenEventIds:
        """The inverse of `dump`. Raises ValueError and struct.error for bytes that are not a dump."""
        (count,) = _HEAD.unpack_from(data)
        index = np.frombuffer(data, _RECORD, count, _HEAD.size)
        position = _HEAD.size + index.nbytes
        if len(data) != position + int(index["ids"].sum()) * ID_BYTES:
            raise ValueError("the dump of event ids has the wrong length")
        seen = cls(capacity)
        for offset, ids in index.tolist():
            end = position + ids * ID_BYTES
            seen.restore(offset, split_ids(data[position:end]))
            position = end
        return seen


def split_ids(joined: bytes) -> list[bytes]:
    """Ids that were written one behind the other."""
    return [joined[i : i + ID_BYTES] for i in range(0, len(joined), ID_BYTES)]


@dataclass(slots=True)
class Delivered:
    """What a partition has delivered: envelopes with an identity, and event ids of those without."""

    envelopes: SeenEnvelopes = field(default_factory=SeenEnvelopes)
    event_ids: SeenEventIds = field(default_factory=SeenEventIds)


@dataclass(frozen=True, slots=True)
class Repeats:
    """What `without_repeated_events` found, for each envelope of the input.

    rows: how many of its rows were repeats. ids: the distinct sender-given ids of its acceptable rows, joined.
    """

    rows: tuple[int, ...]
    ids: tuple[bytes, ...]


def without_repeated_events(
    block: Block, envelopes: Sequence[Envelope], seen: SeenEventIds
) -> tuple[Block, Repeats | None]:
    """Take out rows whose event id came before. Changes `seen`; None when no envelope could have a repeat."""
    if not any(_may_repeat(envelope) for envelope in envelopes):
        return block, None
    event_ids = block.table.column("event_id").to_pylist()
    starts = np.searchsorted(block.envelope_index, np.arange(len(envelopes) + 1))
    keep = np.ones(len(event_ids), np.bool_)
    rows, joined = [], []
    for number, envelope in enumerate(envelopes):
        chosen: list[int] = []
        if _may_repeat(envelope):
            chosen = [
                i for i in range(starts[number], starts[number + 1]) if int(block.places[i]) not in envelope.derived
            ]
        ids = [event_ids[i] for i in chosen]
        fresh = seen.admit(envelope.record.offset, ids)
        for i, is_new in zip(chosen, fresh, strict=True):
            keep[i] = is_new
        rows.append(len(fresh) - sum(fresh))
        joined.append(b"".join(dict.fromkeys(ids)))
    found = Repeats(tuple(rows), tuple(joined))
    if keep.all():
        return block, found
    return without_rows(block, keep), found


def without_rows(block: Block, keep: np.ndarray) -> Block:
    """The block with the rows at which `keep` is true."""
    index = block.envelope_index[keep]
    stored = np.bincount(index, minlength=len(block.stored))
    return replace(
        block,
        table=block.table.filter(pa.array(keep)).combine_chunks(),
        envelope_index=index,
        stored=tuple(int(n) for n in stored),
        places=block.places[keep],
    )


def _may_repeat(envelope: Envelope) -> bool:
    return envelope.identity is None and envelope.table is not None and len(envelope.derived) < envelope.table.num_rows
