"""Dead letters against a live store and topic: list, show, mark, and replay in chunks."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np
import pyarrow as pa
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition

from tokentide_schemas import topics
from tokentide_schemas.dead_letter_tables import ORIGIN_KEY
from tokentide_schemas.envelope import Record
from tokentide_schemas.kafka_settings import kafka_client
from tokentide_sinks.dlq import Attempt, Filter, Letter, Outcome, Outgoing, attempt, identity
from tokentide_sinks.kafka import record_of, topic_id
from tokentide_sinks.rows import WHOLE_RECORD
from tokentide_sinks.store import Store

CHUNK: Final = 200
"""Letters that are sent, acknowledged and marked together; what a crash can leave unmarked."""
SEND_BYTES: Final = 32 * 1024 * 1024
_LABEL: Final = pa.dictionary(pa.int32(), pa.utf8())
_INSTANT: Final = pa.timestamp("ms", "UTC")


class DeadLetterError(Exception):
    """A dead letter cannot be read, sent or marked; says what to do."""


class DeadLetters:
    """The dead letters of one stack. Raises StoreError, TopicError and DeadLetterError."""

    def __init__(self, store: Store, bootstrap_servers: str, timeout_s: float = 20.0) -> None:
        self._store = store
        self._servers = bootstrap_servers
        self._timeout_s = timeout_s

    def summary(self, wanted: Filter, status: str = "all") -> list[dict[str, Any]]:
        """One row for each reason and status, most events first."""
        where, parameters = wanted.sql()
        rows = self._store.rows(
            "SELECT reason, status, count(), sum(events), min(appended_at), max(appended_at), "
            "arraySort(groupUniqArray(100)(partition)), any(detail), "
            "argMax(tuple(partition, offset, row), appended_at) FROM dead_letter_status "
            f"WHERE {where} AND (status = {{status:String}} OR {{status:String}} = 'all') "
            "GROUP BY reason, status ORDER BY sum(events) DESC, reason, status",
            {**parameters, "status": status},
        )
        names = ("reason", "status", "letters", "events", "first_seen", "last_seen", "partitions", "sample", "newest")
        return [dict(zip(names, row, strict=True)) for row in rows]

    def find(self, wanted: Filter, after: tuple[int, int, int] | None, limit: int, status: str) -> list[Letter]:
        """Letters by partition, offset and row, after a place."""
        where, parameters = wanted.sql()
        if after is not None:
            where += f" AND (partition, offset, row) > ({after[0]}, {after[1]}, {after[2]})"
        rows = self._store.rows(
            "SELECT epoch, partition, offset, row, reason, detail, events, toUnixTimestamp64Milli(appended_at), "
            f"producer_id, producer_sequence, status FROM dead_letter_status WHERE {where} "
            f"AND (status = {{status:String}} OR {{status:String}} = 'all') "
            f"ORDER BY partition, offset, row LIMIT {limit}",
            {**parameters, "status": status},
        )
        return [Letter(*row) for row in rows]

    def replay(self, wanted: Filter, who: str, why: str, dry_run: bool) -> Outcome:
        """Send what present code accepts back through the usage topic; open letters only."""
        outcome = Outcome(dry_run)
        for letters in self._open(wanted):
            known = set() if dry_run else self._known(letters)
            accepted: list[Attempt] = []
            waiting: list[Outgoing] = []
            for letter, record in self.records(letters):
                tried = attempt(letter, record)
                outcome.add(tried)
                if not tried.outgoing or dry_run:
                    continue
                # Only what is needed below: a chunk of whole records would not fit in memory.
                accepted.append(replace(tried, outgoing=()))
                if _identity(letter) in known:
                    outcome.known_before += 1
                else:
                    waiting += tried.outgoing
                if sum(len(one.value) for one in waiting) > SEND_BYTES:
                    self._send(waiting)
                    waiting = []
            self._send(waiting)
            self._divide([tried for tried in accepted if tried.remaining])
            self.mark([tried.letter for tried in accepted], "replayed", who, why)
        return outcome

    def discard(self, wanted: Filter, who: str, why: str, dry_run: bool) -> Outcome:
        """Mark open letters as discarded; they stay in the table."""
        outcome = Outcome(dry_run)
        for letters in self._open(wanted):
            outcome.letters += len(letters)
            if not dry_run:
                self.mark(letters, "discarded", who, why)
        return outcome

    def mark(self, letters: Sequence[Letter], status: str, who: str, why: str) -> None:
        """Record a decision about letters."""
        if not letters:
            return
        now_ms = int(dt.datetime.now(dt.UTC).timestamp() * 1000)
        rows = len(letters)
        table = _origin(letters)
        for name, value in (("status", status), ("marked_by", who), ("why", why)):
            table = table.append_column(name, pa.array([value] * rows))
        instants = pa.array(np.full(rows, now_ms, np.int64)).cast(_INSTANT)
        self._store.insert("dead_letter_marks", table.append_column("marked_at", instants))

    def _open(self, wanted: Filter) -> Iterator[list[Letter]]:
        after: tuple[int, int, int] | None = None
        while letters := self.find(wanted, after, CHUNK, "open"):
            after = (letters[-1].partition, letters[-1].offset, letters[-1].row)
            yield letters

    def records(self, letters: Sequence[Letter]) -> Iterator[tuple[Letter, Record | None]]:
        """Each letter with its record, None when that is no longer in the topic. One record is in memory at a time."""
        present = topic_id(self._servers, topics.USAGE)
        consumer = Consumer(
            {
                **kafka_client(self._servers),
                "group.id": "tokentide-dlq",
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "auto.offset.reset": "error",
                "message.max.bytes": topics.MAX_RECORD_BYTES * 2,
                "queued.max.messages.kbytes": 16_384,
                "log_level": 0,
            }
        )
        place: tuple[int, int] | None = None
        record: Record | None = None
        try:
            for letter in letters:
                if letter.epoch != present:
                    yield letter, None
                    continue
                if place != (letter.partition, letter.offset):
                    place = (letter.partition, letter.offset)
                    record = self._read(consumer, *place)
                yield letter, record
        except KafkaException as error:
            raise DeadLetterError(f"Kafka does not give the records: {error}. Check that the broker runs.") from error
        finally:
            consumer.close()

    def _read(self, consumer: Consumer, partition: int, offset: int) -> Record | None:
        entry = TopicPartition(topics.USAGE, partition, offset)
        low, end = consumer.get_watermark_offsets(entry, timeout=self._timeout_s)
        if not low <= offset < end:
            return None
        consumer.assign([entry])
        record = self._next(consumer, partition, offset)
        return record if record is not None and record.offset == offset else None

    def _next(self, consumer: Consumer, partition: int, offset: int) -> Record | None:
        deadline = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=self._timeout_s)
        while dt.datetime.now(dt.UTC) < deadline:
            message = consumer.poll(1.0)
            if message is None or message.partition() != partition:
                continue
            error = message.error()
            if error is None:
                return record_of(message)
            if error.code() in (
                KafkaError._PARTITION_EOF,
                KafkaError._AUTO_OFFSET_RESET,
                KafkaError.OFFSET_OUT_OF_RANGE,
            ):
                return None
            raise KafkaException(error)
        raise DeadLetterError(
            f"Kafka gave no record of partition {partition}, offset {offset} within {self._timeout_s:g} s. Try again."
        )

    def _known(self, letters: Sequence[Letter]) -> set[tuple[str, int]]:
        """Replay identities that the ledger has: sent before, perhaps by a replay that ended before it could mark."""
        names = sorted({_identity(one)[0] for one in letters})
        rows = self._store.rows(
            "SELECT DISTINCT producer_id, assumeNotNull(producer_sequence) FROM ingest_ledger "
            "WHERE topic = {topic:String} AND producer_id IN {names:Array(String)} AND admitted",
            {"topic": topics.USAGE, "names": names},
        )
        return {(str(name), int(sequence)) for name, sequence in rows}

    def _send(self, outgoing: Sequence[Outgoing]) -> None:
        if not outgoing:
            return
        failures: list[str] = []

        def delivered(error: Any, _message: Any) -> None:
            if error is not None:
                failures.append(str(error))

        producer = Producer(
            {
                **kafka_client(self._servers),
                "enable.idempotence": True,
                "message.max.bytes": topics.MAX_RECORD_BYTES,
                "compression.type": "lz4",
                "log_level": 0,
            }
        )
        for one in outgoing:
            try:
                producer.produce(
                    topics.USAGE, one.value, partition=one.partition, headers=list(one.headers), on_delivery=delivered
                )
            except KafkaException as error:
                failures.append(str(error))
            producer.poll(0)
        left = producer.flush(self._timeout_s)
        if left or failures:
            raise DeadLetterError(
                f"Kafka did not take {left + len(failures)} of {len(outgoing)} records "
                f"({failures[0] if failures else 'no answer'}). Replay again: what arrived is recognised."
            )

    def _divide(self, attempts: Sequence[Attempt]) -> None:
        """Replace letters of whole records, of which a part went back, by letters of the rows that did not."""
        if not attempts:
            return
        rows: list[dict[str, Any]] = []
        now_ms = int(dt.datetime.now(dt.UTC).timestamp() * 1000)
        letters = []
        for tried in attempts:
            letter = tried.letter
            common = {
                "producer_id": letter.producer_id,
                "producer_sequence": letter.producer_sequence,
                "appended_at": letter.appended_at_ms,
                "occurred_at": None,
                "revision": 1,
                "rejected_at": now_ms,
            }
            letters.append(letter)
            rows.append(
                {
                    "reason": letter.reason,
                    "detail": letter.detail,
                    "events": letter.events - len(tried.remaining),
                    **common,
                }
            )
            for one in tried.remaining:
                place = WHOLE_RECORD if one.row is None else one.row
                letters.append(
                    Letter(letter.epoch, letter.partition, letter.offset, place, "", "", 1, letter.appended_at_ms)
                )
                rows.append({"reason": str(one.reason), "detail": one.detail, "events": 1, **common})
        # One insert: both the smaller whole letter and those of its rows are there, or neither.
        types = {
            "reason": _LABEL,
            "detail": pa.utf8(),
            "events": pa.uint32(),
            "producer_id": _LABEL,
            "producer_sequence": pa.uint64(),
            "appended_at": _INSTANT,
            "occurred_at": _INSTANT,
            "revision": pa.uint32(),
            "rejected_at": _INSTANT,
        }
        table = _origin(letters)
        for name, kind in types.items():
            column = pa.array([row[name] for row in rows], pa.utf8() if kind is _LABEL else kind)
            table = table.append_column(name, column.cast(kind))
        self._store.insert("dead_letters", table)


def _identity(letter: Letter) -> tuple[str, int]:
    return identity(letter.epoch, letter.partition, letter.offset, letter.row)


def _origin(letters: Sequence[Letter]) -> pa.Table:
    columns = {
        "topic": pa.array([topics.USAGE] * len(letters)).cast(_LABEL),
        "epoch": pa.array([one.epoch for one in letters]).cast(_LABEL),
        "partition": pa.array([one.partition for one in letters], pa.uint16()),
        "offset": pa.array([one.offset for one in letters], pa.uint64()),
        "row": pa.array([one.row for one in letters], pa.int32()),
    }
    return pa.table({name: columns[name] for name in ORIGIN_KEY})
