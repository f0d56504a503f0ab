"""Queries that people and panels ask, timed while events are flowing."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, Final

from tests.benchmarks.suite.usage import percentile

PAUSE_S: Final = 3.0
"""Between two queries, so that they stay what they are in practice: a small part of the work."""

QUERIES: Final[dict[str, str]] = {
    "tokens by model, last 15 minutes": (
        "SELECT model, sum(total_tokens) AS tokens FROM rollup_1m WHERE window_start >= now() - INTERVAL 15 MINUTE "
        "GROUP BY model ORDER BY tokens DESC LIMIT 20"
    ),
    "requests a minute by category, last hour": (
        "SELECT window_start, category, sum(requests) AS requests FROM rollup_1m "
        "WHERE window_start >= now() - INTERVAL 1 HOUR GROUP BY window_start, category ORDER BY window_start"
    ),
    "raw errors by provider, last minute": (
        "SELECT provider, error_type, count() FROM events "
        "WHERE occurred_at >= now64(3) - INTERVAL 60 SECOND AND outcome = 'error' GROUP BY provider, error_type"
    ),
    "newest events": (
        "SELECT occurred_at, model, provider, output_tokens FROM events ORDER BY occurred_at DESC LIMIT 20"
    ),
}


class QueryTimer:
    """Asks the queries in turn in one thread. client: makes a ClickHouse client for that thread."""

    def __init__(self, client: Callable[[], Any]) -> None:
        self._client = client
        self._times: dict[str, list[float]] = {name: [] for name in QUERIES}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="queries", daemon=True)
        self._problem: BaseException | None = None

    def start(self) -> None:
        """Begin to ask."""
        self._thread.start()

    def stop(self) -> dict[str, dict[str, float | int | None]]:
        """End, and the times in milliseconds. Raises what went wrong in the thread."""
        self._stop.set()
        self._thread.join()
        if self._problem is not None:
            raise self._problem
        return {
            name: {
                "runs": len(times),
                "p50_ms": _ms(percentile(times, 0.5)),
                "p99_ms": _ms(percentile(times, 0.99)),
            }
            for name, times in self._times.items()
        }

    def _run(self) -> None:
        try:
            client = self._client()
            while not self._stop.is_set():
                for name, sql in QUERIES.items():
                    began = time.perf_counter()
                    client.query(sql)
                    self._times[name].append(time.perf_counter() - began)
                    if self._stop.wait(PAUSE_S):
                        break
            client.close()
        except BaseException as error:  # noqa: BLE001 - handed to the thread that waits
            self._problem = error


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 1)
