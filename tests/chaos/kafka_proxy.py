"""A proxy before the broker: cuts, stalls, and takes single processes off the network."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Iterable

import psutil

from chaos.proxy import Proxy, peer_port, reset

CHUNK_BYTES = 64 * 1024


class KafkaProxy(Proxy):
    """Passes bytes on. Clients reach the broker only through here, because the broker advertises this address."""

    def __init__(self, upstream_port: int, seed: int) -> None:
        super().__init__(upstream_port)
        self._random = random.Random(seed)
        self._isolated: set[int] = set()
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._cuts = 0

    def stall(self) -> None:
        """Hold every byte back until `resume`."""
        self._call(self._flowing.clear)

    def resume(self) -> None:
        """Let bytes flow."""
        self._call(self._flowing.set)

    def cut_in_the_middle(self, times: int) -> None:
        """Cut the connections of the next transfers after a part of their bytes, in either direction."""
        self._cuts += times

    def isolate(self, pid: int) -> None:
        """Cut a process off until `release`; it keeps all other connections."""
        self._isolated.add(pid)
        ports = _ports_of([pid])
        self._call(self._cut, lambda writer: peer_port(writer) in ports)

    def release(self, pid: int) -> None:
        """Let a process in again."""
        self._isolated.discard(pid)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._isolated and peer_port(writer) in _ports_of(self._isolated):
            return
        from_broker, to_broker = await self._connect_upstream()
        try:
            pumps = [
                asyncio.ensure_future(self._pump(reader, to_broker)),
                asyncio.ensure_future(self._pump(from_broker, writer)),
            ]
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
        finally:
            reset(to_broker)

    async def _pump(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        while data := await source.read(CHUNK_BYTES):
            await self._flowing.wait()
            # Small transfers are heartbeats and metadata; the interesting middle is that of data.
            if self._cuts > 0 and len(data) > 200:
                self._cuts -= 1
                target.write(data[: self._random.randrange(len(data))])
                await target.drain()
                return
            target.write(data)
            await target.drain()


def _ports_of(pids: Iterable[int]) -> set[int]:
    ports: set[int] = set()
    # A copy: the campaign changes the set from its own thread.
    for pid in tuple(pids):
        with contextlib.suppress(psutil.NoSuchProcess):
            ports |= {connection.laddr[1] for connection in psutil.Process(pid).net_connections("tcp")}
    return ports
