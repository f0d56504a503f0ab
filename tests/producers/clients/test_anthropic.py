"""The real anthropic client against an upstream that answers as Anthropic does."""

from __future__ import annotations

import asyncio
from typing import Any

import anthropic
import pytest

from producers.clients.conftest import Events
from producers.upstream.answers import ANTHROPIC_BUCKETS, MARKER, MESSAGES, NO_USAGE, message, message_events
from producers.upstream.server import Upstream, events, whole
from tokentide_producers.clients import instrument, labels
from tokentide_producers.emitter import Emitter

TOOL: Any = {"name": "tool_a", "description": MARKER, "input_schema": {"type": "object"}}
ASKED: Any = {"model": "claude-sonnet-4-0", "max_tokens": 100, "messages": MESSAGES}


def has(row: dict[str, Any], **expected: Any) -> None:
    assert {name: row[name] for name in expected} == expected


def test_a_message_is_reported_field_by_field(claude: anthropic.Anthropic, upstream: Upstream, emitted: Events) -> None:
    upstream.replies.append(whole(message()))
    with labels(category="science", app="reader"):
        answer = claude.messages.create(**ASKED, tools=[TOOL], metadata={"user_id": "carol"})
    assert answer.stop_reason == "tool_use"
    (row,) = emitted()
    has(row, **ANTHROPIC_BUCKETS)
    has(row, request_model="claude-sonnet-4-0", model="anthropic/claude-sonnet-4", operation="chat", source="sdk")
    has(row, outcome="ok", finish_reason="tool_calls", tool_calls=1, tools_offered=1, http_status=200, streamed=False)
    has(row, request_id="msg-1", category="science", app="reader", provider="127.0.0.1")
    assert row["user_hash"] != bytes(16)


def test_older_usage_without_thinking_or_cache(
    claude: anthropic.Anthropic, upstream: Upstream, emitted: Events
) -> None:
    upstream.replies += [
        whole(message(usage={"input_tokens": 12, "output_tokens": 7}, stop_reason="end_turn")),
        whole(message(usage=None)),
    ]
    claude.messages.create(**ASKED)
    claude.messages.create(**ASKED)
    first, second = emitted()
    has(first, input_uncached_tokens=12, output_tokens=7, usage_reported=True, finish_reason="stop")
    has(second, **NO_USAGE)


def test_an_error_is_told_by_class_and_status(claude: anthropic.Anthropic, upstream: Upstream, emitted: Events) -> None:
    upstream.replies.append(whole({"type": "error", "error": {"type": "overloaded_error", "message": MARKER}}, 529))
    with pytest.raises(anthropic.APIStatusError) as raised:
        claude.messages.create(**ASKED)
    (row,) = emitted()
    has(row, outcome="error", error_type=type(raised.value).__name__, http_status=529, **NO_USAGE)


def test_streams_read_to_the_end_and_left_early(
    claude: anthropic.Anthropic, upstream: Upstream, emitted: Events
) -> None:
    upstream.replies += [events(message_events(), named=True, done=False) for _ in range(5)]
    stream = claude.messages.create(**ASKED, stream=True)
    assert type(stream) is anthropic.Stream
    assert len(list(stream)) == 10
    with claude.messages.stream(**ASKED) as helper:
        assert helper.get_final_message().usage.output_tokens == 90
    with claude.messages.stream(**ASKED) as texts:
        assert "".join(texts.text_stream) == MARKER * 2
    with claude.messages.create(**ASKED, stream=True) as left:
        next(left)
    with claude.messages.stream(**ASKED) as left_helper:
        next(iter(left_helper))
    rows = emitted()
    for row in rows[:3]:
        has(row, outcome="ok", streamed=True, finish_reason="tool_calls", tool_calls=1, **ANTHROPIC_BUCKETS)
        assert row["time_to_first_token_ms"] is not None
    for row in rows[3:]:
        # What the first piece has said is known; how much output there was is not.
        has(row, outcome="cancelled", usage_reported=False, request_id="msg-1")
        has(row, input_uncached_tokens=50, input_cache_read_tokens=1000, input_cache_write_tokens=200)


def test_an_error_in_the_middle_of_a_stream(claude: anthropic.Anthropic, upstream: Upstream, emitted: Events) -> None:
    broken = {"type": "error", "error": {"type": "overloaded_error", "message": MARKER}}
    upstream.replies.append(events([*message_events()[:4], broken], named=True, done=False))
    with pytest.raises(anthropic.APIStatusError) as raised:
        list(claude.messages.create(**ASKED, stream=True))
    (row,) = emitted()
    has(row, outcome="error", error_type=type(raised.value).__name__, usage_reported=False)


def test_raw_responses(claude: anthropic.Anthropic, upstream: Upstream, emitted: Events) -> None:
    upstream.replies += [whole(message()), whole(message()), events(message_events(), named=True, done=False)]
    assert claude.messages.with_raw_response.create(**ASKED).parse().id == "msg-1"
    with claude.messages.with_streaming_response.create(**ASKED) as raw:
        assert raw.parse().id == "msg-1"
    with claude.messages.with_streaming_response.create(**ASKED, stream=True) as raw_stream:
        assert list(raw_stream.iter_lines())
    rows = emitted()
    assert len(rows) == 3
    for row in rows:
        has(row, outcome="ok", tool_calls=1, finish_reason="tool_calls", http_status=200, **ANTHROPIC_BUCKETS)


def test_the_asyncio_client(upstream: Upstream, emitter: Emitter, emitted: Events) -> None:
    upstream.replies += [whole(message()), *(events(message_events(), named=True, done=False) for _ in range(3))]

    async def main() -> None:
        async with anthropic.AsyncAnthropic(base_url=upstream.url, api_key="none", max_retries=0) as client:
            instrument(client, emitter, provider="anthropic")
            assert (await client.messages.create(**ASKED)).id == "msg-1"
            stream = await client.messages.create(**ASKED, stream=True)
            assert len([piece async for piece in stream]) == 10
            async with client.messages.stream(**ASKED) as helper:
                assert (await helper.get_final_message()).id == "msg-1"
            async with client.messages.stream(**ASKED) as left:
                async for _ in left:
                    break

    asyncio.run(main())
    rows = emitted()
    assert [row["outcome"] for row in rows] == ["ok", "ok", "ok", "cancelled"]
    for row in rows[:3]:
        has(row, provider="anthropic", **ANTHROPIC_BUCKETS)
