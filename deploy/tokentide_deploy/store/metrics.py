"""The store process's own counters, as Prometheus text."""

from __future__ import annotations

import threading
from collections import Counter
from typing import Literal

RequestKind = Literal["select", "insert", "other"]
Outcome = Literal["ok", "client_error", "server_error", "disconnected"]


class StoreMetrics:
    """Counters since the start; safe to change from any thread. ``started_s`` is the monotonic start time."""

    def __init__(self, started_s: float) -> None:
        self._lock = threading.Lock()
        self._started_s = started_s
        self._requests: Counter[tuple[str, str]] = Counter()
        self._seconds: Counter[str] = Counter()
        self._totals: Counter[str] = Counter()
        self._running = 0

    def begin(self) -> None:
        with self._lock:
            self._running += 1

    def finish(self, kind: RequestKind, outcome: Outcome, elapsed_s: float) -> None:
        with self._lock:
            self._running -= 1
            self._requests[kind, outcome] += 1
            self._seconds[kind] += elapsed_s  # type: ignore[assignment]

    def add(self, *, received_bytes: int = 0, sent_bytes: int = 0, inserted_rows: int = 0) -> None:
        with self._lock:
            self._totals["received_bytes"] += received_bytes
            self._totals["sent_bytes"] += sent_bytes
            self._totals["inserted_rows"] += inserted_rows

    def render(self, now_s: float) -> str:
        """Prometheus text exposition; ``now_s`` is monotonic time."""
        with self._lock:
            lines = ["# HELP tokentide_store_requests_total Requests by kind and outcome."]
            lines.append("# TYPE tokentide_store_requests_total counter")
            lines += [
                f'tokentide_store_requests_total{{kind="{kind}",outcome="{outcome}"}} {count}'
                for (kind, outcome), count in sorted(self._requests.items())
            ]
            lines.append("# HELP tokentide_store_request_seconds_total Time spent in requests by kind.")
            lines.append("# TYPE tokentide_store_request_seconds_total counter")
            lines += [
                f'tokentide_store_request_seconds_total{{kind="{kind}"}} {seconds:.6f}'
                for kind, seconds in sorted(self._seconds.items())
            ]
            for name, help_text in (
                ("inserted_rows", "Rows written by inserts, materialised views included."),
                ("received_bytes", "Request body bytes as received."),
                ("sent_bytes", "Response body bytes as sent."),
            ):
                lines.append(f"# HELP tokentide_store_{name}_total {help_text}")
                lines.append(f"# TYPE tokentide_store_{name}_total counter")
                lines.append(f"tokentide_store_{name}_total {self._totals[name]}")
            lines.append("# HELP tokentide_store_running_queries Requests that are being served now.")
            lines.append("# TYPE tokentide_store_running_queries gauge")
            lines.append(f"tokentide_store_running_queries {self._running}")
            lines.append("# HELP tokentide_store_uptime_seconds Time since the process was ready.")
            lines.append("# TYPE tokentide_store_uptime_seconds gauge")
            lines.append(f"tokentide_store_uptime_seconds {now_s - self._started_s:.3f}")
        return "\n".join(lines) + "\n"
