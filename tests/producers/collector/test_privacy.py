"""Marker strings wherever prompts and answers may be: none comes out of the collector on any side."""

from __future__ import annotations

import json
import logging
from typing import Any

import httpx
import pytest

from producers.collector.serving import EVENT, Topic, export, span
from tokentide_producers.otlp.names import _CONTENT as CONTENT_PREFIXES
from tokentide_schemas.event import CONTENT_FIELDS

MARKER = "MARKER-b41c"
CALL = {"gen_ai.operation.name": "chat", "gen_ai.system": "openai", "gen_ai.request.model": "gpt-5"}
OTHERS = (
    *("http.request.body", "url.full", "gen_ai.agent.description", "llm.messages", "prompt", "metadata", "tag.tags"),
    *("span.metadata.openrouter_generation.upstream_raw", "trace.metadata.note", "db.statement", "my.own.attribute"),
)


def marked_spans() -> dict[str, Any]:
    names = [*(f"{prefix.rstrip('.')}.0.content" for prefix in CONTENT_PREFIXES), *CONTENT_PREFIXES, *OTHERS]
    names += [name for name in CONTENT_FIELDS if "." in name]
    attributes = {name: f"{MARKER} {name}" for name in names} | CALL
    attributes["error.type"] = f"could not answer {MARKER}"
    attributes["gen_ai.response.finish_reasons"] = f"because of {MARKER}"
    events = [
        {"name": f"gen_ai.{kind}.message", "attributes": [{"key": "content", "value": {"stringValue": MARKER}}]}
        for kind in ("user", "assistant", "system", "tool")
    ]
    events.append({"name": MARKER, "attributes": [{"key": "exception.type", "value": {"stringValue": MARKER}}]})
    links = [{"traceId": "00", "attributes": [{"key": "a", "value": {"stringValue": MARKER}}]}]
    status = {"code": 2, "message": MARKER}
    marked = span(attributes, name=f"chat {MARKER}", status=status, events=events, links=links, traceState=MARKER)
    return export(marked, scope=MARKER)


def test_no_marker_reaches_kafka_a_log_or_an_answer(
    collector: httpx.Client, fresh: Topic, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    event = {**EVENT, **dict.fromkeys(CONTENT_FIELDS, MARKER)}
    bad_values = [{**EVENT, name: MARKER * 30} for name in EVENT]
    answers = [
        collector.post("/v1/events", json=event),
        collector.post("/v1/events", json={**event, "prompt": {"deep": [MARKER] * 3}}),
        collector.post("/v1/events", json=[{**EVENT, MARKER: MARKER}, *bad_values]),
        collector.post("/v1/events", json=MARKER),
        collector.post("/v1/events", content=f'{{"prompt": "{MARKER}', headers={"content-type": "application/json"}),
        collector.post("/v1/events", content=MARKER, headers={"content-type": f"text/{MARKER}"}),
        collector.post(
            "/v1/events",
            json={
                "specversion": "1.0",
                "id": MARKER,
                "source": MARKER,
                "type": MARKER,
                "subject": MARKER,
                "data": event,
            },
            headers={"content-type": "application/cloudevents+json", "x-prompt": MARKER},
        ),
        collector.post("/v1/traces", json=marked_spans()),
        collector.post("/v1/openrouter", json=marked_spans()),
        collector.post("/v1/traces", content=MARKER, headers={"content-type": "application/x-protobuf"}),
        collector.post("/v1/traces", json=export(span({**CALL, "gen_ai.request.model": MARKER * 30}))),
        collector.get(f"/{MARKER}"),
        collector.get("/metrics"),
    ]
    assert [answer.status_code for answer in answers[:3]] == [200, 200, 422]
    records = fresh.take()
    assert records, "the events themselves are stored"
    everything = [answer.text for answer in answers] + [str(answer.headers) for answer in answers]
    everything += [repr(record) for record in records]
    ours = [entry for entry in caplog.records if not entry.name.startswith(("httpx", "httpcore"))]
    everything += [entry.getMessage() for entry in ours] + list(capfd.readouterr())
    for place in everything:
        assert MARKER not in place
    assert b"gpt-5" in b"".join(record.value or b"" for record in records)
    assert json.loads(answers[0].text)["content_fields_dropped"] == len(CONTENT_FIELDS)
