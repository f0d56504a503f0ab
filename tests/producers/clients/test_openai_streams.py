"""The real openai client against an upstream: streams, read to the end, left early, cancelled and broken."""

from __future__ import annotations

import asyncio
import gc
import threading
from typing import Any

import openai
import pytest

from producers.clients.conftest import Events
from producers.upstream.answers import (
    MARKER,
    MESSAGES,
    NO_USAGE,
    OPENAI_BUCKETS,
    OPENAI_USAGE,
    chunk,
    chunks,
    response_events,
    tool_call,
)
from producers.upstream.server import Upstream, events
from tokentide_producers.clients import instrument
from tokentide_producers.emitter import Emitter

WITH_USAGE: Any = {"include_usage": True}


def has(row: dict[str, Any], **expected: Any) -> None:
    assert {name: row[name] for name in expected} == expected


def ask(client: openai.OpenAI, **over: Any) -> openai.Stream[Any]:
    stream: Any = client.chat.completions.create(model="gpt-4o", messages=MESSAGES, stream=True, **over)
    return stream


def test_a_stream_gives_every_chunk_and_is_reported_when_it_ends(
    client: openai.OpenAI, upstream: Upstream, emitted: Events
) -> None:
    upstream.replies.append(events(chunks()))
    stream = ask(client, stream_options=WITH_USAGE)
    assert type(stream) is openai.Stream and stream.response.status_code == 200
    assert emitted() == []
    assert [piece.usage is not None for piece in stream] == [False] * 5 + [True]
    (row,) = emitted()
    has(row, outcome="ok", finish_reason="stop", streamed=True, http_status=200, **OPENAI_BUCKETS)
    assert 0 <= row["time_to_first_token_ms"] <= row["latency_ms"]


def test_the_first_token_is_not_the_chunk_that_only_names_the_role(
    client: openai.OpenAI, upstream: Upstream, emitted: Events
) -> None:
    later = threading.Event()
    role, *rest = chunks()
    upstream.replies.append(events([role, lambda: later.wait(20), *rest]))
    stream = ask(client)
    next(stream)
    (timer := threading.Timer(0.3, later.set)).start()
    list(stream)
    timer.join()
    (row,) = emitted()
    assert row["time_to_first_token_ms"] >= 250


def test_a_stream_without_usage_says_so(client: openai.OpenAI, upstream: Upstream, emitted: Events) -> None:
    upstream.replies.append(events(chunks(usage=None)))
    list(ask(client))
    (row,) = emitted()
    has(row, outcome="ok", finish_reason="stop", **NO_USAGE)


def test_usage_can_be_asked_for_without_the_callers_seeing_it(
    upstream: Upstream, emitter: Emitter, emitted: Events
) -> None:
    client = openai.OpenAI(base_url=f"{upstream.url}/v1", api_key="none")
    instrument(client, emitter, add_stream_usage=True)
    upstream.replies += [events(chunks()), events(chunks())]
    assert all(piece.choices for piece in ask(client))
    assert upstream.asked[0].body["stream_options"] == WITH_USAGE
    assert len(list(ask(client, stream_options=WITH_USAGE))) == 6
    for row in emitted():
        has(row, **OPENAI_BUCKETS)


@pytest.mark.parametrize("way", ["close", "with", "break and drop", "response", "never read"])
def test_a_caller_that_stops_reading_has_cancelled(
    client: openai.OpenAI, upstream: Upstream, emitted: Events, way: str
) -> None:
    upstream.replies.append(events(chunks()))
    stream = ask(client)
    if way == "with":
        with stream:
            next(stream)
    elif way == "break and drop":
        for _ in stream:
            break
    elif way != "never read":
        next(stream)
        stream.close() if way == "close" else stream.response.close()
    del stream
    gc.collect()
    (row,) = emitted()
    has(row, outcome="cancelled", streamed=True, http_status=200, **NO_USAGE)


def test_a_caller_that_stops_after_the_end_has_not_cancelled(
    client: openai.OpenAI, upstream: Upstream, emitted: Events
) -> None:
    upstream.replies.append(events(chunks()))
    with ask(client, stream_options=WITH_USAGE) as stream:
        for piece in stream:
            if piece.usage:
                break
    (row,) = emitted()
    has(row, outcome="ok", **OPENAI_BUCKETS)


def test_the_provider_sees_the_caller_go(client: openai.OpenAI, upstream: Upstream, emitted: Events) -> None:
    gone = threading.Event()
    endless = [chunk({"content": MARKER * 1000}) for _ in range(2000)]
    upstream.replies.append(events([endless[0], lambda: gone.wait(20), *endless]))
    stream = ask(client)
    next(stream)
    stream.close()
    gone.set()
    assert upstream.cut_off.wait(20)
    assert [row["outcome"] for row in emitted()] == ["cancelled"]


def test_tool_calls_of_a_stream_are_counted_once_each(
    client: openai.OpenAI, upstream: Upstream, emitted: Events
) -> None:
    pieces = [chunk({"tool_calls": [tool_call(n)]}) for n in (0, 0, 1, 1)]
    upstream.replies.append(events([*pieces, chunk({}, "tool_calls"), chunk(None, usage=OPENAI_USAGE)]))
    list(ask(client))
    (row,) = emitted()
    has(row, finish_reason="tool_calls", tool_calls=2, **OPENAI_BUCKETS)
    assert row["time_to_first_token_ms"] is not None


