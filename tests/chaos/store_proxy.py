"""A proxy before the store that knows HTTP well enough to break it at the worst moments."""

from __future__ import annotations

import asyncio
import random
import threading
from collections import Counter
from dataclasses import dataclass
from enum import StrEnum

from chaos.http_message import Message, read_message
from chaos.proxy import Proxy, reset


class StoreFault(StrEnum):
    """What happens to an insert."""

    DELAY = "delay"
    CUT_REQUEST = "cut mid-request"
    CUT_RESPONSE = "cut mid-response"
    LATE_500 = "500 after the insert"
    SLOW_ANSWER = "answer late, then cut"


@dataclass(slots=True, eq=False)
class Armed:
    """A fault that waits for its inserts. left: how many more."""

    fault: StoreFault
    table: str | None
    left: int
    seconds: float


class StoreProxy(Proxy):
    """Passes requests on, except those for which a fault is armed. `done` counts the faults that took place."""

    def __init__(self, upstream_port: int, seed: int) -> None:
        super().__init__(upstream_port)
        self._random = random.Random(seed)
        self._armed: list[Armed] = []
        self._lock = threading.Lock()
        self._refusing = False
        self.done: Counter[StoreFault] = Counter()

    def arm(self, fault: StoreFault, inserts: int = 1, table: str | None = None, seconds: float = 0.0) -> Armed:
        """Break the next inserts (into one table, when named)."""
        armed = Armed(fault, table, inserts, seconds)
        with self._lock:
            self._armed.append(armed)
        return armed

    def disarm(self, armed: Armed) -> None:
        """Break nothing more on its account."""
        with self._lock:
            if armed in self._armed:
                self._armed.remove(armed)

    def is_armed(self, armed: Armed) -> bool:
        """It has not taken place as often as it is to."""
        with self._lock:
            return armed in self._armed

    def refuse(self) -> None:
        """Cut all connections and take no new ones, until `accept`."""
        self._refusing = True
        self.cut_all()

    def accept(self) -> None:
        """Take connections again."""
        self._refusing = False

    def _take(self, request: Message) -> Armed | None:
        table = request.inserts_into
        if table is None:
            return None
        with self._lock:
            for armed in self._armed:
                if armed.table in (None, table):
                    armed.left -= 1
                    if armed.left <= 0:
                        self._armed.remove(armed)
                    return armed
        return None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._refusing:
            return
        from_store, to_store = await self._connect_upstream()
        try:
            while (request := await read_message(reader, is_response=False)) is not None:
                armed = self._take(request)
                if armed is not None and not await self._break(armed, request, from_store, to_store, writer):
                    return
                if armed is None:
                    await self._pass_on(request, from_store, to_store, writer)
        finally:
            reset(to_store)

    async def _pass_on(
        self,
        request: Message,
        from_store: asyncio.StreamReader,
        to_store: asyncio.StreamWriter,
        writer: asyncio.StreamWriter,
    ) -> None:
        writer.write((await self._ask(request, from_store, to_store)).data)
        await writer.drain()

    async def _ask(self, request: Message, from_store: asyncio.StreamReader, to_store: asyncio.StreamWriter) -> Message:
        to_store.write(request.data)
        await to_store.drain()
        answer = await read_message(from_store, is_response=True)
        if answer is None:
            raise ConnectionResetError("the store closed the connection")
        return answer

    async def _break(
        self,
        armed: Armed,
        request: Message,
        from_store: asyncio.StreamReader,
        to_store: asyncio.StreamWriter,
        writer: asyncio.StreamWriter,
    ) -> bool:
        """Do it; False when the connection is to be cut now."""
        self.done[armed.fault] += 1
        if armed.fault is StoreFault.DELAY:
            await asyncio.sleep(armed.seconds)
            await self._pass_on(request, from_store, to_store, writer)
            return True
        if armed.fault is StoreFault.CUT_REQUEST:
            to_store.write(request.head + request.body[: self._random.randrange(len(request.body) + 1)])
            await to_store.drain()
            # Let the store see the beginning before it sees the end of the connection.
            await asyncio.sleep(self._random.uniform(0, 0.3))
            return False
        answer = await self._ask(request, from_store, to_store)
        if armed.fault is StoreFault.LATE_500:
            text = b"the gateway lost the store's answer"
            head = b"HTTP/1.1 500 Internal Server Error\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n"
            writer.write(head % len(text) + text)
            await writer.drain()
            return True
        if armed.fault is StoreFault.SLOW_ANSWER:
            await asyncio.sleep(armed.seconds)
            return False
        writer.write(answer.data[: self._random.randrange(len(answer.data))])
        await writer.drain()
        return False
