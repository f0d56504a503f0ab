"""The OpenTelemetry instrumentation for openai, on the real client: the events are what the upstream reported."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from typing import Any

import httpx
import openai
import pytest
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.openai_v2 import OpenAIInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

from producers.collector.serving import Topic, counted

MARKER = "MARKER-11d0"
USAGE = {
    "prompt_tokens": 1112,
    "completion_tokens": 96,
    "total_tokens": 1208,
    "prompt_tokens_details": {"cached_tokens": 1000},
    "completion_tokens_details": {"reasoning_tokens": 32},
}
TOOL_CALL = {"id": "call-1", "type": "function", "function": {"name": MARKER, "arguments": f'{{"a": "{MARKER}"}}'}}


class _Upstream(http.server.BaseHTTPRequestHandler):
    """Answers like OpenAI: by the model's name with text, a stream, a tool call or an error."""

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        common = {"id": f"chatcmpl-{asked['model']}", "created": 1738324800, "model": "gpt-5-2025-08-07"}
        if asked["model"] == "gpt-5-error":
            self._answer(429, "application/json", {"error": {"message": MARKER, "type": "rate_limit"}})
        elif asked.get("stream"):
            deltas: list[Any] = [{"role": "assistant", "content": MARKER}, {"content": MARKER}, {}]
            chunks: list[Any] = [
                {**common, "object": "chat.completion.chunk", "choices": [{"index": 0, "delta": d}]} for d in deltas
            ]
            chunks[-1]["choices"][0]["finish_reason"] = "stop"
            chunks.append({**common, "object": "chat.completion.chunk", "choices": [], "usage": USAGE})
            text = "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks) + "data: [DONE]\n\n"
            self._answer(200, "text/event-stream", text)
        else:
            message = {"role": "assistant", "content": None, "tool_calls": [TOOL_CALL]}
            choice = {"index": 0, "message": message, "finish_reason": "tool_calls"}
            self._answer(
                200, "application/json", {**common, "object": "chat.completion", "choices": [choice], "usage": USAGE}
            )

    def _answer(self, status: int, content_type: str, content: Any) -> None:
        body = (content if isinstance(content, str) else json.dumps(content)).encode()
        self.send_response(status)
        self.send_header("content-type", content_type)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Quiet."""


@pytest.fixture
def upstream() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Upstream)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/v1"
    server.shutdown()
    thread.join(10)
    server.server_close()


@pytest.fixture
def instrumented(collector: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", "true")
    exporter = OTLPSpanExporter(endpoint=str(collector.base_url.join("/v1/traces")))
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    instrumentor = OpenAIInstrumentor()
    instrumentor.instrument(tracer_provider=provider)
    yield
    instrumentor.uninstrument()
    provider.shutdown()


@pytest.mark.usefixtures("instrumented")
def test_calls_of_the_openai_client_are_stored_as_the_upstream_reported_them(upstream: str, fresh: Topic) -> None:
    client = openai.OpenAI(base_url=upstream, api_key="none", max_retries=0)
    messages: Any = [{"role": "user", "content": MARKER}]
    client.chat.completions.create(model="gpt-5", messages=messages)
    streamed = client.chat.completions.create(
        model="gpt-5-mini", messages=messages, stream=True, stream_options={"include_usage": True}
    )
    assert len(list(streamed)) == 4
    with pytest.raises(openai.RateLimitError):
        client.chat.completions.create(model="gpt-5-error", messages=messages)
    records = fresh.take()
    stored = {one["request_model"]: one for one in counted(records)}
    assert sorted(stored) == ["gpt-5", "gpt-5-error", "gpt-5-mini"]
    # Of streams this instrumentation does not tell the finish reason.
    for model, finish_reasons in (("gpt-5", {"tool_calls"}), ("gpt-5-mini", {"stop", ""})):
        one = stored[model]
        assert (one["outcome"], one["usage_reported"]) == ("ok", True), model
        assert one["finish_reason"] in finish_reasons
        assert (one["model"], one["provider"], one["operation"]) == ("openai/gpt-5", "openai", "chat")
        assert one["request_id"] == f"chatcmpl-{model}"
        assert one["input_uncached_tokens"] + one["input_cache_read_tokens"] == USAGE["prompt_tokens"]
        assert one["output_tokens"] + one["output_reasoning_tokens"] == USAGE["completion_tokens"]
    failed = stored["gpt-5-error"]
    assert (failed["outcome"], failed["usage_reported"]) == ("error", False)
    assert failed["error_type"].endswith("RateLimitError")
    assert not any(MARKER.encode() in (record.value or b"") for record in records)
