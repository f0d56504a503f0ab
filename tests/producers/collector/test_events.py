"""POST /v1/events: what is accepted, what is told of the rest, limits, and the pages about it."""

from __future__ import annotations

import gzip
import json
import subprocess
import uuid
import zlib
from pathlib import Path
from typing import Any

import httpx
import pytest
import zstandard

from producers.collector.serving import EVENT, Topic, counted, running_collector
from tokentide_schemas.event import REQUIRED

NDJSON = {"content-type": "application/x-ndjson"}


def event(**changes: Any) -> dict[str, Any]:
    return {**EVENT, **changes}


def with_id(**changes: Any) -> dict[str, Any]:
    return event(event_id=str(uuid.uuid4()), **changes)


def test_good_events_are_stored_and_bad_ones_told_by_place_field_reason_and_hint(
    collector: httpx.Client, fresh: Topic
) -> None:
    bad: list[Any] = [
        {name: value for name, value in EVENT.items() if name != "outcome"},
        event(latency=3),
        event(output_tokens=-1),
        event(occurred_at="2999-01-01T00:00:00Z"),
        event(occurred_at="1999-01-01T00:00:00Z"),
        event(occurred_at=1738324800),
        "an event",
    ]
    answer = collector.post("/v1/events", json=[with_id(app="good"), *bad, with_id(app="good")])
    assert answer.status_code == 200
    told = answer.json()
    assert (told["accepted"], told["rejected"]) == (2, 7)
    assert [(one["index"], one["field"], one["reason"]) for one in told["rejections"]] == [
        (1, "outcome", "missing_field"),
        (2, "latency", "unknown_field"),
        (3, "output_tokens", "invalid_value"),
        (4, "occurred_at", "timestamp_in_future"),
        (5, "occurred_at", "timestamp_too_old"),
        (6, "occurred_at", "invalid_value"),
        (7, "", "invalid_value"),
    ]
    assert all(one["hint"] for one in told["rejections"])
    assert "give latency_ms" in told["rejections"][1]["hint"]
    assert [one["app"] for one in counted(fresh.take())] == ["good", "good"]


def test_a_bad_line_does_not_stop_the_good_ones(collector: httpx.Client, fresh: Topic) -> None:
    lines = [json.dumps(with_id()), "{broken", "", json.dumps(with_id())]
    told = collector.post("/v1/events", content="\n".join(lines), headers=NDJSON).json()
    assert (told["accepted"], told["rejected"]) == (2, 1)
    assert told["rejections"][0]["index"] == 1
    assert told["rejections"][0]["reason"] == "invalid_json"
    assert len(counted(fresh.take())) == 2


@pytest.mark.parametrize("missing", sorted(REQUIRED))
def test_no_required_field_is_made_up(missing: str, collector: httpx.Client) -> None:
    answer = collector.post("/v1/events", json={name: value for name, value in EVENT.items() if name != missing})
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["rejections"][0]["field"] == missing


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "raw deflate", "zstd", "identity", "two gzip members"])
def test_compressed_bodies_are_read(encoding: str, collector: httpx.Client, fresh: Topic) -> None:
    lines = [json.dumps(with_id()).encode() + b"\n" for _ in range(50)]
    plain = b"".join(lines)
    raw = zlib.compressobj(wbits=-15)
    body = {
        "gzip": gzip.compress(plain),
        "deflate": zlib.compress(plain),
        "raw deflate": raw.compress(plain) + raw.flush(),
        "zstd": zstandard.compress(plain),
        "identity": plain,
        "two gzip members": gzip.compress(lines[0]) + gzip.compress(b"".join(lines[1:])),
    }[encoding]
    headers = {**NDJSON, "content-encoding": encoding.split()[-1] if "two" not in encoding else "gzip"}
    assert collector.post("/v1/events", content=body, headers=headers).json()["accepted"] == 50
    assert len(counted(fresh.take())) == 50


def test_a_retried_request_is_counted_once_by_its_idempotency_key(collector: httpx.Client, fresh: Topic) -> None:
    events = [event(app=f"app-{number}") for number in range(20)]
    for _ in range(3):
        answer = collector.post("/v1/events", json=events, headers={"idempotency-key": "request-1"})
        assert answer.json()["accepted"] == 20
    collector.post("/v1/events", json=events[:1], headers={"idempotency-key": "request-2"})
    collector.post("/v1/events", json=events[:1])
    collector.post("/v1/events", json=events[:1])
    stored = [one["app"] for one in counted(fresh.take())]
    assert len(stored) == 20 + 1 + 2, "two requests without a key are two requests"
    assert stored.count("app-7") == 1


