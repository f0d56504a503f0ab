"""From decoded records to rows: the raw table's block, the ledger, the dead letters. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import pyarrow as pa

from tokentide_schemas.block import Block, assemble
from tokentide_schemas.catalogue import Catalogue
from tokentide_schemas.costing import with_computed_costs
from tokentide_schemas.envelope import Envelope, Record, Rejection, decode
from tokentide_schemas.event_ids import Delivered, Repeats, without_repeated_events, without_rows
from tokentide_schemas.rejections import Reason
from tokentide_sinks.ranges import Range

_LABEL: Final = pa.dictionary(pa.int32(), pa.utf8())
_INSTANT: Final = pa.timestamp("ms", "UTC")
WHOLE_RECORD: Final = -1


@dataclass(frozen=True, slots=True)
class Fate:
    """What becomes of one record.

    duplicate: its identity was delivered before. admitted: its identity counts as seen from now on. repeated_events:
    rows of a record without identity whose event ids came before. sender_event_ids: the ids that it adds to those.
    """

    envelope: Envelope
    duplicate: bool
    admitted: bool
    stored: int
    rejections: tuple[Rejection, ...]
    repeated_events: int = 0
    sender_event_ids: bytes = b""

    @property
    def duplicate_events(self) -> int:
        """Events that were delivered before."""
        return self.envelope.events if self.duplicate else self.repeated_events

    @property
    def rejected_events(self) -> int:
        """Events that go to the dead letters."""
        return self.envelope.events - self.stored - self.duplicate_events


@dataclass(frozen=True, slots=True)
class Batch:
    """A range of records of one partition, ready to store."""

    block: Block
    fates: tuple[Fate, ...]


def judge(records: Sequence[Record], seen: Delivered, pricer: Catalogue | None = None) -> Batch:
    """Decode records in offset order and settle each one's fate. Changes `seen`.

    `pricer` gives the costs that no producer reported; without one they stay unknown.
    """
    envelopes: list[Envelope] = []
    marks: list[tuple[bool, bool]] = []
    for record in records:
        envelope = decode(record)
        identity = envelope.identity
        duplicate = admitted = False
        if envelope.table is not None and identity is not None:
            admitted = seen.envelopes.admit(identity.producer_id, identity.sequence, record.appended_at_ms)
            duplicate = not admitted
        if duplicate:
            envelope = Envelope(record, None, envelope.events, identity)
        envelopes.append(envelope)
        marks.append((duplicate, admitted))
    block, repeats = without_repeated_events(assemble(envelopes), envelopes, seen.event_ids)
    if pricer is not None:
        block = with_computed_costs(block, pricer)
    found = repeats or Repeats((0,) * len(envelopes), (b"",) * len(envelopes))
    fates = tuple(
        Fate(envelope, duplicate, admitted, stored, rejections, repeated, ids)
        for envelope, (duplicate, admitted), stored, rejections, repeated, ids in zip(
            envelopes, marks, block.stored, block.rejections, found.rows, found.ids, strict=True
        )
    )
    return Batch(block, fates)


def without_refused(batch: Batch, refused: Mapping[int, str]) -> Batch:
    """The batch without rows that the store does not take: block row -> what to say about it, without its values."""
    if not refused:
        return batch
    block = batch.block
    occurred = block.table.column("occurred_at").cast(pa.int64())
    letters: dict[int, list[Rejection]] = {}
    for row, detail in refused.items():
        number, place = int(block.envelope_index[row]), int(block.places[row])
        rows = batch.fates[number].envelope.rows
        place = place if rows is None else rows[place]
        letters.setdefault(number, []).append(Rejection(Reason.STORE_REJECTED, detail, place, occurred[row].as_py()))
    keep = np.ones(block.table.num_rows, np.bool_)
    keep[list(refused)] = False
    fates = list(batch.fates)
    for number, rejections in letters.items():
        fate = fates[number]
        fates[number] = replace(fate, stored=fate.stored - len(rejections), rejections=(*fate.rejections, *rejections))
    return Batch(without_rows(block, keep), tuple(fates))


def _constant(value: str, rows: int) -> pa.Array:
    return pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, np.int32)), pa.array([value]))


def _instants(values: Any) -> pa.Array:
    return pa.array(np.asarray(values, np.int64)).cast(_INSTANT)


def event_rows(batch: Batch, topic: str, partition: int, ingested_at_ms: int) -> pa.Table:
    """The raw table's rows: the accepted events with where they came from."""
    block = batch.block
    rows = block.table.num_rows
    index = block.envelope_index
    envelopes = [fate.envelope for fate in batch.fates]
    offsets = np.array([e.record.offset for e in envelopes], np.uint64)
    names = [e.identity.producer_id if e.identity else "" for e in envelopes]
    distinct = {name: i for i, name in enumerate(dict.fromkeys(names))}
    codes = np.array([distinct[name] for name in names], np.int32)
    sequences = np.array([e.identity.sequence if e.identity else 0 for e in envelopes], np.uint64)
    unknown = np.array([e.identity is None for e in envelopes], np.bool_)
    table = block.table
    columns = {
        "ingested_at": _instants(np.full(rows, ingested_at_ms)),
        "kafka_topic": _constant(topic, rows),
        "kafka_partition": pa.array(np.full(rows, partition, np.uint16)),
        "kafka_offset": pa.array(offsets[index]),
        "producer_id": pa.DictionaryArray.from_arrays(pa.array(codes[index]), pa.array(list(distinct))),
        "producer_sequence": pa.array(sequences[index], mask=unknown[index]),
    }
    for name, column in columns.items():
        table = table.append_column(name, column)
    return table


