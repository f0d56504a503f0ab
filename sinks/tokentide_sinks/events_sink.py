"""The raw sink: usage events from Kafka into the table `events`, exactly once.

One cycle, for the partitions that have something: commit the ranges as pending, insert each range under its token,
write dead letters and the ledger, commit past the ranges. What is decided is in ranges.py and rows.py (pure); this file
performs it, in this order.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pyarrow.compute as pc
from confluent_kafka import Consumer, KafkaException, TopicPartition

from tokentide_schemas import topics
from tokentide_schemas.catalogue import load_catalogue
from tokentide_schemas.crash_points import reach
from tokentide_schemas.envelope import Record
from tokentide_schemas.event import TOKEN_BUCKETS
from tokentide_schemas.event_ids import Delivered
from tokentide_sinks import rows
from tokentide_sinks.bisection import Split, TooManyRefusalsError, begin, chunk_token, settle
from tokentide_sinks.dead_letter_topic import DeadLetterTopic
from tokentide_sinks.kafka import FENCED, GROUP_EVENTS, consumer_config, record_of, topic_id
from tokentide_sinks.limits import RefusalLimitError, RefusalLimits, RefusalWatch, advice
from tokentide_sinks.ranges import Position, Range, encode_metadata, insert_token, read_position, take
from tokentide_sinks.recovery import load_delivered, load_watch
from tokentide_sinks.retry import StoppedError, until_available
from tokentide_sinks.samples import Sampler
from tokentide_sinks.settings import SinkSettings
from tokentide_sinks.store import Store, StoreInvalidDataError

log = logging.getLogger(__name__)


class LostPartitionsError(Exception):
    """The partitions went to another member of the group in the middle of a cycle."""


@dataclass(slots=True)
class _Partition:
    position: Position
    delivered: Delivered
    watch: RefusalWatch
    waiting: list[Record] = field(default_factory=list)


class EventsSink:
    """One member of the raw sinks' consumer group."""

    def __init__(
        self, settings: SinkSettings, store: Store, stop: threading.Event, clock: Callable[[], float] = time.time
    ) -> None:
        self._settings = settings
        self._store = store
        self._stop = stop
        self._clock = clock
        self._pricer = load_catalogue(settings.catalogue_paths)
        log.info("costs by catalogue %s", self._pricer.version)
        self._epoch = topic_id(settings.kafka_bootstrap_servers, topics.USAGE)
        self._consumer = Consumer(consumer_config(settings, GROUP_EVENTS))
        self._letters = DeadLetterTopic(settings.kafka_bootstrap_servers)
        self._partitions: dict[int, _Partition] = {}
        self._generation = 0
        self._waiting_rows = 0
        self._waiting_bytes = 0
        self._waiting_since = 0.0
        self._limits = RefusalLimits(
            settings.sink_max_refused_ratio,
            settings.sink_refused_min_records,
            settings.sink_refused_window_s,
            settings.sink_max_consecutive_refused,
        )
        self._paused = False
        self._on_tick: Callable[[dict[str, Any]], None] = lambda _status: None
        self._ticked_at = 0.0
        self._polled_at = 0.0
        self._ends: dict[int, int] = {}
        self._samples = Sampler(settings, "events-sink", topics.USAGE)
        self.stored_events = 0
        self.stored_tokens = 0
        self.duplicate_events = 0
        self.rejected_events = 0
        self.inserts = 0

    def run(self, on_ready: Callable[[], None], on_tick: Callable[[dict[str, Any]], None]) -> None:
        """Consume until `stop` is set. `on_tick` gets the counters about once a second, also while the store is away.

        Raises RefusalLimitError when too much is refused.
        """
        self._on_tick = on_tick
        self._consumer.subscribe(
            [topics.USAGE], on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_revoke
        )
        ready = False
        try:
            while not self._stop.is_set():
                self._read()
                if self._is_due():
                    self._cycle()
                if not ready and self._generation:
                    ready = True
                    on_ready()
                self._tick()
            self._cycle()
        except StoppedError as stopped:
            log.info("stopped while waiting for the store (%s); the range is pending and will be repeated", stopped)
        finally:
            self._consumer.close()

    def status(self) -> dict[str, Any]:
        """Counters since the start of the process, and the lag in records."""
        return {
            "component": "events-sink",
            "catalogue_version": self._pricer.version,
            "updated_at_ms": int(self._clock() * 1000),
            "stored_events_total": self.stored_events,
            "stored_tokens_total": self.stored_tokens,
            "duplicate_events_total": self.duplicate_events,
            "rejected_events_total": self.rejected_events,
            "inserts_total": self.inserts,
            "waiting_for_store": self._paused,
            "lag_records": sum(self._lag(number, part) for number, part in self._partitions.items()),
        }

    # -- group membership: these run inside poll and consume, never during an insert

    def _on_assign(self, consumer: Consumer, assigned: list[TopicPartition]) -> None:
        self._generation += 1
        committed = consumer.committed(assigned, timeout=30)
        starts = []
        for entry in committed:
            if entry.error is not None:
                raise KafkaException(entry.error)
            position = read_position(entry.offset, entry.metadata, self._epoch)
            part = until_available(
                lambda number=entry.partition, position=position: self._recover(number, position),  # type: ignore[misc]
                f"reading the ledger of partition {entry.partition}",
                self._stop,
            )
            self._partitions[entry.partition] = part
            starts.append(TopicPartition(entry.topic, entry.partition, position.next_offset))
            log.info(
                "partition %d: starting at %s, %d producers known",
                entry.partition,
                position,
                len(part.delivered.envelopes),
            )
        consumer.assign(starts)
        # A pause may outlive the assignment that it was made in.
        consumer.resume(starts)
        self._paused = False

    def _recover(self, number: int, position: Position) -> _Partition:
        where = (self._store, topics.USAGE, self._epoch, number, position.next_offset)
        return _Partition(position, load_delivered(*where), load_watch(*where, self._limits))

    def _on_revoke(self, _consumer: Consumer, revoked: list[TopicPartition]) -> None:
        self._generation += 1
        for entry in revoked:
            self._partitions.pop(entry.partition, None)
        self._recount()

    # -- reading

    def _read(self) -> None:
        self._resume()
        for message in self._consumer.consume(1_000, timeout=0.05):
            error = message.error()
            if error is not None:
                if error.fatal():
                    raise KafkaException(error)
                log.warning("Kafka: %s", error)
                continue
            record = record_of(message)
            part = self._partitions.get(record.partition)
            if part is None or record.offset < part.position.next_offset:
                continue
            if not self._waiting_rows:
                self._waiting_since = self._clock()
            part.waiting.append(record)
            self._waiting_rows += _declared_rows(record)
            self._waiting_bytes += len(record.value or b"")

    def _is_due(self) -> bool:
        settings = self._settings
        return self._waiting_rows > 0 and (
            self._waiting_rows >= settings.sink_max_rows
            or self._waiting_bytes >= settings.sink_max_bytes
            or self._clock() - self._waiting_since >= settings.sink_max_wait_s
        )

    def _recount(self) -> None:
        records = [record for part in self._partitions.values() for record in part.waiting]
        self._waiting_rows = sum(map(_declared_rows, records))
        self._waiting_bytes = sum(len(record.value or b"") for record in records)
        self._waiting_since = self._clock()

    # -- one cycle

    def _cycle(self) -> None:
        work: dict[int, tuple[list[Record], Range]] = {}
        for number, part in self._partitions.items():
            taken = take(part.position, [record.offset for record in part.waiting])
            if taken is not None:
                count, span = taken
                work[number] = (part.waiting[:count], span)
        if not work:
            self._waiting_since = self._clock()
            return
        generation = self._generation
        parts = {number: self._partitions[number] for number in work}
        try:
            self._commit(
                {number: Position(span.first, span, parts[number].position.split) for number, (_, span) in work.items()}
            )
            reach("events-sink:after-pending-commit")
            self._perform(work, generation)
            self._commit({number: Position(span.last + 1) for number, (_, span) in work.items()})
            reach("events-sink:after-final-commit")
        except LostPartitionsError as lost:
            # Nothing is wrong: the range stays pending in the commit, and the new owner repeats it.
            log.info("gave partitions up in the middle of a cycle: %s", lost)
            for number, part in parts.items():
                if self._partitions.get(number) is part:
                    # Not taken away by a callback yet; the group is about to, and this state has run ahead.
                    del self._partitions[number]
            self._recount()
            return
        for number, (records, span) in work.items():
            part = parts[number]
            part.position = Position(span.last + 1)
            del part.waiting[: len(records)]
        self._recount()

    def _commit(self, positions: dict[int, Position]) -> None:
        offsets = [
            TopicPartition(
                topics.USAGE,
                number,
                position.next_offset,
                encode_metadata(self._epoch, position.pending, position.split),
            )
            for number, position in positions.items()
        ]
        while True:
            try:
                committed = self._consumer.commit(offsets=offsets, asynchronous=False) or []
                errors = [entry.error for entry in committed if entry.error is not None]
            except KafkaException as error:
                errors = [error.args[0]]
            if not errors:
                return
            if any(error.code() in FENCED for error in errors):
                raise LostPartitionsError(str(errors[0]))
            log.warning("commit failed, trying again: %s", errors[0])
            self._wait_a_moment(self._generation)

    def _perform(self, work: dict[int, tuple[list[Record], Range]], generation: int) -> None:
        now_ms = int(self._clock() * 1000)
        ledgers, letters = [], []
        batches = []
        for number, (records, span) in work.items():
            part = self._partitions[number]
            batch = rows.judge(records, part.delivered, self._pricer)
            self._refuse_to_drain(number, span, part.watch, batch)
            if batch.block.table.num_rows:
                batch = self._store_events(number, batch, span, generation, now_ms)
            batches.append(batch)
            if not records:
                log.error("partition %d: %s is no longer in the topic; whether it was stored is unknown", number, span)
                continue
            ledgers.append(rows.ledger_rows(batch, topics.USAGE, self._epoch, number, now_ms))
            refused = rows.dead_letter_rows(batch, topics.USAGE, self._epoch, number, now_ms)
            if refused.num_rows:
                letters.append(refused)
        if letters:
            self._letters.send(letters, lambda: self._wait_a_moment(generation))
            for refused in letters:
                self._insert("dead_letters", refused, None, generation)
            reach("events-sink:after-dead-letters")
        for ledger in ledgers:
            self._insert("ingest_ledger", ledger, None, generation)
            reach("events-sink:after-ledger")
        for batch in batches:
            self._account(batch)

    def _refuse_to_drain(self, number: int, span: Range, watch: RefusalWatch, batch: rows.Batch) -> None:
        for fate in batch.fates:
            watch.observe(
                fate.envelope.record.appended_at_ms, fate.envelope.events, fate.rejections, fate.rejected_events
            )
            problem = watch.problem()
            if problem is not None:
                raise RefusalLimitError(advice(number, span.first, watch, problem))

    def _store_events(self, number: int, batch: rows.Batch, span: Range, generation: int, now_ms: int) -> rows.Batch:
        """Insert a range's rows; the batch without those that the store refuses."""
        block = rows.event_rows(batch, topics.USAGE, number, now_ms)
        token = insert_token(topics.USAGE, self._epoch, number, span)
        split = self._partitions[number].position.split
        if split is None:
            try:
                self._insert("events", block, token, generation)
                reach("events-sink:after-raw-insert")
                self.inserts += 1
                return batch
            except StoreInvalidDataError as error:
                log.warning("partition %d, %s, %d rows: %s; finding the bad ones", number, span, len(block), error)
                split = begin(len(block))
        split = self._store_in_chunks(number, block, span, token, split, generation)
        return rows.without_refused(
            batch, {row: f"the store refused this row with ClickHouse error {code}" for row, code in split.refused}
        )

    def _store_in_chunks(
        self, number: int, block: Any, span: Range, token: str, split: Split, generation: int
    ) -> Split:
        def record(split: Split) -> None:
            self._commit({number: Position(span.first, span, split)})
            reach("events-sink:after-chunk-commit")
            part = self._partitions[number]
            part.position = replace(part.position, pending=span, split=split)

        def insert(first: int, end: int) -> int | None:
            if self._clock() - self._polled_at >= 1.0:
                self._wait_a_moment(generation)
            try:
                self._insert("events", block.slice(first, end - first), chunk_token(token, first, end), generation)
            except StoreInvalidDataError as error:
                return error.code
            reach("events-sink:after-chunk-insert")
            self.inserts += 1
            return None

        allowed = self._settings.sink_max_store_refusals
        try:
            return settle(split, len(block), record, insert, allowed)
        except TooManyRefusalsError as error:
            raise RefusalLimitError(
                f"partition {number}, {span}: the store refused more than {allowed} of {len(block)} rows, last with "
                f"ClickHouse error {error.code}. The position stays and nothing is lost. Correct the table or its "
                "constraints and start again; TOKENTIDE_SINK_MAX_STORE_REFUSALS (at most 200) lets more of them "
                "become dead letters."
            ) from error

    def _insert(self, table: str, block: Any, token: str | None, generation: int) -> None:
        until_available(
            lambda: self._store.insert(table, block, token),
            f"inserting {block.num_rows} rows into {table}",
            self._stop,
            lambda: self._wait_a_moment(generation),
        )

    def _wait_a_moment(self, generation: int) -> None:
        """Stay in the group without reading further. Raises LostPartitionsError after a rebalance.

        Partitions stay paused until the next read: resuming in between would fetch the same records again and again.
        """
        if not self._paused:
            self._consumer.pause(self._consumer.assignment())
            self._paused = True
        self._tick()
        self._polled_at = self._clock()
        message = self._consumer.poll(0.05)
        if self._generation != generation:
            raise LostPartitionsError("a rebalance came while waiting for the store")
        if message is not None and message.error() is None:
            raise RuntimeError(f"a paused partition delivered offset {message.offset()}: it would be lost")

    def _resume(self) -> None:
        if self._paused:
            self._consumer.resume(self._consumer.assignment())
            self._paused = False

    def _account(self, batch: rows.Batch) -> None:
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
        for number in self._partitions:
            self._ends[number] = self._end(number)
        self._on_tick(self.status())
        if not self._paused:
            self._sample(now)

    def _end(self, number: int) -> int:
        """Offset after the newest record. Fetches bring it along; while they rest the broker is asked."""
        entry = TopicPartition(topics.USAGE, number)
        try:
            _, end = self._consumer.get_watermark_offsets(entry, timeout=0.5, cached=not self._paused)
        except KafkaException as error:
            log.warning("partition %d: its end is not known at the moment: %s", number, error)
            return self._ends.get(number, 0)
        return int(end)

    def _lag(self, number: int, part: _Partition) -> int:
        return max(0, self._ends.get(number, 0) - part.position.next_offset)

    def _sample(self, now: float) -> None:
        positions = {}
        for number, part in self._partitions.items():
            end = self._ends.get(number, 0)
            oldest_ms = part.waiting[0].appended_at_ms if part.waiting else None
            positions[number] = (part.position.next_offset, max(end, part.position.next_offset), oldest_ms)
        self._samples.write_if_due(self._store, positions, now)


def _declared_rows(record: Record) -> int:
    """About how many rows a record will give; wrong headers cost only a badly timed insert."""
    count = record.headers.get(topics.HEADER_COUNT, b"1")
    return max(1, int(count)) if count.isdigit() and len(count) < 7 else 1
