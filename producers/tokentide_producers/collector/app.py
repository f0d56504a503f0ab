"""The collector as an ASGI application.

Written against ASGI itself: there are nine routes without parameters, and a body has to be counted while it comes in.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
import traceback
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from tokentide_producers.collector import metrics as metrics_page
from tokentide_producers.collector import pages, problems
from tokentide_producers.collector.access import Access
from tokentide_producers.collector.bodies import unpacked
from tokentide_producers.collector.delivery import Delivery, Outcome
from tokentide_producers.collector.intake import MAX_LISTED, EventReader, Intake
from tokentide_producers.collector.labelling import WITHOUT_RULES, Labelling
from tokentide_producers.collector.metrics import Metrics
from tokentide_producers.collector.problems import ProblemError, kafka_is_away
from tokentide_producers.collector.reading import events_in, spans_in
from tokentide_producers.collector.requests import Held, InFlight, Request, body_of, request_of
from tokentide_producers.collector.settings import CollectorSettings
from tokentide_producers.otlp.mapping import Naming
from tokentide_producers.otlp.replies import JSON as OTLP_JSON
from tokentide_producers.otlp.replies import PROTOBUF as OTLP_PROTOBUF
from tokentide_producers.otlp.replies import export_response, status_body

logger = logging.getLogger(__name__)

JSON: Final = "application/json"
_INLINE_BYTES: Final = 128 * 1024
"""Smaller bodies are read at once; larger ones in a thread, so that health checks do not wait for them."""
_MAX_GATEWAYS: Final = 1_000
_CONNECT_S: Final = 3.0


@dataclass(slots=True)
class Reply:
    """What is sent back."""

    body: bytes
    content_type: str = JSON
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


Handler = Callable[[Request], Awaitable[Reply]]


class Collector:
    """The application. now_ms: milliseconds since 1970, the clock that events are judged by."""

    def __init__(
        self,
        settings: CollectorSettings,
        access: Access,
        delivery: Delivery,
        naming: Naming,
        metrics: Metrics,
        labelling: Labelling = WITHOUT_RULES,
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self._settings = settings
        self._access = access
        self._delivery = delivery
        self._naming = naming
        self._metrics = metrics
        self._labelling = labelling
        self._now_ms = now_ms
        self._in_flight = InFlight(settings.max_in_flight_bytes)
        self._readers: dict[str, EventReader] = {}
        self._pool = ThreadPoolExecutor(1, "collector-reading")
        self._routes: dict[str, dict[str, Handler]] = {
            "/v1/events": {"POST": self._events},
            "/v1/traces": {"POST": partial(self._traces, from_openrouter=False)},
            "/v1/openrouter": {"POST": partial(self._traces, from_openrouter=True)},
            "/healthz": {"GET": self._health},
            "/readyz": {"GET": self._ready},
            "/metrics": {"GET": self._metrics_page},
            "/openapi.json": {"GET": self._openapi},
            "/docs": {"GET": self._docs},
            "/": {"GET": self._docs},
        }

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """ASGI's entry."""
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
            return
        if scope["type"] != "http":
            return
        request = request_of(scope, receive)
        route = request.path if request.path in self._routes else "other"
        try:
            reply = await self._handler(request)(request)
        except ProblemError as problem:
            reply = _refusal(problem, request)
        except Exception as error:  # noqa: BLE001 - one request's defect must not end the others
            # The words of an exception may quote the body: the log gets its kind and its place.
            places = [f"{frame.filename}:{frame.lineno}" for frame in traceback.extract_tb(error.__traceback__)[-4:]]
            logger.error("%s in a request to %s at %s", type(error).__name__, route, " < ".join(reversed(places)))
            defect = ProblemError(500, "A defect of the collector", "its log says where: please report it")
            reply = _refusal(defect, request)
        self._metrics.requests[route, reply.status] += 1
        headers = [
            (b"content-type", reply.content_type.encode()),
            (b"content-length", b"%d" % len(reply.body)),
            *((name.encode(), value.encode()) for name, value in reply.headers.items()),
        ]
        await send({"type": "http.response.start", "status": reply.status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if request.method == "HEAD" else reply.body})

    def _handler(self, request: Request) -> Handler:
        methods = self._routes.get(request.path)
        if methods is None:
            raise ProblemError(404, "No such path", f"there are: {', '.join(self._routes)}")
        handler = methods.get("GET" if request.method == "HEAD" else request.method)
        if handler is None:
            allowed = ", ".join(methods)
            raise ProblemError(405, "Method not allowed", f"this path takes {allowed}", headers={"allow": allowed})
        return handler

    async def _lifespan(self, receive: Any, send: Any) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                self._delivery.start(asyncio.get_running_loop())
                await self._connected()
                await send({"type": "lifespan.startup.complete"})
            else:
                loop = asyncio.get_running_loop()
                await loop.run_in_executor(None, self._delivery.close, self._settings.ack_timeout_s)
                self._pool.shutdown(wait=False)
                await send({"type": "lifespan.shutdown.complete"})
                return

    async def _connected(self) -> None:
        """Wait a little for Kafka, so that the first request after the start does not get a 503."""
        deadline_s = time.monotonic() + _CONNECT_S
        while not self._delivery.is_ready and time.monotonic() < deadline_s:
            await asyncio.sleep(0.01)

    # Taking events

    async def _events(self, request: Request) -> Reply:
        gateway = self._access.gateway_of(request.headers)
        now_ms = self._now_ms()
        read = partial(
            events_in,
            content_type=request.content_type,
            headers=request.headers,
            reader=self._reader(gateway),
            now_ms=now_ms,
            max_events=self._settings.max_events,
        )
        intake = await self._take(request, "/v1/events", read)
        answer: dict[str, Any] = {
            "accepted": len(intake.rows),
            "rejected": len(intake.rejections),
            "content_fields_dropped": intake.content_fields,
            "rejections": [one.as_json() for one in intake.rejections[:MAX_LISTED]],
        }
        if not intake.rows:
            raise ProblemError(422, "No event was accepted", "see rejections: what, where, what to do", extra=answer)
        return Reply(json.dumps(answer).encode())

    async def _traces(self, request: Request, *, from_openrouter: bool) -> Reply:
        gateway = self._access.gateway_of(request.headers)
        read = partial(
            spans_in,
            content_type=request.content_type,
            reader=self._reader(gateway),
            naming=self._naming,
            now_ms=self._now_ms(),
            from_openrouter=from_openrouter,
        )
        intake = await self._take(request, "/v1/openrouter" if from_openrouter else "/v1/traces", read)
        self._metrics.ignored_spans += intake.ignored
        message = "; ".join(
            f"span {one.index}: {one.field + ': ' if one.field else ''}{one.reason}: {one.hint}"
            for one in intake.rejections[:10]
        )
        return Reply(export_response(len(intake.rejections), message, request.content_type), request.content_type)

    async def _take(self, request: Request, route: str, read: Callable[[bytes], Intake]) -> Intake:
        """Body to rows to Kafka. Returns when Kafka has acknowledged all rows; raises ProblemError otherwise."""
        if not self._delivery.is_ready:
            raise kafka_is_away("nothing of this request was stored: send it again in a few seconds")
        settings = self._settings
        held = Held(self._in_flight)
        try:
            body = await body_of(request, settings.max_body_bytes, settings.read_timeout_s, held)
            encoding = request.headers.get("content-encoding", "")
            if len(body) > _INLINE_BYTES or (encoding and len(body) > _INLINE_BYTES // 8):
                loop = asyncio.get_running_loop()
                intake = await loop.run_in_executor(self._pool, self._read, body, encoding, held, read)
            else:
                intake = self._read(body, encoding, held, read)
            self._metrics.content_fields[route] += intake.content_fields
            for one in intake.rejections:
                self._metrics.rejected[route, one.reason.value] += 1
            if intake.rows:
                answer = self._delivery.offer(intake.rows, intake.sizes, held.release)
                # From here on the delivery gives the bytes back, which may be after this request has gone.
                held = Held(self._in_flight)
                _check(await answer)
            self._metrics.accepted[route] += len(intake.rows)
            return intake
        finally:
            held.release()

    def _read(self, body: bytes, encoding: str, held: Held, read: Callable[[bytes], Intake]) -> Intake:
        plain = unpacked(body, encoding, self._settings.max_unpacked_bytes)
        if plain is not body:
            held.add(len(plain))
        return read(plain)

    def _reader(self, gateway: str) -> EventReader:
        reader = self._readers.get(gateway)
        if reader is None:
            if len(self._readers) >= _MAX_GATEWAYS:
                self._readers.clear()
            reader = self._readers[gateway] = EventReader(gateway, labelling=self._labelling)
        return reader

    # Being looked at

    async def _health(self, _: Request) -> Reply:
        return Reply(b'{"status":"ok"}')

    async def _ready(self, _: Request) -> Reply:
        if not self._delivery.is_ready:
            raise kafka_is_away("check that the broker runs and TOKENTIDE_KAFKA_BOOTSTRAP_SERVERS")
        return Reply(b'{"status":"ready"}')

    async def _metrics_page(self, _: Request) -> Reply:
        return Reply(self.metrics_text().encode(), metrics_page.CONTENT_TYPE)

    @property
    def is_ready(self) -> bool:
        """Kafka has answered lately."""
        return self._delivery.is_ready

    def metrics_text(self) -> str:
        """The page for Prometheus; from any thread."""
        return self._metrics.page(in_flight_bytes=self._in_flight.bytes, kafka_ready=self._delivery.is_ready)

    async def _openapi(self, _: Request) -> Reply:
        return Reply(pages.openapi_json())

    async def _docs(self, _: Request) -> Reply:
        return Reply(pages.docs_html(), "text/html; charset=utf-8", headers=pages.SECURITY_HEADERS)


def _check(outcome: Outcome) -> None:
    """Raises ProblemError for rows that Kafka has not acknowledged."""
    if outcome is Outcome.ACKNOWLEDGED:
        return
    if outcome is Outcome.REFUSED:
        raise ProblemError(500, "Kafka refuses the events", "the topic's max.message.bytes is below 8 MiB: see the log")
    raise kafka_is_away(
        "it has not acknowledged in time: send the same again. Events with an event_id, an Idempotency-Key, or out of "
        "spans are counted once even if the first attempt arrives after all"
    )


def _refusal(problem: ProblemError, request: Request) -> Reply:
    headers = problem.headers
    if request.path in ("/v1/traces", "/v1/openrouter"):
        # OTLP's exporters expect google.rpc.Status, in the encoding that they sent.
        content_type = OTLP_PROTOBUF if request.content_type == OTLP_PROTOBUF else OTLP_JSON
        body = status_body(problem.rpc_code, str(problem), content_type)
        return Reply(body, content_type, problem.status, headers)
    return Reply(problem.body(), problems.CONTENT_TYPE, problem.status, headers)
