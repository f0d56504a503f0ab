"""Global shares against brute force over all events, whatever the order of partitions, repeats and crashes."""

from __future__ import annotations

import asyncio
import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.stream.shares_world import MINUTE_MS, START_MS, Event, Message, PartitionLog, random_logs
from tests.stream.worlds import cases

from tokentide_schemas.catalogue import load_catalogue
from tokentide_schemas.cubes import MODEL_CUBE
from tokentide_schemas.rollups import HEADER_CUBE
from tokentide_schemas.shares import DIMENSIONS, HORIZONS_S, decode_shares
from tokentide_stream.settings import StreamSettings
from tokentide_stream.shares_worker import SharesWorker

LATENESS_S = 120
IDLE_S = 30
CATALOGUE = load_catalogue()
SETTINGS = StreamSettings(
    kafka_bootstrap_servers="not used",
    stream_allowed_lateness_s=LATENESS_S,
    stream_idle_timeout_s=IDLE_S,
    stream_share_interval_s=1,
    stream_share_checkpoint_interval_s=3,
    stream_mover_min_requests=3,
)
Row = dict[str, Any]


class CrashError(Exception):
    """The process died."""


@dataclass
class Durable:
    """What survives a crash: the checkpoint table, the shares topic, the group's offsets."""

    table: dict[bytes, bytes] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)
    committed: dict[int, int] = field(default_factory=dict)


class FakeOutlet:
    """Writes to `Durable`; dies after a number of writes when told so."""

    def __init__(self, durable: Durable) -> None:
        self.durable = durable
        self.dies_after: int | None = None

    def _write(self) -> None:
        if self.dies_after is not None:
            self.dies_after -= 1
            if self.dies_after < 0:
                raise CrashError

    async def send_shares(self, records: Sequence[tuple[list[tuple[str, bytes]], bytes]]) -> None:
        for headers, value in records:
            self._write()
            self.durable.rows += decode_shares(dict(headers), value).to_pylist()

    async def write_checkpoints(self, values: Sequence[tuple[bytes, bytes | None]]) -> None:
        for key, value in values:
            self._write()
            if value is None:
                self.durable.table.pop(key, None)
            else:
                self.durable.table[key] = value

    def checkpoints(self) -> dict[bytes, bytes]:
        return dict(self.durable.table)

    def lag_records(self) -> int:
        return 0


@dataclass
class Delivered:
    """A Faust event: a message whose acknowledgement moves the group's offset."""

    message: Message
    durable: Durable

    def ack(self) -> None:
        number = self.message.partition
        self.durable.committed[number] = max(self.durable.committed.get(number, 0), self.message.offset + 1)


class Life:
    """Incarnations of the process over the logs."""

    def __init__(self, logs: list[PartitionLog]) -> None:
        self.logs = logs
        self.durable = Durable()
        self.now_s = START_MS / 1000
        self.start()

    def start(self) -> None:
        self.outlet = FakeOutlet(self.durable)
        self.worker = SharesWorker(SETTINGS, CATALOGUE, "topic", len(self.logs), self.outlet, lambda: self.now_s)
        self.read = dict(self.durable.committed)

    def deliver(self, number: int, count: int) -> None:
        start = self.read.get(number, 0)
        messages = self.logs[number].messages[start : start + count]
        self.read[number] = start + len(messages)
        for message in messages:
            asyncio.run(self.worker.receive(Delivered(message, self.durable)))

    def step(self, seconds: float) -> None:
        self.now_s += seconds
        asyncio.run(self.worker.step())

    def finish(self) -> None:
        for number, log in enumerate(self.logs):
            self.deliver(number, len(log.messages))
        asyncio.run(self.worker.finish())


def keys_of(event: Event) -> dict[str, str]:
    """An event's key in each dimension."""
    model = CATALOGUE.models.get(event.model)
    group = CATALOGUE.origin_group(event.model)
    return {
        "model": event.model,
        "category": event.category,
        "provider": event.provider,
        "author": model.author if model else "unknown",
        "origin_group": str(group) if group else "unknown",
        "size_class": str(model.size_class) if model else "unknown",
        "reasoning": ("yes" if model.reasoning else "no") if model else "unknown",
    }


