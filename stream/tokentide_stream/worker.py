"""The rollup worker: feeds envelopes to the partitions' states, publishes what changed, checkpoints, acknowledges.

The order of a flush is what exactness rests on: rows, then the progress report, then (when due) the checkpoint, and
only then the acknowledgement of the envelopes that the checkpoint includes. A crash anywhere in between repeats work,
and repeated rows carry the same or newer absolute values.
"""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from tokentide_schemas import topics
from tokentide_schemas.catalogue import Catalogue
from tokentide_schemas.crash_points import reach
from tokentide_schemas.cubes import Cube, stored_cubes
from tokentide_schemas.envelope import Record
from tokentide_schemas.rollups import (
    HEADER_CUBE,
    HEADER_KIND,
    KIND_PARTIALS,
    KIND_PROGRESS,
    Progress,
    encode_partials,
)
from tokentide_stream import checkpoint, checkpoint_parts
from tokentide_stream.partition import PartitionState
from tokentide_stream.publish import partials
from tokentide_stream.settings import StreamSettings

log = logging.getLogger(__name__)

QUIET_S = 2.0
"""A partition that is silent for so long publishes everything: slow cubes and tiers need not wait for their turn."""
PROGRESS_S = 5.0
"""A partition that rests says so as often, so that readers of rollups know that they are whole."""
EMIT_SHARE = 4
"""A publication waits for at least so many times as long as the last one took to make, so that a worker that is short
of processor time gives most of it to counting."""
CHECKPOINT_SHARE = 20
"""A checkpoint waits for at least so many times as long as the last one took, so that large states cost little."""


class MissedRecordsError(Exception):
    """Records of a partition were passed over. Nothing is lost: a restart reads them from the last checkpoint on."""


class Outlet(Protocol):
    """Where the worker writes; the Faust app implements it. Each call returns once the broker has the data."""

    async def send_rollups(self, partition: int, records: Sequence[tuple[list[tuple[str, bytes]], bytes]]) -> None:
        """Append records to a partition of the rollup topic, in order."""

    async def write_checkpoint(self, partition: int, key: bytes, value: bytes | None) -> None:
        """Set (or with None delete) a key of the checkpoint table in a partition."""

    def checkpoints(self, partition: int) -> dict[bytes, bytes]:
        """The recovered checkpoints of a partition, by key."""

    def next_record(self, partition: int, offset: int) -> int | None:
        """Offset of the first record at or after an offset that the topic has, None when unknown."""

    def end_offset(self, partition: int) -> int:
        """Offset after the newest record of the partition of the usage topic, as far as known."""


@dataclass(slots=True)
class _Partition:
    state: PartitionState
    received: list[Any] = field(default_factory=list)
    unacknowledged: list[Any] = field(default_factory=list)
    stale_keys: list[bytes] = field(default_factory=list)
    newest_appended_ms: int = 0
    checkpointed_offset: int = -1
    progress_at: float = 0.0
    checkpoint_bytes: int = 0
    received_at: float = 0.0