def test_an_error_in_the_middle_passes_on_and_is_an_error(
    client: openai.OpenAI, upstream: Upstream, emitted: Events
) -> None:
    upstream.replies.append(events([chunk({"content": "a"}), {"error": {"code": 502, "message": MARKER}}]))
    with pytest.raises(openai.APIError, match=MARKER):
        list(ask(client))
    (row,) = emitted()
    has(row, outcome="error", error_type="APIError", http_status=502, **NO_USAGE)


def test_a_connection_that_breaks_is_an_error(client: openai.OpenAI, upstream: Upstream, emitted: Events) -> None:
    def cut() -> None:
        raise OSError

    upstream.replies.append(events([chunk({"content": "a"}), cut]))
    with pytest.raises(Exception) as raised:
        list(ask(client))
    (row,) = emitted()
    has(row, outcome="error", error_type=type(raised.value).__name__, http_status=200)


def test_the_stream_helper_of_chat(client: openai.OpenAI, upstream: Upstream, emitted: Events) -> None:
    upstream.replies += [events(chunks()), events(chunks())]
    with client.chat.completions.stream(model="gpt-4o", messages=MESSAGES, stream_options=WITH_USAGE) as stream:
        text = stream.get_final_completion().choices[0].message.content
    assert text == f"{MARKER}-0{MARKER}-1{MARKER}-2"
    with client.chat.completions.stream(model="gpt-4o", messages=MESSAGES) as stream:
        next(iter(stream))
    whole, left = emitted()
    has(whole, outcome="ok", streamed=True, **OPENAI_BUCKETS)
    has(left, outcome="cancelled", usage_reported=False)


def test_the_responses_api_streams(client: openai.OpenAI, upstream: Upstream, emitted: Events) -> None:
    error = {"code": "server_error", "message": MARKER}
    upstream.replies += [
        events(response_events(), named=True, done=False),
        events(response_events("failed", error=error, usage=None), named=True, done=False),
        events(response_events(), named=True, done=False),
        events(response_events(), named=True, done=False),
    ]
    stream: Any = client.responses.create(model="gpt-5", input=MARKER, stream=True)
    assert [piece.type for piece in stream][-1] == "response.completed"
    list(client.responses.create(model="gpt-5", input=MARKER, stream=True))
    with client.responses.stream(model="gpt-5", input=MARKER) as helper:
        assert helper.get_final_response().id == "resp-1"
    with client.responses.create(model="gpt-5", input=MARKER, stream=True) as left:
        next(left)
    ok, failed, helped, cancelled = emitted()
    for row in (ok, helped):
        has(row, outcome="ok", finish_reason="tool_calls", tool_calls=2, model="openai/gpt-5", request_id="resp-1")
        has(row, input_uncached_tokens=100, input_cache_read_tokens=1000, output_reasoning_tokens=60)
        assert row["time_to_first_token_ms"] is not None
    has(failed, outcome="error", error_type="server_error", usage_reported=False)
    has(cancelled, outcome="cancelled", request_id="resp-1", usage_reported=False)


@pytest.mark.parametrize("way", ["parse", "lines", "legacy parse", "legacy lines"])
def test_raw_streams_are_reported_however_they_are_read(
    client: openai.OpenAI, upstream: Upstream, emitted: Events, way: str
) -> None:
    upstream.replies += [events(chunks()), events(chunks())]
    asked: Any = {"model": "gpt-4o", "messages": MESSAGES, "stream": True, "stream_options": WITH_USAGE}
    if way.startswith("legacy"):
        for leaves in (False, True):
            raw = client.chat.completions.with_raw_response.create(**asked)
            pieces: Any = raw.parse() if way == "legacy parse" else raw.http_response.iter_lines()
            next(pieces) if leaves else list(pieces)
            raw.http_response.close()
    else:
        for leaves in (False, True):
            with client.chat.completions.with_streaming_response.create(**asked) as streaming:
                pieces = streaming.parse() if way == "parse" else streaming.iter_lines()
                next(pieces) if leaves else list(pieces)
    whole, left = emitted()
    has(whole, outcome="ok", streamed=True, finish_reason="stop", http_status=200, **OPENAI_BUCKETS)
    assert whole["time_to_first_token_ms"] is not None
    has(left, outcome="cancelled", usage_reported=False)


def test_asyncio_streams_read_left_and_cancelled(upstream: Upstream, emitter: Emitter, emitted: Events) -> None:
    never = threading.Event()
    upstream.replies += [
        events(chunks()),
        events(chunks()),
        events([*chunks()[:2], lambda: never.wait(20)]),
        events(chunks()),
    ]

    async def main() -> None:
        async with openai.AsyncOpenAI(base_url=f"{upstream.url}/v1", api_key="none") as client:
            instrument(client, emitter)
            asked: Any = {"model": "gpt-4o", "messages": MESSAGES, "stream": True, "stream_options": WITH_USAGE}
            stream = await client.chat.completions.create(**asked)
            assert type(stream) is openai.AsyncStream
            assert len([piece async for piece in stream]) == 6
            async with await client.chat.completions.create(**asked) as left:
                async for _ in left:
                    break
            started = asyncio.Event()

            async def read() -> None:
                async for _ in await client.chat.completions.create(**asked):
                    started.set()

            task = asyncio.create_task(read())
            await started.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            async with client.chat.completions.stream(
                model="gpt-4o", messages=MESSAGES, stream_options=WITH_USAGE
            ) as helper:
                assert (await helper.get_final_completion()).id == "chatcmpl-1"

    asyncio.run(main())
    never.set()
    rows = emitted()
    assert [row["outcome"] for row in rows] == ["ok", "cancelled", "cancelled", "ok"]
    for row in (rows[0], rows[3]):
        has(row, **OPENAI_BUCKETS)