def by_definition(events: Iterable[Event], start_s: int, end_s: int) -> dict[tuple[str, str], Counter[str]]:
    """Sums of a window by (dimension, key), over all events one by one."""
    sums: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for event in events:
        if start_s <= event.occurred_ms // 1000 < end_s:
            for dimension, key in keys_of(event).items():
                sums[dimension, key].update(
                    requests=1,
                    tokens=event.tokens,
                    cost_nanousd=event.cost_nanousd,
                    error_requests=1 if event.outcome == "error" else 0,
                )
    return sums


def assert_rows_are_right(rows: list[Row], events: list[Event], start_s: int, length_s: int, end_s: int) -> None:
    """Rows of one window against the definition, with what they say of the window before."""
    now = by_definition(events, start_s, end_s)
    before = by_definition(events, start_s - length_s, start_s)
    totals = {d: sum((c for (dim, _), c in now.items() if dim == d), Counter()) for d in DIMENSIONS}
    for row in rows:
        place = (row["dimension"], row["key"])
        for measure in ("requests", "tokens", "cost_nanousd", "error_requests"):
            assert row[measure] == now[place][measure], (place, measure)
            assert row[f"previous_{measure}"] == before[place][measure], (place, measure)
        tokens = totals[row["dimension"]]["tokens"]
        assert row["token_share"] == (row["tokens"] / tokens if tokens else None)
        assert row["request_share"] == row["requests"] / totals[row["dimension"]]["requests"]


def newest(rows: Iterable[Row]) -> dict[tuple[Any, ...], Row]:
    """What a ReplacingMergeTree(version) keeps of the final rows."""
    kept: dict[tuple[Any, ...], Row] = {}
    for row in rows:
        key = (row["horizon_s"], row["window_start"], row["dimension"], row["key"])
        if key not in kept or row["version"] > kept[key]["version"]:
            kept[key] = row
    return kept


def assert_finals_are_right(life: Life, watermark_ms: int) -> None:
    """Every closed minute and hour with events has its final rows, no other window has any, and all are exact."""
    events = [event for log in life.logs for event in log.events]
    finals = newest(row for row in life.durable.rows if row["is_final"])
    for horizon_s in (60, 3_600):
        starts = {e.occurred_ms // 1000 // horizon_s * horizon_s for e in events}
        closed = {s for s in starts if (s + horizon_s + LATENESS_S) * 1000 <= watermark_ms}
        found: dict[int, list[Row]] = defaultdict(list)
        for row in finals.values():
            if row["horizon_s"] == horizon_s:
                found[int(row["window_start"].timestamp())].append(row)
        assert set(found) == closed
        for start_s, rows in found.items():
            expected = by_definition(events, start_s, start_s + horizon_s)
            assert {(row["dimension"], row["key"]) for row in rows} == set(expected)
            assert_rows_are_right(rows, events, start_s, horizon_s, start_s + horizon_s)


def assert_live_is_right(life: Life) -> None:
    """The last live rows hold each horizon's full minutes and the minute that is filling."""
    events = [event for log in life.logs for event in log.events]
    live = [row for row in life.durable.rows if not row["is_final"]]
    last = max(row["version"] for row in live)
    for horizon_s in HORIZONS_S:
        rows = [row for row in live if row["version"] == last and row["horizon_s"] == horizon_s]
        as_of_s = int(rows[0]["as_of"].timestamp())
        filling_s = as_of_s // 60 * 60
        start_s = filling_s - horizon_s
        assert {int(row["window_start"].timestamp()) for row in rows} == {start_s}
        expected = by_definition(events, start_s, filling_s + 60)
        earlier = by_definition(events, start_s - horizon_s, start_s)
        assert {(row["dimension"], row["key"]) for row in rows} == set(expected) | set(earlier)
        if expected:
            assert_rows_are_right(rows, events, start_s, horizon_s, filling_s + 60)


STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            ["read", "read", "read", "read", "step", "step", "crash", "die while writing", "lose partitions"]
        ),
        st.integers(0, 40),
    ),
    max_size=25,
)


