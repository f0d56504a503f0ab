"""Verification against a live stack: waits for the pipeline to pass a snapshot of the topic, then compares."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from confluent_kafka import Consumer, TopicPartition

from tokentide_deploy.verify import sql
from tokentide_deploy.verify.accounts import (
    Finding,
    PartitionAccount,
    Report,
    check_account,
    describe_difference,
    is_caught_up,
)
from tokentide_schemas import topics
from tokentide_schemas.cubes import CUBES, Cube, stored_cubes
from tokentide_schemas.kafka_settings import kafka_client
from tokentide_schemas.retention import horizon_ms, ttl_days
from tokentide_sinks.kafka import GROUP_EVENTS, topic_id
from tokentide_sinks.recovery import load_end
from tokentide_sinks.store import Store

SHOWN_DIFFERENCES = 20
RECHECKS = 5


class Verifier:
    """Compares one stack's Kafka topic, ledger, raw table and rollups.

    wait_s: how long the pipeline may take to catch up with the topic's end at the start of the check.
    allowed_lateness_s: the worker's setting: windows that can still change are left out while events flow.
    """

    def __init__(
        self,
        bootstrap_servers: str,
        store: Store,
        *,
        wait_s: float = 60.0,
        allowed_lateness_s: int = 120,
        cubes: Sequence[Cube] = CUBES,
        say: Callable[[str], None] = lambda _line: None,
    ) -> None:
        self._bootstrap_servers = bootstrap_servers
        self._store = store
        self._wait_s = wait_s
        self._lateness_s = allowed_lateness_s
        self._cubes = cubes
        self._say = say
        self._kept_from_ms: dict[str, int] = {}
        self._counted_from_s: dict[str, int] = {}
        self._epoch = topic_id(bootstrap_servers, topics.USAGE)

    def run(self) -> Report:
        """The report. Raises TopicError and StoreError when Kafka or the store cannot be asked."""
        self._read_retention()
        ends = self._offsets()
        accounts = self._wait_until_caught_up(ends)
        findings = [finding for account in accounts for finding in check_account(account)]
        findings += self._deleted_unread(ends)
        compared: dict[str, int] = {}
        settled = False
        if all(map(is_caught_up, accounts)):
            settled, unpublished = self._wait_until_published(ends)
            findings += unpublished
            self._counted_from_s = {str(name): int(start) for name, start in self._store.rows(sql.COVERAGE_SQL)}
            for cube in stored_cubes(self._cubes):
                self._say(f"comparing cube {cube.name} with the raw events")
                span = sql.Span(self._retained_from_s(cube), None if settled else self._closed_until_s(cube))
                compared[cube.name] = int(self._store.rows(sql.windows(cube, span))[0][0])
                findings += self._compare(cube, self._without_folded(cube, span), settled)
                findings += [
                    Finding(
                        f"cube {cube.name}, window {row[0]:%Y-%m-%d %H:%M:%S}, with erased or refused events",
                        f"rollup {row[1]} requests; raw {row[2]}, erased or refused by the store {row[3]}",
                    )
                    for row in self._store.rows(sql.erased_windows(cube, span))
                ]
        return Report(tuple(accounts), compared, tuple(findings), settled)

    def _read_retention(self) -> None:
        """What may have expired by now: table -> oldest instant that is surely kept, milliseconds since 1970 UTC."""
        now_ms = int(self._store.rows("SELECT toUnixTimestamp64Milli(now64(3))")[0][0])
        self._kept_from_ms = {
            str(table): kept
            for table, definition in self._store.rows(sql.TTL_SQL)
            if (kept := horizon_ms(ttl_days(str(definition)), now_ms)) is not None
        }

    def _retained_from_s(self, cube: Cube) -> int | None:
        """Start of the first window that both raw table and rollup hold whole."""
        kept = [self._kept_from_ms[t] for t in ("events", cube.partials_table) if t in self._kept_from_ms]
        if cube.name in self._counted_from_s:
            kept.append(self._counted_from_s[cube.name] * 1000)
        return -(-max(kept) // (cube.window_s * 1000)) * cube.window_s if kept else None

    def _offsets(self) -> dict[int, tuple[int, int]]:
        """Partition -> (low, end) offset of the usage topic, now."""
        consumer = Consumer({**kafka_client(self._bootstrap_servers), "group.id": "tokentide-verify", "log_level": 0})
        try:
            partitions = consumer.list_topics(topics.USAGE, timeout=20).topics[topics.USAGE].partitions
            found = {
                number: consumer.get_watermark_offsets(TopicPartition(topics.USAGE, number), timeout=20)
                for number in sorted(partitions)
            }
            kept_ms = self._kept_from_ms.get("ingest_ledger")
            if kept_ms is None:
                return found
            # The topic may keep records for longer than the ledger keeps what became of them.
            asked = [TopicPartition(topics.USAGE, number, kept_ms) for number in found]
            first = {entry.partition: entry.offset for entry in consumer.offsets_for_times(asked, timeout=20)}
            return {
                number: (max(low, first[number]) if first[number] >= 0 else end, end)
                for number, (low, end) in found.items()
            }
        finally:
            consumer.close()

    def _read_positions(self, ends: Mapping[int, tuple[int, int]]) -> dict[int, tuple[int, int]]:
        """Partition -> (first offset that the topic still has, next offset of the raw sink by its group's commit)."""
        consumer = Consumer({**kafka_client(self._bootstrap_servers), "group.id": GROUP_EVENTS, "log_level": 0})
        try:
            entries = consumer.committed([TopicPartition(topics.USAGE, number) for number in ends], timeout=20)
            done = {entry.partition: max(0, entry.offset) for entry in entries}
            return {
                number: (
                    consumer.get_watermark_offsets(TopicPartition(topics.USAGE, number), timeout=20)[0],
                    done[number],
                )
                for number in ends
            }
        finally:
            consumer.close()

    def _deleted_unread(self, ends: Mapping[int, tuple[int, int]]) -> list[Finding]:
        """Partitions whose records expired before the raw sink came to them, so that not even it knows yet."""
        found = []
        for number, (low, committed) in self._read_positions(ends).items():
            done = committed
            if done < low:
                # Kafka forgets the commits of a group that was away for long; the ledger does not.
                done = max(done, load_end(self._store, topics.USAGE, self._epoch, number))
            if done < low:
                what = f"LOST: offsets {done} to {low - 1} were deleted by the topic before the raw sink read them; "
                found.append(Finding(f"partition {number}", what + "start it, and give the topic more retention"))
        return found

    def _wait_until_caught_up(self, ends: Mapping[int, tuple[int, int]]) -> list[PartitionAccount]:
        deadline = time.monotonic() + self._wait_s
        told = False
        while True:
            accounts = self._accounts(ends)
            if all(map(is_caught_up, accounts)) or time.monotonic() >= deadline:
                return accounts
            if not told:
                self._say("waiting for the sinks and the worker to reach the topic's end")
                told = True
            time.sleep(0.3)

    def _wait_until_published(self, ends: Mapping[int, tuple[int, int]]) -> tuple[bool, list[Finding]]:
        """Whether the topic stands still and every cube and tier is stored up to its end, so that all windows can be
        compared; while events flow, slow tiers are behind and only closed windows can. Findings: what never comes."""
        deadline = time.monotonic() + self._wait_s
        parameters = {"topic": topics.USAGE, "epoch": self._epoch}
        while self._offsets() == ends:
            published = {int(row[0]): int(row[3]) for row in self._store.rows(sql.WORKER_SQL, parameters)}
            behind = [n for n, (low, end) in ends.items() if end > low and published.get(n, -1) < end - 1]
            if not behind:
                return True, []
            if time.monotonic() >= deadline:
                return False, [
                    Finding(
                        f"partition {n}",
                        f"the topic stands still at {ends[n][1]}, but some cube or tier is stored only up to "
                        f"{published.get(n, -1) + 1}; look at the worker's and the rollup sink's log",
                    )
                    for n in behind
                ]
            time.sleep(0.3)
        return False, []

    def _accounts(self, ends: Mapping[int, tuple[int, int]]) -> list[PartitionAccount]:
        parameters: dict[str, Any] = {
            "topic": topics.USAGE,
            "epoch": self._epoch,
            "partitions": list(ends),
            "ends": [end for _, end in ends.values()],
            "starts": [low if "ingest_ledger" in self._kept_from_ms else 0 for low, _ in ends.values()],
            "raw_from_ms": self._kept_from_ms.get("events", 0),
        }
        ledger = {int(row[0]): [int(v) for v in row[1:]] for row in self._store.rows(sql.LEDGER_SQL, parameters)}
        worker = {int(row[0]): int(row[1]) for row in self._store.rows(sql.WORKER_SQL, parameters)}
        erased = {int(p): int(n) for p, n in self._store.rows(sql.ERASED_SQL, parameters)}
        raw = {int(p): int(n) for p, n in self._store.rows(sql.RAW_SQL, parameters)}
        dead = {int(p): int(n) for p, n in self._store.rows(sql.DEAD_LETTERS_SQL, parameters)}
        expired: dict[int, list[tuple[int, int, bool]]] = {}
        for partition, offset, count, status in self._store.rows(sql.EXPIRED_SQL, parameters):
            expired.setdefault(int(partition), []).append((int(offset), int(count), status == "open"))
        accounts = []
        for number, (low, end) in ends.items():
            records, first, last, events, stored, duplicates, rejected, retained = ledger.get(
                number, [0, 0, -1, 0, 0, 0, 0, 0]
            )
            accounts.append(
                PartitionAccount(
                    number,
                    low,
                    end,
                    records,
                    first,
                    last,
                    events,
                    stored,
                    duplicates,
                    rejected,
                    raw.get(number, 0),
                    dead.get(number, 0),
                    worker.get(number, -1),
                    retained,
                    erased.get(number, 0),
                    tuple(expired.get(number, ())),
                )
            )
        return accounts

    def _closed_until_s(self, cube: Cube) -> int:
        """Start of the first window that some partition can still change."""
        rows = self._store.rows(sql.WORKER_SQL, {"topic": topics.USAGE, "epoch": self._epoch})
        watermark_s = min((int(row[2]) // 1000 for row in rows), default=0)
        return (watermark_s - self._lateness_s) // cube.window_s * cube.window_s - cube.window_s

    def _without_folded(self, cube: Cube, span: sql.Span) -> sql.Span:
        """What is past a dimension's limit is in `__other__`: with that dimension summed over, all must be there."""
        flags = self._store.rows(sql.folded(cube, span))[0] if cube.guarded else ()
        return replace(span, without=tuple(name for name, flag in zip(cube.guarded, flags, strict=True) if flag))

    def _compare(self, cube: Cube, span: sql.Span, settled: bool) -> list[Finding]:
        """Differences that stay: a late event may be in one table and not yet in the other while events flow.

        Slow cubes and tiers publish late events with their next turn, so they are given that time.
        """
        pause_s = 1.0 if settled else max(1.0, cube.emit_interval_s * 1.5 / (RECHECKS - 1))
        query = sql.differences(cube, span, SHOWN_DIFFERENCES)
        rows: Sequence[Sequence[Any]] = []
        for attempt in range(RECHECKS):
            rows = self._store.rows(query)
            if not rows:
                return []
            if attempt + 1 < RECHECKS:
                time.sleep(pause_s)
        total = int(rows[0][-1])
        findings = [
            Finding(
                f"cube {cube.name}, window {row[0]:%Y-%m-%d %H:%M:%S}, {' / '.join(map(str, row[1:-5]))}",
                describe_difference(f"{row[0]:%Y-%m-%d}", *map(int, row[-5:-1])),
            )
            for row in rows
        ]
        if total > len(rows):
            findings.append(Finding(f"cube {cube.name}", f"{total - len(rows)} more groups differ"))
        return findings
