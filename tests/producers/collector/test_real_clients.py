"""What the OpenTelemetry SDK and its OTLP/HTTP exporter send is stored as it was meant."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExportResult
from opentelemetry.trace import SpanKind, Status, StatusCode

from producers.collector.serving import HASH_KEY, Topic, counted
from tokentide_producers.hashing import IdentifierHasher

CALL = {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "gpt-5"}


class CountingExporter(OTLPSpanExporter):
    """Remembers how its exports ended."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.results: list[SpanExportResult] = []

    def export(self, spans: Any) -> SpanExportResult:
        result = super().export(spans)
        self.results.append(result)
        return result


@pytest.mark.parametrize("compression", [Compression.NoCompression, Compression.Gzip, Compression.Deflate])
def test_spans_of_the_sdk_are_stored_field_by_field(
    compression: Compression, collector: httpx.Client, fresh: Topic
) -> None:
    exporter = CountingExporter(endpoint=str(collector.base_url.join("/v1/traces")), compression=compression)
    provider = TracerProvider(resource=Resource.create({"service.name": "checkout"}))
    provider.add_span_processor(BatchSpanProcessor(exporter))
    tracer = provider.get_tracer("test")
    start_ns = 1_738_324_798_123_000_000
    with tracer.start_as_current_span("invoke_agent", attributes={"gen_ai.operation.name": "invoke_agent"}):
        usage = {
            "gen_ai.usage.input_tokens": 1112,
            "gen_ai.usage.cache_read.input_tokens": 1000,
            "gen_ai.usage.output_tokens": 96,
            "gen_ai.usage.reasoning.output_tokens": 32,
            "gen_ai.response.finish_reasons": ("tool_calls",),
            "gen_ai.response.id": "chatcmpl-1",
            "gen_ai.response.time_to_first_chunk": 0.25,
            "gen_ai.conversation.id": "conversation-1",
            "gen_ai.input.messages": "MARKER",
        }
        good = tracer.start_span("chat gpt-5", kind=SpanKind.CLIENT, attributes=CALL | usage, start_time=start_ns)
        good.end(start_ns + 2_000_000_000)
        unknown = tracer.start_span("chat", kind=SpanKind.CLIENT, attributes=CALL, start_time=start_ns)
        unknown.end(start_ns + 1_000_000)
        failed = tracer.start_span("chat", kind=SpanKind.CLIENT, attributes=CALL, start_time=start_ns)
        failed.record_exception(ConnectionResetError("MARKER"), timestamp=start_ns)
        failed.set_status(Status(StatusCode.ERROR, "MARKER"))
        failed.end(start_ns + 5_000_000)
        cancelled = CALL | {"error.type": "asyncio.exceptions.CancelledError", "gen_ai.request.stream": True}
        tracer.start_span("chat", attributes=cancelled, start_time=start_ns).end(start_ns + 7_000_000)
    provider.shutdown()
    assert exporter.results == [SpanExportResult.SUCCESS]
    stored = {one["latency_ms"]: one for one in counted(fresh.take())}
    assert sorted(stored) == [1, 5, 7, 2000]
    expected = {
        "source": "otlp",
        "app": "checkout",
        "operation": "chat",
        "request_id": "chatcmpl-1",
        "request_model": "gpt-5",
        "model": "openai/gpt-5",
        "provider": "openai",
        "input_uncached_tokens": 112,
        "input_cache_read_tokens": 1000,
        "output_tokens": 64,
        "output_reasoning_tokens": 32,
        "usage_reported": True,
        "finish_reason": "tool_calls",
        "outcome": "ok",
        "streamed": True,
        "time_to_first_token_ms": 250,
        "session_hash": IdentifierHasher(HASH_KEY)("conversation-1"),
    }
    assert {name: stored[2000][name] for name in expected} == expected
    assert (stored[1]["usage_reported"], stored[1]["outcome"]) == (False, "ok")
    assert (stored[5]["outcome"], stored[5]["error_type"]) == ("error", "ConnectionResetError")
    assert (stored[7]["outcome"], stored[7]["streamed"]) == ("cancelled", True)


class _LosesAnswers(http.server.BaseHTTPRequestHandler):
    """A proxy that passes every request on and loses the first answer: the exporter has to send again."""

    target = ""
    passed: list[int]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        kept = {
            name: value for name, value in self.headers.items() if name.lower() in ("content-type", "content-encoding")
        }
        answer = httpx.post(self.target, content=body, headers=kept)
        type(self).passed.append(answer.status_code)
        status = 503 if len(self.passed) == 1 else answer.status_code
        self.send_response(status)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Quiet."""


@pytest.fixture
def lossy_proxy(collector: httpx.Client) -> Iterator[str]:
    handler = type("Handler", (_LosesAnswers,), {"target": str(collector.base_url.join("/v1/traces")), "passed": []})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/v1/traces"
    finally:
        server.shutdown()
        thread.join(10)
        server.server_close()
        assert handler.passed == [200, 200]


def test_an_export_whose_answer_was_lost_is_sent_again_and_counted_once(lossy_proxy: str, fresh: Topic) -> None:
    exporter = CountingExporter(endpoint=lossy_proxy, compression=Compression.Gzip)
    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(exporter))
    tracer = provider.get_tracer("test")
    for _ in range(25):
        tracer.start_span("chat", attributes=CALL).end()
    provider.shutdown()
    assert exporter.results == [SpanExportResult.SUCCESS]
    assert len(counted(fresh.take())) == 25
