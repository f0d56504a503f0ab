"""Events per CPU-second of the stream's pure core: `PartitionState.apply` and `flush` on ready-made Arrow envelopes.

    python -m tests.benchmarks.stream_core # envelopes of 500 and of 2,000 events; 1, 3 and all cubes
    python -m tests.benchmarks.stream_core --envelope 500 --cubes 3 --profile

CPU seconds are of the whole process, all threads; making the envelopes is not measured. Prints JSON lines.
"""

from __future__ import annotations

import argparse
import cProfile
import datetime as dt
import json
import platform
import pstats
import sys
import time
from typing import Any

import numpy as np
import pyarrow as pa

from tokentide_schemas.arrow import EVENT_SCHEMA
from tokentide_schemas.cubes import CUBES, Cube
from tokentide_schemas.envelope import CONTENT_TYPE_ARROW, Record, encode_arrow, headers_for
from tokentide_schemas.event import UsageEvent, default_of
from tokentide_stream.partition import PartitionState

START_MS = int(dt.datetime(2026, 1, 1, tzinfo=dt.UTC).timestamp() * 1000)
LABEL_VALUES = {
    "model": [f"author/model-{i}" for i in range(300)],
    "request_model": [f"author/model-{i}" for i in range(300)],
    "provider": [f"provider-{i}" for i in range(60)],
    "category": [f"category-{i}" for i in range(15)],
    "outcome": ["ok", "error", "cancelled"],
    "finish_reason": ["stop", "tool_calls", "length"],
    "country": [f"{a}{b}" for a in "ABCDEFGHIJKLMN" for b in "ABCDEFGHIJKLMN"],
    "app": [f"app-{i}" for i in range(2_000)],
    "tenant": [f"tenant-{i}" for i in range(2_000)],
    "source": ["sdk"],
}
TOKENS = {"input_uncached_tokens": 4_000, "input_cache_read_tokens": 2_000, "output_tokens": 600}


def column(name: str, field: pa.Field, rng: np.random.Generator, occurred_ms: np.ndarray) -> pa.Array:
    """Skewed labels, spread numbers; what is not listed has its default."""
    n = len(occurred_ms)
    if name in LABEL_VALUES:
        values = LABEL_VALUES[name]
        picked = np.minimum(rng.zipf(1.3, n) - 1, len(values) - 1)
        return pa.array(np.array(values)[picked], pa.utf8()).dictionary_encode().cast(field.type)
    if name == "occurred_at":
        return pa.array(occurred_ms).cast(field.type)
    if name == "event_id":
        return pa.array([rng.bytes(16) for _ in range(n)], field.type)
    if name in TOKENS:
        return pa.array(rng.integers(0, TOKENS[name], n), field.type)
    if name in ("latency_ms", "time_to_first_token_ms", "cost_nanousd"):
        return pa.array(rng.integers(1, 60_000, n), field.type, mask=rng.random(n) < 0.1)
    if name == "usage_reported":
        return pa.array(rng.random(n) < 0.98)
    default: Any = default_of(name)
    if pa.types.is_dictionary(field.type):
        return pa.array([default] * n, pa.utf8()).dictionary_encode().cast(field.type)
    return pa.array([default] * n, field.type)


def make_log(events: int, per_envelope: int, events_per_s: int, seed: int = 1) -> list[Record]:
    """One partition's records; event time runs on at `events_per_s` with a few seconds of disorder."""
    rng = np.random.default_rng(seed)
    records = []
    for offset in range(events // per_envelope):
        now_ms = START_MS + (offset + 1) * per_envelope * 1_000 // events_per_s
        occurred_ms = now_ms - rng.integers(0, 5_000, per_envelope)
        arrays = [column(field.name, field, rng, occurred_ms) for field in EVENT_SCHEMA]
        assert set(UsageEvent.model_fields) == set(EVENT_SCHEMA.names)
        value = encode_arrow(pa.Table.from_arrays(arrays, schema=EVENT_SCHEMA))
        headers = dict(headers_for(CONTENT_TYPE_ARROW, per_envelope, "bench", offset))
        records.append(Record(0, offset, now_ms, value, headers))
    return records


def batches(records: list[Record], max_records: int, max_bytes: int) -> list[list[Record]]:
    """As the worker forms them: so many records or so many bytes."""
    found: list[list[Record]] = [[]]
    size = 0
    for record in records:
        found[-1].append(record)
        size += len(record.value or b"")
        if len(found[-1]) >= max_records or size >= max_bytes:
            found.append([])
            size = 0
    return [batch for batch in found if batch]


def measure(records: list[Record], cubes: tuple[Cube, ...], args: argparse.Namespace) -> dict[str, Any]:
    """Apply everything, publish what is due after every `--flush-every` batches and the rest at the end."""
    state = PartitionState(cubes, 120)
    work = batches(records, args.batch_records, args.batch_bytes)
    apply_s = flush_s = 0.0
    flushes = rows = most_groups = 0
    for i, batch in enumerate(work, 1):
        start = time.process_time()
        state.apply(batch)
        apply_s += time.process_time() - start
        if i % args.flush_every == 0 or i == len(work):
            start = time.process_time()
            changes = state.flush(None if i == len(work) else batch[-1].appended_at_ms / 1000)
            flush_s += time.process_time() - start
            flushes += 1
            rows += sum(map(len, changes.rows.values()))
            most_groups = max(most_groups, state.open_groups)
    return {
        "events": state.applied_events,
        "cubes": len(cubes),
        "batches": len(work),
        "flushes": flushes,
        "rows_published": rows,
        "most_open_groups": most_groups,
        "apply_cpu_s": round(apply_s, 3),
        "flush_cpu_s": round(flush_s, 3),
        "events_per_cpu_s": round(state.applied_events / (apply_s + flush_s)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--envelope", type=int, action="append", help="events in one envelope; may be repeated")
    parser.add_argument(
        "--cubes", type=int, action="append", help=f"how many of the shipped cubes, 1 to {len(CUBES)}; may be repeated"
    )
    parser.add_argument("--events-per-s", type=int, default=50_000, help="rate of event time")
    parser.add_argument("--batch-records", type=int, default=200)
    parser.add_argument("--batch-bytes", type=int, default=16_777_216)
    parser.add_argument("--flush-every", type=int, default=1, help="batches between two flushes")
    parser.add_argument("--repeat", type=int, default=3, help="runs; the median is printed")
    parser.add_argument("--profile", action="store_true", help="print where the time goes instead of the median")
    args = parser.parse_args()
    for per_envelope in args.envelope or [500, 2_000]:
        records = make_log(args.events, per_envelope, args.events_per_s)
        bytes_per_event = sum(len(r.value or b"") for r in records) / (len(records) * per_envelope)
        for count in args.cubes or [1, 3, len(CUBES)]:
            cubes = CUBES[:count]
            measure(records[:20], cubes, args)
            if args.profile:
                profile = cProfile.Profile()
                profile.runcall(measure, records, cubes, args)
                pstats.Stats(profile, stream=sys.stdout).sort_stats("tottime").print_stats(22)
                pstats.Stats(profile, stream=sys.stdout).sort_stats("cumulative").print_stats(30)
                continue
            runs = sorted(
                (measure(records, cubes, args) for _ in range(args.repeat)), key=lambda r: r["events_per_cpu_s"]
            )
            result = {
                "envelope_events": per_envelope,
                "bytes_per_event": round(bytes_per_event, 1),
                **runs[len(runs) // 2],
                "python": platform.python_version(),
            }
            sys.stdout.write(json.dumps(result) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
