"""Is every acknowledged event stored once? Two witnesses: the platform's own `verify`, and the loads' counts."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from chaos.load_control import Expected
from tokentide_deploy.verify.run import Verifier
from tokentide_sinks.store import Store, StoreError

CATCH_UP_S = 400.0
SETTLE_S = 60.0

RAW_SQL = "SELECT model, count(), sum(total_tokens) FROM usage WHERE startsWith(model, 'chaos/') GROUP BY model"
ROLLUP_SQL = (
    "SELECT model, sum(requests), sum(total_tokens) FROM rollup_1m WHERE startsWith(model, 'chaos/') GROUP BY model"
)
DEAD_SQL = "SELECT sum(events) FROM dead_letters FINAL"
PROGRESS_SQL = """
SELECT
    (SELECT min(newest) FROM (SELECT toUnixTimestamp64Milli(max(appended_at)) AS newest
        FROM ingest_ledger GROUP BY partition)),
    (SELECT min(newest) FROM (SELECT toUnixTimestamp64Milli(max(watermark)) AS newest
        FROM stream_watermarks GROUP BY partition))
"""


@dataclass(frozen=True)
class Verdict:
    """What is wrong, in events. problems: in words, empty when everything holds."""

    stored: int
    lost: int
    doubled: int
    problems: tuple[str, ...]

    @property
    def holds(self) -> bool:
        """Nothing is wrong."""
        return not self.problems


def progress_ms(store: Store) -> int:
    """Everything that Kafka got before this time (ms) is in the raw table and in the rollups; 0 when unknown."""
    try:
        return min(int(value) for value in store.rows(PROGRESS_SQL)[0])
    except (StoreError, TypeError):
        return 0


def check(store: Store, kafka: str, expected: Expected, tick: Callable[[], None]) -> Verdict:
    """Wait until the pipeline has taken everything, then compare. The load must be paused."""
    report = Verifier(kafka, store, wait_s=CATCH_UP_S).run()
    problems = [f"verify: {finding.where}: {finding.what}" for finding in report.findings]
    lost = doubled = 0
    stored = 0
    for name, sql in (("raw", RAW_SQL), ("rollup", ROLLUP_SQL)):
        found: dict[str, tuple[int, int]] = {}
        differences: list[tuple[int, str]] = []
        # A partial may still be on its way: the rollup topic has no end that verify could wait for.
        deadline = time.monotonic() + SETTLE_S
        while True:
            found = {str(model): (int(n), int(tokens)) for model, n, tokens in store.rows(sql)}
            differences = compare(name, expected, found)
            if not differences or time.monotonic() > deadline:
                break
            tick()
            time.sleep(0.3)
        lost = max(lost, sum(-events for events, _ in differences if events < 0))
        doubled = max(doubled, sum(events for events, _ in differences if events > 0))
        problems += [text for _, text in differences]
        stored = sum(n for n, _ in found.values())
    dead = int(store.rows(DEAD_SQL)[0][0])
    if dead != expected.rejected:
        problems.append(f"dead letters: {dead}, sent: {expected.rejected}")
    return Verdict(stored, lost, doubled, tuple(problems))


def compare(name: str, expected: Expected, found: dict[str, tuple[int, int]]) -> list[tuple[int, str]]:
    """Differences as (stored minus expected events, words)."""
    differences = []
    for model in sorted({*expected.requests, *expected.bounds, *found}):
        requests, tokens = found.get(model, (0, 0))
        if model in expected.bounds:
            low, high = expected.bounds[model]
            if not low <= requests <= high:
                by = requests - low if requests < low else requests - high
                differences.append((by, f"{name}: {model}: {requests} events, Kafka has {low} to {high}"))
            continue
        wanted = (expected.requests[model], expected.tokens[model])
        if (requests, tokens) != wanted:
            text = f"{name}: {model}: {requests} events, {tokens} tokens; acknowledged {wanted[0]}, {wanted[1]}"
            differences.append((requests - wanted[0], text))
    return differences
