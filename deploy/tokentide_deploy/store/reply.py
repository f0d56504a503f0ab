"""A streamed reply: blocks as the engine makes them, late errors as a server writes them, no query without a client."""

from __future__ import annotations

import asyncio
import logging
import secrets
import string
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from concurrent.futures import Executor as ThreadExecutor

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from tokentide_deploy.store.compression import Encoder
from tokentide_deploy.store.errors import StoreError
from tokentide_deploy.store.metrics import Outcome

logger = logging.getLogger(__name__)
_POLL_S = 0.25


def exception_tag() -> str:
    """A random mark: it tells the error block at a body's end from data that looks like one."""
    return "".join(secrets.choice(string.ascii_lowercase) for _ in range(16))


def exception_block(message: str, tag: str) -> bytes:
    """The block that a server appends to a body whose status has already been sent."""
    text = message.encode() + b"\n"
    mark = tag.encode()
    length = str(len(text)).encode()
    return b"\r\n__exception__\r\n%b\r\n%b%b %b\r\n__exception__\r\n" % (mark, text, length, mark)


class ReplyResponse(Response):
    """Sends ``chunks`` (iterated in ``pool``) with chunked encoding; exactly one ``on_end``."""

    def __init__(
        self,
        chunks: Iterator[bytes],
        *,
        encoder: Encoder,
        headers: Mapping[str, str],
        pool: ThreadExecutor,
        is_disconnected: Callable[[], Awaitable[bool]],
        on_disconnect: Callable[[], None],
        on_sent: Callable[[int], None],
        on_end: Callable[[Outcome], None],
    ) -> None:
        self.status_code = 200
        self.background = None
        self._tag = exception_tag()
        self.raw_headers = [
            (name.lower().encode("latin-1"), value.encode("latin-1"))
            for name, value in {**headers, "X-ClickHouse-Exception-Tag": self._tag}.items()
        ]
        self._chunks = chunks
        self._encoder = encoder
        self._pool = pool
        self._is_disconnected = is_disconnected
        self._on_disconnect = on_disconnect
        self._on_sent = on_sent
        self._on_end = on_end

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        outcome: Outcome = "disconnected"
        try:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            outcome = await self._send_chunks(send)
        finally:
            self._on_end(outcome)
            if outcome == "disconnected":
                self._on_disconnect()
            await asyncio.get_running_loop().run_in_executor(self._pool, self._chunks.close)  # type: ignore[attr-defined]

    async def _send_chunks(self, send: Send) -> Outcome:
        loop = asyncio.get_running_loop()
        checked_s = time.monotonic()
        killed = False
        while True:
            step = loop.run_in_executor(self._pool, self._next)
            while True:
                finished, _ = await asyncio.wait({step}, timeout=_POLL_S)
                if time.monotonic() - checked_s >= _POLL_S and not killed:
                    checked_s = time.monotonic()
                    if await self._is_disconnected():
                        self._on_disconnect()
                        killed = True
                if finished:
                    break
            if killed:
                return "disconnected"
            try:
                chunk = step.result()
            except StoreError as error:
                block = self._encoder.chunk(exception_block(error.message, self._tag)) + self._encoder.end()
                await send({"type": "http.response.body", "body": block, "more_body": True})
                # No end of the body: the server closes the connection, so that no client takes the part for the whole.
                logger.warning("a query failed after its first block with code %s", error.code)
                return "server_error"
            data = self._encoder.end() if chunk is None else chunk
            self._on_sent(len(data))
            if data or chunk is None:
                await send({"type": "http.response.body", "body": data, "more_body": chunk is not None})
            if chunk is None:
                return "ok"

    def _next(self) -> bytes | None:
        """The next encoded piece, or None at the end; compressing is the worker thread's part too."""
        chunk = next(self._chunks, None)
        return None if chunk is None else self._encoder.chunk(chunk)
