"""/healthz, /readyz and /metrics of a process, from a thread of its own that only reads what the process last said.

Nothing here waits for the process, asks Kafka or the store, or raises into the process: it says `tick` and `ready`.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any, Final, Self

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from tokentide_schemas.process_metrics import Kind, MetricDef, metrics_of
from tokentide_schemas.settings import HealthSettings

log = logging.getLogger(__name__)

TEXT: Final = "text/plain; version=0.0.4; charset=utf-8"
STALE_S: Final = 120.0
"""A loop that has not turned for so long hangs: the longest legitimate wait, for Kafka or an insert, is shorter."""
START_S: Final = 900.0
"""Before its first turn a process may recover a large state."""
_REQUEST_S: Final = 2.0


class Health:
    """What a process says of itself. `tick` and `ready` may be called from any thread and never raise or wait.

    more: further metrics as Prometheus text, for a process that keeps its own. clock: seconds, monotonic.
    """

    def __init__(
        self, process: str, more: Callable[[], str] | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.process = process
        self._more = more
        self._clock = clock
        self._started_s = clock()
        self._ticked_s: float | None = None
        self._is_ready = False
        self._problems: tuple[str, ...] = ()
        self._status: Mapping[str, Any] = {}
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._registry.register(StatusCollector(process, lambda: self._status))
        self._server: HTTPServer | None = None

    def ready(self, is_ready: bool = True) -> None:
        """The process does (or no longer does) its work."""
        self._is_ready = is_ready

    def tick(self, status: Mapping[str, Any] | None = None, problems: Sequence[str] = ()) -> None:
        """The process' loop has turned. status: its counters. problems: what keeps it from its work, in words."""
        self._ticked_s = self._clock()
        self._problems = tuple(problems)
        if status is not None:
            self._status = dict(status)

    def healthz(self) -> tuple[bool, dict[str, Any]]:
        """Whether the loop turns; what is told about it."""
        since_s = self._clock() - (self._started_s if self._ticked_s is None else self._ticked_s)
        is_alive = since_s < (START_S if self._ticked_s is None else STALE_S)
        return is_alive, {"process": self.process, "alive": is_alive, "seconds_since_loop": round(since_s, 1)}

    def readyz(self) -> tuple[bool, dict[str, Any]]:
        """Whether the process does its work now; why not."""
        problems = list(self._problems)
        if not self._is_ready:
            problems.append("it is starting: not everything that it needs is there yet")
        if not self.healthz()[0]:
            problems.append("its loop hangs")
        return not problems, {"process": self.process, "ready": not problems, "problems": problems}

    def metrics(self) -> bytes:
        """The page for Prometheus."""
        text = generate_latest(self._registry)
        return text + (self._more().encode() if self._more is not None else b"")

    def serve(self, settings: HealthSettings) -> Self:
        """Answer HTTP as the settings say; without a port, nothing. A port that is taken is told in the log and the
        process goes on: it must not fail for want of a probe."""
        if not settings.health_port:
            return self
        try:
            server = HTTPServer((settings.health_host, settings.health_port), _handler(self))
        except OSError as error:
            log.error(
                "health and metrics are not served: %s:%d: %s; set TOKENTIDE_HEALTH_PORT to a free port",
                *(settings.health_host, settings.health_port, error.strerror or error),
            )
            return self
        self._server = server
        threading.Thread(target=server.serve_forever, name="tokentide-health", daemon=True).start()
        return self

    @property
    def port(self) -> int | None:
        """Where it is served, None when it is not."""
        return None if self._server is None else int(self._server.server_address[1])

    def close(self) -> None:
        """Stop answering."""
        server, self._server = self._server, None
        if server is not None:
            server.shutdown()
            server.server_close()


class StatusCollector:
    """The declared metrics of a process, from its latest counters. What the process does not say is left out."""

    def __init__(self, process: str, status: Callable[[], Mapping[str, Any]]) -> None:
        self._definitions = metrics_of(process)
        self._status = status

    def collect(self) -> Iterator[Metric]:
        """Prometheus' interface."""
        status = self._status()
        for one in self._definitions:
            if one.source and status.get(one.source) is not None:
                yield _family(one, status[one.source])


def _family(one: MetricDef, value: Any) -> Metric:
    kind = CounterMetricFamily if one.kind is Kind.COUNTER else GaugeMetricFamily
    family = kind(one.name, one.meaning, labels=[one.label] if one.label else None)
    for label, number in value.items() if one.label else (("", value),):
        family.add_metric([str(label)] if one.label else [], float(number) / one.divisor)
    return family


def _handler(health: Health) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        server_version = "tokentide"
        sys_version = ""
        timeout = _REQUEST_S

        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            try:
                if path == "/metrics":
                    self._answer(200, health.metrics(), TEXT)
                elif path in ("/healthz", "/readyz"):
                    is_well, told = health.healthz() if path == "/healthz" else health.readyz()
                    self._answer(200 if is_well else 503, json.dumps(told).encode() + b"\n", "application/json")
                else:
                    self._answer(404, b"ask for /healthz, /readyz or /metrics\n", TEXT)
            except OSError:
                # Whoever asked has gone.
                self.close_connection = True

        do_HEAD = do_GET  # noqa: N815 - the name is the library's

        def _answer(self, status: int, body: bytes, content_type: str) -> None:
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Cache-Control", "no-store")
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """A probe every few seconds is no news."""

    return Handler
