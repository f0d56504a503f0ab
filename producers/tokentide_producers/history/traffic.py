"""The scenario as usage events, in order of time. Pure: the seed and the times are arguments.

A sample's events stand together in a few minutes of each day: a rollup's row then holds several of them, where the same
events spread over half a million minutes would make one row each in every table.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa

from tokentide_producers.event_columns import binary16
from tokentide_producers.event_ids import EventIds
from tokentide_producers.history.scenario import Scenario, Segment
from tokentide_producers.history.users import Users
from tokentide_producers.traffic_model import TrafficModel
from tokentide_schemas.arrow import EVENT_SCHEMA
from tokentide_schemas.catalogue import Catalogue

GATEWAY: Final = "demo-history-0"
SLOT_MS: Final = 60_000
HOUR_MS: Final = 3_600_000
DAY_MS: Final = 24 * HOUR_MS
SLOT_HOURS: Final = (3, 9, 15, 21)
"""Hours of a scenario's day (UTC) whose first minute has events."""
EVENING: Final = (0.8, 1.0, 1.2, 1.0)
"""How busy these hours are, relative; chosen."""
_USER: Final = EVENT_SCHEMA.get_field_index("user_hash")
_SESSION: Final = EVENT_SCHEMA.get_field_index("session_hash")
_MODEL: Final = EVENT_SCHEMA.get_field_index("model")
_NODE_MASK: Final = (1 << 48) - 1


@dataclass(frozen=True, slots=True)
class Slot:
    """Events that stand together. start_ms: since 1970, as it is sent. month: number of its calendar month."""

    segment: Segment
    start_ms: int
    events: int
    month: int


@dataclass(frozen=True, slots=True)
class Span:
    """Where the scenario is put. shift_ms: added to its own dates; whole hours."""

    start_ms: int
    end_ms: int
    shift_ms: int


def place(scenario: Scenario, end_ms: int | None) -> Span:
    """The scenario at its own dates, or shifted so that it ends in the hour of `end_ms`."""
    start, end = (_midnight_ms(day) for day in (scenario.start, scenario.end))
    shift = 0 if end_ms is None else end_ms // HOUR_MS * HOUR_MS - end
    return Span(start + shift, end + shift, shift)


def slots(scenario: Scenario, events: int, span: Span) -> list[Slot]:
    """All slots in order of time. Their events sum to `events`; rounding is carried along, so none is lost."""
    weights = [
        (segment, day, hour, rate * busy)
        for segment, rate in zip(scenario.segments, scenario.requests_per_day(), strict=True)
        for day in range(segment.days)
        for hour, busy in zip(SLOT_HOURS, EVENING, strict=True)
    ]
    ends = np.cumsum([weight for *_, weight in weights])
    counts = np.diff(np.round(ends / ends[-1] * events).astype(np.int64), prepend=0)
    first = _month(span.start_ms)
    found = []
    for (segment, day, hour, _), count in zip(weights, counts.tolist(), strict=True):
        start_ms = _midnight_ms(segment.start) + day * DAY_MS + hour * HOUR_MS + span.shift_ms
        found.append(Slot(segment, start_ms, count, _month(start_ms) - first))
    return found


class HistoryTraffic:
    """Draws the scenario's events. The same scenario, events, span and seed give the same events."""

    def __init__(self, scenario: Scenario, catalogue: Catalogue, events: int, span: Span, seed: int) -> None:
        self._scenario = scenario
        self._catalogue = catalogue
        self._seed = seed
        self._shift_ms = span.shift_ms
        self.slots = slots(scenario, events, span)
        content = scenario.content
        self.users = Users(self._expected(), content["retention"], content["requests_per_user"], seed)

    def _expected(self) -> dict[str, list[float]]:
        """Requests of each model in each month."""
        months = self.slots[-1].month + 1
        in_month: dict[tuple[Segment, int], int] = {}
        for slot in self.slots:
            in_month[slot.segment, slot.month] = in_month.get((slot.segment, slot.month), 0) + slot.events
        expected: dict[str, list[float]] = {}
        shares: dict[Segment, dict[str, float]] = {}
        for (segment, month), events in in_month.items():
            if segment not in shares:
                shares[segment] = request_shares(self._model(segment))
            for model, share in shares[segment].items():
                expected.setdefault(model, [0.0] * months)[month] += share * events
        return expected

    def _model(self, segment: Segment) -> TrafficModel:
        at = dt.datetime.fromtimestamp((_midnight_ms(segment.middle) + self._shift_ms) / 1000, dt.UTC)
        return TrafficModel(self._catalogue, at, self._scenario.table(segment))

    def blocks(self) -> Iterator[pa.RecordBatch]:
        """The events of each slot, in order of time."""
        rng = np.random.default_rng([self._seed, 2])
        ids = EventIds(int.from_bytes(np.random.default_rng([self._seed, 3]).bytes(6)) & _NODE_MASK)
        segment: Segment | None = None
        for slot in self.slots:
            if not slot.events:
                continue
            if slot.segment is not segment:
                segment = slot.segment
                model = self._model(segment)
            batch = model.generate(slot.events, rng, slot.start_ms, SLOT_MS, GATEWAY, ids)
            yield self._with_users(batch, slot.month)

    def _with_users(self, batch: pa.RecordBatch, month: int) -> pa.RecordBatch:
        columns = batch.columns
        model = columns[_MODEL]
        users, sessions = self.users.take(model.dictionary.to_pylist(), model.indices.to_numpy(), month)
        columns[_USER], columns[_SESSION] = binary16(users), binary16(sessions)
        return pa.RecordBatch.from_arrays(columns, schema=EVENT_SCHEMA)


def request_shares(model: TrafficModel) -> dict[str, float]:
    """Part of the requests that each model of the traffic gets."""
    shares: dict[str, float] = {}
    for cell in model.cells:
        shares[cell.model.id] = shares.get(cell.model.id, 0.0) + cell.request_share
    return shares


def month_starts(span: Span) -> Sequence[dt.date]:
    """The calendar months (UTC) that a span touches."""
    first, last = _month(span.start_ms), _month(span.end_ms - 1)
    return [dt.date(month // 12, month % 12 + 1, 1) for month in range(first, last + 1)]


def _month(ms: int) -> int:
    day = dt.datetime.fromtimestamp(ms / 1000, dt.UTC)
    return day.year * 12 + day.month - 1


def _midnight_ms(day: dt.date) -> int:
    return int(dt.datetime(day.year, day.month, day.day, tzinfo=dt.UTC).timestamp() * 1000)
