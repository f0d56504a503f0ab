"""A collector for tests: the real application on a real socket, and what readers would count of what it sent."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterable, Iterator
from typing import Any

import httpx
import uvicorn

from tokentide_producers.collector.build import build_collector
from tokentide_producers.collector.settings import CollectorSettings
from tokentide_schemas.block import assemble
from tokentide_schemas.envelope import Record, decode
from tokentide_schemas.event_ids import Delivered, without_repeated_events

HASH_KEY = "a secret of the tests"
EVENT = {
    "occurred_at": "2025-01-31T12:00:00.123Z",
    "request_model": "openai/gpt-5",
    "provider": "openai",
    "input_uncached_tokens": 1200,
    "output_tokens": 340,
    "usage_reported": True,
    "outcome": "ok",
}


class Topic:
    """The usage topic of a mock cluster, read piece by piece."""

    def __init__(self, kafka: Any) -> None:
        self._kafka = kafka
        self.bootstrap_servers: str = kafka.bootstrap_servers
        self._taken: set[tuple[int, int]] = set()

    def take(self) -> list[Record]:
        """The records since the last call."""
        new = [one for one in self._kafka.records() if (one.partition, one.offset) not in self._taken]
        self._taken |= {(one.partition, one.offset) for one in new}
        return new


@contextlib.contextmanager
def running_collector(servers: str, **settings: Any) -> Iterator[httpx.Client]:
    """A client of a collector that runs in a thread until the block ends. Waits until it is ready."""
    app = build_collector(servers, CollectorSettings(**settings))
    # As collector_process runs it.
    options: dict[str, Any] = {"http": "httptools", "loop": "uvloop", "ws": "none", "lifespan": "on"}
    config = uvicorn.Config(app, host="127.0.0.1", port=0, access_log=False, log_config=None, **options)
    server = uvicorn.Server(config)
    server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        deadline_s = time.monotonic() + 30
        while not server.started:
            assert time.monotonic() < deadline_s and thread.is_alive(), "the collector did not start"
            time.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
            while client.get("/readyz").status_code != 200:
                assert time.monotonic() < deadline_s, "the collector did not reach Kafka"
                time.sleep(0.01)
            yield client
    finally:
        server.should_exit = True
        thread.join(30)
        assert not thread.is_alive()


def counted(records: Iterable[Record]) -> list[dict[str, Any]]:
    """The events that the raw table and the rollups would have: repeats taken out as every reader does."""
    found: list[dict[str, Any]] = []
    seen: dict[int, Delivered] = {}
    for record in records:
        delivered = seen.setdefault(record.partition, Delivered())
        envelope = decode(record)
        assert not envelope.rejections, envelope.rejections
        identity = envelope.identity
        if identity and not delivered.envelopes.admit(identity.producer_id, identity.sequence, record.appended_at_ms):
            continue
        block = assemble([envelope])
        assert block.rejections == ((),), block.rejections
        block, _ = without_repeated_events(block, [envelope], delivered.event_ids)
        found += block.table.to_pylist()
    return found


def as_text(event: dict[str, Any]) -> dict[str, Any]:
    """An event as a golden file has it: bytes as hexadecimal, the time as text."""
    shown = {name: value.hex() if isinstance(value, bytes) else value for name, value in event.items()}
    return {**shown, "occurred_at": event["occurred_at"].strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"}


def span(attributes: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """A span in OTLP's JSON: two seconds long, ended at 2025-01-31 12:00:00.123."""
    return {
        "traceId": "5b8efff798038103d269b633813fc60c",
        "spanId": "eee19b7ec3c1b174",
        "name": "chat gpt-5",
        "kind": 3,
        "startTimeUnixNano": "1738324798123000000",
        "endTimeUnixNano": "1738324800123000000",
        "attributes": [{"key": key, "value": any_value(value)} for key, value in attributes.items()],
        **changes,
    }


def any_value(value: Any) -> dict[str, Any]:
    """A value as OTLP's JSON has it."""
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    if isinstance(value, float):
        return {"doubleValue": value}
    if isinstance(value, list):
        return {"arrayValue": {"values": [any_value(item) for item in value]}}
    return {"stringValue": value}


def export(*spans: dict[str, Any], scope: str = "test", **resource: Any) -> dict[str, Any]:
    """An export with these spans."""
    attributes = [{"key": key.replace("_", "."), "value": any_value(value)} for key, value in resource.items()]
    return {
        "resourceSpans": [
            {
                "resource": {"attributes": attributes},
                "scopeSpans": [{"scope": {"name": scope}, "spans": list(spans)}],
            }
        ]
    }
