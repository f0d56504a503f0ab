"""Answers to an OTLP export, in the encoding of the request. Pure."""

from __future__ import annotations

import json
from typing import Final

from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

PROTOBUF: Final = "application/x-protobuf"
JSON: Final = "application/json"


def export_response(rejected_spans: int, error_message: str, content_type: str) -> bytes:
    """The body of a 200: with `partial_success` when spans were rejected or there is something to say."""
    if content_type == JSON:
        partial = {"rejectedSpans": str(rejected_spans), "errorMessage": error_message}
        return json.dumps({"partialSuccess": partial} if rejected_spans or error_message else {}).encode()
    response = ExportTraceServiceResponse()
    if rejected_spans or error_message:
        response.partial_success.rejected_spans = rejected_spans
        response.partial_success.error_message = error_message
    return bytes(response.SerializeToString())


def status_body(code: int, message: str, content_type: str) -> bytes:
    """The body of a 4xx or 5xx: google.rpc.Status. code: a google.rpc.Code."""
    if content_type == JSON:
        return json.dumps({"code": code, "message": message}).encode()
    return bytes(Status(code=code, message=message).SerializeToString())
