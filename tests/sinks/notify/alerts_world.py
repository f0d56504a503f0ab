"""Alerts, real HTTP servers as receivers, and a Kafka: the mock cluster inside librdkafka."""

from __future__ import annotations

import datetime as dt
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from confluent_kafka import Consumer, Producer, TopicPartition

from tokentide_schemas import topics
from tokentide_schemas.alert_deliveries import KIND_DELIVERY, AlertDelivery
from tokentide_schemas.alerts import HEADER_KIND, KIND_CHANGE, AlertChange

BEGAN = dt.datetime(2026, 11, 22, 22, 14, tzinfo=dt.UTC)


def an_alert(number: int = 1, state: str = "firing", **changed: Any) -> AlertChange:
    """A launch that took 8.1 percentage points; `changed` replaces fields."""
    minutes = {"pending": 0, "firing": 1, "resolved": 31}[state]
    at = BEGAN + dt.timedelta(minutes=minutes)
    fields: dict[str, Any] = {
        "alert_id": uuid.UUID(int=number),
        "state": state,
        "rule": "model-share",
        "kind": "launch",
        "severity": "warning",
        "measure": "tokens",
        "dimension": "model",
        "scope": "category=programming",
        "keys": ("openai/gpt-5.1-codex", "x-ai/grok-code-fast-1"),
        "direction": "up",
        "value": 8.1,
        "reference": 0.0,
        "change": 8.1,
        "unit": "pp",
        "window_s": 60,
        "started_at": BEGAN,
        "detected_at": BEGAN + dt.timedelta(minutes=1),
        "changed_at": at,
        "emitted_at": at + dt.timedelta(seconds=9),
        "summary": 'openai/gpt-5.1-codex <new> took 8.1 pp & "leads"',
        "contributions": [
            {"key": "openai/gpt-5.1-codex", "before": 0.0, "after": 8.1, "change_pp": 8.1},
            {"key": "x-ai/grok-code-fast-1", "before": 6.6, "after": 5.6, "change_pp": -1.0},
        ],
        "labels": {"team": "gateway"},
        "runbook_url": "https://docs.example.com/runbooks/launch",
    }
    return AlertChange.model_validate(fields | changed)


def lately(change: AlertChange) -> AlertChange:
    """The same, emitted just now."""
    return change.model_copy(update={"emitted_at": dt.datetime.now(dt.UTC)})


@dataclass
class Told:
    """One request that a receiver got."""

    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class FakeReceiver:
    """An HTTP server. answer: called with how many requests came before, gives status and headers."""

    answer: Callable[[int], tuple[int, dict[str, str]]] = lambda _before: (200, {})
    got: list[Told] = field(default_factory=list)
    hangs: threading.Event = field(default_factory=threading.Event)
    url: str = ""

    def serve(self) -> ThreadingHTTPServer:
        """Listen on a free port."""
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.got.append(Told(self.path, dict(self.headers), body))
                status, headers = outer.answer(len(outer.got) - 1)
                if status == 0:
                    outer.hangs.wait(60)
                    return
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                return

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        self.url = f"http://127.0.0.1:{server.server_address[1]}"
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return server


class AlertsTopic:
    """A broker with the alerts topic; everything is in its partition 0."""

    def __init__(self) -> None:
        self._owner = Producer({"bootstrap.servers": "unused", "test.mock.num.brokers": 1, "log_level": 0})
        metadata = self._owner.list_topics(topics.ALERTS, timeout=10)
        broker = next(iter(metadata.brokers.values()))
        self.servers = f"{broker.host}:{broker.port}"
        self._producer = Producer({"bootstrap.servers": self.servers})

    def say(self, *changes: AlertChange) -> None:
        for change in changes:
            self._producer.produce(
                topics.ALERTS, change.model_dump_json().encode(), partition=0, headers={HEADER_KIND: KIND_CHANGE}
            )
        assert self._producer.flush(20) == 0

    def deliveries(self) -> list[AlertDelivery]:
        """What the notifier has recorded, oldest first."""
        consumer = Consumer({"bootstrap.servers": self.servers, "group.id": "test", "enable.auto.commit": False})
        found = []
        try:
            place = TopicPartition(topics.ALERTS, 0, 0)
            _, high = consumer.get_watermark_offsets(place, timeout=10)
            consumer.assign([place])
            deadline_s, taken = time.monotonic() + 20, 0
            while taken < high:
                assert time.monotonic() < deadline_s
                message = consumer.poll(0.5)
                if message is None or message.error():
                    continue
                taken = (message.offset() or 0) + 1
                if dict(message.headers() or [])[HEADER_KIND] == KIND_DELIVERY:
                    found.append(AlertDelivery.model_validate_json(message.value() or b""))
        finally:
            consumer.close()
        return found