@given(st.integers(0, 10**9), STEPS)
@cases(60)
def test_shares_equal_brute_force_whatever_the_order_repeats_and_crashes(
    seed: int, steps: list[tuple[str, int]]
) -> None:
    life = Life(random_logs(seed, LATENESS_S, IDLE_S))
    for kind, number in steps:
        if kind == "read":
            life.deliver(number % len(life.logs), 1 + number // 4)
        elif kind == "step":
            life.step(number / 10)
        elif kind == "crash":
            life.start()
        elif kind == "lose partitions":
            life.worker.drop()
            life.read = dict(life.durable.committed)
        else:
            life.outlet.dies_after = number % 12
            try:
                life.deliver(0, 5)
                life.step(4)
            except CrashError:
                life.start()
            life.outlet.dies_after = None
    life.finish()
    active = [log.watermark_ms for log in life.logs]
    assert_finals_are_right(life, max(active))
    assert_live_is_right(life)


def one_partition() -> PartitionLog:
    return PartitionLog(0, LATENESS_S * 1000)


def simple(second: float, model: str = "openai/gpt-4o", tokens: int = 10) -> Event:
    return Event(START_MS + int(second * 1000), model, "openai", "programming", "ok", tokens, 1)


def test_a_late_event_sends_the_final_rows_of_its_minute_again_with_a_higher_version() -> None:
    log = one_partition()
    log.count(simple(5))
    log.count(simple(600))
    log.flush(START_MS + 600_000)
    life = Life([log])
    life.deliver(0, 10)
    life.step(1)
    first = newest(row for row in life.durable.rows if row["is_final"])
    log.count(simple(6, "deepseek/deepseek-r1", 30))
    log.flush(START_MS + 601_000)
    life.deliver(0, 10)
    life.step(1)
    second = newest(row for row in life.durable.rows if row["is_final"])
    place = (60, next(row["window_start"] for row in first.values()), "model", "openai/gpt-4o")
    assert second[place]["version"] > first[place]["version"]
    assert (first[place]["token_share"], second[place]["token_share"]) == (1.0, 0.25)


def test_final_rows_of_an_unchanged_window_are_sent_once() -> None:
    log = one_partition()
    for second in range(0, 900, 30):
        log.count(simple(second))
        log.flush(START_MS + second * 1000)
        log.repeat(0)
    life = Life([log])
    for _ in range(len(log.messages)):
        life.deliver(0, 1)
        life.step(1)
    finals = [row for row in life.durable.rows if row["is_final"] and row["horizon_s"] == 60]
    places = Counter((row["window_start"], row["dimension"], row["key"]) for row in finals)
    assert places and set(places.values()) == {1}


def test_a_partition_that_still_has_events_to_count_holds_final_rows_back_and_an_idle_one_does_not() -> None:
    logs = [PartitionLog(number, LATENESS_S * 1000) for number in range(2)]
    for log in logs:
        log.count(simple(5))
        log.flush(START_MS + 5_000)
    logs[0].count(simple(600))
    logs[0].flush(START_MS + 600_000)
    life = Life(logs)
    life.deliver(0, 99)
    life.deliver(1, 99)
    life.step(10)
    assert not [row for row in life.durable.rows if row["is_final"]]
    logs[1].flush(START_MS + 5_000 + (IDLE_S + 1) * 1000)
    life.deliver(1, 99)
    life.step(10)
    assert [row for row in life.durable.rows if row["is_final"]]


def test_a_partition_that_never_had_an_event_does_not_hold_final_rows_back_for_ever() -> None:
    logs = [PartitionLog(number, LATENESS_S * 1000) for number in range(2)]
    logs[0].count(simple(5))
    logs[0].count(simple(600))
    logs[0].flush(START_MS + 600_000)
    life = Life(logs)
    life.deliver(0, 99)
    life.step(10)
    assert not [row for row in life.durable.rows if row["is_final"]]
    life.step(IDLE_S + 1)
    assert [row for row in life.durable.rows if row["is_final"]]


def test_windows_whose_records_are_no_longer_in_the_topic_get_no_final_rows() -> None:
    log = one_partition()
    for minute in range(60):
        log.count(simple(minute * 60))
        log.flush(START_MS + minute * MINUTE_MS)
    life = Life([log])
    life.read[0] = 30
    life.deliver(0, 999)
    life.step(10)
    starts = {
        (r["window_start"].timestamp() * 1000 - START_MS) // MINUTE_MS for r in life.durable.rows if r["is_final"]
    }
    assert starts and min(starts) > 10 + 10


def test_unreadable_partials_stop_nothing_but_their_windows_get_no_final_rows() -> None:
    log = one_partition()
    for minute in range(60):
        log.count(simple(minute * 60))
        log.flush(START_MS + minute * MINUTE_MS)
    spoilt = next(m for m in log.messages[30:] if (HEADER_CUBE, b"model") in m.headers)
    spoilt.value = b"of another version"
    spoilt_minute = int(spoilt.offset / 3)
    life = Life([log])
    life.deliver(0, 999)
    life.step(10)
    starts = {
        (r["window_start"].timestamp() * 1000 - START_MS) // MINUTE_MS for r in life.durable.rows if r["is_final"]
    }
    assert spoilt_minute not in starts and max(starts) > spoilt_minute
    assert life.worker.status()["unreadable_records_total"] == 1


def test_a_report_of_another_version_is_passed_over() -> None:
    log = one_partition()
    log.count(simple(5))
    log.flush(START_MS + 5_000)
    log.messages[-1].value = b'{"field": "of another version"}'
    log.count(simple(600))
    log.flush(START_MS + 600_000)
    life = Life([log])
    life.finish()
    assert [row for row in life.durable.rows if row["is_final"]]


def test_the_model_cube_is_published_before_the_watermark_that_shares_follow() -> None:
    assert MODEL_CUBE.is_live


def test_after_days_without_events_the_last_minutes_before_still_get_their_final_rows() -> None:
    log = one_partition()
    log.count(simple(5))
    log.flush(START_MS + 5_000)
    three_days_s = 3 * 86_400
    log.count(simple(three_days_s))
    log.flush(START_MS + three_days_s * 1000)
    life = Life([log])
    life.finish()
    finals = [row for row in life.durable.rows if row["is_final"]]
    assert {int(row["window_start"].timestamp() * 1000) for row in finals} == {START_MS}


def test_the_largest_change_of_share_leads_the_movers_and_low_volume_is_left_out() -> None:
    log = one_partition()
    for _ in range(5):
        log.count(simple(1, "openai/gpt-4o", 10))
        log.count(simple(61, "deepseek/deepseek-r1", 30))
    log.count(simple(61, "nobody/heard-of-it", 1_000))
    log.count(simple(61, "openai/gpt-4o", 1))
    log.count(simple(600))
    log.flush(START_MS + 600_000)
    life = Life([log])
    life.finish()
    rows = {
        row["key"]: row
        for row in life.durable.rows
        if row["is_final"]
        and row["dimension"] == "model"
        and row["horizon_s"] == 60
        and row["window_start"].timestamp() * 1000 == START_MS + MINUTE_MS
    }
    assert {key: row["mover_rank"] for key, row in rows.items()} == {
        "openai/gpt-4o": 1,
        "deepseek/deepseek-r1": 2,
        "nobody/heard-of-it": 0,
    }
    assert [row["rank"] for row in rows.values()] == [1, 2, 3]


def test_a_share_of_nothing_is_unknown_and_not_zero() -> None:
    log = one_partition()
    log.count(simple(5, tokens=0))
    log.count(simple(600))
    log.flush(START_MS + 600_000)
    life = Life([log])
    life.finish()
    row = next(row for row in life.durable.rows if row["is_final"] and row["horizon_s"] == 60)
    assert (row["requests"], row["request_share"], row["token_share"]) == (1, 1.0, None)
    assert row["request_share_change_pp"] is None


@pytest.mark.parametrize("seed", range(3))
def test_a_zombie_that_writes_after_its_successor_changes_nothing(seed: int) -> None:
    draw = random.Random(seed)
    life = Life(random_logs(seed, LATENESS_S, IDLE_S))
    for _ in range(8):
        life.deliver(draw.randrange(len(life.logs)), 3)
        life.step(4)
    zombie, read = life.worker, dict(life.read)
    life.start()
    life.deliver(0, 6)
    life.step(4)
    # The zombie reads on and writes; its acknowledgements are fenced off by the broker.
    for message in life.logs[0].messages[read.get(0, 0) : read.get(0, 0) + 6]:
        asyncio.run(zombie.receive(Delivered(message, Durable())))
    asyncio.run(zombie.finish())
    life.start()
    life.finish()
    assert_finals_are_right(life, max(log.watermark_ms for log in life.logs))
    assert_live_is_right(life)