def _origin(envelopes: Sequence[Envelope], topic: str, epoch: str, partition: int) -> dict[str, pa.Array]:
    rows = len(envelopes)
    return {
        "topic": _constant(topic, rows),
        "epoch": _constant(epoch, rows),
        "partition": pa.array(np.full(rows, partition, np.uint16)),
        "offset": pa.array([e.record.offset for e in envelopes], pa.uint64()),
        "appended_at": _instants([e.record.appended_at_ms for e in envelopes]),
        "producer_id": pa.array([e.identity.producer_id if e.identity else "" for e in envelopes]).cast(_LABEL),
        "producer_sequence": pa.array([e.identity.sequence if e.identity else None for e in envelopes], pa.uint64()),
    }


def _oldest_occurred(batch: Batch) -> pa.Array:
    """The oldest stored event of each record, from which the raw table's retention follows; else its append time."""
    oldest = np.array([fate.envelope.record.appended_at_ms for fate in batch.fates], np.int64)
    occurred = batch.block.table.column("occurred_at").cast(pa.int64()).to_numpy()
    np.minimum.at(oldest, batch.block.envelope_index, occurred)
    return _instants(oldest)


def ledger_rows(batch: Batch, topic: str, epoch: str, partition: int, recorded_at_ms: int) -> pa.Table:
    """The ledger's rows: one for each record."""
    fates = batch.fates
    counts = {
        "admitted": pa.array([f.admitted for f in fates], pa.bool_()),
        "oldest_occurred_at": _oldest_occurred(batch),
        "events": pa.array([f.envelope.events for f in fates], pa.uint32()),
        "stored_events": pa.array([f.stored for f in fates], pa.uint32()),
        "duplicate_events": pa.array([f.duplicate_events for f in fates], pa.uint32()),
        "rejected_events": pa.array([f.rejected_events for f in fates], pa.uint32()),
        "sender_event_ids": pa.array([f.sender_event_ids for f in fates], pa.binary()),
        "recorded_at": _instants(np.full(len(fates), recorded_at_ms)),
    }
    return pa.table({**_origin([f.envelope for f in fates], topic, epoch, partition), **counts})


def dead_letter_rows(batch: Batch, topic: str, epoch: str, partition: int, rejected_at_ms: int) -> pa.Table:
    """One row for each refused event, or for a whole refused record. Holds no value of the input."""
    pairs = [(fate.envelope, rejection) for fate in batch.fates for rejection in fate.rejections]
    details = {
        "row": pa.array([WHOLE_RECORD if r.row is None else r.row for _, r in pairs], pa.int32()),
        "reason": pa.array([str(r.reason) for _, r in pairs], pa.utf8()).cast(_LABEL),
        "detail": pa.array([r.detail for _, r in pairs], pa.utf8()),
        "events": pa.array([e.events if r.row is None else 1 for e, r in pairs], pa.uint32()),
        "occurred_at": pa.array([r.occurred_at_ms for _, r in pairs], pa.int64()).cast(_INSTANT),
        "revision": pa.array(np.zeros(len(pairs), np.uint32)),
        "rejected_at": _instants(np.full(len(pairs), rejected_at_ms)),
    }
    return pa.table({**_origin([e for e, _ in pairs], topic, epoch, partition), **details})


def expired_rows(expired: Sequence[Range], topic: str, epoch: str, partition: int, noticed_at_ms: int) -> pa.Table:
    """Dead letters for runs of records that the topic deleted before they were stored. `events` counts records, as
    nobody can know what was in them; they stand at the time of the discovery."""
    rows = len(expired)
    now = _instants(np.full(rows, noticed_at_ms))
    return pa.table(
        {
            "topic": _constant(topic, rows),
            "epoch": _constant(epoch, rows),
            "partition": pa.array(np.full(rows, partition, np.uint16)),
            "offset": pa.array([one.first for one in expired], pa.uint64()),
            "appended_at": now,
            "producer_id": pa.array([""] * rows, pa.utf8()).cast(_LABEL),
            "producer_sequence": pa.nulls(rows, pa.uint64()),
            "row": pa.array(np.full(rows, WHOLE_RECORD, np.int32)),
            "reason": pa.array([Reason.EXPIRED.value] * rows, pa.utf8()).cast(_LABEL),
            "detail": pa.array([f"records {one.first} to {one.last} were deleted unread" for one in expired]),
            "events": pa.array([min(one.last - one.first + 1, 2**32 - 1) for one in expired], pa.uint32()),
            "occurred_at": pa.nulls(rows, _INSTANT),
            "revision": pa.array(np.zeros(rows, np.uint32)),
            "rejected_at": now,
        }
    )
