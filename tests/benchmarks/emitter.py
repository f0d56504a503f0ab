"""What an event costs where it is emitted: `python -m tests.benchmarks.emitter [EVENTS]`.

Kafka is the mock cluster inside librdkafka, in this process: it speaks the real protocol over TCP, but its work is part
of the process's CPU time, and it has no disk. Times of single calls are of the calling thread.
"""

from __future__ import annotations

import json
import platform
import sys
import time
from typing import Any

import numpy as np
from confluent_kafka import Producer

from tokentide_producers.emitter import Emitter
from tokentide_producers.settings import EmitterSettings
from tokentide_schemas.topics import USAGE

EVENTS = 200_000
TIMED = 20_000
ROUNDS = 5
FIELDS: dict[str, Any] = {
    "request_model": "gpt-4o",
    "provider": "openai",
    "outcome": "ok",
    "finish_reason": "stop",
    "streamed": True,
    "category": "programming",
    "app": "checkout",
    "tenant": "acme",
    "user_hash": bytes(range(16)),
    "input_uncached_tokens": 812,
    "input_cache_read_tokens": 100,
    "output_tokens": 64,
    "usage_reported": True,
    "latency_ms": 900,
    "time_to_first_token_ms": 200,
    "http_status": 200,
}


def per_call(emitter: Emitter, events: int) -> dict[str, float]:
    """Means of a tight loop. Wall-clock time includes what the other threads take from this one (the GIL)."""
    emit = emitter.emit
    wall_s, thread_s, process_s = time.perf_counter(), time.thread_time(), time.process_time()
    for _ in range(events):
        emit(**FIELDS)
    wall_s, thread_s = time.perf_counter() - wall_s, time.thread_time() - thread_s
    assert emitter.flush(300)
    process_s = time.process_time() - process_s
    batches = -(-events // emitter.settings.batch_events)
    return {
        "wall_us_per_call": wall_s / events * 1e6,
        "thread_cpu_us_per_call": thread_s / events * 1e6,
        "calls_per_thread_cpu_s": events / thread_s,
        "process_cpu_s_per_million": process_s / events * 1e6,
        "process_cpu_ms_per_batch": process_s / batches * 1e3,
    }


def single_calls(emitter: Emitter, events: int) -> dict[str, float]:
    """Quantiles of single calls at a gateway's pace, when the background thread mostly sleeps."""
    took_ns = np.empty(events, np.int64)
    for number in range(events):
        if number % 100 == 0:
            time.sleep(0.001)
        begun_ns = time.perf_counter_ns()
        emitter.emit(**FIELDS)
        took_ns[number] = time.perf_counter_ns() - begun_ns
    assert emitter.flush(300)
    p50, p99, p999 = (float(value) / 1e3 for value in np.percentile(took_ns, [50, 99, 99.9]))
    return {"p50_us": p50, "p99_us": p99, "p999_us": p999}


def main() -> None:
    """Print the best round (least disturbed by others) as JSON."""
    events = int(sys.argv[1]) if len(sys.argv) > 1 else EVENTS
    owner = Producer({"bootstrap.servers": "unused", "test.mock.num.brokers": 1, "log_level": 0})
    broker = next(iter(owner.list_topics(USAGE, timeout=10).brokers.values()))
    settings = EmitterSettings(max_buffered_events=10 * events, max_buffered_bytes=2**31)
    with Emitter(f"{broker.host}:{broker.port}", settings=settings, resolve_model=str) as emitter:
        emitter.emit(**FIELDS)
        emitter.flush(60)
        rounds = [per_call(emitter, events) for _ in range(ROUNDS)]
        calls = [single_calls(emitter, TIMED) for _ in range(ROUNDS)]
    report = {
        "python": platform.python_version(),
        "events_a_round": events,
        "tight_loop": min(rounds, key=lambda one: one["thread_cpu_us_per_call"]),
        "single_calls": min(calls, key=lambda one: one["p50_us"]),
    }
    print(json.dumps(report, indent=2))  # noqa: T201 - its output


if __name__ == "__main__":
    main()
