"""The HTTP front: ClickHouse's interface (as on port 8123) as a Starlette application."""

from __future__ import annotations

import asyncio
import json
import logging
import time
import uuid
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from tokentide_deploy.store import compression
from tokentide_deploy.store.access import AccessPolicy, is_foreign_page
from tokentide_deploy.store.body import BodyFeed
from tokentide_deploy.store.disk_guard import DiskGuard
from tokentide_deploy.store.engine import Engine
from tokentide_deploy.store.errors import ACCESS_DENIED, StoreError, from_engine, store_error
from tokentide_deploy.store.execute import Executor, Reply, StoreRequest
from tokentide_deploy.store.form import form_fields
from tokentide_deploy.store.metrics import Outcome, RequestKind, StoreMetrics
from tokentide_deploy.store.reply import ReplyResponse
from tokentide_deploy.store.sessions import Sessions

logger = logging.getLogger(__name__)
_POLL_S = 0.25
_DRAIN_BYTES = 64 << 20
_CONTENT_TYPES = {
    "JSON": "application/json; charset=UTF-8",
    "JSONCompact": "application/json; charset=UTF-8",
    "JSONStrings": "application/json; charset=UTF-8",
    "JSONEachRow": "application/x-ndjson; charset=UTF-8",
    "JSONCompactEachRow": "application/x-ndjson; charset=UTF-8",
    "CSV": "text/csv; charset=UTF-8; header=absent",
    "CSVWithNames": "text/csv; charset=UTF-8; header=present",
    "TabSeparated": "text/tab-separated-values; charset=UTF-8",
    "TSV": "text/tab-separated-values; charset=UTF-8",
    "TabSeparatedWithNames": "text/tab-separated-values; charset=UTF-8",
    "TabSeparatedWithNamesAndTypes": "text/tab-separated-values; charset=UTF-8",
    "Native": "application/octet-stream",
    "RowBinary": "application/octet-stream",
    "RowBinaryWithNamesAndTypes": "application/octet-stream",
    "Arrow": "application/octet-stream",
    "ArrowStream": "application/octet-stream",
    "Parquet": "application/octet-stream",
}


