"""A store with a year of simulated traffic, dense in its last two hours, for a board to draw."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Iterator

import numpy as np
from tests.dashboards import alert_rows
from tests.store.seeded_store import fill, prepare

from tokentide_producers.event_ids import EventIds
from tokentide_producers.traffic_model import TrafficModel, from_gateway
from tokentide_schemas.catalogue import load_catalogue
from tokentide_schemas.envelope import CONTENT_TYPE_ARROW, Record, encode_arrow, headers_for
from tokentide_sinks.store import Store
from tokentide_sinks.users import count_users

DAYS = 370
EVENTS_A_DAY = 80
RECENT_EVENTS = 2_400
RECENT_MS = 2 * 3_600_000
DAY_MS = 86_400_000
PARTITIONS = 2


def _records(now_ms: int) -> Iterator[Record]:
    rng = np.random.default_rng(7)
    ids = EventIds(7)
    start_ms = now_ms - DAYS * DAY_MS
    offsets = [0] * PARTITIONS
    pieces: list[tuple[int, int, int]] = []
    for week in range(0, DAYS - 7, 7):
        # Traffic grows over the year, so that trends have something to show.
        pieces.append((start_ms + week * DAY_MS, 7 * DAY_MS, round(EVENTS_A_DAY * 7 * (0.4 + week / DAYS))))
    pieces.append((now_ms - 6 * DAY_MS, 6 * DAY_MS - RECENT_MS, EVENTS_A_DAY * 10))
    pieces += [(now_ms - RECENT_MS + i * RECENT_MS // 8, RECENT_MS // 8, RECENT_EVENTS // 8) for i in range(8)]
    catalogue = load_catalogue(())
    models = {}
    for number, (begin_ms, span_ms, events) in enumerate(pieces):
        month = begin_ms // (30 * DAY_MS)
        if month not in models:
            models[month] = TrafficModel(catalogue, dt.datetime.fromtimestamp(begin_ms / 1000, dt.UTC))
        block = models[month].generate(events, rng, begin_ms, span_ms, "gw-0", ids)
        partition = number % PARTITIONS
        headers = dict(headers_for(CONTENT_TYPE_ARROW, events, f"producer-{partition}", offsets[partition]))
        value = encode_arrow(from_gateway(block, "gw-0"))
        yield Record(partition, offsets[partition], begin_ms + span_ms, value, headers)
        offsets[partition] += 1


def seed(url: str, now_ms: int | None = None) -> None:
    """Fill the store at `url` (an address of the writer)."""
    now_ms = round(time.time() * 1000) if now_ms is None else now_ms
    store = Store(url)
    try:
        prepare(store, now_ms)
        fill(store, _records(now_ms), now_ms)
        while count_users(store):
            pass
        store.command(
            "INSERT INTO pipeline_samples SELECT now64(3) - toIntervalSecond(number * 10), component, 'usage', 0, "
            "1000, 1000, (number * length(component)) % 41, 90 + (number * length(component)) % 97 FROM numbers(700) "
            "ARRAY JOIN ['stream', 'events-sink', 'rollups-sink'] AS component"
        )
        alert_rows.insert(
            store.command, dt.datetime.fromtimestamp(now_ms / 1000 - 900, dt.UTC), dt.timedelta(minutes=50)
        )
    finally:
        store.close()
