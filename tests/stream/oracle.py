"""What the roll-ups of a log must be, by definition: plain Python over all events, one by one.

Independent on purpose: it imports nothing of the platform and no column library, and it never batches. It gets what a
test wrote into the log (plain numbers and text), not what some decoder made of it.
"""

from __future__ import annotations

import struct
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

MAX_AHEAD_MS = 600_000
"""An event may be this much newer than its record's append time."""
YEAR_2015_MS = 1_420_070_400_000
DAY_MS = 24 * 3_600_000
KNOWN_DAYS = 7
TOKENS = (
    "input_uncached_tokens",
    "input_cache_read_tokens",
    "input_cache_write_tokens",
    "output_tokens",
    "output_reasoning_tokens",
    "audio_tokens",
    "image_tokens",
)


@dataclass(frozen=True)
class Logged:
    """One record as the test wrote it.

    events: plain dicts with `occurred_ms` and the event's other fields; `defect` true where a row was spoilt.
    readable: false when the whole record was spoilt.
    """

    offset: int
    appended_ms: int
    producer: str | None
    sequence: int | None
    events: Sequence[Mapping[str, Any]]
    readable: bool = True


@dataclass(frozen=True)
class Grouping:
    """A cube: name, the event's fields to group by, window in seconds."""

    name: str
    fields: tuple[str, ...]
    window_s: int


@dataclass
class Truth:
    """Of one partition: totals[cube][(window_start_s, segment, *labels)][measure], and what became of the rest."""

    totals: dict[str, dict[tuple[Any, ...], Counter[str]]]
    watermark_ms: int = 0
    accepted: int = 0
    late: Counter[str] = field(default_factory=Counter)
    late_in_any: int = 0
    duplicate_offsets: list[int] = field(default_factory=list)
    repeated_rows: Counter[int] = field(default_factory=Counter)
    future: list[tuple[int, int]] = field(default_factory=list)
    too_old: list[tuple[int, int]] = field(default_factory=list)
    malformed: list[tuple[int, int]] = field(default_factory=list)
    stored: dict[int, int] = field(default_factory=dict)


def account(log: Iterable[Logged], groupings: Sequence[Grouping], lateness_s: int) -> Truth:
    """Count one partition's log."""
    truth = Truth({g.name: defaultdict(Counter) for g in groupings})
    delivered: dict[tuple[str, int], int] = {}
    clock_ms = 0
    ids_seen: set[int] = set()
    for record in log:
        truth.stored[record.offset] = 0
        if not record.readable or all(event.get("defect") for event in record.events):
            continue
        if record.producer is not None:
            assert record.sequence is not None
            # The log's own clock is the newest append time. An envelope is known on the day (UTC) on which it was
            # counted and on the seven days after it; a repeat does not make it known for longer.
            clock_ms = max(clock_ms, record.appended_ms)
            today = clock_ms // DAY_MS
            counted_on = delivered.get((record.producer, record.sequence))
            repeated = counted_on is not None and counted_on >= today - KNOWN_DAYS
            if not repeated:
                delivered[record.producer, record.sequence] = today
            if repeated:
                truth.duplicate_offsets.append(record.offset)
                continue
        met_ms = truth.watermark_ms
        for row, event in enumerate(record.events):
            if event.get("defect"):
                truth.malformed.append((record.offset, row))
            elif event["occurred_ms"] > record.appended_ms + MAX_AHEAD_MS:
                truth.future.append((record.offset, row))
            elif event["occurred_ms"] < YEAR_2015_MS:
                truth.too_old.append((record.offset, row))
            elif record.producer is None and event.get("event_id") in ids_seen:
                truth.repeated_rows[record.offset] += 1
            else:
                if record.producer is None and event.get("event_id") is not None:
                    ids_seen.add(event["event_id"])
                _count(truth, event, groupings, lateness_s, met_ms)
                truth.stored[record.offset] += 1
                moved_ms = min(event["occurred_ms"], record.appended_ms)
                truth.watermark_ms = max(truth.watermark_ms, moved_ms)
    return truth


def _count(truth: Truth, event: Mapping[str, Any], groupings: Sequence[Grouping], lateness_s: int, met_ms: int) -> None:
    truth.accepted += 1
    late_somewhere = False
    for grouping in groupings:
        start_s = event["occurred_ms"] // 1000 // grouping.window_s * grouping.window_s
        closes_ms = (start_s + grouping.window_s + lateness_s) * 1000
        segment = 0
        if met_ms >= closes_ms:
            segment = met_ms // 60_000
            truth.late[grouping.name] += 1
            late_somewhere = True
        labels = tuple(_label(event, name) for name in grouping.fields)
        total = truth.totals[grouping.name][(start_s, segment, *labels)]
        for name, value in measures(event).items():
            total[name] += value
    truth.late_in_any += late_somewhere


def _label(event: Mapping[str, Any], name: str) -> str:
    if name == "model":
        return str(event.get("model") or event["request_model"])
    return str(event.get(name, ""))


def measures(event: Mapping[str, Any]) -> dict[str, int]:
    """What one event adds to each measure."""
    every = sum(event.get(name, 0) for name in TOKENS)
    cost = event.get("cost_nanousd")
    own_key = bool(event.get("is_byok"))
    tool = event.get("finish_reason") == "tool_calls"
    # Thousandths of the 32-bit float that the field is, half to even, in plain Python.
    weight = struct.unpack("f", struct.pack("f", event.get("category_weight", 1.0)))[0]
    milli = round(weight * 1000) if event.get("category") else 0
    latency, first = event.get("latency_ms"), event.get("time_to_first_token_ms")
    return {
        "requests": 1,
        "usage_missing_requests": 0 if event["usage_reported"] else 1,
        **{name: event.get(name, 0) for name in TOKENS},
        "cost_nanousd": 0 if own_key or cost is None else cost,
        "cost_unknown_requests": 1 if cost is None else 0,
        "byok_requests": 1 if own_key else 0,
        "byok_tokens": every if own_key else 0,
        "byok_cost_nanousd": cost if own_key and cost is not None else 0,
        "streamed_requests": 1 if event.get("streamed") else 0,
        "tool_call_requests": 1 if tool else 0,
        "tool_call_tokens": every if tool else 0,
        "latency_known_requests": 0 if latency is None else 1,
        "latency_ms_sum": latency or 0,
        "time_to_first_token_known_requests": 0 if first is None else 1,
        "time_to_first_token_ms_sum": first or 0,
        "weighted_requests_milli": milli,
        "weighted_tokens_milli": milli * every,
    }


def plain(totals: Mapping[tuple[Any, ...], Mapping[str, int]]) -> dict[tuple[Any, ...], dict[str, int]]:
    """Totals as ordinary dictionaries, with zeros kept, for comparing."""
    return {key: dict(values) for key, values in totals.items()}


def without_segments(
    partitions: Iterable[Mapping[tuple[Any, ...], Mapping[str, int]]],
) -> dict[tuple[Any, ...], dict[str, int]]:
    """Global totals: summed over partitions and segments, keyed by (window_start_s, *labels)."""
    result: dict[tuple[Any, ...], dict[str, int]] = {}
    for totals in partitions:
        for (start_s, _segment, *labels), values in totals.items():
            into = result.setdefault((start_s, *labels), dict.fromkeys(values, 0))
            for name, value in values.items():
                into[name] += value
    return result