class StoreService:
    """One engine with its users, sessions, threads and counters. Close it once, after the server has stopped."""

    def __init__(self, engine: Engine, policy: AccessPolicy, *, threads: int = 16, loopback_only: bool = True) -> None:
        self.engine = engine
        self.policy = policy
        self.loopback_only = loopback_only
        self.metrics = StoreMetrics(time.monotonic())
        self.pool = ThreadPoolExecutor(threads, "store")
        self._control = ThreadPoolExecutor(1, "store-control")
        self._sessions = Sessions(engine.connect, time.monotonic)
        # Below what the engine keeps free for itself: until there, it refuses what would not fit.
        self.disk = DiskGuard(engine, engine.directory, engine.keep_free_bytes // 2)
        self.disk.start()
        self.executor = Executor(engine, policy, self._sessions, self.disk)
        self._running: set[str] = set()

    def begin(self, tag: str) -> None:
        self._running.add(tag)
        self.metrics.begin()

    def finish(self, tag: str, kind: RequestKind, outcome: Outcome, started_s: float) -> None:
        self._running.discard(tag)
        self.metrics.finish(kind, outcome, time.monotonic() - started_s)

    def kill(self, tag: str) -> None:
        """Asks the engine to end the request's query, off the event loop."""
        self._control.submit(self._kill, tag)

    def _kill(self, tag: str) -> None:
        try:
            self.engine.kill(tag)
        except StoreError as error:
            logger.warning("cannot end the query of a client that has gone: %s", error.message)

    def close(self) -> None:
        """Ends what still runs, waits for the threads, closes sessions and engine."""
        for tag in tuple(self._running):
            self.kill(tag)
        self._control.shutdown(wait=True)
        self.pool.shutdown(wait=True)
        self._sessions.close()
        self.disk.close()
        self.engine.close()


def build_app(service: StoreService) -> Starlette:
    """The application; the caller owns ``service`` and closes it after the server has stopped."""

    async def ping(_: Request) -> Response:
        return PlainTextResponse("Ok.\n")

    async def metrics(_: Request) -> Response:
        return PlainTextResponse(
            service.metrics.render(time.monotonic()), media_type="text/plain; version=0.0.4; charset=utf-8"
        )

    async def root(request: Request) -> Response:
        return await _Exchange(service, request).answer()

    return Starlette(
        routes=[
            Route("/", root, methods=["GET", "POST"]),
            Route("/ping", ping),
            Route("/replicas_status", ping),
            Route("/metrics", metrics),
        ]
    )


class _Exchange:
    """One request and its reply."""

    def __init__(self, service: StoreService, request: Request) -> None:
        self._service = service
        self._request = request
        self._started_s = time.monotonic()
        self._parameters = dict(request.query_params)
        self._query_id = self._parameters.get("query_id") or str(uuid.uuid4())
        self._tag = f"store-{uuid.uuid4()}"
        identity = service.engine.identity
        self._headers = {
            "X-ClickHouse-Server-Display-Name": identity.display_name,
            "X-ClickHouse-Query-Id": _header_safe(self._query_id),
            "X-ClickHouse-Timezone": identity.timezone,
        }

    async def answer(self) -> Response:
        request = self._request
        if is_foreign_page(request.headers, self._service.loopback_only):
            return self._error(
                store_error(ACCESS_DENIED, "ACCESS_DENIED", "Requests from web pages of other origins are not served.")
            )
        if request.method != "POST" and not self._parameters.get("query"):
            return PlainTextResponse("Ok.\n", headers=self._headers)
        self._service.begin(self._tag)
        try:
            user = self._service.policy.authenticate(request.headers, self._parameters)
            await self._read_form()
        except StoreError as error:
            self._service.finish(self._tag, "other", "client_error", self._started_s)
            return self._error(error, close=True)
        feed = BodyFeed(_chunks(request))
        store_request = StoreRequest(request.method, request.headers, self._parameters, self._tag)
        loop = asyncio.get_running_loop()
        try:
            await feed.prefetch()
            running = loop.run_in_executor(
                self._service.pool, self._service.executor.run, store_request, user, feed.slices()
            )
            while not (await asyncio.wait({running}, timeout=_POLL_S))[0]:
                # Asking for a disconnect consumes body messages, so only once there are none left.
                if feed.exhausted and await request.is_disconnected():
                    self._service.kill(self._tag)
            reply = await running
        except ClientDisconnect:
            self._service.finish(self._tag, "other", "disconnected", self._started_s)
            return Response(status_code=499)
        except Exception as error:
            known = error if isinstance(error, StoreError) else from_engine(error)
            if not isinstance(error, StoreError):
                logger.exception("a request failed outside the engine")
            return await self._failed(known, feed)
        except asyncio.CancelledError:
            self._service.kill(self._tag)
            self._service.finish(self._tag, "other", "disconnected", self._started_s)
            raise
        finally:
            self._service.metrics.add(received_bytes=feed.received_bytes)
        return self._reply(reply)

    async def _read_form(self) -> None:
        """Multipart bodies carry parameters (and external tables, which are not supported)."""
        if not self._request.headers.get("content-type", "").startswith("multipart/form-data"):
            return
        self._parameters |= form_fields(self._request.headers["content-type"], await self._request.body())

    async def _failed(self, error: StoreError, feed: BodyFeed) -> Response:
        disconnected = feed.exhausted and await self._request.is_disconnected()
        outcome: Outcome = "disconnected" if disconnected else "client_error" if error.status < 500 else "server_error"
        self._service.finish(self._tag, "other", outcome, self._started_s)
        try:
            complete = await feed.drain(_DRAIN_BYTES)
        except (StoreError, ClientDisconnect):
            complete = False
        await feed.close()
        return self._error(error, close=not complete)

    def _error(self, error: StoreError, *, close: bool = False) -> Response:
        text = f"{error.message} (version {self._service.engine.identity.version} (official build))\n".encode()
        headers = {
            **self._headers,
            "X-ClickHouse-Exception-Code": str(error.code),
            "Content-Type": "text/plain; charset=UTF-8",
        }
        if close:
            headers["Connection"] = "close"
        # A client that asked for native frames reads the error through the same decoder.
        framed = self._parameters.get("compress") == "1"
        return Response(compression.frames(text) if framed else text, error.status, headers)

    def _reply(self, reply: Reply) -> Response:
        framed = self._parameters.get("compress") == "1"
        encoding = ""
        if not framed and self._parameters.get("enable_http_compression") == "1":
            encoding = compression.choose_encoding(self._request.headers.get("accept-encoding", ""))
        headers = {
            **self._headers,
            "X-ClickHouse-Format": reply.format,
            "X-ClickHouse-Summary": json.dumps(reply.summary),
            "Content-Type": _CONTENT_TYPES.get(reply.format, "text/plain; charset=UTF-8"),
        }
        if encoding:
            headers["Content-Encoding"] = encoding
        encoder = compression.encoder(encoding, framed)
        self._service.metrics.add(inserted_rows=reply.inserted_rows)
        if not reply.streamed:
            parts = [encoder.chunk(chunk) for chunk in reply.chunks]
            body = b"".join((*parts, encoder.end()))
            self._service.metrics.add(sent_bytes=len(body))
            self._service.finish(self._tag, reply.kind, "ok", self._started_s)
            return Response(body, 200, headers)
        return ReplyResponse(
            reply.chunks,
            encoder=encoder,
            headers=headers,
            pool=self._service.pool,
            is_disconnected=self._request.is_disconnected,
            on_disconnect=lambda: self._service.kill(self._tag),
            on_sent=lambda size: self._service.metrics.add(sent_bytes=size),
            on_end=lambda outcome: self._service.finish(self._tag, reply.kind, outcome, self._started_s),
        )


async def _chunks(request: Request) -> AsyncIterator[bytes]:
    if request.headers.get("content-type", "").startswith("multipart/form-data"):
        return
    async for chunk in request.stream():
        if chunk:
            yield chunk


def _header_safe(text: str) -> str:
    return "".join(character for character in text if 32 <= ord(character) < 127)[:200]
