"""The real openai client against an upstream that answers as OpenAI and OpenRouter do: answers in one piece."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import openai
import pydantic
import pytest

from producers.clients.conftest import Events
from producers.upstream.answers import (
    MARKER,
    MESSAGES,
    NO_USAGE,
    OPENAI_BUCKETS,
    OPENAI_USAGE,
    OPENROUTER_USAGE,
    TOOLS,
    completion,
    response,
    tool_call,
)
from producers.upstream.server import Upstream, whole
from tokentide_producers.clients import instrument, labels
from tokentide_producers.emitter import Emitter


def has(row: dict[str, Any], **expected: Any) -> None:
    assert {name: row[name] for name in expected} == expected


def test_a_chat_completion_is_reported_field_by_field(
    client: openai.OpenAI, upstream: Upstream, emitted: Events
) -> None:
    upstream.replies.append(whole(completion()))
    with labels(category="programming", app="checkout", tenant="acme", user="alice"):
        answer = client.chat.completions.create(model="gpt-4o", messages=MESSAGES, tools=TOOLS)
    assert answer.choices[0].message.content == f"answer {MARKER}"
    (row,) = emitted()
    has(row, **OPENAI_BUCKETS)
    has(row, request_model="gpt-4o", model="openai/gpt-4o", provider="127.0.0.1", operation="chat", source="openai")
    has(row, outcome="ok", finish_reason="stop", http_status=200, streamed=False, attempt=0, error_type="")
    has(row, request_id="chatcmpl-1", gateway="gw-clients", tools_offered=3, tool_calls=0)
    has(row, category="programming", category_source="gateway", app="checkout", tenant="acme")
    has(row, time_to_first_token_ms=None, cost_nanousd=None, cost_source="unknown")
    assert row["user_hash"] != bytes(16) and b"alice" not in row["user_hash"]
    assert row["latency_ms"] is not None


def test_openrouter_says_who_served_it_and_what_it_cost(
    client: openai.OpenAI, upstream: Upstream, emitted: Events
) -> None:
    body = completion(id="gen-1", model="anthropic/claude-sonnet-4", provider="Amazon Bedrock", usage=OPENROUTER_USAGE)
    upstream.replies.append(whole(body))
    client.chat.completions.create(
        model="openrouter/auto", messages=MESSAGES, extra_body={"session_id": "s-1", "usage": {"include": True}}
    )
    (row,) = emitted()
    has(row, request_model="openrouter/auto", model="anthropic/claude-sonnet-4", provider="amazon-bedrock")
    has(row, cost_nanousd=1_234_560, cost_source="reported", is_byok=True, request_id="gen-1")
    has(row, input_uncached_tokens=100, input_cache_read_tokens=900, input_cache_write_tokens=100)
    has(row, output_tokens=30, output_reasoning_tokens=60)
    assert row["session_hash"] != bytes(16)


def test_an_error_within_an_answer_with_status_200_is_an_error(
    client: openai.OpenAI, upstream: Upstream, emitted: Events
) -> None:
    body = completion(finish="error")
    body["choices"][0]["error"] = {"code": 502, "message": MARKER}
    upstream.replies.append(whole(body))
    client.chat.completions.create(model="gpt-4o", messages=MESSAGES)
    (row,) = emitted()
    has(row, outcome="error", error_type="502", http_status=502, finish_reason="error")


def test_tool_calls_are_counted(client: openai.OpenAI, upstream: Upstream, emitted: Events) -> None:
    message = {"content": None, "tool_calls": [tool_call(0), tool_call(1)]}
    upstream.replies.append(whole(completion(message=message, finish="tool_calls")))
    client.chat.completions.create(model="gpt-4o", messages=MESSAGES, tools=TOOLS)
    (row,) = emitted()
    has(row, finish_reason="tool_calls", tool_calls=2, tools_offered=3)


@pytest.mark.parametrize("usage", [None, {}, {"prompt_tokens": None, "new": "kind"}])
def test_without_usage_the_event_says_so(
    client: openai.OpenAI, upstream: Upstream, emitted: Events, usage: Any
) -> None:
    upstream.replies.append(whole(completion(usage=usage)))
    client.chat.completions.create(model="gpt-4o", messages=MESSAGES)
    (row,) = emitted()
    has(row, outcome="ok", **NO_USAGE)


def test_reasoning_beside_the_output_is_recognised_by_the_total(
    client: openai.OpenAI, upstream: Upstream, emitted: Events
) -> None:
    usage = {
        "prompt_tokens": 10,
        "completion_tokens": 5,
        "total_tokens": 115,
        "completion_tokens_details": {"reasoning_tokens": 100},
    }
    upstream.replies.append(whole(completion(usage=usage)))
    client.chat.completions.create(model="grok-4", messages=MESSAGES)
    (row,) = emitted()
    has(row, output_tokens=5, output_reasoning_tokens=100)


def test_an_error_passes_on_and_is_told_by_class_and_status(
    client: openai.OpenAI, upstream: Upstream, emitted: Events
) -> None:
    upstream.replies.append(whole({"error": {"message": MARKER, "type": "rate_limit_error"}}, 429))
    with pytest.raises(openai.RateLimitError, match=MARKER):
        client.chat.completions.create(model="gpt-4o", messages=MESSAGES)
    (row,) = emitted()
    has(row, outcome="error", error_type="RateLimitError", http_status=429, request_id="req-1", **NO_USAGE)


def test_an_unreachable_provider_is_an_error_without_a_status(emitter: Emitter, emitted: Events) -> None:
    client = instrument(openai.OpenAI(base_url="http://127.0.0.1:1/v1", api_key="none", max_retries=0), emitter)
    with pytest.raises(openai.APIConnectionError):
        client.chat.completions.create(model="gpt-4o", messages=MESSAGES)
    (row,) = emitted()
    has(row, outcome="error", error_type="APIConnectionError", http_status=0)


def test_the_clients_retries_are_one_request_that_says_how_often(
    client: openai.OpenAI, upstream: Upstream, emitted: Events
) -> None:
    busy = whole({"error": {"message": "busy"}}, 503, retry_after_ms="1")
    upstream.replies += [busy, busy, whole(completion()), busy, busy]
    patient = client.with_options(max_retries=2)
    patient.chat.completions.create(model="gpt-4o", messages=MESSAGES)
    with pytest.raises(openai.InternalServerError):
        client.with_options(max_retries=1).chat.completions.create(model="gpt-4o", messages=MESSAGES)
    first, second = emitted()
    has(first, outcome="ok", attempt=2, http_status=200)
    has(second, outcome="error", attempt=1, http_status=503, error_type="InternalServerError")


def test_the_responses_api(client: openai.OpenAI, upstream: Upstream, emitted: Events) -> None:
    upstream.replies.append(whole(response()))
    answer = client.responses.create(model="gpt-5", input=MARKER, tools=[TOOLS[0]], user="bob")
    assert answer.output_text == f"answer {MARKER}"
    (row,) = emitted()
    has(row, operation="chat", model="openai/gpt-5", request_id="resp-1", finish_reason="tool_calls", tool_calls=2)
    has(row, input_uncached_tokens=100, input_cache_read_tokens=1000, output_tokens=30, output_reasoning_tokens=60)
    assert row["user_hash"] != bytes(16)


@pytest.mark.parametrize(
    ("over", "expected"),
    [
        (
            {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}},
            {"outcome": "ok", "finish_reason": "length"},
        ),
        (
            {"status": "failed", "error": {"code": "server_error", "message": MARKER}, "usage": None},
            {"outcome": "error", "error_type": "server_error", "usage_reported": False},
        ),
        ({"status": "queued", "usage": None}, {"outcome": "ok", "finish_reason": "", "usage_reported": False}),
    ],
)
def test_how_a_response_ended(
    client: openai.OpenAI, upstream: Upstream, emitted: Events, over: Any, expected: Any
) -> None:
    upstream.replies.append(whole(response(**over)))
    client.responses.create(model="gpt-5", input=MARKER)
    (row,) = emitted()
    has(row, **expected)


def test_embeddings(client: openai.OpenAI, upstream: Upstream, emitted: Events) -> None:
    data = [{"object": "embedding", "index": 0, "embedding": [0.25, 0.5]}]
    usage = {"prompt_tokens": 7, "total_tokens": 7}
    upstream.replies.append(whole({"object": "list", "model": "text-embedding-3-small", "data": data, "usage": usage}))
    answer = client.embeddings.create(model="text-embedding-3-small", input=MARKER)
    assert answer.data[0].embedding == [0.25, 0.5]
    (row,) = emitted()
    has(row, operation="embeddings", input_uncached_tokens=7, output_tokens=0, usage_reported=True)


def test_legacy_completions(client: openai.OpenAI, upstream: Upstream, emitted: Events) -> None:
    body = completion(object="text_completion", model="gpt-3.5-turbo-instruct")
    body["choices"] = [{"index": 0, "text": MARKER, "finish_reason": "length", "logprobs": None}]
    upstream.replies.append(whole(body))
    client.completions.create(model="gpt-3.5-turbo-instruct", prompt=MARKER)
    (row,) = emitted()
    has(row, operation="text_completion", finish_reason="length", **OPENAI_BUCKETS)


def test_parsed_answers_stay_parsed(client: openai.OpenAI, upstream: Upstream, emitted: Events) -> None:
    class Sum(pydantic.BaseModel):
        total: int

    upstream.replies.append(whole(completion(message={"content": '{"total": 4}'})))
    answer = client.chat.completions.parse(model="gpt-4o", messages=MESSAGES, response_format=Sum)
    assert answer.choices[0].message.parsed == Sum(total=4)
    (row,) = emitted()
    has(row, outcome="ok", **OPENAI_BUCKETS)


def test_a_raw_response_stays_raw_and_is_reported(client: openai.OpenAI, upstream: Upstream, emitted: Events) -> None:
    upstream.replies.append(whole(completion()))
    raw = client.chat.completions.with_raw_response.create(model="gpt-4o", messages=MESSAGES)
    assert type(raw).__name__ == "LegacyAPIResponse" and raw.headers["x-request-id"] == "req-1"
    assert raw.parse().usage is not None
    (row,) = emitted()
    has(row, outcome="ok", http_status=200, **OPENAI_BUCKETS)


@pytest.mark.parametrize("way", ["parse", "json", "iter_bytes", "read"])
def test_a_streamed_body_is_reported_however_it_is_read(
    client: openai.OpenAI, upstream: Upstream, emitted: Events, way: str
) -> None:
    upstream.replies.append(whole(completion()))
    with client.chat.completions.with_streaming_response.create(model="gpt-4o", messages=MESSAGES) as raw:
        if way == "parse":
            assert raw.parse().id == "chatcmpl-1"
        elif way == "json":
            assert raw.json()["id"] == "chatcmpl-1"  # type: ignore[index]
        else:
            data = raw.read() if way == "read" else b"".join(raw.iter_bytes())
            assert json.loads(data)["usage"] == OPENAI_USAGE
    (row,) = emitted()
    has(row, outcome="ok", **OPENAI_BUCKETS)


def test_a_body_that_nobody_reads_is_cancelled(client: openai.OpenAI, upstream: Upstream, emitted: Events) -> None:
    upstream.replies.append(whole(completion()))
    with client.chat.completions.with_streaming_response.create(model="gpt-4o", messages=MESSAGES) as raw:
        assert raw.status_code == 200
    (row,) = emitted()
    has(row, outcome="cancelled", http_status=200, **NO_USAGE)


def test_azure_reports_the_deployment_and_the_model_that_answered(
    upstream: Upstream, emitter: Emitter, emitted: Events
) -> None:
    upstream.replies.append(whole(completion()))
    azure = openai.AzureOpenAI(azure_endpoint=upstream.url, api_key="none", api_version="2024-10-21")
    instrument(azure, emitter).chat.completions.create(model="our-deployment", messages=MESSAGES)
    assert upstream.asked[0].path.startswith("/openai/deployments/our-deployment/chat/completions")
    (row,) = emitted()
    has(row, request_model="our-deployment", model="openai/gpt-4o", provider="azure", **OPENAI_BUCKETS)


def test_the_asyncio_client(upstream: Upstream, emitter: Emitter, emitted: Events) -> None:
    upstream.replies += [whole(completion()), whole({"error": {"message": MARKER}}, 400), whole(completion())]

    async def main() -> None:
        async with openai.AsyncOpenAI(base_url=f"{upstream.url}/v1", api_key="none", max_retries=0) as client:
            instrument(client, emitter, category="legal")
            answer = await client.chat.completions.create(model="gpt-4o", messages=MESSAGES)
            assert answer.id == "chatcmpl-1"
            with pytest.raises(openai.BadRequestError):
                await client.chat.completions.create(model="gpt-4o", messages=MESSAGES)
            async with client.chat.completions.with_streaming_response.create(model="gpt-4o", messages=MESSAGES) as raw:
                assert (await raw.parse()).id == "chatcmpl-1"

    asyncio.run(main())
    rows = emitted()
    assert [row["outcome"] for row in rows] == ["ok", "error", "ok"]
    for row in (rows[0], rows[2]):
        has(row, category="legal", **OPENAI_BUCKETS)
    has(rows[1], http_status=400, error_type="BadRequestError")
