"""An emitter's counters for the gateway's own Prometheus registry.

from prometheus_client import REGISTRY
REGISTRY.register(EmitterMetrics(emitter))
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from tokentide_producers.emitter import Emitter
from tokentide_schemas.health import StatusCollector


class EmitterMetrics(Collector):
    """The metrics of process `gateway` in `tokentide_schemas.process_metrics`, read when they are scraped."""

    def __init__(self, emitter: Emitter) -> None:
        self._emitter = emitter
        self._collector = StatusCollector("gateway", self._status)

    def collect(self) -> Iterator[Metric]:
        """Prometheus' interface."""
        return self._collector.collect()

    def _status(self) -> dict[str, Any]:
        stats = self._emitter.stats()
        return {
            "accepted": stats.accepted,
            "acknowledged": stats.acknowledged,
            "in_flight": stats.in_flight,
            "dropped": {str(reason.value): count for reason, count in stats.dropped.items()},
            "retries": stats.retries,
            "spooled": stats.spooled,
            "spooled_bytes": stats.spool.spooled_bytes,
            "drained": stats.spool.drained_events,
            "evicted": stats.spool.evicted_events,
        }
