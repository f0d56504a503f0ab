"""The rollup sink: partial sums, progress reports, shares and alerts from Kafka into ClickHouse.

Rows are absolute and versioned, so repeating any of them is harmless: insert, then commit, is enough.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from confluent_kafka import KafkaException, Message, TopicPartition
from pydantic import ValidationError

from tokentide_schemas import topics
from tokentide_schemas.alert_deliveries import KIND_DELIVERY, AlertDelivery
from tokentide_schemas.alert_delivery_tables import ALERT_DELIVERIES_TABLE, alert_delivery_rows
from tokentide_schemas.alert_tables import ALERT_CHANGES_TABLE, alert_rows
from tokentide_schemas.alerts import KIND_CHANGE, AlertChange
from tokentide_schemas.crash_points import reach
from tokentide_schemas.cube_file import load_cubes
from tokentide_schemas.cubes import Cube, stored_cubes
from tokentide_schemas.rollups import (
    HEADER_KIND,
    KIND_PARTIALS,
    KIND_PROGRESS,
    Progress,
    RollupRecordError,
    decode_partials,
)
from tokentide_schemas.share_tables import SHARES_FINAL_TABLE, SHARES_LIVE_TABLE
from tokentide_schemas.shares import ShareRecordError, decode_shares
from tokentide_sinks.consumer_group import GroupMember, LostPartitionsError
from tokentide_sinks.kafka import GROUP_ROLLUPS, record_of
from tokentide_sinks.retry import StoppedError, retries, until_available
from tokentide_sinks.samples import sample_rows
from tokentide_sinks.settings import SinkSettings
from tokentide_sinks.store import Store

log = logging.getLogger(__name__)
_LABEL = pa.dictionary(pa.int32(), pa.utf8())

MAX_WAIT_S = 0.3
"""A worker publishes about once a second, all partitions at once: waiting on would gather nothing more."""


def progress_rows(reports: Sequence[Progress]) -> pa.Table:
    """Rows of `stream_watermarks`."""
    return pa.table(
        {
            "topic": pa.array([r.topic for r in reports]).cast(_LABEL),
            "epoch": pa.array([r.epoch for r in reports]).cast(_LABEL),
            "partition": pa.array([r.partition for r in reports], pa.uint16()),
            "applied_offset": pa.array([max(0, r.applied_offset) for r in reports], pa.uint64()),
            "watermark": _instants([r.watermark_ms for r in reports]),
            "applied_events": pa.array([r.applied_events for r in reports], pa.uint64()),
            "emitted_at": _instants([r.emitted_at_ms for r in reports]),
            "published_offset": pa.array([r.published_offset for r in reports], pa.int64()),
            "published_watermark": _instants([r.published_watermark_ms for r in reports]),
        }
    )


def coverage_rows(values: Mapping[tuple[str, str, str, int], int]) -> pa.Table:
    """Rows of `stream_coverage` from (cube, topic, epoch, partition) -> start of the first complete window, seconds."""
    keys = list(values)
    return pa.table(
        {
            "cube": pa.array([cube for cube, _, _, _ in keys]).cast(_LABEL),
            "topic": pa.array([topic for _, topic, _, _ in keys]).cast(_LABEL),
            "epoch": pa.array([epoch for _, _, epoch, _ in keys]).cast(_LABEL),
            "partition": pa.array([partition for _, _, _, partition in keys], pa.uint16()),
            "counted_from": pa.array(np.asarray(list(values.values()), np.int64)).cast(pa.timestamp("s", "UTC")),
        }
    )


def _instants(values: Sequence[int]) -> pa.Array:
    return pa.array(np.asarray(values, np.int64)).cast(pa.timestamp("ms", "UTC"))


class RollupsSink:
    """One member of the rollup sinks' consumer group. Without `cubes` it reads the settings' file: CubeFileError."""

    def __init__(
        self,
        settings: SinkSettings,
        store: Store,
        stop: threading.Event,
        cubes: Sequence[Cube] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._settings = settings
        self._store = store
        self._stop = stop
        self._cubes = {cube.name: cube for cube in stored_cubes(cubes or load_cubes(settings.cubes_file))}
        self._coverage: dict[tuple[str, str, str, int], int] = {}
        self._clock = clock
        self._member = GroupMember(
            settings,
            GROUP_ROLLUPS,
            [topics.ROLLUPS, topics.SHARES, topics.ALERTS],
            stop,
            self._on_assign,
            self._on_revoke,
        )
        self._tables: dict[str, list[pa.Table]] = defaultdict(list)
        self._progress: dict[tuple[str, str, int], Progress] = {}
        self._ends: dict[tuple[str, int], int] = {}
        self._rows = 0
        self._since = 0.0
        self._positions: dict[tuple[str, int], int] = {}
        self._on_tick: Callable[[dict[str, Any]], None] = lambda _status: None
        self._ticked_at = 0.0
        self._sampled_at = 0.0
        self.stored_rows = 0
        self.refused_records = 0

    def run(self, on_ready: Callable[[], None], on_tick: Callable[[dict[str, Any]], None]) -> None:
        """Consume until `stop` is set. `on_tick` gets the counters about once a second, with or without the store."""
        self._on_tick = on_tick
        self._member.join()
        ready = False
        try:
            while not self._stop.is_set():
                for message in self._member.read(500):
                    self._take(message)
                waited = self._clock() - self._since
                if self._ends and (
                    self._rows >= self._settings.sink_max_rows
                    or waited >= min(MAX_WAIT_S, self._settings.sink_max_wait_s)
                ):
                    self._cycle()
                if not ready and self._member.generation:
                    ready = True
                    on_ready()
                self._tick()
            self._cycle()
        except StoppedError as stopped:
            log.info("stopped while waiting (%s); what was not committed is inserted again", stopped)
        finally:
            self._member.leave()

    def status(self) -> dict[str, Any]:
        """Counters since the start of the process, and the lag in records."""
        return {
            "component": "rollups-sink",
            "updated_at_ms": int(self._clock() * 1000),
            "stored_rows_total": self.stored_rows,
            "refused_records_total": self.refused_records,
            **self._store.counters(),
            "store_retries_total": retries.total,
            "waiting_for_store": self._member.is_paused,
            "waiting_rows": self._rows,
            "lag_records": self._lag(),
        }

    def _lag(self) -> int:
        """Records that are in the topics and not committed. A partition of which nothing came yet is not counted."""
        return sum(max(0, self._member.end(*key) - done) for key, done in self._positions.items())

    def _tick(self) -> None:
        now = self._clock()
        if now - self._ticked_at >= 1.0:
            self._ticked_at = now
            self._on_tick(self.status())

    def _on_assign(self, assigned: list[TopicPartition]) -> list[TopicPartition]:
        # Only for the lag: reading begins at the commit in any case.
        try:
            committed = self._member.committed(assigned)
        except KafkaException as error:
            log.warning("how far the group is behind is not known yet: %s", error)
            committed = []
        self._positions |= {(entry.topic, entry.partition): entry.offset for entry in committed if entry.offset >= 0}
        return assigned

    def _on_revoke(self, revoked: list[TopicPartition]) -> None:
        # What waits may be inserted later all the same: rows are absolute. Only the commit must not happen.
        for entry in revoked:
            self._ends.pop((entry.topic, entry.partition), None)
            self._positions.pop((entry.topic, entry.partition), None)

    def _take(self, message: Message) -> None:
        record = record_of(message)
        if not self._ends:
            self._since = self._clock()
        topic = message.topic() or topics.ROLLUPS
        self._ends[topic, record.partition] = record.offset + 1
        self._positions.setdefault((topic, record.partition), record.offset)
        kind = record.headers.get(HEADER_KIND)
        try:
            if topic == topics.SHARES:
                self._take_shares(decode_shares(record.headers, record.value or b""))
            elif topic == topics.ALERTS:
                self._take_alert(kind, record.value or b"")
            elif kind == KIND_PARTIALS:
                cube, table = decode_partials(self._cubes, record.headers, record.value or b"")
                self._tables[cube.partials_table].append(table)
                self._rows += table.num_rows
            elif kind == KIND_PROGRESS:
                report = Progress.model_validate_json(record.value or b"")
                self._progress[report.topic, report.epoch, report.partition] = report
            else:
                raise RollupRecordError(f"unknown record kind {kind!r}")
        except (RollupRecordError, ShareRecordError, ValidationError) as problem:
            self.refused_records += 1
            log.error("%s[%d]@%d cannot be stored: %s", topic, record.partition, record.offset, problem)

    def _take_alert(self, kind: bytes | None, value: bytes) -> None:
        if kind == KIND_CHANGE:
            self._tables[ALERT_CHANGES_TABLE].append(alert_rows([AlertChange.model_validate_json(value)]))
            self._rows += 1
        elif kind == KIND_DELIVERY:
            delivery = AlertDelivery.model_validate_json(value)
            self._tables[ALERT_DELIVERIES_TABLE].append(alert_delivery_rows([delivery]))
            self._rows += 1

    def _take_shares(self, rows: pa.Table) -> None:
        is_final = rows.column("is_final")
        stored = rows.drop_columns(["is_final"])
        for table, chosen in ((SHARES_FINAL_TABLE, is_final), (SHARES_LIVE_TABLE, pc.invert(is_final))):
            part = stored.filter(chosen)
            if part.num_rows:
                self._tables[table].append(part)
                self._rows += part.num_rows

    def _cycle(self) -> None:
        coverage = self._new_coverage()
        if coverage:
            # Before the rows: a cube's first windows must never look complete where they are not.
            self._insert("stream_coverage", coverage_rows(coverage))
            self._coverage |= coverage
        for name, tables in self._tables.items():
            block = pa.concat_tables(tables).unify_dictionaries().combine_chunks()
            self._insert(name, block)
            self.stored_rows += block.num_rows
            reach("rollups-sink:after-rows")
        if self._progress:
            # After the rows: a watermark must never be visible before what it covers.
            self._insert("stream_watermarks", progress_rows(list(self._progress.values())))
            reach("rollups-sink:after-progress")
            self._sample(list(self._progress.values()))
        self._tables.clear()
        self._progress.clear()
        self._rows = 0
        if self._ends:
            self._commit(self._ends)
            reach("rollups-sink:after-commit")
        self._ends.clear()

    def _new_coverage(self) -> dict[tuple[str, str, str, int], int]:
        found = {
            (cube, report.topic, report.epoch, report.partition): start_s
            for report in self._progress.values()
            for cube, start_s in report.counted_from_s.items()
        }
        return {key: start_s for key, start_s in found.items() if self._coverage.get(key) != start_s}

    def _sample(self, reports: Sequence[Progress]) -> None:
        now = self._clock()
        if now - self._sampled_at < self._settings.sink_sample_interval_s:
            return
        self._sampled_at = now
        samples = {r.partition: (r.counted_offset + 1, r.end_offset, r.lag_ms) for r in reports}
        self._insert("pipeline_samples", sample_rows("worker", topics.USAGE, int(now), samples))

    def _insert(self, table: str, block: pa.Table) -> None:
        until_available(
            lambda: self._store.insert(table, block),
            f"inserting {block.num_rows} rows into {table}",
            self._stop,
            self._wait,
        )

    def _wait(self) -> None:
        self._tick()
        self._member.wait_a_moment()

    def _commit(self, ends: dict[tuple[str, int], int]) -> None:
        try:
            self._member.commit([TopicPartition(topic, number, end) for (topic, number), end in ends.items()])
            self._positions |= ends
        except LostPartitionsError as lost:
            log.info("gave partitions up; the rows will be inserted again, which changes nothing: %s", lost)
