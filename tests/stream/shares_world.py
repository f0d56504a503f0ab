"""Random logs of the rollup topic as a stage-1 worker writes them, and what they mean by definition.

A log is made event by event; flushes publish absolute values of what changed, then a progress report. Repeats of old
flushes, as a worker makes that was believed dead, come in between.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from tokentide_schemas.cubes import MODEL_CUBE
from tokentide_schemas.rollups import (
    HEADER_CUBE,
    HEADER_KIND,
    KIND_PARTIALS,
    KIND_PROGRESS,
    Progress,
    encode_partials,
    partials_schema,
)

MINUTE_MS = 60_000
START_MS = 1_789_995_600_000
"""A full hour."""
MODELS = ("openai/gpt-4o", "deepseek/deepseek-r1", "nobody/heard-of-it", "")
PROVIDERS = ("openai", "azure")
CATEGORIES = ("programming", "roleplay", "")
OUTCOMES = ("ok", "ok", "error", "cancelled")


@dataclass(frozen=True)
class Event:
    occurred_ms: int
    model: str
    provider: str
    category: str
    outcome: str
    tokens: int
    cost_nanousd: int


@dataclass
class Message:
    """One record of the rollup topic."""

    partition: int
    offset: int
    value: bytes
    headers: list[tuple[str, bytes]]


@dataclass
class PartitionLog:
    """Stage 1 of one partition, in plain Python."""

    number: int
    lateness_ms: int
    messages: list[Message] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    watermark_ms: int = 0
    totals: dict[tuple[Any, ...], Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    changed: set[tuple[Any, ...]] = field(default_factory=set)
    flushes: list[list[tuple[list[tuple[str, bytes]], bytes]]] = field(default_factory=list)

    def count(self, event: Event) -> None:
        minute = event.occurred_ms // MINUTE_MS
        late = (minute + 1) * MINUTE_MS + self.lateness_ms <= self.watermark_ms
        segment = self.watermark_ms // MINUTE_MS if late else 0
        key = (minute, segment, event.model, event.provider, event.category, event.outcome)
        self.totals[key].update(requests=1, tokens=event.tokens, cost_nanousd=event.cost_nanousd)
        self.changed.add(key)
        self.events.append(event)
        self.watermark_ms = max(self.watermark_ms, event.occurred_ms)

    def flush(self, emitted_at_ms: int) -> None:
        """Publish what changed, then the progress report."""
        records = []
        if self.changed:
            rows = [self._row(key, emitted_at_ms) for key in sorted(self.changed)]
            headers = [(HEADER_KIND, KIND_PARTIALS), (HEADER_CUBE, b"model")]
            table = pa.Table.from_pylist(rows, schema=partials_schema(MODEL_CUBE))
            records += [(headers, value) for value in encode_partials(table)]
            records.append(([(HEADER_KIND, KIND_PARTIALS), (HEADER_CUBE, b"another")], b"not read here"))
        self.changed.clear()
        applied = len(self.events) - 1
        report = Progress(
            topic="usage",
            epoch="life",
            partition=self.number,
            applied_offset=applied,
            counted_offset=applied,
            end_offset=applied + 1,
            watermark_ms=self.watermark_ms,
            applied_events=applied + 1,
            emitted_at_ms=emitted_at_ms,
            lag_ms=0,
            published_offset=applied,
            published_watermark_ms=self.watermark_ms,
            counted_from_s={},
        )
        records.append(([(HEADER_KIND, KIND_PROGRESS)], report.model_dump_json().encode()))
        self.flushes.append(records)
        self._append(records)

    def repeat(self, which: int) -> None:
        """An old flush once more; -1 is the last."""
        if self.flushes:
            self._append(self.flushes[max(which, -len(self.flushes))])

    def _append(self, records: list[tuple[list[tuple[str, bytes]], bytes]]) -> None:
        for headers, value in records:
            self.messages.append(Message(self.number, len(self.messages), value, headers))

    def _row(self, key: tuple[Any, ...], emitted_at_ms: int) -> dict[str, Any]:
        minute, segment, model, provider, category, outcome = key
        total = self.totals[key]
        measures = dict.fromkeys(MODEL_CUBE.measures, 0)
        # Tokens in two buckets: the reader has to add them up.
        measures |= {
            "requests": total["requests"],
            "input_uncached_tokens": total["tokens"] // 3,
            "output_tokens": total["tokens"] - total["tokens"] // 3,
            "cost_nanousd": total["cost_nanousd"],
        }
        return {
            "window_start": minute * 60,
            "model": model,
            "provider": provider,
            "category": category,
            "outcome": outcome,
            "source_epoch": "life",
            "source_partition": self.number,
            "segment": segment,
            "version": len(self.events) - 1,
            **measures,
            "emitted_at": emitted_at_ms,
        }


def random_logs(seed: int, lateness_s: int, idle_timeout_s: int) -> list[PartitionLog]:
    """Some partitions, one of which may fall silent; the others end with an event at the same, latest time."""
    draw = random.Random(seed)
    logs = [PartitionLog(number, lateness_s * 1000) for number in range(draw.randint(1, 3))]
    idle = draw.choice([None, *(log.number for log in logs[1:])])
    now_ms = START_MS + draw.choice([0, 50 * MINUTE_MS])
    for _ in range(draw.randint(3, 25)):
        now_ms += draw.choice([0, 0, 1_000, 1_000, 20_000, MINUTE_MS, 3 * MINUTE_MS, 70 * MINUTE_MS])
        for log in logs:
            silent = log.number == idle and draw.random() < 0.8
            for _ in range(0 if silent else draw.randint(0, 4)):
                log.count(_event(draw, now_ms))
            if draw.random() < 0.8:
                log.flush(now_ms)
            if draw.random() < 0.3:
                log.repeat(-1 - draw.randrange(4))
    end_ms = now_ms + 4 * 3_600_000
    for log in logs:
        if log.number != idle:
            log.count(Event(end_ms, "last/model", "openai", "", "ok", 1, 0))
        log.flush(end_ms)
        # What shows that a partition is silent: reports after its last event.
        log.flush(end_ms + 1000 * (idle_timeout_s + 1))
    return logs


def _event(draw: random.Random, now_ms: int) -> Event:
    age_ms = draw.choice([0, 0, 0, 500, 30_000, MINUTE_MS, 4 * MINUTE_MS, 90 * MINUTE_MS, 300 * MINUTE_MS])
    if draw.random() < 0.7:
        # Most events share a group: only there do versions of a row differ.
        return Event(now_ms - age_ms, MODELS[0], PROVIDERS[0], CATEGORIES[0], "ok", 1_000, 5)
    return Event(
        now_ms - age_ms,
        draw.choice(MODELS),
        draw.choice(PROVIDERS),
        draw.choice(CATEGORIES),
        draw.choice(OUTCOMES),
        draw.choice([0, 1, 1_000, 2**33]),
        draw.choice([0, 5, 1_000_003, -7]),
    )
