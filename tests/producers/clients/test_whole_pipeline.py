"""The real clients, the emitter, the embedded Kafka, the sink and the store: what a query then shows."""

from __future__ import annotations

import uuid
from typing import Any

import anthropic
import openai
import pytest

from end_to_end.harness import Stack, wait_until
from producers.upstream.answers import (
    MARKER,
    MESSAGES,
    OPENROUTER_USAGE,
    TOOLS,
    chunks,
    completion,
    message,
    message_events,
    tool_call,
)
from producers.upstream.server import Upstream, events, whole
from tokentide_producers.clients import instrument, labels
from tokentide_producers.emitter import Emitter
from tokentide_producers.settings import EmitterSettings

ASKED: Any = {"model": "claude-sonnet-4-0", "max_tokens": 100, "messages": MESSAGES}


@pytest.mark.embedded
def test_calls_of_both_clients_are_queried_as_the_upstream_reported_them(stack: Stack, upstream: Upstream) -> None:
    app = f"clients-{uuid.uuid4().hex[:8]}"
    settings = EmitterSettings(hash_key="secret of this test")
    upstream.replies += [
        whole(completion(model="openai/gpt-4o", provider="OpenAI", usage=OPENROUTER_USAGE)),
        events(chunks()),
        events(chunks()),
        whole({"error": {"message": MARKER}}, 429),
        whole(completion(message={"tool_calls": [tool_call(0)]}, finish="tool_calls", usage=None)),
        whole(message()),
        events(message_events(), named=True, done=False),
    ]
    with Emitter(stack.kafka, gateway="gw", settings=settings) as emitter:
        client = openai.OpenAI(base_url=f"{upstream.url}/v1", api_key="none", max_retries=0)
        claude = anthropic.Anthropic(base_url=upstream.url, api_key="none", max_retries=0)
        instrument(client, emitter, app=app, tenant="acme")
        instrument(claude, emitter, app=app, tenant="acme", provider="anthropic")
        chat: Any = client.chat.completions
        with labels(category="programming", user=MARKER):
            chat.create(model="openrouter/auto", messages=MESSAGES)
            list(chat.create(model="gpt-4o", messages=MESSAGES, stream=True, stream_options={"include_usage": True}))
            with chat.create(model="gpt-4o", messages=MESSAGES, stream=True) as left:
                next(left)
            with pytest.raises(openai.RateLimitError):
                chat.create(model="gpt-4o", messages=MESSAGES)
            chat.create(model="gpt-4o", messages=MESSAGES, tools=TOOLS)
            claude.messages.create(**ASKED)
            list(claude.messages.create(**ASKED, stream=True))
        assert emitter.flush(60)
    mine = f"FROM usage WHERE app = '{app}'"
    wait_until(lambda: stack.value(f"SELECT count() {mine}") == 7, "the seven calls", 120)
    columns = (
        "outcome, http_status, usage_reported, model, input_cache_read_tokens, output_reasoning_tokens, tool_calls"
    )
    rows = stack.rows(f"SELECT {columns}, cost_nanousd {mine} AND cost_source != 'computed' ORDER BY event_id")
    found = [tuple(row)[:7] for row in stack.rows(f"SELECT {columns} {mine} ORDER BY event_id")]
    gpt, sonnet = "openai/gpt-4o", "anthropic/claude-sonnet-4"
    assert found == [
        ("ok", 200, True, gpt, 900, 60, 0),
        ("ok", 200, True, gpt, 1000, 60, 0),
        ("cancelled", 200, False, gpt, 0, 0, 0),
        ("error", 429, False, gpt, 0, 0, 0),
        ("ok", 200, False, gpt, 0, 0, 1),
        ("ok", 200, True, sonnet, 1000, 30, 1),
        ("ok", 200, True, sonnet, 1000, 30, 1),
    ]
    assert 1_234_560 in {row[7] for row in rows}
    assert stack.value(f"SELECT uniqExact(user_hash) {mine} AND category = 'programming' AND tenant = 'acme'") == 1
    assert MARKER not in str(stack.rows(f"SELECT * FROM events WHERE app = '{app}'"))
    assert stack.value("SELECT count() FROM dead_letters WHERE position(toString(tuple(*)), '" + MARKER + "') > 0") == 0
    for log in stack.data_dir.rglob("*.log"):
        assert MARKER.encode() not in log.read_bytes(), log
