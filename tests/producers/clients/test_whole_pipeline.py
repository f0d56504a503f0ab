"""The real clients, the emitter, the embedded Kafka, the sink and the store: each column is what the upstream said."""

from __future__ import annotations

import uuid
from typing import Any

import anthropic
import openai
import pytest

from end_to_end.harness import Stack
from end_to_end.stored_rows import SOME, expect_stored
from producers.upstream.answers import (
    ANTHROPIC_BUCKETS,
    MARKER,
    MESSAGES,
    OPENAI_BUCKETS,
    OPENROUTER_USAGE,
    TOOLS,
    chunks,
    completion,
    message,
    message_events,
    response,
    tool_call,
)
from producers.upstream.server import Upstream, events, whole
from tokentide_producers.clients import instrument, labels
from tokentide_producers.emitter import Emitter
from tokentide_producers.settings import EmitterSettings

ASKED: Any = {"model": "claude-sonnet-4-0", "max_tokens": 100, "messages": MESSAGES}
NOTHING: dict[str, Any] = {"input_uncached_tokens": 0, "output_tokens": 0, "usage_reported": False}
KEY = EmitterSettings(hash_key="secret of this test")
STREAMED: dict[str, Any] = {"streamed": True, "time_to_first_token_ms": SOME}


@pytest.mark.embedded
def test_calls_of_the_openai_client_are_stored_column_by_column(stack: Stack, upstream: Upstream) -> None:
    app = f"openai-{uuid.uuid4().hex[:8]}"
    with_tool = {"message": {"tool_calls": [tool_call(0), tool_call(1)]}, "finish": "tool_calls"}
    upstream.replies += [
        whole(completion(model="openai/gpt-4o", provider="OpenAI", usage=OPENROUTER_USAGE)),
        events(chunks()),
        events(chunks()),
        whole({"error": {"message": MARKER}}, 429),
        whole(completion(**with_tool)),
        whole(completion(usage=None)),
        whole(response()),
    ]
    with Emitter(stack.kafka, gateway="gw", gateway_region="eu-1", settings=KEY) as emitter:
        client = openai.OpenAI(base_url=f"{upstream.url}/v1", api_key="none", max_retries=0)
        instrument(client, emitter, app=app, tenant="acme", country="DE", language="de")
        chat: Any = client.chat.completions
        with labels(category="programming", subcategory="tests", user=MARKER, session="s", api_key="k"):
            chat.create(model="openrouter/auto", messages=MESSAGES)
            list(chat.create(model="gpt-4o", messages=MESSAGES, stream=True, stream_options={"include_usage": True}))
            with chat.create(model="gpt-4o", messages=MESSAGES, stream=True) as left:
                next(left), next(left)
            with pytest.raises(openai.RateLimitError):
                chat.create(model="gpt-4o", messages=MESSAGES)
            chat.create(model="gpt-4o", messages=MESSAGES, tools=TOOLS)
            chat.create(model="gpt-4o", messages=MESSAGES)
            client.responses.create(model="gpt-5", input=f"question {MARKER}")
        assert emitter.flush(60)
        hashes = {
            "user_hash": emitter.hash(MARKER),
            "session_hash": emitter.hash("s"),
            "api_key_hash": emitter.hash("k"),
        }
    common = {
        **hashes,
        "source": "openai",
        "gateway": "gw",
        "gateway_region": "eu-1",
        "app": app,
        "tenant": "acme",
        "category": "programming",
        "subcategory": "tests",
        "category_source": "gateway",
        "country": "DE",
        "language": "de",
        "request_model": "gpt-4o",
        "model": "openai/gpt-4o",
        "provider": "127.0.0.1",
        "request_id": "chatcmpl-1",
        "http_status": 200,
        "outcome": "ok",
        "latency_ms": SOME,
    }
    routed = {
        "input_uncached_tokens": 100,
        "input_cache_read_tokens": 900,
        "input_cache_write_tokens": 100,
        "output_tokens": 30,
        "output_reasoning_tokens": 60,
        "usage_reported": True,
        "is_byok": True,
        "cost_nanousd": 1_234_560,
        "cost_source": "reported",
        "request_model": "openrouter/auto",
    }
    # What the responses API reports has no audio in it.
    responses = {
        "input_uncached_tokens": 100,
        "input_cache_read_tokens": 1000,
        "output_tokens": 30,
        "output_reasoning_tokens": 60,
        "usage_reported": True,
        "request_id": "resp-1",
        "tool_calls": 2,
        "request_model": "gpt-5",
        "model": "openai/gpt-5",
        "finish_reason": "tool_calls",
    }
    expect_stored(
        stack,
        f"app = '{app}'",
        [
            {**common, **routed, "provider": "openai", "finish_reason": "stop"},
            {**common, **OPENAI_BUCKETS, **STREAMED, "finish_reason": "stop"},
            {**common, **NOTHING, **STREAMED, "outcome": "cancelled"},
            {
                **common,
                **NOTHING,
                "outcome": "error",
                "http_status": 429,
                "error_type": "RateLimitError",
                "request_id": "req-1",
            },
            {**common, **OPENAI_BUCKETS, "finish_reason": "tool_calls", "tool_calls": 2, "tools_offered": 3},
            {**common, **NOTHING, "finish_reason": "stop"},
            {**common, **responses},
        ],
    )


@pytest.mark.embedded
def test_calls_of_the_anthropic_client_are_stored_column_by_column(stack: Stack, upstream: Upstream) -> None:
    app = f"anthropic-{uuid.uuid4().hex[:8]}"
    upstream.replies += [
        whole(message()),
        events(message_events(), named=True, done=False),
        events(message_events(), named=True, done=False),
        whole({"type": "error", "error": {"type": "overloaded_error", "message": MARKER}}, 529),
        whole(message(usage=None)),
    ]
    with Emitter(stack.kafka, gateway="gw", settings=KEY) as emitter:
        claude = anthropic.Anthropic(base_url=upstream.url, api_key="none", max_retries=0)
        instrument(claude, emitter, app=app, provider="anthropic")
        claude.messages.create(**ASKED, metadata={"user_id": "carol"})
        list(claude.messages.create(**ASKED, stream=True))
        with claude.messages.create(**ASKED, stream=True) as left:
            next(left)
        with pytest.raises(anthropic.APIStatusError):
            claude.messages.create(**ASKED)
        claude.messages.create(**ASKED)
        assert emitter.flush(60)
        carol = emitter.hash("carol")
    common = {
        "source": "sdk",
        "gateway": "gw",
        "app": app,
        "provider": "anthropic",
        "request_id": "msg-1",
        "request_model": "claude-sonnet-4-0",
        "model": "anthropic/claude-sonnet-4",
        "outcome": "ok",
        "http_status": 200,
        "latency_ms": SOME,
    }
    called = {"tool_calls": 1, "finish_reason": "tool_calls"}
    # A stream that is left has told its input, but not how much output there was.
    begun = {"input_uncached_tokens": 50, "input_cache_read_tokens": 1000, "input_cache_write_tokens": 200}
    begun |= {"output_tokens": 1, "usage_reported": False, "outcome": "cancelled", "streamed": True}
    failed = {"outcome": "error", "http_status": 529, "error_type": SOME, "request_id": "req-1"}
    expect_stored(
        stack,
        f"app = '{app}'",
        [
            {**common, **ANTHROPIC_BUCKETS, **called, "user_hash": carol},
            {**common, **ANTHROPIC_BUCKETS, **called, **STREAMED},
            {**common, **begun},
            {**common, **NOTHING, **failed},
            {**common, **NOTHING, **called},
        ],
    )
