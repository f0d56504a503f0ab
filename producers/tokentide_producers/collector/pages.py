"""What the collector says of itself: OpenAPI and a page for people, made from the schema. The page loads nothing."""

from __future__ import annotations

import html
import json
from functools import lru_cache
from typing import Any, Final

from tokentide_producers.collector.reading import EVENT_TYPES, OTLP_TYPES
from tokentide_schemas.envelope import CONTENT_TYPE_JSON
from tokentide_schemas.event import REQUIRED, SCHEMA_VERSION, UsageEvent

SECURITY_HEADERS: Final = {
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'",
    "x-content-type-options": "nosniff",
}
_ANSWERS: Final = {
    "400": "The body cannot be read.",
    "401": "No valid bearer token.",
    "408": "The body did not arrive in time.",
    "413": "Over a limit of size.",
    "415": "A content type or encoding that is not known here.",
    "429": "Too much is on its way to Kafka: try again after Retry-After seconds.",
    "503": "Kafka is away or slow: try again after Retry-After seconds.",
}
_PATHS: Final = {
    "/v1/events": "Usage events as JSON, NDJSON, CloudEvents or Arrow. 200 when Kafka has them.",
    "/v1/traces": "OTLP/HTTP traces: each model call among the spans becomes one usage event.",
    "/v1/openrouter": "OpenRouter Broadcast's webhook: the same as /v1/traces.",
}
_VIEWS: Final = {
    "/healthz": "The process answers.",
    "/readyz": "Kafka has answered lately.",
    "/metrics": "Counters for Prometheus.",
    "/openapi.json": "This interface as OpenAPI.",
    "/docs": "This page.",
}


@lru_cache(maxsize=1)
def openapi_json() -> bytes:
    """The OpenAPI 3.1 document."""
    event = UsageEvent.model_json_schema(ref_template="#/components/schemas/{model}")
    shared = event.pop("$defs", {})
    rejection = {
        "type": "object",
        "properties": {
            "index": {"type": "integer", "description": "Place in the request, from 0."},
            "field": {"type": "string", "description": "'' for the whole event."},
            "reason": {"type": "string"},
            "hint": {"type": "string"},
        },
    }
    result = {
        "type": "object",
        "properties": {
            "accepted": {"type": "integer"},
            "rejected": {"type": "integer"},
            "content_fields_dropped": {"type": "integer"},
            "rejections": {"type": "array", "items": {"$ref": "#/components/schemas/Rejection"}},
        },
    }
    problem = {
        "type": "object",
        "properties": {
            "type": {"type": "string"},
            "title": {"type": "string"},
            "status": {"type": "integer"},
            "detail": {"type": "string"},
        },
    }
    document = {
        "openapi": "3.1.0",
        "info": {"title": "tokentide collector", "version": SCHEMA_VERSION},
        "security": [{}, {"bearer": []}],
        "paths": {**{path: {"post": _operation(path)} for path in _PATHS}, **{p: {"get": _view(p)} for p in _VIEWS}},
        "components": {
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
            "schemas": {**shared, "UsageEvent": event, "Rejection": rejection, "Result": result, "Problem": problem},
        },
    }
    return json.dumps(document).encode()


def _operation(path: str) -> dict[str, Any]:
    is_events = path == "/v1/events"
    one = {"$ref": "#/components/schemas/UsageEvent"}
    contents: dict[str, Any] = {kind: {} for kind in (EVENT_TYPES if is_events else OTLP_TYPES)}
    if is_events:
        contents[CONTENT_TYPE_JSON] = {"schema": {"anyOf": [one, {"type": "array", "items": one}]}}
    answers: dict[str, Any] = {
        status: {"description": text, "content": {"application/problem+json": {"schema": _ref("Problem")}}}
        for status, text in _ANSWERS.items()
    }
    answers["200"] = {"description": "Kafka has acknowledged what was accepted."}
    parameters = []
    if is_events:
        answers["200"]["content"] = {"application/json": {"schema": _ref("Result")}}
        answers["422"] = {"description": "No event was accepted.", **answers["400"], "content": {}}
        text = "Events without an event_id get one that follows from this: a repeat is counted once."
        parameters = [{"name": "Idempotency-Key", "in": "header", "schema": {"type": "string"}, "description": text}]
    return {
        "summary": _PATHS[path],
        "parameters": parameters,
        "requestBody": {"required": True, "content": contents},
        "responses": answers,
    }


def _view(path: str) -> dict[str, Any]:
    return {"summary": _VIEWS[path], "responses": {"200": {"description": _VIEWS[path]}}}


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


@lru_cache(maxsize=1)
def docs_html() -> bytes:
    """The page for people."""
    paths = "".join(
        f"<tr><td><code>{method} {path}</code></td><td>{html.escape(text)}</td></tr>"
        for method, group in (("POST", _PATHS), ("GET", _VIEWS))
        for path, text in group.items()
    )
    fields = "".join(
        f"<tr><td><code>{name}</code></td><td>{'required' if name in REQUIRED else ''}</td>"
        f"<td>{html.escape(info.description or '')}</td></tr>"
        for name, info in UsageEvent.model_fields.items()
    )
    example = html.escape(
        "curl URL/v1/events -H 'content-type: application/json' --data-binary '{\n"
        '  "occurred_at": "2026-01-31T12:00:00Z", "request_model": "openai/gpt-5", "provider": "openai",\n'
        '  "input_uncached_tokens": 1200, "output_tokens": 340, "usage_reported": true, "outcome": "ok"}\''
    )
    answers = "".join(f"<tr><td>{status}</td><td>{html.escape(text)}</td></tr>" for status, text in _ANSWERS.items())
    return f"""<!doctype html><html lang="en"><meta charset="utf-8"><title>tokentide collector</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><style>
body{{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color-scheme:light dark}}
table{{border-collapse:collapse;width:100%}}td{{padding:.25rem .75rem .25rem 0;vertical-align:top}}
pre{{overflow-x:auto;padding:1rem;border:1px solid #8886}}</style>
<h1>tokentide collector</h1>
<p>Usage events over HTTP, schema {SCHEMA_VERSION}. An answer 200 means that Kafka has what was accepted. Prompt and
completion text is dropped at the door. <a href="/openapi.json">OpenAPI</a></p>
<pre>{example}</pre>
<h2>Paths</h2><table>{paths}</table>
<h2>Other answers</h2><table>{answers}</table>
<p>Each says as a problem document (RFC 9457; on the OTLP paths as google.rpc.Status) what, where, and what to do.</p>
<h2>Fields of an event</h2><table>{fields}</table></html>""".encode()
