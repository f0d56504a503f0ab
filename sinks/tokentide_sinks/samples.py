"""Lag samples: where a consumer stands, every few seconds, in the table `pipeline_samples`."""

from __future__ import annotations

import logging
from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from tokentide_sinks.settings import SinkSettings
from tokentide_sinks.store import Store, StoreUnavailableError

log = logging.getLogger(__name__)
_LABEL = pa.dictionary(pa.int32(), pa.utf8())


def sample_rows(component: str, topic: str, sampled_at_s: int, rows: Mapping[int, tuple[int, int, int]]) -> pa.Table:
    """Rows from partition -> (position offset, end offset, lag in ms)."""
    n = len(rows)
    values = list(rows.values())
    return pa.table(
        {
            "sampled_at": pa.array(np.full(n, sampled_at_s, np.int64)).cast(pa.timestamp("s", "UTC")),
            "component": pa.array([component] * n).cast(_LABEL),
            "topic": pa.array([topic] * n).cast(_LABEL),
            "partition": pa.array(list(rows), pa.uint16()),
            "position_offset": pa.array([v[0] for v in values], pa.uint64()),
            "end_offset": pa.array([v[1] for v in values], pa.uint64()),
            "lag_records": pa.array([max(0, v[1] - v[0]) for v in values], pa.uint64()),
            "lag_ms": pa.array([v[2] for v in values], pa.uint64()),
        }
    )


class Sampler:
    """Writes a component's samples at its interval. A sample that the store does not take is given up: it is only a
    picture of that moment, and the counters that matter are elsewhere."""

    def __init__(self, settings: SinkSettings, component: str, topic: str) -> None:
        self._interval_s = settings.sink_sample_interval_s
        self._component = component
        self._topic = topic
        self._sampled_at = 0.0

    def write_if_due(self, store: Store, positions: Mapping[int, tuple[int, int, int | None]], now: float) -> None:
        """Positions: partition -> (next offset, end offset, broker time in ms of the oldest unstored record)."""
        if not positions or now - self._sampled_at < self._interval_s:
            return
        self._sampled_at = now
        now_ms = int(now * 1000)
        rows = {
            number: (position, end, max(0, now_ms - oldest_ms) if oldest_ms is not None else 0)
            for number, (position, end, oldest_ms) in positions.items()
        }
        try:
            store.insert("pipeline_samples", sample_rows(self._component, self._topic, int(now), rows))
        except StoreUnavailableError as error:
            log.warning("no lag sample this time: %s", error)
