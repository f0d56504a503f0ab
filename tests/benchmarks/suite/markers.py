"""How long an event takes until a query sees it: marker events of their own, sent beside the load and asked for.

The time of a marker begins right before it is handed to a Kafka client and ends when the answer that shows it has
arrived. Raw and rollups are asked in turn about every 200 ms, so figures are too long by up to that much, never short.
"""

from __future__ import annotations

import datetime as dt
import json
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from confluent_kafka import Producer

from tokentide_schemas import topics

PROVIDER = "bench-probe"
EVERY_S = 0.5
ASK_S = 0.2
GIVE_UP_S = 60.0


@dataclass(slots=True)
class Delays:
    """Seconds from sending until visible, in order of sending. lost: markers that were not seen in time."""

    raw_s: list[float] = field(default_factory=list)
    rollups_s: list[float] = field(default_factory=list)
    sent: int = 0
    lost: int = 0


@dataclass(slots=True)
class _Marker:
    name: str
    sent_s: float
    occurred_ms: int


class Prober:
    """Sends markers and asks for them in one thread. client: makes a ClickHouse client for that thread."""

    def __init__(self, kafka: str, client: Callable[[], Any], partitions: int) -> None:
        self.delays = Delays()
        self._kafka = kafka
        self._client = client
        self._partitions = partitions
        self._run_id = uuid.uuid4().hex[:8]
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="markers", daemon=True)
        self.problem: BaseException | None = None

    def start(self) -> None:
        """Begin to send."""
        self._thread.start()

    def stop(self) -> Delays:
        """Send no more, wait for those that are under way. Raises what went wrong in the thread."""
        self._stop.set()
        self._thread.join()
        if self.problem is not None:
            raise self.problem
        return self.delays

    def _run(self) -> None:
        try:
            self._probe()
        except BaseException as error:  # noqa: BLE001 - handed to the thread that waits
            self.problem = error

    def _probe(self) -> None:
        client = self._client()
        producer = Producer({"bootstrap.servers": self._kafka, "linger.ms": 0})
        raw: dict[str, _Marker] = {}
        rollups: dict[str, _Marker] = {}
        next_s = time.monotonic()
        last_s = float("inf")
        while True:
            now = time.monotonic()
            if self._stop.is_set():
                last_s = min(last_s, now)
                if not raw and not rollups:
                    break
            elif now >= next_s:
                marker = self._send(producer)
                raw[marker.name] = rollups[marker.name] = marker
                next_s += EVERY_S
            producer.poll(0)
            self._ask(client, "events", "occurred_at", raw, self.delays.raw_s)
            self._ask(client, "rollup_model_partials", "window_start", rollups, self.delays.rollups_s)
            for waiting in (raw, rollups):
                for name, marker in list(waiting.items()):
                    if time.monotonic() - marker.sent_s > GIVE_UP_S:
                        del waiting[name]
                        self.delays.lost += 1
            time.sleep(max(0.0, ASK_S - (time.monotonic() - now)))
        client.close()

    def _send(self, producer: Producer) -> _Marker:
        number = self.delays.sent
        self.delays.sent += 1
        occurred_ms = time.time_ns() // 1_000_000
        marker = _Marker(f"bench/{self._run_id}-{number % 400}", time.monotonic(), occurred_ms)
        moment = dt.datetime.fromtimestamp(occurred_ms / 1000, dt.UTC).isoformat(timespec="milliseconds")
        event = {
            "occurred_at": moment,
            "request_model": marker.name,
            "provider": PROVIDER,
            "input_uncached_tokens": 1,
            "output_tokens": 1,
            "usage_reported": True,
            "outcome": "ok",
        }
        producer.produce(
            topics.USAGE,
            json.dumps(event).encode(),
            partition=number % self._partitions,
            headers=[("content-type", b"application/json")],
        )
        return marker

    @staticmethod
    def _ask(client: Any, table: str, column: str, waiting: dict[str, _Marker], delays: list[float]) -> None:
        if not waiting:
            return
        if column == "occurred_at":
            moments = {f"toDateTime64({marker.occurred_ms / 1000:.3f}, 3, 'UTC')" for marker in waiting.values()}
        else:
            moments = {f"toDateTime({marker.occurred_ms // 60_000 * 60}, 'UTC')" for marker in waiting.values()}
        rows = client.query(
            f"SELECT DISTINCT model FROM {table} WHERE {column} IN ({', '.join(sorted(moments))}) "
            f"AND provider = '{PROVIDER}'"
        ).result_rows
        now = time.monotonic()
        for (name,) in rows:
            marker = waiting.pop(name, None)
            if marker is not None:
                delays.append(now - marker.sent_s)
