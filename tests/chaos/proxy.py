"""What both proxies share: a listener on loopback that runs in a thread of its own, and its open connections."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any, Self

HOST = "127.0.0.1"
BUFFER_BYTES = 1 << 20


class Proxy:
    """Listens on a free port and handles each connection in `_serve`. Start and stop from any thread."""

    def __init__(self, upstream_port: int) -> None:
        self.upstream_port = upstream_port
        self.port = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=type(self).__name__, daemon=True)
        self._open: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    def start(self) -> Self:
        """Listen."""
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(10)
        return self

    def stop(self) -> None:
        """Cut everything and end the thread."""
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _end(self) -> None:
        if self._server is not None:
            self._server.close()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def cut_all(self) -> None:
        """Reset every open connection."""
        self._call(self._cut, lambda _writer: True)

    def _call(self, function: Callable[..., Any], *arguments: Any) -> None:
        self._loop.call_soon_threadsafe(function, *arguments)

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._accept, HOST, 0, limit=BUFFER_BYTES)
        self.port = int(self._server.sockets[0].getsockname()[1])

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = self._loop.create_task(self._connected(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        try:
            await self._serve(reader, writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # a cut connection is what this is for; the other side is cut below
        finally:
            self._open.discard(writer)
            reset(writer)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        raise NotImplementedError

    async def _connect_upstream(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(HOST, self.upstream_port, limit=BUFFER_BYTES)

    def _cut(self, is_meant: Callable[[asyncio.StreamWriter], bool]) -> None:
        for writer in list(self._open):
            if is_meant(writer):
                reset(writer)


def reset(writer: asyncio.StreamWriter) -> None:
    """Close without sending what is buffered."""
    writer.transport.abort()


def peer_port(writer: asyncio.StreamWriter) -> int:
    """The client's port; 0 when the connection is gone."""
    name = writer.get_extra_info("peername")
    return int(name[1]) if name else 0
