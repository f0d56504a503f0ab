"""A model provider on this machine: it answers with what a test has put down, over real HTTP with chunked streams."""

from __future__ import annotations

import http.server
import json
import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Self


@dataclass
class Reply:
    """One answer. parts: of the body, each sent by itself; a callable among them is called in between, to wait."""

    status: int = 200
    parts: Sequence[bytes | Callable[[], object]] = ()
    content_type: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class Asked:
    """What has come in."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]


def whole(body: Any, status: int = 200, **headers: str) -> Reply:
    """JSON in one piece."""
    return Reply(status, [json.dumps(body).encode()], headers={k.replace("_", "-"): v for k, v in headers.items()})


def events(pieces: Iterable[Any], *, named: bool = False, done: bool = True) -> Reply:
    """Server-sent events, each in a chunk of its own. named: with `event:` lines as Anthropic and responses have them.
    A callable among the pieces is called between two chunks."""
    parts: list[bytes | Callable[[], object]] = []
    for piece in pieces:
        if callable(piece):
            parts.append(piece)
            continue
        name = f"event: {piece['type']}\n" if named else ""
        parts.append(f"{name}data: {json.dumps(piece)}\n\n".encode())
    if done:
        parts.append(b"data: [DONE]\n\n")
    return Reply(200, parts, "text/event-stream")


class Upstream:
    """`with Upstream() as upstream`: `replies` are given in order, `asked` holds the requests that have come."""

    def __init__(self) -> None:
        self.replies: deque[Reply] = deque()
        self.asked: list[Asked] = []
        self.cut_off = threading.Event()
        """A client has gone away in the middle of an answer."""
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                outer.asked.append(Asked(self.path, dict(self.headers), json.loads(body or b"{}")))
                outer._answer(self, outer.replies.popleft())

            def log_message(self, *_: Any) -> None:
                """Quiet."""

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_: Any) -> None:
                """A client that goes away is what some tests are about."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))

    def _answer(self, handler: http.server.BaseHTTPRequestHandler, reply: Reply) -> None:
        handler.send_response(reply.status)
        for name, value in {"content-type": reply.content_type, "x-request-id": "req-1", **reply.headers}.items():
            handler.send_header(name, value)
        handler.send_header("transfer-encoding", "chunked")
        handler.end_headers()
        try:
            for part in reply.parts:
                if callable(part):
                    part()
                else:
                    handler.wfile.write(f"{len(part):x}\r\n".encode() + part + b"\r\n")
                    handler.wfile.flush()
            handler.wfile.write(b"0\r\n\r\n")
        except OSError:
            self.cut_off.set()
            raise

    @property
    def url(self) -> str:
        """Its address, without a path."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
