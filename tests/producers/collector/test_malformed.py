"""A thousand malformed requests: none is answered with a 5xx, none stores anything, none is echoed or logged."""

from __future__ import annotations

import gzip
import json
import logging
import random
from collections.abc import Callable
from typing import Any

import httpx
import pytest
import zstandard

from producers.collector.serving import EVENT, Topic, counted, export, span

MARKER = "MARKER-7f3a"
REQUESTS = 1_000
EVENT_TYPES = (
    *("application/json", "application/x-ndjson", "application/cloudevents+json"),
    *("application/cloudevents-batch+json", "application/vnd.apache.arrow.stream"),
)
ODD: tuple[Any, ...] = (
    *(None, True, False, -1, 0, 2**63, 10**400, 1e308, -0.0, "", "x" * 300, MARKER, "\x00", "\u2028", [], {}, [[]]),
    *({"a": MARKER}, [MARKER], "NaN", "2025-13-45T99:99:99Z", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59-14:00"),
)
Made = tuple[str, dict[str, str], bytes]


def _bad_json(rng: random.Random) -> bytes:
    pieces = [
        *(b"", b" ", b"{", b"[", b'{"a":', b"nul", b"{]", b'"\\ud800"', b"\xff\xfe", b"\x00", b"[NaN]", b"[Infinity]"),
        *(b"[" * 5_000, b'{"a":' * 5_000, b"9" * 5_000, b"1e", b"-", b'{"a":1}{', b"[1,]", b"'" + MARKER.encode()),
        json.dumps(EVENT).encode()[: rng.randrange(1, 150)],
    ]
    return rng.choice(pieces)


def _odd_event(rng: random.Random) -> dict[str, Any]:
    """With at least one value that cannot be right."""
    event: dict[str, Any] = {**EVENT, "event_id": "not a UUID " + MARKER}
    for name in rng.sample(sorted(EVENT), rng.randrange(1, len(EVENT))):
        event[name] = rng.choice(ODD)
    event[rng.choice(["surplus", "user", MARKER, "\ud7ff", "x" * 10_000])] = rng.choice(ODD)
    return event


def _odd_events(rng: random.Random) -> Made:
    kind = rng.choice(EVENT_TYPES[:4])
    events: list[Any] = [_odd_event(rng) for _ in range(rng.randrange(1, 4))] + rng.choices(ODD, k=rng.randrange(2))
    if "cloudevents" in kind:
        events = [{"specversion": rng.choice(["1.0", 1, "0.3"]), "id": MARKER, "data": event} for event in events]
    body = b"\n".join(json.dumps(e).encode() for e in events) if "ndjson" in kind else json.dumps(events).encode()
    return "/v1/events", {"content-type": kind}, body


def _odd_text(rng: random.Random) -> Made:
    path = rng.choice(["/v1/events", "/v1/traces", "/v1/openrouter"])
    return path, {"content-type": rng.choice([*EVENT_TYPES, "application/x-protobuf"])}, _bad_json(rng)


def _odd_bytes(rng: random.Random) -> Made:
    path = rng.choice(["/v1/events", "/v1/traces"])
    kind = rng.choice(["application/x-protobuf", "application/vnd.apache.arrow.stream", "application/json"])
    head = rng.choice([b"", b"\xff\xff\xff\xff", b"\n\xff\xff\xff\xff\x0f", b"\x0a\x80\x80"])
    return path, {"content-type": kind}, head + rng.randbytes(rng.randrange(200)) + b"\xff"


def _odd_headers(rng: random.Random) -> Made:
    body = json.dumps(_odd_event(rng)).encode()
    headers = rng.choice(
        [
            {},
            {"content-type": "text/plain"},
            {"content-type": MARKER},
            {"content-type": "application/json", "content-encoding": "br"},
            {"content-type": "application/json", "content-encoding": "gzip, gzip"},
            {"content-type": "application/json", "idempotency-key": "k" * 1_000},
            {"content-type": "application/json", "ce-specversion": "1.0"},
            {"content-type": "application/json", "content-encoding": MARKER},
        ]
    )
    return rng.choice(["/v1/events", "/v1/traces"]), headers, body


def _odd_compression(rng: random.Random) -> Made:
    plain = json.dumps(_odd_event(rng)).encode()
    name, packed = rng.choice(
        [("gzip", gzip.compress(plain)), ("zstd", zstandard.compress(plain)), ("deflate", b"\x78\x9c" + plain)]
    )
    damaged = rng.choice([plain, packed[: len(packed) // 2], packed[:-3], packed + b"tail", b"", packed[::-1]])
    return "/v1/events", {"content-type": "application/json", "content-encoding": name}, damaged


def _odd_spans(rng: random.Random) -> Made:
    call = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "m" * 300}
    one = span(call)
    one[rng.choice(sorted(one))] = rng.choice(ODD)
    one["attributes"] = one["attributes"] if rng.random() < 0.5 else rng.choice(ODD)
    document = export(one)
    if rng.random() < 0.5:
        document["resourceSpans"][0][rng.choice(["resource", "scopeSpans"])] = rng.choice(ODD)
    path = rng.choice(["/v1/traces", "/v1/openrouter"])
    return path, {"content-type": "application/json"}, json.dumps(document).encode()


KINDS: list[Callable[[random.Random], Made]] = [
    *(_odd_text, _odd_bytes, _odd_events, _odd_headers, _odd_compression, _odd_spans)
]


def test_a_thousand_malformed_requests_do_no_harm(
    collector: httpx.Client, fresh: Topic, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "tokentide_producers")
    rng = random.Random(20_250_131)
    statuses = set()
    for number in range(REQUESTS):
        path, headers, body = KINDS[number % len(KINDS)](rng)
        answer = collector.post(path, headers=headers, content=body)
        assert answer.status_code < 500, (number, answer.text)
        assert MARKER not in answer.text, number
        statuses.add(answer.status_code)
        if answer.status_code >= 400 and path == "/v1/events":
            assert answer.headers["content-type"] == "application/problem+json"
            assert answer.json()["title"] and answer.json()["detail"]
    assert statuses >= {400, 415, 422}
    assert counted(fresh.take()) == []
    assert MARKER not in caplog.text
    assert collector.post("/v1/events", json=EVENT).status_code == 200