class RollupWorker:
    """One worker process' share of the usage topic."""

    def __init__(
        self,
        settings: StreamSettings,
        cubes: Sequence[Cube],
        epoch: str,
        outlet: Outlet,
        clock: Callable[[], float] = time.time,
        pricer: Catalogue | None = None,
    ) -> None:
        self.pricer = pricer
        self.settings = settings
        self.cubes = tuple(cubes)
        self._stored = {cube.name: cube for cube in stored_cubes(cubes)}
        self.epoch = epoch
        self.outlet = outlet
        self.clock = clock
        # Each incarnation checkpoints under a key of its own: one that was believed dead and writes late cannot
        # overwrite its successor's newer checkpoint. Recovery takes the one that is furthest.
        self.incarnation = uuid.uuid4().hex
        self.partitions: dict[int, _Partition] = {}
        self.events_total = 0
        self.missing_offsets = 0
        self._waiting_records = 0
        self._waiting_bytes = 0
        self._emitted_at = clock()
        self._checkpointed_at = clock()
        self._checkpoint_took_s = 0.0
        self._emit_took_s = 0.0
        self._lock = asyncio.Lock()

    async def receive(self, event: Any) -> None:
        """Take one envelope from the stream; counts when enough have come."""
        message = event.message
        self._partition(message.partition).received.append(event)
        self._waiting_records += 1
        self._waiting_bytes += len(message.value or b"")
        if self._is_full:
            await self.step()

    @property
    def _is_full(self) -> bool:
        settings = self.settings
        return (
            self._waiting_records >= settings.stream_batch_records or self._waiting_bytes >= settings.stream_batch_bytes
        )

    async def step(self) -> None:
        """Count, publish and checkpoint when due.

        What has come is counted when it is a full batch, or right before it is published: nobody sees it earlier, and
        many small batches cost twice as much as one.
        """
        async with self._lock:
            now = self.clock()
            wait_s = max(self.settings.stream_emit_interval_s, EMIT_SHARE * self._emit_took_s)
            is_due = now - self._emitted_at >= wait_s
            if is_due or self._is_full:
                self._count()
            if is_due:
                self._emitted_at = now
                pause_s = max(self.settings.stream_checkpoint_interval_s, CHECKPOINT_SHARE * self._checkpoint_took_s)
                due = now - self._checkpointed_at >= pause_s
                await self._flush(due, now)
                if due:
                    self._checkpointed_at = now

    async def finish(self) -> None:
        """Publish and checkpoint everything that has come: the last act of a clean stop."""
        async with self._lock:
            self._count()
            await self._flush(True, None)

    def drop(self, partitions: Iterable[int]) -> None:
        """Forget partitions that were taken away; their next owner starts from the checkpoint."""
        for number in partitions:
            lost = self.partitions.pop(number, None)
            if lost is not None:
                self._waiting_records -= len(lost.received)
                self._waiting_bytes -= sum(len(event.message.value or b"") for event in lost.received)

    def _partition(self, number: int) -> _Partition:
        known = self.partitions.get(number)
        if known is None:
            known = self.partitions[number] = self._recover(number)
        return known

    def _recover(self, number: int) -> _Partition:
        keys = self.outlet.checkpoints(number)
        found = checkpoint_parts.furthest(keys, self.epoch)
        if found.incomplete:
            log.warning("partition %d: passed over %d checkpoints without all parts", number, len(found.incomplete))
        best = found.value
        lateness_s = self.settings.stream_allowed_lateness_s
        cubes = self.cubes
        state = PartitionState(cubes, lateness_s) if best is None else checkpoint.load(best, cubes, lateness_s)
        state.pricer = self.pricer
        log.info("partition %d: starting after offset %d (%d checkpoints)", number, state.applied_offset, len(keys))
        mine = self.incarnation.encode()
        stale = [key for key in keys if key.split(b"/")[1] != mine]
        return _Partition(state, stale_keys=stale, checkpointed_offset=state.applied_offset)

    def _count(self) -> None:
        for number, part in self.partitions.items():
            if not part.received:
                continue
            events, part.received = part.received, []
            records = [_record(number, event.message) for event in events]
            self._watch_for_gaps(number, part.state.applied_offset, records)
            self.events_total += part.state.apply(records)
            part.newest_appended_ms = records[-1].appended_at_ms
            part.unacknowledged += events
            part.received_at = self.clock()
        self._waiting_records = 0
        self._waiting_bytes = 0

    def _watch_for_gaps(self, number: int, applied_offset: int, records: Sequence[Record]) -> None:
        """Raise MissedRecordsError when records were passed over; say it when the topic does not have them.

        Transactions leave gaps without records, and retention may be faster than a worker that was away for long.
        Before the first checkpoint, too: reading begins at offset 0, or where retention has put the topic's beginning.
        """
        expected = applied_offset + 1
        for record in records:
            if record.offset > expected:
                self._explain_gap(number, expected, record.offset)
            expected = max(expected, record.offset + 1)

    def _explain_gap(self, number: int, first: int, offset: int) -> None:
        found = self.outlet.next_record(number, first)
        if found is None:
            raise MissedRecordsError(
                f"partition {number}: offset {offset} was delivered where {first} was expected, and Kafka did not say "
                "whether there is anything in between"
            )
        if found < offset:
            raise MissedRecordsError(f"partition {number}: offset {found} is in the topic but {offset} was delivered")
        if first == 0:
            log.info("partition %d: the topic begins at offset %d", number, offset)
            return
        self.missing_offsets += offset - first
        log.error("partition %d: offsets %d to %d are not in the topic", number, first, offset - 1)

    async def _flush(self, with_checkpoint: bool, due_at: float | None) -> None:
        """Publish what is due at a time, or everything."""
        self._checkpoint_took_s = 0.0 if with_checkpoint else self._checkpoint_took_s
        self._emit_took_s = 0.0
        await asyncio.gather(
            *(
                self._flush_partition(number, part, with_checkpoint, due_at)
                for number, part in list(self.partitions.items())
            )
        )

    async def _flush_partition(
        self, number: int, part: _Partition, with_checkpoint: bool, due_at: float | None
    ) -> None:
        now = self.clock()
        state = part.state
        if due_at is not None and due_at - part.received_at >= QUIET_S:
            due_at = None
        pause_s = min(PROGRESS_S, self.settings.stream_checkpoint_interval_s)
        if state.is_dirty or now - part.progress_at >= pause_s:
            records = self._records(number, part, now, due_at)
            self._emit_took_s += max(0.0, self.clock() - now)
            await self.outlet.send_rollups(number, records)
            part.progress_at = now
            reach("worker:after-rows")
        if not with_checkpoint:
            return
        done, part.unacknowledged = part.unacknowledged, []
        if state.applied_offset != part.checkpointed_offset:
            await self._checkpoint(number, part)
            reach("worker:after-checkpoint")
        # Without a new checkpoint these came again and the one that was recovered includes them.
        for event in done:
            event.ack()
            reach("worker:after-acknowledgement")

    async def _checkpoint(self, number: int, part: _Partition) -> None:
        began = self.clock()
        value = checkpoint.dump(part.state, self.epoch)
        part.checkpoint_bytes = len(value)
        self._checkpoint_took_s += max(0.0, self.clock() - began)
        offset = part.state.applied_offset
        key = b"%d/" % number + self.incarnation.encode()
        slot, slot_parts = checkpoint_parts.held(self.outlet.checkpoints(number), key)
        writes = checkpoint_parts.plan(
            key, value, slot=slot, slot_parts=slot_parts, part_bytes=checkpoint_parts.PART_BYTES
        )
        for name, piece in writes.parts:
            await self.outlet.write_checkpoint(number, name, piece)
        await self.outlet.write_checkpoint(number, *writes.head)
        part.stale_keys += writes.obsolete
        part.checkpointed_offset = offset
        stale, part.stale_keys = part.stale_keys, []
        for key in stale:
            await self.outlet.write_checkpoint(number, key, None)

    def _records(
        self, number: int, part: _Partition, now: float, due_at: float | None
    ) -> list[tuple[list[tuple[str, bytes]], bytes]]:
        now_ms = int(now * 1000)
        changes = part.state.flush(due_at)
        records = []
        for name, rows in changes.rows.items():
            table = partials(
                self._stored[name],
                rows,
                epoch=self.epoch,
                partition=number,
                version=changes.version,
                emitted_at_ms=now_ms,
            )
            headers = [(HEADER_KIND, KIND_PARTIALS), (HEADER_CUBE, name.encode())]
            records += [(headers, value) for value in encode_partials(table)]
        end = max(self.outlet.end_offset(number), changes.version + 1)
        progress = Progress(
            topic=topics.USAGE,
            epoch=self.epoch,
            partition=number,
            applied_offset=changes.live.offset,
            counted_offset=changes.version,
            end_offset=end,
            watermark_ms=changes.live.watermark_ms,
            applied_events=changes.live.applied_events,
            emitted_at_ms=now_ms,
            lag_ms=max(0, now_ms - part.newest_appended_ms) if end > changes.version + 1 else 0,
            published_offset=changes.published.offset,
            published_watermark_ms=changes.published.watermark_ms,
            counted_from_s=part.state.counted_from_s,
        )
        records.append(([(HEADER_KIND, KIND_PROGRESS)], progress.model_dump_json().encode()))
        return records

    def status(self) -> dict[str, float]:
        """Counters for the status file."""
        states = [part.state for part in self.partitions.values()]
        lag = sum(
            max(0, self.outlet.end_offset(number) - part.state.applied_offset - 1)
            for number, part in self.partitions.items()
        )
        now = self.clock()
        marks = [state.watermark_ms for state in states if state.watermark_ms > 0]
        return {
            "checkpoint_age_s": now - self._checkpointed_at,
            "checkpoint_bytes": sum(part.checkpoint_bytes for part in self.partitions.values()),
            **({"watermark_age_s": max(0.0, now - min(marks) / 1000)} if marks else {}),
            "applied_events_total": self.events_total,
            "missing_offsets_total": self.missing_offsets,
            "lag_records": lag,
            "open_groups": sum(state.open_groups for state in states),
            "late_events": sum(state.late_events for state in states),
            "duplicate_envelopes": sum(state.duplicate_envelopes for state in states),
            "folded_requests": sum(state.folded_requests for state in states),
            "partitions": len(states),
        }


def _record(number: int, message: Any) -> Record:
    headers = message.headers or {}
    pairs = headers.items() if isinstance(headers, dict) else headers
    return Record(
        partition=number,
        offset=message.offset,
        appended_at_ms=round(message.timestamp * 1000),
        value=message.value,
        headers=dict(pairs),
    )
