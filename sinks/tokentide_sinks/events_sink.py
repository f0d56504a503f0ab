"""The raw sink: usage events from Kafka into the table `events`, exactly once.

One cycle, for the partitions that have something: commit the ranges as pending, insert each range under its token,
write dead letters and the ledger, commit past the ranges. What is decided is in ranges.py and rows.py (pure); this file
performs it, in this order.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pyarrow.compute as pc
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition

from tokentide_schemas import topics
from tokentide_schemas.catalogue import load_catalogue
from tokentide_schemas.crash_points import reach
from tokentide_schemas.envelope import Record
from tokentide_schemas.event import TOKEN_BUCKETS
from tokentide_schemas.identity import SeenEnvelopes
from tokentide_sinks import rows
from tokentide_sinks.kafka import FENCED, GROUP_EVENTS, consumer_config, record_of, topic_id
from tokentide_sinks.ranges import Position, Range, encode_metadata, insert_token, read_position, take
from tokentide_sinks.recovery import load_seen
from tokentide_sinks.retry import StoppedError, until_available
from tokentide_sinks.samples import Sampler
from tokentide_sinks.settings import SinkSettings
from tokentide_sinks.store import Store

log = logging.getLogger(__name__)


class LostPartitionsError(Exception):
    """The partitions went to another member of the group in the middle of a cycle."""


@dataclass(slots=True)
class _Partition:
    position: Position
    seen: SeenEnvelopes
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
        self._letters = Producer(
            {"bootstrap.servers": settings.kafka_bootstrap_servers, "enable.idempotence": True, "linger.ms": 5}
        )
        self._partitions: dict[int, _Partition] = {}
        self._generation = 0
        self._waiting_rows = 0
        self._waiting_bytes = 0
        self._waiting_since = 0.0
        self._samples = Sampler(settings, "events-sink", topics.USAGE)
        self.stored_events = 0
        self.stored_tokens = 0
        self.duplicate_events = 0
        self.rejected_events = 0
        self.inserts = 0

    def run(self, on_ready: Callable[[], None], on_tick: Callable[[dict[str, Any]], None]) -> None:
        """Consume until `stop` is set. `on_tick` gets the counters about once a second."""
        self._consumer.subscribe(
            [topics.USAGE], on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_revoke
        )
        ready = False
        ticked_at = 0.0
        try:
            while not self._stop.is_set():
                self._read()
                if self._is_due():
                    self._cycle()
                if not ready and self._generation:
                    ready = True
                    on_ready()
                now = self._clock()
                if now - ticked_at >= 1.0:
                    ticked_at = now
                    on_tick(self.status())
                    self._sample(now)
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
            seen = until_available(
                lambda number=entry.partition, before=position.next_offset: load_seen(  # type: ignore[misc]
                    self._store, topics.USAGE, self._epoch, number, before
                ),
                f"reading the ledger of partition {entry.partition}",
                self._stop,
            )
            self._partitions[entry.partition] = _Partition(position, seen)
            starts.append(TopicPartition(entry.topic, entry.partition, position.next_offset))
            log.info("partition %d: starting at %s, %d producers known", entry.partition, position, len(seen))
        consumer.assign(starts)

    def _on_revoke(self, _consumer: Consumer, revoked: list[TopicPartition]) -> None:
        self._generation += 1
        for entry in revoked:
            self._partitions.pop(entry.partition, None)
        self._recount()

    # -- reading

    def _read(self) -> None:
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
            self._commit({number: (span.first, span) for number, (_, span) in work.items()})
            reach("events-sink:after-pending-commit")
            self._perform(work, generation)
            self._commit({number: (span.last + 1, None) for number, (_, span) in work.items()})
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

    def _commit(self, positions: dict[int, tuple[int, Range | None]]) -> None:
        offsets = [
            TopicPartition(topics.USAGE, number, offset, encode_metadata(self._epoch, pending))
            for number, (offset, pending) in positions.items()
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
            batch = rows.judge(records, self._partitions[number].seen, self._pricer)
            batches.append(batch)
            if batch.block.table.num_rows:
                block = rows.event_rows(batch, topics.USAGE, number, now_ms)
                token = insert_token(topics.USAGE, self._epoch, number, span)
                self._insert("events", block, token, generation)
                reach("events-sink:after-raw-insert")
                self.inserts += 1
            if not records:
                log.error("partition %d: %s is no longer in the topic; whether it was stored is unknown", number, span)
                continue
            ledgers.append(rows.ledger_rows(batch, topics.USAGE, self._epoch, number, now_ms))
            refused = rows.dead_letter_rows(batch, topics.USAGE, self._epoch, number, now_ms)
            if refused.num_rows:
                letters.append(refused)
        if letters:
            self._send_letters(letters, generation)
            for refused in letters:
                self._insert("dead_letters", refused, None, generation)
            reach("events-sink:after-dead-letters")
        for ledger in ledgers:
            self._insert("ingest_ledger", ledger, None, generation)
            reach("events-sink:after-ledger")
        for batch in batches:
            self._account(batch)

    def _insert(self, table: str, block: Any, token: str | None, generation: int) -> None:
        until_available(
            lambda: self._store.insert(table, block, token),
            f"inserting {block.num_rows} rows into {table}",
            self._stop,
            lambda: self._wait_a_moment(generation),
        )

    def _wait_a_moment(self, generation: int) -> None:
        """Stay in the group without reading further. Raises LostPartitionsError after a rebalance."""
        assigned = self._consumer.assignment()
        if assigned:
            self._consumer.pause(assigned)
        message = self._consumer.poll(0.05)
        if self._generation != generation:
            raise LostPartitionsError("a rebalance came while waiting for the store")
        if message is not None and message.error() is None:
            raise RuntimeError(f"a paused partition delivered offset {message.offset()}: it would be lost")
        if assigned:
            self._consumer.resume(assigned)

    def _send_letters(self, letters: list[Any], generation: int) -> None:
        failures: list[str] = []

        def delivered(error: Any, _message: Any) -> None:
            if error is not None:
                failures.append(str(error))

        for table in letters:
            for row in table.to_pylist():
                key = f"{row['topic']}/{row['partition']}/{row['offset']}/{row['row']}"
                self._letters.produce(
                    topics.DEAD_LETTERS, key=key, value=json.dumps(row, default=str), on_delivery=delivered
                )
                self._letters.poll(0)
        while self._letters.flush(1.0):
            self._wait_a_moment(generation)
        if failures:
            raise KafkaException(f"dead letters were not accepted by Kafka: {failures[0]}")

    def _account(self, batch: rows.Batch) -> None:
        table = batch.block.table
        self.stored_events += table.num_rows
        if table.num_rows:
            self.stored_tokens += sum(pc.sum(table.column(name)).as_py() or 0 for name in TOKEN_BUCKETS)
        self.duplicate_events += sum(f.envelope.events for f in batch.fates if f.duplicate)
        self.rejected_events += sum(f.rejected_events for f in batch.fates)

    # -- watching

    def _lag(self, number: int, part: _Partition) -> int:
        _, end = self._consumer.get_watermark_offsets(TopicPartition(topics.USAGE, number), cached=True)
        return max(0, end - part.position.next_offset) if end > 0 else 0

    def _sample(self, now: float) -> None:
        positions = {}
        for number, part in self._partitions.items():
            _, end = self._consumer.get_watermark_offsets(TopicPartition(topics.USAGE, number), cached=True)
            oldest_ms = part.waiting[0].appended_at_ms if part.waiting else None
            positions[number] = (part.position.next_offset, max(end, part.position.next_offset), oldest_ms)
        self._samples.write_if_due(self._store, positions, now)


def _declared_rows(record: Record) -> int:
    """About how many rows a record will give; wrong headers cost only a badly timed insert."""
    count = record.headers.get(topics.HEADER_COUNT, b"1")
    return max(1, int(count)) if count.isdigit() and len(count) < 7 else 1
