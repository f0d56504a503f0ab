"""One HTTP request's body on its way in, within the limits of size, time and memory."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tokentide_producers.collector.problems import ProblemError


class InFlight:
    """Bytes of all requests from their first byte until Kafka has them."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.bytes = 0
        # Large bodies are unpacked in a thread.
        self._lock = threading.Lock()

    def reserve(self, count: int) -> None:
        """Raises ProblemError 429 when that is more than there may be."""
        with self._lock:
            if self.bytes + count <= self._limit:
                self.bytes += count
                return
        detail = f"{self._limit} bytes are on their way to Kafka already: send again a little later"
        raise ProblemError(429, "Too much at once", detail, retry_after_s=1)

    def release(self, count: int) -> None:
        """What was reserved is settled."""
        with self._lock:
            self.bytes -= count


@dataclass(slots=True)
class Held:
    """What one request has reserved."""

    in_flight: InFlight
    bytes: int = 0

    def add(self, count: int) -> None:
        """Reserve more. Raises ProblemError 429."""
        self.in_flight.reserve(count)
        self.bytes += count

    def release(self) -> None:
        """Give all of it back; a second call does nothing."""
        self.in_flight.release(self.bytes)
        self.bytes = 0


@dataclass(slots=True)
class Request:
    """Method, path, headers (names in lower case, the last of each counts) and where the body comes from."""

    method: str
    path: str
    headers: Mapping[str, str]
    receive: Any = field(repr=False)

    @property
    def content_type(self) -> str:
        """Without parameters, in lower case; '' when there is none."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()


def request_of(scope: Mapping[str, Any], receive: Any) -> Request:
    """From ASGI's scope. Header bytes are read as latin-1, so none can be undecodable."""
    headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
    return Request(scope["method"], scope["path"], headers, receive)


async def body_of(request: Request, limit: int, timeout_s: float, held: Held) -> bytes:
    """The body as sent. Raises ProblemError: 413 too large, 408 too slow, 400 broken off, 429 no room."""
    declared = request.headers.get("content-length", "")
    if declared.isascii() and declared.isdigit() and int(declared[:20]) > limit:
        raise _too_large(limit)
    parts: list[bytes] = []
    total = 0
    try:
        async with asyncio.timeout(timeout_s):
            while True:
                message = await request.receive()
                if message["type"] == "http.disconnect":
                    raise ProblemError(400, "Body broken off", "the connection ended before the body did")
                part = message.get("body", b"")
                total += len(part)
                if total > limit:
                    raise _too_large(limit)
                held.add(len(part))
                parts.append(part)
                if not message.get("more_body"):
                    break
    except TimeoutError:
        detail = f"the body has not arrived within {timeout_s:g} s: send again"
        raise ProblemError(408, "Body too slow", detail, headers={"connection": "close"}) from None
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _too_large(limit: int) -> ProblemError:
    detail = f"the body is over the limit of {limit} bytes: send fewer events in one request"
    return ProblemError(413, "Body too large", detail, headers={"connection": "close"})
