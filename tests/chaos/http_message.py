"""HTTP/1.1 messages as bytes: just enough to know where one ends. Nothing is decoded or changed."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from urllib.parse import unquote_plus

HEAD_END = b"\r\n\r\n"
_INSERT = re.compile(r"INSERT\s+INTO\s+[`\"]?([\w.`\"]+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Message:
    """A request or a response, as it came."""

    head: bytes
    body: bytes

    @property
    def data(self) -> bytes:
        """All of it."""
        return self.head + self.body

    @property
    def status(self) -> int:
        """A response's status."""
        return int(self.head.split(b" ", 2)[1])

    @property
    def inserts_into(self) -> str | None:
        """The table of a request that is an INSERT, without its database; None for any other request."""
        line = self.head.partition(b"\r\n")[0].decode("latin-1")
        found = _INSERT.search(unquote_plus(line)) or _INSERT.search(self.body[:500].decode("latin-1"))
        return re.sub(r"[`\"]", "", found[1]).rpartition(".")[2] if found else None


async def read_message(reader: asyncio.StreamReader, is_response: bool) -> Message | None:
    """The next message, or None when the peer has closed. Raises IncompleteReadError when it closes in the middle."""
    try:
        head = await reader.readuntil(HEAD_END)
    except asyncio.IncompleteReadError as error:
        if error.partial:
            raise
        return None
    fields = {
        name.strip().lower(): value.strip()
        for name, _, value in (line.partition(b":") for line in head.split(b"\r\n")[1:] if line)
    }
    if fields.get(b"transfer-encoding", b"").lower() == b"chunked":
        return Message(head, await _read_chunks(reader))
    if b"content-length" in fields:
        return Message(head, await reader.readexactly(int(fields[b"content-length"])))
    has_no_body = not is_response or head.split(b" ", 2)[1] in (b"204", b"304")
    return Message(head, b"" if has_no_body else await reader.read())


async def _read_chunks(reader: asyncio.StreamReader) -> bytes:
    parts = []
    while True:
        size_line = await reader.readuntil(b"\r\n")
        size = int(size_line.partition(b";")[0], 16)
        parts += [size_line, await reader.readexactly(size + 2)]
        if size == 0:
            return b"".join(parts)
