"""What goes wrong with a request, as RFC 9457 says it: what, where, and what to do. Never with a value of the input."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

CONTENT_TYPE: Final = "application/problem+json"
# google.rpc.Code for OTLP's error bodies.
_RPC_CODES: Final = {400: 3, 401: 16, 403: 7, 404: 5, 405: 12, 408: 4, 413: 3, 415: 3, 422: 3, 429: 8, 500: 13, 503: 14}


class ProblemError(Exception):
    """Ends a request. title: what. detail: where and what to do. retry_after_s: when trying again makes sense."""

    def __init__(
        self,
        status: int,
        title: str,
        detail: str,
        *,
        retry_after_s: int | None = None,
        extra: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(f"{title}: {detail}")
        self.status = status
        self.title = title
        self.detail = detail
        self.retry_after_s = retry_after_s
        self.extra = dict(extra or {})
        self.headers = dict(headers or {})
        if retry_after_s is not None:
            self.headers["retry-after"] = str(retry_after_s)

    @property
    def rpc_code(self) -> int:
        """The google.rpc.Code that says the same."""
        return _RPC_CODES.get(self.status, 2)

    def body(self) -> bytes:
        """The problem document."""
        document = {"type": "about:blank", "title": self.title, "status": self.status, "detail": self.detail}
        return json.dumps({**document, **self.extra}).encode()


def kafka_is_away(detail: str) -> ProblemError:
    """503: nothing is wrong with the request."""
    return ProblemError(503, "Kafka is not reachable", detail, retry_after_s=5)
