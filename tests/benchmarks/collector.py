"""What the collector takes: events per CPU-second in NDJSON of 500, and single OTLP spans per second.

python tests/benchmarks/collector.py [--seconds 10] [--connections 96]

The collector is the process that `tokentide up` runs; Kafka is the mock cluster of librdkafka in a process of its own,
the senders are in this one. CPU time is the collector's alone, all threads, as the kernel counts it. On a machine that
others use at the same time the CPU figures hold and the rates are lower bounds.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import psutil
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tokentide_schemas.topics import USAGE

BATCH: Final = 500
MODELS: Final = ("gpt-5", "anthropic/claude-sonnet-4", "deepseek/deepseek-chat", "google/gemini-2.5-pro")
BROKER: Final = """
import sys
from confluent_kafka import Producer
owner = Producer({"bootstrap.servers": "unused", "test.mock.num.brokers": 1, "log_level": 0})
broker = next(iter(owner.list_topics(sys.argv[1], timeout=10).brokers.values()))
print(f"{broker.host}:{broker.port}", flush=True)
sys.stdin.read()
"""


@contextlib.contextmanager
def running() -> Iterator[tuple[psutil.Process, int]]:
    """The collector's process and port."""
    broker = subprocess.Popen(
        [sys.executable, "-c", BROKER, USAGE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert broker.stdout is not None
        servers = broker.stdout.readline().strip()
        with tempfile.TemporaryDirectory() as folder:
            ready = Path(folder, "ready.json")
            environment = {
                **os.environ,
                "TOKENTIDE_KAFKA_BOOTSTRAP_SERVERS": servers,
                "TOKENTIDE_READY_FILE": str(ready),
            }
            collector = subprocess.Popen([sys.executable, "-m", "tokentide_deploy.collector_process"], env=environment)
            try:
                while not ready.exists():
                    if collector.poll() is not None:
                        raise SystemExit("the collector has ended: its log is above")
                    time.sleep(0.05)
                yield psutil.Process(collector.pid), json.loads(ready.read_text())["port"]
            finally:
                collector.terminate()
                collector.wait(30)
    finally:
        broker.kill()
        broker.communicate()


def ndjson(number: int) -> bytes:
    """500 events as a gateway would send them."""
    lines = [
        json.dumps(
            {
                "event_id": f"{number:08x}-{i:04x}-7000-8000-{os.getpid():012x}",
                "request_id": f"req-{number}-{i}",
                "occurred_at": f"2025-01-31T12:00:{i % 60:02d}.{i:03d}Z",
                "request_model": MODELS[i % len(MODELS)],
                "provider": "openai",
                "gateway": "eu-1",
                "category": "programming",
                "category_source": "gateway",
                "app": f"app-{i % 40}",
                "tenant": f"team-{i % 15}",
                "user_hash": f"{i * 7919:032x}",
                "country": "DE",
                "input_uncached_tokens": 800 + i,
                "input_cache_read_tokens": 100,
                "output_tokens": 64 + i,
                "usage_reported": True,
                "cost_nanousd": 1_000_000 + i,
                "cost_source": "reported",
                "outcome": "ok",
                "finish_reason": "stop",
                "http_status": 200,
                "streamed": True,
                "time_to_first_token_ms": 200 + i,
                "latency_ms": 2000 + i,
            }
        )
        for i in range(BATCH)
    ]
    return "\n".join(lines).encode()


def one_span(number: int) -> bytes:
    """An export of one span, as an SDK without batching sends it."""
    request = ExportTraceServiceRequest()
    group = request.resource_spans.add()
    group.resource.attributes.add(key="service.name").value.string_value = "checkout"
    span = group.scope_spans.add().spans.add()
    span.trace_id = number.to_bytes(8, "big") + os.getpid().to_bytes(8, "big")
    span.span_id = (number + 1).to_bytes(8, "big")
    span.name, span.kind = "chat gpt-5", 3
    span.start_time_unix_nano, span.end_time_unix_nano = 1_738_324_798_123_000_000, 1_738_324_800_123_000_000
    texts = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": MODELS[number % len(MODELS)],
        "gen_ai.response.id": f"chatcmpl-{number}",
        "gen_ai.input.messages": "text of a prompt " * 30,
    }
    for key, text in texts.items():
        span.attributes.add(key=key).value.string_value = text
    counts = {
        "gen_ai.usage.input_tokens": 1112,
        "gen_ai.usage.cache_read.input_tokens": 1000,
        "gen_ai.usage.output_tokens": 96,
        "gen_ai.usage.reasoning.output_tokens": 32,
    }
    for key, count in counts.items():
        span.attributes.add(key=key).value.int_value = count
    return request.SerializeToString()


class Sender:
    """Posts prepared bodies over connections that stay open, each with one request at a time."""

    def __init__(self, port: int, path: str, content_type: str, body_of: Callable[[int], bytes]) -> None:
        self._port = port
        self._head = f"POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: {content_type}\r\ncontent-length: "
        self._body_of = body_of
        self.sent = 0
        self.waits_s: list[float] = []

    async def run(self, connections: int, seconds: float) -> float:
        """Send for that long; the seconds it really took."""
        begin_s = time.perf_counter()
        await asyncio.gather(*(self._connection(begin_s + seconds) for _ in range(connections)))
        return time.perf_counter() - begin_s

    async def _connection(self, until_s: float) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        while (now_s := time.perf_counter()) < until_s:
            self.sent += 1
            body = self._body_of(self.sent)
            writer.write(f"{self._head}{len(body)}\r\n\r\n".encode() + body)
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
            answer = await reader.readexactly(length)
            if b" 200 " not in head[:16]:
                raise SystemExit(f"an answer was {head[:16]!r}: {answer!r}")
            self.waits_s.append(time.perf_counter() - now_s)
        writer.close()
        await writer.wait_closed()


def measure(process: psutil.Process, sender: Sender, connections: int, seconds: float) -> tuple[float, float]:
    """Wall seconds and the collector's CPU-seconds."""
    asyncio.run(sender.run(2, 1.0))
    sender.sent, sender.waits_s = sender.sent, []
    before = process.cpu_times()
    first = sender.sent
    took_s = asyncio.run(sender.run(connections, seconds))
    after = process.cpu_times()
    sender.sent -= first
    return took_s, after.user + after.system - before.user - before.system


def main() -> int:
    """Print both figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--connections", type=int, default=96, help="of the single spans")
    options = parser.parse_args()
    # Made beforehand: what the sender does costs the collector's cores.
    batches = [ndjson(number) for number in range(40)]
    exports = [one_span(number) for number in range(5_000)]
    with running() as (process, port):
        events = Sender(port, "/v1/events", "application/x-ndjson", lambda number: batches[number % len(batches)])
        took_s, cpu_s = measure(process, events, 8, options.seconds)
        count = events.sent * BATCH
        print(  # noqa: T201
            f"NDJSON x {BATCH}: {count:,} events in {took_s:.1f} s, {cpu_s:.2f} CPU-s: "
            f"{count / cpu_s:,.0f} events per CPU-second, {count / took_s:,.0f} events/s, p50 {_p(events, 0.5)} ms"
        )
        spans = Sender(port, "/v1/traces", "application/x-protobuf", lambda number: exports[number % len(exports)])
        took_s, cpu_s = measure(process, spans, options.connections, options.seconds)
        print(  # noqa: T201
            f"single OTLP spans: {spans.sent:,} requests in {took_s:.1f} s: {spans.sent / took_s:,.0f} requests/s, "
            f"{spans.sent / cpu_s:,.0f} requests per CPU-second, p50 {_p(spans, 0.5)} ms, p99 {_p(spans, 0.99)} ms"
        )
    return 0


def _p(sender: Sender, share: float) -> str:
    waits = sorted(sender.waits_s)
    return f"{waits[int(len(waits) * share)] * 1000:.0f}" if waits else "-"


if __name__ == "__main__":
    sys.exit(main())
