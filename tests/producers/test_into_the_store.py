"""The emitter, the OpenTelemetry SDK and plain HTTP, through Kafka into ClickHouse: each column is what was sent."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import uuid
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind, Status, StatusCode

from end_to_end.harness import Stack, wait_until
from end_to_end.stored_rows import SOME, expect_stored
from tokentide_producers.emitter import Emitter
from tokentide_producers.settings import EmitterSettings

pytestmark = pytest.mark.embedded

ASKED: dict[str, Any] = {"request_model": "gpt-4o", "provider": "openai", "app": "six", "tenant": "acme"}
NAMED: dict[str, Any] = {**ASKED, "model": "openai/gpt-4o"}
COUNTED: dict[str, Any] = {
    "input_uncached_tokens": 96,
    "input_cache_read_tokens": 1000,
    "input_cache_write_tokens": 5,
    "output_tokens": 24,
    "output_reasoning_tokens": 60,
    "audio_tokens": 10,
    "usage_reported": True,
}
NO_USAGE: dict[str, Any] = {"input_uncached_tokens": 0, "output_tokens": 0, "usage_reported": False}
TOOLS: dict[str, Any] = {"tool_calls": 2, "tools_offered": 3, "finish_reason": "tool_calls"}


def gateway_name(path: str) -> str:
    return f"six-{path}-{uuid.uuid4().hex[:8]}"


def six(source: str, gateway: str, **over: Any) -> list[dict[str, Any]]:
    """A plain request with cached and reasoning tokens, one whose usage is missing, an error, a cancelled stream, a
    tool call, and a stream that was read to its end."""
    common = {**NAMED, "source": source, "gateway": gateway, "latency_ms": SOME, **over}
    return [
        {**common, **COUNTED, "request_id": "r1", "finish_reason": "stop", "outcome": "ok", "http_status": 200},
        {**common, **NO_USAGE, "request_id": "r2", "outcome": "ok"},
        {**common, **NO_USAGE, "request_id": "r3", "outcome": "error", "error_type": "TimeoutError"},
        {
            **common,
            **NO_USAGE,
            "request_id": "r4",
            "outcome": "cancelled",
            "streamed": True,
            "time_to_first_token_ms": SOME,
        },
        {**common, **COUNTED, **TOOLS, "request_id": "r5", "outcome": "ok"},
        {
            **common,
            **COUNTED,
            "request_id": "r6",
            "outcome": "ok",
            "streamed": True,
            "time_to_first_token_ms": SOME,
        },
    ]


def pieces() -> Iterator[str]:
    yield from ("a", "b", "c")


async def apieces() -> AsyncIterator[str]:
    for piece in pieces():
        yield piece


def as_a_gateway(emitter: Emitter, **more: Any) -> None:
    with emitter.request(**ASKED, **more, request_id="r1") as request:
        request.update(**COUNTED, finish_reason="stop", http_status=200)
    with emitter.request(**ASKED, **more, request_id="r2"):
        pass
    with pytest.raises(TimeoutError), emitter.request(**ASKED, **more, request_id="r3"):
        raise TimeoutError("what the provider said")

    def left_early() -> Iterator[str]:
        with emitter.request(**ASKED, **more, request_id="r4") as request:
            yield from request.stream(pieces())

    reader = left_early()
    next(reader)
    reader.close()  # type: ignore[attr-defined]
    with emitter.request(**ASKED, **more, request_id="r5") as request:
        request.update(**COUNTED, **TOOLS)
    with emitter.request(**ASKED, **more, request_id="r6") as request:
        assert list(request.stream(pieces())) == ["a", "b", "c"]
        request.update(**COUNTED)


async def as_an_asyncio_gateway(emitter: Emitter, **more: Any) -> None:
    async with emitter.request(**ASKED, **more, request_id="r1") as request:
        request.update(**COUNTED, finish_reason="stop", http_status=200)
    async with emitter.request(**ASKED, **more, request_id="r2"):
        pass
    with pytest.raises(TimeoutError):
        async with emitter.request(**ASKED, **more, request_id="r3"):
            raise TimeoutError("what the provider said")

    async def read(first: asyncio.Event) -> None:
        async with emitter.request(**ASKED, **more, request_id="r4") as request:
            async for _ in request.astream(apieces()):
                first.set()
                await asyncio.sleep(60)

    first = asyncio.Event()
    task = asyncio.create_task(read(first))
    await first.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    async with emitter.request(**ASKED, **more, request_id="r5") as request:
        request.update(**COUNTED, **TOOLS)
    async with emitter.request(**ASKED, **more, request_id="r6") as request:
        assert [piece async for piece in request.astream(apieces())] == ["a", "b", "c"]
        request.update(**COUNTED)


@pytest.mark.parametrize("style", ["threads", "asyncio"])
def test_what_a_gateway_emits_is_stored_column_by_column(stack: Stack, style: str) -> None:
    gateway = gateway_name(style)
    settings = EmitterSettings(hash_key="a secret of this test")
    with Emitter(stack.kafka, gateway=gateway, gateway_region="eu-1", settings=settings) as emitter:
        own = {"user_hash": emitter.hash("alice"), "category": "science", "subcategory": "physics", "country": "DE"}
        own |= {"language": "de", "cost_nanousd": 1_234_567, "cost_source": "reported", "attempt": 2, "is_byok": True}
        own |= {"session_hash": emitter.hash("s"), "api_key_hash": emitter.hash("k"), "is_final_attempt": False}
        if style == "asyncio":
            asyncio.run(as_an_asyncio_gateway(emitter, **own))
        else:
            as_a_gateway(emitter, **own)
        assert emitter.flush(60)
    expected = six("sdk", gateway, gateway_region="eu-1", category_source="gateway", **own)
    expect_stored(stack, f"gateway = '{gateway}'", expected)


def test_what_the_opentelemetry_sdk_exports_is_stored_column_by_column(stack: Stack) -> None:
    gateway, url = gateway_name("otlp"), str(stack.ready["collector_url"])
    wait_until(lambda: httpx.get(f"{url}/readyz").status_code == 200, "the collector")
    resource = Resource.create({"service.name": "six", "cloud.region": "eu-1", "tokentide.gateway": gateway})
    provider = TracerProvider(resource=resource)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=f"{url}/v1/traces", timeout=60)))
    tracer = provider.get_tracer("a gateway")
    call = {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "gpt-4o"}
    call |= {"tokentide.tenant": "acme", "tokentide.category": "science"}
    counted = {
        "gen_ai.usage.input_tokens": 96 + 1000 + 5 + 4,
        "gen_ai.usage.output_tokens": 24 + 60 + 6,
        "gen_ai.usage.cache_read.input_tokens": 1000,
        "gen_ai.usage.cache_creation.input_tokens": 5,
        "gen_ai.usage.reasoning.output_tokens": 60,
        "llm.token_count.prompt_details.audio": 4,
        "llm.token_count.completion_details.audio": 6,
    }
    started_ns = int((dt.datetime.now(dt.UTC) - dt.timedelta(minutes=1)).timestamp()) * 1_000_000_000
    cases: list[tuple[str, dict[str, Any]]] = [
        ("r1", {**counted, "gen_ai.response.finish_reasons": ("stop",), "http.response.status_code": 200}),
        ("r2", {}),
        ("r3", {}),
        ("r4", {"error.type": "asyncio.CancelledError", "gen_ai.response.time_to_first_chunk": 0.25}),
        ("r5", {**counted, "gen_ai.response.finish_reasons": ("tool_calls",)}),
        ("r6", {**counted, "gen_ai.response.time_to_first_chunk": 0.25}),
    ]
    for number, (name, attributes) in enumerate(cases):
        began_ns = started_ns + number * 1_000_000_000
        given = {**call, **attributes, "gen_ai.response.id": name}
        span = tracer.start_span("chat gpt-4o", kind=SpanKind.CLIENT, attributes=given, start_time=began_ns)
        if name == "r3":
            span.record_exception(TimeoutError("what the provider said"), timestamp=began_ns)
            span.set_status(Status(StatusCode.ERROR, "what the provider said"))
        span.end(began_ns + 2_000_000_000)
    assert provider.force_flush(60_000)
    provider.shutdown()
    expected = six(
        "otlp", gateway, gateway_region="eu-1", category="science", category_source="gateway", latency_ms=2000
    )
    for row in expected:
        if "time_to_first_token_ms" in row:
            row["time_to_first_token_ms"] = 250
        if row["request_id"] == "r5":
            row |= {"tool_calls": 0, "tools_offered": 0}  # this convention has no place for their number
        second = int(row["request_id"][1:]) + 1
        row["occurred_at"] = dt.datetime.fromtimestamp(started_ns / 1e9 + second, dt.UTC)
    expect_stored(stack, f"gateway = '{gateway}'", expected)


def test_what_is_posted_is_stored_column_by_column(stack: Stack) -> None:
    gateway, url = gateway_name("http"), str(stack.ready["collector_url"])
    wait_until(lambda: httpx.get(f"{url}/readyz").status_code == 200, "the collector")
    now = dt.datetime.now(dt.UTC).replace(microsecond=123_000)
    first_id = uuid.uuid4().int >> 8 << 8
    expected, lines = [], []
    for number, row in enumerate(six("http", gateway, latency_ms=900)):
        full = {**row, "occurred_at": now + dt.timedelta(milliseconds=number), "cost_nanousd": 77 + number}
        full |= {"cost_source": "reported", "user_hash": bytes(range(16)), "country": "JP", "language": "ja"}
        if "time_to_first_token_ms" in full:
            full["time_to_first_token_ms"] = 250
        expected.append(full)
        sent = {**full, "occurred_at": full["occurred_at"].isoformat(), "user_hash": full["user_hash"].hex()}
        sent["event_id"] = str(uuid.UUID(int=first_id + number))
        lines.append(json.dumps(sent))
    with httpx.Client(base_url=url, timeout=30) as client:
        answer = client.post("/v1/events", content="\n".join(lines), headers={"content-type": "application/x-ndjson"})
    assert answer.json()["accepted"] == 6, answer.text
    expect_stored(stack, f"gateway = '{gateway}'", expected)
