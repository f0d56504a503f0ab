"""Verification against a live stack: waits for the pipeline to pass a snapshot of the topic, then compares."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from confluent_kafka import Consumer, TopicPartition

from tokentide_deploy.verify import sql
from tokentide_deploy.verify.accounts import Finding, PartitionAccount, Report, check_account, is_caught_up
from tokentide_schemas import topics
from tokentide_schemas.cubes import CUBES, Cube
from tokentide_sinks.kafka import topic_id
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
        self._epoch = topic_id(bootstrap_servers, topics.USAGE)

    def run(self) -> Report:
        """The report. Raises TopicError and StoreError when Kafka or the store cannot be asked."""
        ends = self._offsets()
        accounts = self._wait_until_caught_up(ends)
        findings = [finding for account in accounts for finding in check_account(account)]
        settled = self._offsets() == ends
        compared: dict[str, int] = {}
        if all(map(is_caught_up, accounts)):
            for cube in self._cubes:
                self._say(f"comparing cube {cube.name} with the raw events")
                until_s = None if settled else self._closed_until_s(cube)
                compared[cube.name] = int(self._store.rows(sql.windows(cube, until_s))[0][0])
                findings += self._compare(cube, until_s)
        return Report(tuple(accounts), compared, tuple(findings), settled)

    def _offsets(self) -> dict[int, tuple[int, int]]:
        """Partition -> (low, end) offset of the usage topic, now."""
        consumer = Consumer(
            {"bootstrap.servers": self._bootstrap_servers, "group.id": "tokentide-verify", "log_level": 0}
        )
        try:
            partitions = consumer.list_topics(topics.USAGE, timeout=20).topics[topics.USAGE].partitions
            return {
                number: consumer.get_watermark_offsets(TopicPartition(topics.USAGE, number), timeout=20)
                for number in sorted(partitions)
            }
        finally:
            consumer.close()

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

    def _accounts(self, ends: Mapping[int, tuple[int, int]]) -> list[PartitionAccount]:
        parameters: dict[str, Any] = {
            "topic": topics.USAGE,
            "epoch": self._epoch,
            "partitions": list(ends),
            "ends": [end for _, end in ends.values()],
        }
        ledger = {int(row[0]): [int(v) for v in row[1:]] for row in self._store.rows(sql.LEDGER_SQL, parameters)}
        worker = {int(row[0]): int(row[1]) for row in self._store.rows(sql.WORKER_SQL, parameters)}
        raw = {int(p): int(n) for p, n in self._store.rows(sql.RAW_SQL, parameters)}
        dead = {int(p): int(n) for p, n in self._store.rows(sql.DEAD_LETTERS_SQL, parameters)}
        accounts = []
        for number, (low, end) in ends.items():
            records, first, last, events, stored, duplicates, rejected = ledger.get(number, [0, 0, -1, 0, 0, 0, 0])
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
                )
            )
        return accounts

    def _closed_until_s(self, cube: Cube) -> int:
        """Start of the first window that some partition can still change."""
        rows = self._store.rows(sql.WORKER_SQL, {"topic": topics.USAGE, "epoch": self._epoch})
        watermark_s = min((int(row[2]) // 1000 for row in rows), default=0)
        return (watermark_s - self._lateness_s) // cube.window_s * cube.window_s - cube.window_s

    def _compare(self, cube: Cube, until_s: int | None) -> list[Finding]:
        """Differences that stay: a late event may be in one table and not yet in the other while events flow."""
        query = sql.differences(cube, until_s, SHOWN_DIFFERENCES)
        rows: Sequence[Sequence[Any]] = []
        for attempt in range(RECHECKS):
            rows = self._store.rows(query)
            if not rows:
                return []
            if attempt + 1 < RECHECKS:
                time.sleep(1.0)
        total = int(rows[0][-1])
        findings = [
            Finding(
                f"cube {cube.name}, window {row[0]:%Y-%m-%d %H:%M:%S}, {' / '.join(map(str, row[1:-5]))}",
                f"rollup {row[-5]} requests, {row[-3]} tokens; raw {row[-4]} requests, {row[-2]} tokens",
            )
            for row in rows
        ]
        if total > len(rows):
            findings.append(Finding(f"cube {cube.name}", f"{total - len(rows)} more groups differ"))
        return findings
