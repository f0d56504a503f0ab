"""The raw sink: usage events from Kafka into the table `events`, exactly once.

One cycle, for the partitions that have something: commit the ranges as pending, insert each range under its token,
write dead letters and the ledger, commit past the ranges. What waits is in intake.py and what is decided in ranges.py
and rows.py (pure); consumer_group.py and raw_writer.py perform it; this file puts it in order.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pyarrow.compute as pc
from confluent_kafka import KafkaException, TopicPartition

from tokentide_schemas import topics
from tokentide_schemas.catalogue import load_catalogue
from tokentide_schemas.crash_points import reach
from tokentide_schemas.event import TOKEN_BUCKETS
from tokentide_schemas.event_ids import Delivered
from tokentide_sinks.consumer_group import GroupMember, LostPartitionsError
from tokentide_sinks.intake import Backlog, Bounds, Intake, lag_records
from tokentide_sinks.kafka import GROUP_EVENTS, record_of, topic_id
from tokentide_sinks.limits import RefusalLimits, RefusalWatch
from tokentide_sinks.ranges import Position, Range, read_position
from tokentide_sinks.raw_writer import RawWriter, Work
from tokentide_sinks.recovery import load_delivered, load_end, load_watch
from tokentide_sinks.retry import StoppedError, retries, until_available
from tokentide_sinks.rows import Batch
from tokentide_sinks.samples import Sampler
from tokentide_sinks.settings import SinkSettings
from tokentide_sinks.store import Store

log = logging.getLogger(__name__)

READ_RECORDS = 200
"""Few, as one record may carry thousands of rows: this is how far a read may go past the bounds of an insert."""


@dataclass(slots=True)
class _Memory:
    """What a partition has delivered and refused below its position, from the ledger."""

    delivered: Delivered
    watch: RefusalWatch


class EventsSink:
    """One member of the raw sinks' consumer group."""

    def __init__(
        self, settings: SinkSettings, store: Store, stop: threading.Event, clock: Callable[[], float] = time.time
    ) -> None:
        self._settings = settings
        self._store = store
        self._stop = stop
        self._clock = clock
        pricer = load_catalogue(settings.catalogue_paths)
        self._catalogue_version = pricer.version
        log.info("costs by catalogue %s", pricer.version)
        self._epoch = topic_id(settings.kafka_bootstrap_servers, topics.USAGE)
        self._member = GroupMember(settings, GROUP_EVENTS, [topics.USAGE], stop, self._on_assign, self._on_revoke)
        self._writer = RawWriter(settings, store, self._member, stop, self._wait, pricer, self._epoch)
        self._intakes: dict[int, Intake] = {}
        self._memories: dict[int, _Memory] = {}
        self._backlog = Backlog(Bounds(settings.sink_max_rows, settings.sink_max_bytes, settings.sink_max_wait_s))
        self._limits = RefusalLimits(
            settings.sink_max_refused_ratio,
            settings.sink_refused_min_records,
            settings.sink_refused_window_s,
            settings.sink_max_consecutive_refused,
        )
        self._on_tick: Callable[[dict[str, Any]], None] = lambda _status: None
        self._ticked_at = 0.0
        self._ends: dict[int, int] = {}
        self._samples = Sampler(settings, "events-sink", topics.USAGE)
        self.stored_events = 0
        self.stored_tokens = 0
        self.duplicate_events = 0
        self.rejected_events = 0
        self.expired_records = 0

    def run(self, on_ready: Callable[[], None], on_tick: Callable[[dict[str, Any]], None]) -> None:
        """Consume until `stop` is set. `on_tick` gets the counters about once a second, also while the store is away.

        Raises RefusalLimitError when too much is refused.
        """
        self._on_tick = on_tick
        self._member.join()
        ready = False
        try:
            while not self._stop.is_set():
                self._remember()
                self._read()
                if self._backlog.is_due(self._clock()) or any(one.is_gone for one in self._intakes.values()):
                    self._cycle()
                if not ready and self._member.generation:
                    ready = True
                    on_ready()
                self._tick()
            self._cycle()
        except StoppedError as stopped:
            log.info("stopped while waiting (%s); a range that is pending will be repeated", stopped)
        finally:
            self._member.leave()

    def status(self) -> dict[str, Any]:
        """Counters since the start of the process, and the lag in records."""
        return {
            "component": "events-sink",
            "catalogue_version": self._catalogue_version,
            "updated_at_ms": int(self._clock() * 1000),
            "stored_events_total": self.stored_events,
            "stored_tokens_total": self.stored_tokens,
            "duplicate_events_total": self.duplicate_events,
            "rejected_events_total": self.rejected_events,
            "expired_records_total": self.expired_records,
            **self._store.counters(),
            "store_retries_total": retries.total,
            "waiting_for_store": self._member.is_paused,
            "waiting_rows": self._backlog.rows,
            "waiting_bytes": self._backlog.bytes,
            "lag_records": lag_records(self._intakes, self._ends),
        }

    # -- taking partitions up: the first two run inside poll and consume, so they never wait for the store

    def _on_assign(self, assigned: list[TopicPartition]) -> list[TopicPartition]:
        starts = []
        for entry in self._member.committed(assigned):
            position = read_position(entry.offset, entry.metadata, self._epoch)
            self._intakes[entry.partition] = Intake(position)
            self._memories.pop(entry.partition, None)
            starts.append(TopicPartition(entry.topic, entry.partition, position.next_offset))
        self._recount()
        return starts

    def _on_revoke(self, revoked: list[TopicPartition]) -> None:
        for entry in revoked:
            self._drop(entry.partition)
        self._recount()

    def _drop(self, number: int) -> None:
        self._intakes.pop(number, None)
        self._memories.pop(number, None)

    def _remember(self) -> None:
        """Load what the ledger says of partitions that are new here; nothing of them is read before."""
        try:
            while missing := [number for number in self._intakes if number not in self._memories]:
                number, generation = missing[0], self._member.generation
                self._memories[number] = until_available(
                    lambda number=number: self._recover(number, self._intakes[number]),  # type: ignore[misc]
                    f"reading the ledger of partition {number}",
                    self._stop,
                    lambda generation=generation: self._wait(generation),  # type: ignore[misc]
                )
        except LostPartitionsError as lost:
            log.info("gave partitions up before they were read: %s", lost)

    def _recover(self, number: int, intake: Intake) -> _Memory:
        if intake.position == Position(0):
            # No commit, or one that Kafka let expire: then the ledger knows how far this topic was settled.
            end = load_end(self._store, topics.USAGE, self._epoch, number)
            if end:
                log.warning("partition %d: nothing is committed; the ledger ends at %d: going on there", number, end)
                intake.position = Position(end)
        where = (self._store, topics.USAGE, self._epoch, number, intake.position.next_offset)
        memory = _Memory(load_delivered(*where), load_watch(*where, self._limits))
        intake.expire(self._low(number, self._member.generation))
        known = len(memory.delivered.envelopes)
        log.info("partition %d: starting at %s, %d producers known", number, intake.position, known)
        return memory

    # -- reading

    def _read(self) -> None:
        went_back = set()
        for message in self._member.read(READ_RECORDS):
            record = record_of(message)
            intake = self._intakes.get(record.partition)
            if intake is None or record.partition in went_back:
                continue
            waiting = len(intake.waiting)
            back = intake.offer(record)
            if back is not None:
                log.warning(
                    "partition %d: offset %d came where %d was expected; reading again",
                    *(record.partition, record.offset, back),
                )
                self._member.go_back(topics.USAGE, record.partition, back)
                went_back.add(record.partition)
            elif len(intake.waiting) > waiting:
                self._backlog.add(record, self._clock())

    def _recount(self) -> None:
        self._backlog.recount(self._intakes.values(), self._clock())

    # -- one cycle

    def _cycle(self) -> None:
        generation = self._member.generation
        try:
            work = self._work(generation)
            if not work:
                self._recount()
                return
            self._writer.commit(
                {one.partition: Position(one.span.first, one.span, one.intake.position.split) for one in work}
            )
            reach("events-sink:after-pending-commit")
            batches = self._writer.write(work, int(self._clock() * 1000), generation)
            self._writer.commit({one.partition: Position(one.span.last + 1) for one in work})
            reach("events-sink:after-final-commit")
        except LostPartitionsError as lost:
            # Nothing is wrong: the range stays pending in the commit, and the new owner repeats it.
            log.info("gave partitions up in the middle of a cycle: %s", lost)
            if self._member.generation == generation:
                # Not taken away by a callback yet; the group is about to, and this state has run ahead.
                self._intakes.clear()
                self._memories.clear()
            self._recount()
            return
        for one in work:
            one.intake.settle(len(one.records), one.span)
        for batch in batches:
            self._account(batch)
        self._recount()

    def _work(self, generation: int) -> list[Work]:
        work = []
        for number, intake in self._intakes.items():
            taken, memory = intake.next_range(), self._memories.get(number)
            if taken is not None and memory is not None:
                records, span = taken
                expired = self._expired(number, intake.missing_in(span), generation)
                work.append(Work(number, intake, memory.delivered, memory.watch, records, span, expired))
        return work

    def _expired(self, number: int, missing: list[Range], generation: int) -> list[Range]:
        """What of the missing offsets were records that the topic let go of before they were stored. What is above
        the topic's oldest record was never one: a transaction leaves such gaps."""
        if not missing:
            return []
        low = self._low(number, generation)
        expired = [Range(one.first, min(one.last, low - 1)) for one in missing if one.first < low]
        for one in expired:
            self.expired_records += one.last - one.first + 1
            log.error(
                "partition %d: LOST: the topic deleted offsets %d to %d before they were stored. Each run of them is a "
                "dead letter with reason 'expired', and verify fails until somebody discards it. Give the topic %s "
                "more retention.",
                *(number, one.first, one.last, topics.USAGE),
            )
        return expired

    def _low(self, number: int, generation: int) -> int:
        while True:
            try:
                return self._member.low(topics.USAGE, number)
            except KafkaException as error:
                log.warning("partition %d: its beginning is not known at the moment: %s", number, error)
                self._wait(generation)

    def _wait(self, generation: int) -> None:
        if self._stop.is_set():
            raise StoppedError("asked to stop")
        self._tick()
        self._member.wait_a_moment(generation)

    def _account(self, batch: Batch) -> None:
        table = batch.block.table
        self.stored_events += table.num_rows
        if table.num_rows:
            self.stored_tokens += sum(pc.sum(table.column(name)).as_py() or 0 for name in TOKEN_BUCKETS)
        self.duplicate_events += sum(f.duplicate_events for f in batch.fates)
        self.rejected_events += sum(f.rejected_events for f in batch.fates)

    # -- watching

    def _tick(self) -> None:
        now = self._clock()
        if now - self._ticked_at < 1.0:
            return
        self._ticked_at = now
        self._ends = {number: self._member.end(topics.USAGE, number) for number in self._intakes}
        self._on_tick(self.status())
        if not self._member.is_paused:
            self._sample(now)

    def _sample(self, now: float) -> None:
        positions = {}
        for number, intake in self._intakes.items():
            position = intake.position.next_offset
            oldest_ms = intake.waiting[0].appended_at_ms if intake.waiting else None
            positions[number] = (position, max(self._ends.get(number, 0), position), oldest_ms)
        self._samples.write_if_due(self._store, positions, now)
