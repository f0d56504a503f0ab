"""A request's body on its way from the event loop to the engine's thread: in large slices, one slice ahead, bounded."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

from tokentide_deploy.store.errors import TIMEOUT_EXCEEDED, store_error

SLICE_BYTES = 4 << 20


class BodyFeed:
    """Collects the body's chunks into slices of about ``slice_bytes``; holds two slices at most.

    The engine's thread calls :meth:`slices`; everything else belongs to the event loop. A client that sends nothing for
    ``idle_timeout_s`` is given up, so that it cannot hold a thread for ever.
    """

    def __init__(
        self, chunks: AsyncIterator[bytes], *, idle_timeout_s: float = 60.0, slice_bytes: int = SLICE_BYTES
    ) -> None:
        self._chunks = chunks
        self._idle_timeout_s = idle_timeout_s
        self._slice_bytes = slice_bytes
        self._loop = asyncio.get_running_loop()
        self._ahead: asyncio.Task[bytes] | None = None
        self.received_bytes = 0
        self.exhausted = False

    async def prefetch(self) -> None:
        """Reads the first slice, so that small bodies never make the engine's thread wait for the network."""
        self._ahead = asyncio.create_task(self._collect())
        await asyncio.wait({self._ahead})

    async def _collect(self) -> bytes:
        parts: list[bytes] = []
        size = 0
        while size < self._slice_bytes and not self.exhausted:
            try:
                async with asyncio.timeout(self._idle_timeout_s):
                    chunk = await anext(self._chunks, None)
            except TimeoutError:
                raise store_error(
                    TIMEOUT_EXCEEDED, "TIMEOUT_EXCEEDED", f"The request's body stalled for {self._idle_timeout_s:g} s."
                ) from None
            if chunk is None:
                self.exhausted = True
                break
            parts.append(chunk)
            size += len(chunk)
        self.received_bytes += size
        return parts[0] if len(parts) == 1 else b"".join(parts)

    async def _take(self) -> bytes:
        if self._ahead is None:
            return b""
        data = await self._ahead
        self._ahead = asyncio.create_task(self._collect()) if data and not self.exhausted else None
        return data

    def slices(self) -> Iterator[bytes]:
        """For the engine's thread: the body's slices. Raises what reading raised, such as ClientDisconnect."""
        while data := asyncio.run_coroutine_threadsafe(self._take(), self._loop).result():
            yield data

    async def drain(self, limit_bytes: int) -> bool:
        """Reads and drops the rest so that the client reads an early error; False when the limit was not enough."""
        dropped = 0
        while dropped <= limit_bytes:
            data = await self._take()
            if not data:
                return True
            dropped += len(data)
        return False

    async def close(self) -> None:
        """Stops reading ahead."""
        if self._ahead is not None and not self._ahead.done():
            self._ahead.cancel()
            await asyncio.wait({self._ahead})
        if self._ahead is not None and not self._ahead.cancelled():
            self._ahead.exception()  # seen: the reply has been decided without it
        self._ahead = None