def test_content_is_dropped_at_the_door_and_counted(collector: httpx.Client, fresh: Topic) -> None:
    body = with_id(prompt="a MARKER", messages=[{"content": "MARKER"}], Completion="MARKER", app="kept")
    told = collector.post("/v1/events", json=body).json()
    assert (told["accepted"], told["content_fields_dropped"]) == (1, 3)
    (stored,) = counted(fresh.take())
    assert stored["app"] == "kept"
    assert 'content_fields_dropped_total{route="/v1/events"}' in collector.get("/metrics").text


def test_a_body_over_a_limit_is_refused_packed_and_unpacked(topic: Topic) -> None:
    limits = {"max_body_bytes": 100_000, "max_unpacked_bytes": 1_000_000, "max_events": 100}
    with running_collector(topic.bootstrap_servers, **limits) as client:
        assert client.post("/v1/events", content=b" " * 100_001, headers=NDJSON).status_code == 413

        def endless() -> Any:
            for _ in range(100):
                yield b" " * 10_000

        assert client.post("/v1/events", content=endless(), headers=NDJSON).status_code == 413
        for name, pack in (("gzip", gzip.compress), ("zstd", zstandard.compress), ("deflate", zlib.compress)):
            bomb = pack(b" " * 50_000_000)
            assert len(bomb) < 100_000
            answer = client.post("/v1/events", content=bomb, headers={**NDJSON, "content-encoding": name})
            assert answer.status_code == 413, name
        many = json.dumps([EVENT] * 101)
        answer = client.post("/v1/events", content=many, headers={"content-type": "application/json"})
        assert (answer.status_code, answer.json()["title"]) == (413, "Too many events")
        assert client.post("/v1/events", json=EVENT).status_code == 200


def test_what_curl_sends_by_default_is_told_what_to_add(collector: httpx.Client) -> None:
    url = str(collector.base_url.join("/v1/events"))
    plain = subprocess.run(["curl", "-sS", url, "-d", json.dumps(EVENT)], capture_output=True, text=True, check=True)
    assert "application/json" in json.loads(plain.stdout)["detail"]
    right = [
        *("curl", "-sS", "--fail", url, "-H", "content-type: application/json"),
        "--data-binary",
        json.dumps(EVENT),
    ]
    told = json.loads(subprocess.run(right, capture_output=True, text=True, check=True).stdout)
    assert told["accepted"] == 1


def test_unknown_paths_and_methods_are_told_what_there_is(collector: httpx.Client) -> None:
    missing = collector.post("/v1/metrics", content=b"")
    assert missing.status_code == 404 and "/v1/traces" in missing.json()["detail"]
    wrong = collector.get("/v1/events")
    assert (wrong.status_code, wrong.headers["allow"]) == (405, "POST")
    assert collector.head("/healthz").status_code == 200


def test_the_interface_describes_itself_without_asking_anybody(collector: httpx.Client) -> None:
    described = collector.get("/openapi.json").json()
    assert described["openapi"].startswith("3.1")
    for path, methods in described["paths"].items():
        for method in methods:
            assert collector.request(method, path).status_code not in (404, 405), path
    references = set(json.dumps(described).split('"$ref": "')[1:])
    for reference in references:
        place: Any = described
        for part in reference.split('"')[0].removeprefix("#/").split("/"):
            place = place[part]
    page = collector.get("/docs")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert "http" not in page.text.replace("over HTTP", "").replace("http_status", "").replace("OTLP/HTTP", "")


def test_metrics_are_in_prometheus_text(collector: httpx.Client) -> None:
    collector.post("/v1/events", json=EVENT)
    page = collector.get("/metrics").text
    values = dict(line.rsplit(" ", 1) for line in page.splitlines() if not line.startswith("#"))
    assert int(values['tokentide_collector_events_accepted_total{route="/v1/events"}']) >= 1
    assert float(values["tokentide_collector_kafka_ack_seconds_sum"]) > 0
    assert values["tokentide_collector_kafka_ready"] == "1"
    assert values["tokentide_collector_in_flight_bytes"] == "0"
    count = int(values["tokentide_collector_kafka_ack_seconds_count"])
    assert int(values['tokentide_collector_kafka_ack_seconds_bucket{le="+Inf"}']) == count >= 1
    assert Path(__file__).name not in page
