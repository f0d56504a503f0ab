"""Instrumenting a client and taking it out again, and what must never reach the caller."""

from __future__ import annotations

import logging
import threading
import types
from typing import Any

import openai
import pytest

from producers.clients.conftest import Events
from producers.upstream.answers import MESSAGES, completion
from producers.upstream.server import Upstream, whole
from tokentide_producers.clients import instrument, labels, uninstrument
from tokentide_producers.clients.observation import Observation
from tokentide_producers.emitter import Emitter


def has(row: dict[str, Any], **expected: Any) -> None:
    assert {name: row[name] for name in expected} == expected


def ask(client: openai.OpenAI) -> Any:
    return client.chat.completions.create(model="gpt-4o", messages=MESSAGES)


def test_instrumenting_twice_reports_once_with_what_was_said_last(
    client: openai.OpenAI, emitter: Emitter, upstream: Upstream, emitted: Events
) -> None:
    upstream.replies.append(whole(completion()))
    assert instrument(client, emitter, app="second") is client
    ask(client)
    (row,) = emitted()
    has(row, app="second")


def test_a_client_that_is_taken_out_is_as_it_was(
    client: openai.OpenAI, emitter: Emitter, upstream: Upstream, emitted: Events
) -> None:
    upstream.replies += [whole(completion()) for _ in range(3)]
    copied = client.with_options(timeout=30)
    assert uninstrument(client) is client and uninstrument(client) is client
    untouched = openai.OpenAI(base_url=client.base_url, api_key="none")
    assert vars(client).keys() == vars(untouched).keys()
    ask(client)
    ask(copied)
    assert emitted() == []
    instrument(client, emitter)
    ask(client)
    assert len(emitted()) == 1


def test_copies_of_copies_report_once_each(client: openai.OpenAI, upstream: Upstream, emitted: Events) -> None:
    upstream.replies += [whole(completion()), whole(completion())]
    ask(client.with_options(timeout=30).copy(max_retries=1))
    client.with_raw_response.chat.completions.create(model="gpt-4o", messages=MESSAGES)
    assert len(emitted()) == 2


@pytest.mark.parametrize("thing", [openai, openai.OpenAI, types.SimpleNamespace(request=print), None])
def test_anything_else_is_refused_by_name(thing: Any, emitter: Emitter) -> None:
    with pytest.raises(TypeError, match="openai or anthropic package"):
        instrument(thing, emitter)


def test_other_requests_of_the_client_are_no_model_calls(
    client: openai.OpenAI, upstream: Upstream, emitted: Events
) -> None:
    upstream.replies.append(whole({"id": "modr", "model": "m", "results": []}))
    client.moderations.create(input="x")
    assert emitted() == []


def test_labels_nest_and_stay_with_their_thread(client: openai.OpenAI, upstream: Upstream, emitted: Events) -> None:
    upstream.replies += [whole(completion()) for _ in range(4)]
    with labels(category="legal", tenant="acme"):
        with labels(category="science", country="DE", language="de", request_id="own-1"):
            ask(client)
        ask(client)
        thread = threading.Thread(target=ask, args=(client,))
        thread.start()
        thread.join()
    ask(client)
    inner, outer, other, after = emitted()
    has(inner, category="science", tenant="acme", country="DE", language="de", request_id="own-1")
    has(outer, category="legal", tenant="acme", category_source="gateway", request_id="chatcmpl-1")
    for row in (other, after):
        has(row, category="", tenant="", category_source="none")


def test_labels_that_no_event_can_have_cost_the_event_its_labels_only(
    client: openai.OpenAI, upstream: Upstream, emitted: Events, caplog: pytest.LogCaptureFixture
) -> None:
    upstream.replies.append(whole(completion()))
    with labels(country="Germany", app="shop"):
        ask(client)
    (row,) = emitted()
    has(row, country="", app="", usage_reported=True)
    assert "without its labels" in caplog.text and "country" in caplog.text


def test_a_gateway_may_hash_by_itself(upstream: Upstream, emitter: Emitter, emitted: Events) -> None:
    upstream.replies.append(whole(completion()))
    client = openai.OpenAI(base_url=f"{upstream.url}/v1", api_key="none")
    ask(instrument(client, emitter, user="u", session="s", hasher=lambda identifier: identifier.encode() * 16))
    (row,) = emitted()
    has(row, user_hash=b"u" * 16, session_hash=b"s" * 16)


def test_without_a_hash_key_identifiers_are_left_out(upstream: Upstream, emitted: Events, topic: Any) -> None:
    upstream.replies.append(whole(completion()))
    with Emitter(topic.bootstrap_servers, resolve_model=str) as keyless:
        client = instrument(openai.OpenAI(base_url=f"{upstream.url}/v1", api_key="none"), keyless, user="alice")
        ask(client)
        assert keyless.flush(60)
        assert keyless.stats().acknowledged == 1


def test_a_defect_in_observing_does_not_reach_the_caller(
    client: openai.OpenAI,
    upstream: Upstream,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def broken(*_: Any) -> None:
        raise RuntimeError("defect")

    upstream.replies += [whole(completion()), whole(completion())]
    monkeypatch.setattr(Observation, "whole", broken)
    assert ask(client).id == "chatcmpl-1"
    monkeypatch.setattr(Observation, "__init__", broken)
    assert ask(client).id == "chatcmpl-1"
    assert caplog.text.count("could not be observed") == 2
    assert {record.levelno for record in caplog.records if "observed" in record.message} == {logging.ERROR}


def test_a_closed_emitter_does_not_disturb_the_client(upstream: Upstream, topic: Any) -> None:
    upstream.replies.append(whole(completion()))
    closed = Emitter(topic.bootstrap_servers)
    closed.close()
    client = instrument(openai.OpenAI(base_url=f"{upstream.url}/v1", api_key="none"), closed)
    assert ask(client).id == "chatcmpl-1"
    assert sum(closed.stats().dropped.values()) == 1
