"""Performing what the raw sink has decided: a range's rows into the store, its dead letters, its ledger. IO."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa
from confluent_kafka import TopicPartition

from tokentide_schemas import topics
from tokentide_schemas.catalogue import Catalogue
from tokentide_schemas.crash_points import reach
from tokentide_schemas.envelope import Record
from tokentide_schemas.event_ids import Delivered
from tokentide_sinks import rows
from tokentide_sinks.bisection import Split, TooManyRefusalsError, begin, chunk_token, settle
from tokentide_sinks.consumer_group import GroupMember
from tokentide_sinks.dead_letter_topic import DeadLetterTopic
from tokentide_sinks.intake import Intake
from tokentide_sinks.limits import RefusalLimitError, RefusalWatch, advice
from tokentide_sinks.ranges import Position, Range, encode_metadata, insert_token
from tokentide_sinks.retry import until_available
from tokentide_sinks.settings import SinkSettings
from tokentide_sinks.store import Store, StoreInvalidDataError

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Work:
    """One partition's part of a cycle. expired: offsets that the topic lost before they were settled."""

    partition: int
    intake: Intake
    delivered: Delivered
    watch: RefusalWatch
    records: list[Record]
    span: Range
    expired: list[Range]


class RawWriter:
    """Writes ranges. `wait` is called while the store or Kafka is away, with the generation that the cycle began in,
    and may raise to give up."""

    def __init__(
        self,
        settings: SinkSettings,
        store: Store,
        member: GroupMember,
        stop: threading.Event,
        wait: Callable[[int], None],
        pricer: Catalogue,
        epoch: str,
    ) -> None:
        self._settings = settings
        self._store = store
        self._member = member
        self._stop = stop
        self._wait = wait
        self._pricer = pricer
        self._epoch = epoch
        self._letters = DeadLetterTopic(settings.kafka_bootstrap_servers)
        self._waited_at_s = 0.0
        self.inserts = 0

    def commit(self, positions: dict[int, Position]) -> None:
        """Commit positions with what is pending. Raises LostPartitionsError and StoppedError."""
        self._member.commit(
            [
                TopicPartition(
                    topics.USAGE,
                    number,
                    position.next_offset,
                    encode_metadata(self._epoch, position.pending, position.split),
                )
                for number, position in positions.items()
            ]
        )

    def write(self, work: Sequence[Work], now_ms: int, generation: int) -> list[rows.Batch]:
        """Rows, dead letters, ledger, in this order; returns what was written.

        Raises LostPartitionsError, StoppedError, RefusalLimitError, StoreMisconfiguredError.
        """
        ledgers, letters, batches = [], [], []
        for one in work:
            batch = rows.judge(one.records, one.delivered, self._pricer)
            self._refuse_to_drain(one, batch)
            if batch.block.table.num_rows:
                batch = self._store_events(one, batch, generation, now_ms)
            batches.append(batch)
            if one.records:
                ledgers.append(rows.ledger_rows(batch, topics.USAGE, self._epoch, one.partition, now_ms))
            refused = rows.dead_letter_rows(batch, topics.USAGE, self._epoch, one.partition, now_ms)
            expired = rows.expired_rows(one.expired, topics.USAGE, self._epoch, one.partition, now_ms)
            letters += [table for table in (refused, expired) if table.num_rows]
        if letters:
            self._letters.send(letters, lambda: self._wait(generation))
            for table in letters:
                self._insert("dead_letters", table, None, generation)
            reach("events-sink:after-dead-letters")
        if ledgers:
            # One for all partitions: an insert of a few rows costs as much as one of thousands.
            block = pa.concat_tables(ledgers).unify_dictionaries().combine_chunks()
            self._insert("ingest_ledger", block, None, generation)
            reach("events-sink:after-ledger")
        return batches

    def _refuse_to_drain(self, one: Work, batch: rows.Batch) -> None:
        for fate in batch.fates:
            record, events = fate.envelope.record, fate.envelope.events
            one.watch.observe(record.appended_at_ms, events, fate.rejections, fate.rejected_events)
            problem = one.watch.problem()
            if problem is not None:
                raise RefusalLimitError(advice(one.partition, one.span.first, one.watch, problem))

    def _store_events(self, one: Work, batch: rows.Batch, generation: int, now_ms: int) -> rows.Batch:
        """Insert a range's rows; the batch without those that the store refuses."""
        block = rows.event_rows(batch, topics.USAGE, one.partition, now_ms)
        token = insert_token(topics.USAGE, self._epoch, one.partition, one.span)
        split = one.intake.position.split
        if split is None:
            try:
                self._insert("events", block, token, generation)
                reach("events-sink:after-raw-insert")
                self.inserts += 1
                return batch
            except StoreInvalidDataError as error:
                log.warning(
                    "partition %d, %s, %d rows: %s; finding the bad ones", one.partition, one.span, len(block), error
                )
                split = begin(len(block))
        split = self._store_in_chunks(one, block, token, split, generation)
        return rows.without_refused(
            batch, {row: f"the store refused this row with ClickHouse error {code}" for row, code in split.refused}
        )

    def _store_in_chunks(self, one: Work, block: Any, token: str, split: Split, generation: int) -> Split:
        def record(split: Split) -> None:
            self.commit({one.partition: Position(one.span.first, one.span, split)})
            reach("events-sink:after-chunk-commit")
            one.intake.position = replace(one.intake.position, pending=one.span, split=split)

        def insert(first: int, end: int) -> int | None:
            # Many small inserts can take longer than the group waits for a poll.
            if time.monotonic() - self._waited_at_s >= 1.0:
                self._waited_at_s = time.monotonic()
                self._wait(generation)
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
                f"partition {one.partition}, {one.span}: the store refused more than {allowed} of {len(block)} rows, "
                f"last with ClickHouse error {error.code}. The position stays and nothing is lost. Correct the table "
                "or its constraints and start again; TOKENTIDE_SINK_MAX_STORE_REFUSALS (at most 200) lets more of them "
                "become dead letters."
            ) from error

    def _insert(self, table: str, block: Any, token: str | None, generation: int) -> None:
        until_available(
            lambda: self._store.insert(table, block, token),
            f"inserting {block.num_rows} rows into {table}",
            self._stop,
            lambda: self._wait(generation),
        )
