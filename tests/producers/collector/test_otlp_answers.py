"""Answers to OTLP exports are what OTLP/HTTP says: partial success, and Status for what cannot be read."""

from __future__ import annotations

import json

import httpx
import pytest
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from producers.collector.serving import Topic, counted, export, span

CALL = {"gen_ai.operation.name": "chat", "gen_ai.system": "openai", "gen_ai.request.model": "gpt-5"}
PROTOBUF = {"content-type": "application/x-protobuf"}


def in_protobuf(*, model: str = "gpt-5", span_id: bytes = b"12345678") -> bytes:
    request = ExportTraceServiceRequest()
    for name in (model, "gpt-5"):
        made = request.resource_spans.add().scope_spans.add().spans.add()
        made.trace_id, made.span_id = b"1234567890123456", span_id
        made.end_time_unix_nano = 1_738_324_800_123_000_000
        span_id = bytes(reversed(span_id))
        for key, value in {**CALL, "gen_ai.request.model": name}.items():
            made.attributes.add(key=key).value.string_value = value
    return request.SerializeToString()


def test_full_success_has_no_partial_success(collector: httpx.Client) -> None:
    answer = collector.post("/v1/traces", content=in_protobuf(), headers=PROTOBUF)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/x-protobuf")
    assert not ExportTraceServiceResponse.FromString(answer.content).HasField("partial_success")
    assert collector.post("/v1/traces", json=export(span(CALL))).json() == {}
    assert collector.post("/v1/traces", json={}).json() == {}


def test_rejected_spans_are_counted_and_explained_in_the_senders_encoding(
    collector: httpx.Client, fresh: Topic
) -> None:
    answer = collector.post("/v1/traces", content=in_protobuf(model="m" * 300), headers=PROTOBUF)
    assert answer.status_code == 200
    partial = ExportTraceServiceResponse.FromString(answer.content).partial_success
    assert partial.rejected_spans == 1
    assert "request_model" in partial.error_message and "mmm" not in partial.error_message
    assert len(counted(fresh.take())) == 1
    told = collector.post("/v1/traces", json=export(span(CALL, traceId=""))).json()["partialSuccess"]
    assert told["rejectedSpans"] == "1" and "trace id" in told["errorMessage"]


@pytest.mark.parametrize(
    ("content_type", "body"),
    [("application/x-protobuf", b"\x0a\xff"), ("application/json", b"{"), ("application/json", b'{"resourceSpans":1}')],
)
def test_what_cannot_be_read_is_a_400_with_a_status(content_type: str, body: bytes, collector: httpx.Client) -> None:
    answer = collector.post("/v1/traces", content=body, headers={"content-type": content_type})
    assert (answer.status_code, answer.headers["content-type"]) == (400, content_type)
    status = Status.FromString(answer.content) if "protobuf" in content_type else Status(**json.loads(answer.content))
    assert status.code == 3 and status.message
    assert collector.post("/v1/traces", content=b"x", headers={"content-type": "text/xml"}).status_code == 415
