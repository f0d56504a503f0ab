"""Recomputing costs on a real store: the same integers as Python, rollups and tiers included, repeatable anywhere."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from sinks.stored_world import World, own_catalogue, usage
from tokentide_schemas.catalogue import cost_nanousd
from tokentide_schemas.cubes import CUBES
from tokentide_schemas.event import TOKEN_BUCKETS
from tokentide_sinks import repricing_sql as sql
from tokentide_sinks.repricing import Repricer, RepricingError
from tokentide_sinks.store import Store, StoreUnavailableError

SINCE = datetime(2026, 1, 1, tzinfo=UTC)
VIEWS = ("rollup_1m", "rollup_1h", "rollup_1d", "rollup_app_1m", "rollup_geography_1h", "rollup_tenant_1d")


def totals(world: World) -> dict[str, tuple[Any, ...]]:
    """Requests and the three sums of money, from the raw events and from each view."""
    found = {
        "raw": world.rows(
            "SELECT count(), sumIf(ifNull(cost_nanousd, 0), NOT is_byok), countIf(cost_nanousd IS NULL), "
            "sumIf(ifNull(cost_nanousd, 0), is_byok), 0 FROM events"
        )[0]
    }
    for view in VIEWS:
        found[view] = world.rows(
            "SELECT sum(requests), sum(cost_nanousd), sum(cost_unknown_requests), sum(byok_cost_nanousd), "
            f"sum(late_requests) FROM {view}"
        )[0]
    return found


def assert_rollups_equal_raw(world: World) -> None:
    found = totals(world)
    assert set(found.values()) == {found["raw"]}, found
    by_group = "SELECT toString(model), toString(provider), toStartOfMinute(toDateTime(occurred_at, 'UTC')) AS w, "
    raw = world.rows(f"{by_group} sumIf(ifNull(cost_nanousd, 0), NOT is_byok) FROM events GROUP BY ALL ORDER BY ALL")
    rolled = world.rows(
        "SELECT toString(model), toString(provider), window_start, sum(cost_nanousd) FROM rollup_1m "
        "GROUP BY ALL ORDER BY ALL"
    )
    assert [tuple(map(str, row)) for row in rolled] == [tuple(map(str, row)) for row in raw]


def some_events(count: int, seed: int = 1) -> list[Any]:
    """Events over tiers, the free period, variants, failures, own keys, reported and missing costs."""
    draw = random.Random(seed)
    events = []
    for _ in range(count):
        reported = draw.random() < 0.2
        events.append(
            usage(
                occurred_at=SINCE + timedelta(milliseconds=draw.randrange(12 * 86_400_000)),
                request_model=draw.choice(["maker/one", "maker/one:free", "uno", "maker/unheard-of"]),
                provider=draw.choice(["host", "host", "elsewhere"]),
                outcome=draw.choice(["ok", "ok", "error", "cancelled"]),
                app=draw.choice(["a", "b"]),
                country=draw.choice(["DE", "US", ""]),
                tenant=draw.choice(["t1", "t2"]),
                is_byok=draw.random() < 0.2,
                tool_calls=draw.randint(0, 3),
                usage_reported=draw.random() < 0.9,
                **{bucket: draw.choice([0, 1, 7, 499, 1_000, 123_457]) for bucket in TOKEN_BUCKETS},
                **({"cost_nanousd": 5, "cost_source": "reported"} if reported else {}),
            )
        )
    return events


def test_the_sql_costs_every_event_as_python_does(world: World, tmp_path: Path) -> None:
    catalogue = own_catalogue(tmp_path, "1.234567891")
    events = some_events(400)
    world.put(events)
    world.roll_up()
    done = Repricer(world.store, catalogue).recompute(SINCE)
    stored = {
        str(row[0]): tuple(row[1:])
        for row in world.rows(
            "SELECT event_id, cost_nanousd, toString(cost_source), toString(price_version) FROM events"
        )
    }
    changed = 0
    for event in events:
        variant = "free" if event.request_model.endswith(":free") else ""
        price = catalogue.price(event.provider, event.model, event.occurred_at, variant)
        expected: tuple[Any, ...] = (event.cost_nanousd, event.cost_source.value, event.price_version)
        if event.cost_source == "unknown" and event.usage_reported and price is not None:
            tokens = {bucket: getattr(event, bucket) for bucket in TOKEN_BUCKETS}
            fee = 0 if event.outcome == "error" else 1
            cost = cost_nanousd(price, tokens=tokens, tool_calls=event.tool_calls, requests=fee)
            expected = (cost, "computed", price.version)
            changed += 1
        assert stored[str(event.event_id)] == expected, event
    assert done.events == changed > 100
    assert done.moving_groups == 0
    assert_rollups_equal_raw(world)


def test_what_the_pipeline_computed_needs_no_correction(world: World, tmp_path: Path) -> None:
    catalogue = own_catalogue(tmp_path, "3")
    world.put(some_events(300, seed=2), catalogue)
    world.roll_up()
    repricer = Repricer(world.store, catalogue)
    assert repricer.check(SINCE) == []
    done = repricer.recompute(SINCE)
    assert (done.events, done.corrections, done.moving_groups) == (0, 0, 0)
    assert world.value(f"SELECT count() FROM rollup_model_partials WHERE {sql.IS_CORRECTION}") == 0


def test_a_price_fix_is_told_then_corrected_once_and_a_second_run_changes_nothing(world: World, tmp_path: Path) -> None:
    before, after = own_catalogue(tmp_path, "1"), own_catalogue(tmp_path, "2")
    world.put([usage(), usage(is_byok=True), usage(occurred_at="2026-01-05T10:01:00Z")], before)
    world.roll_up()
    told = Repricer(world.store, after).check(SINCE)
    assert [(c.provider, c.model, c.events, c.delta_nanousd) for c in told] == [("host", "maker/one", 3, 300_000)]
    assert told[0].old_version != told[0].new_version
    assert totals(world)["raw"][1] == 2 * 1_125_000, "check changes nothing"

    first = Repricer(world.store, after).recompute(SINCE)
    assert (first.events, first.delta_nanousd, first.moving_groups) == (3, 300_000, 0)
    assert totals(world)["raw"] == (3, 2 * 1_225_000, 0, 1_225_000, 0)
    assert_rollups_equal_raw(world)
    second = Repricer(world.store, after).recompute(SINCE)
    assert (second.events, second.corrections) == (0, 0)
    assert_rollups_equal_raw(world)

    back = Repricer(world.store, before).recompute(SINCE)
    assert (back.events, back.delta_nanousd) == (3, -300_000)
    assert_rollups_equal_raw(world)
    assert totals(world)["raw"][1] == 2 * 1_125_000


class _Cut(Store):
    """A store connection that breaks before its nth statement."""

    def __init__(self, url: str, allowed: int) -> None:
        super().__init__(url)
        self.allowed = allowed

    def _count(self) -> None:
        self.allowed -= 1
        if self.allowed < 0:
            raise StoreUnavailableError("cut off")

    def command(self, *arguments: Any, **options: Any) -> None:
        self._count()
        super().command(*arguments, **options)

    def insert(self, *arguments: Any, **options: Any) -> None:
        self._count()
        super().insert(*arguments, **options)


def test_a_run_that_was_cut_off_anywhere_is_finished_by_the_next(world: World, tmp_path: Path) -> None:
    catalogues = [own_catalogue(tmp_path, price) for price in ("1", "2")]
    world.put(some_events(60, seed=3), catalogues[0])
    world.roll_up()
    url = f"http://tokentide@127.0.0.1:{world.process.port}/tokentide"
    cuts = 0
    for allowed in range(0, 60, 5):
        target = catalogues[(allowed + 1) % 2]
        try:
            Repricer(_Cut(url, allowed), target).recompute(SINCE)
        except StoreUnavailableError:
            cuts += 1
        else:
            break
        # Narrower than the run that was cut off: what that one left behind is mended all the same.
        Repricer(world.store, target).recompute(datetime(2026, 1, 12, 23, 59, tzinfo=UTC))
        Repricer(world.store, target).recompute(SINCE)
        assert_rollups_equal_raw(world)
    assert 2 < cuts < 12
    assert world.value("SELECT count() FROM repricing_runs FINAL WHERE finished_at = 0") == 0


def test_only_the_named_provider_and_model_and_period_are_touched(world: World, tmp_path: Path) -> None:
    before, after = own_catalogue(tmp_path, "1"), own_catalogue(tmp_path, "2")
    world.put([usage(), usage(occurred_at="2026-01-06T10:00:00Z"), usage(provider="host", model="uno")], before)
    world.roll_up()
    repricer = Repricer(world.store, after)
    assert repricer.check(SINCE, provider="openai") == []
    assert repricer.check(SINCE, model="gpt-4o") == []
    assert sum(c.events for c in repricer.check(SINCE, provider="Host", model="UNO")) == 3
    until = datetime(2026, 1, 6, tzinfo=UTC)
    assert repricer.recompute(SINCE, until, provider="host").events == 2
    assert_rollups_equal_raw(world)


def test_events_that_the_rollup_does_not_have_yet_hold_their_group_back_and_no_other(
    world: World, tmp_path: Path
) -> None:
    before, after = own_catalogue(tmp_path, "1"), own_catalogue(tmp_path, "2")
    world.put([usage(), usage(app="slow", country="FR")], before)
    world.roll_up()
    world.put([usage(app="slow", tenant="late", country="FR", category="late")], before, ledger=False)
    done = Repricer(world.store, after, pause=lambda _s: None).recompute(SINCE)
    assert done.events == 3 and done.moving_groups > 0
    assert world.value("SELECT sum(cost_nanousd) FROM rollup_app_1m WHERE app = ''") == 1_225_000
    world.roll_up(version=2)
    assert Repricer(world.store, after).recompute(SINCE).moving_groups == 0
    assert_rollups_equal_raw(world)


def test_what_is_open_in_the_worker_is_left_out_by_cutting_the_period(world: World, tmp_path: Path) -> None:
    catalogue = own_catalogue(tmp_path, "1")
    world.put([usage(occurred_at="2026-01-05T10:00:30Z"), usage(occurred_at="2026-01-05T11:00:30Z")])
    world.roll_up()
    world.put([usage(occurred_at="2026-01-05T11:00:40Z")])
    said: list[str] = []
    repricer = Repricer(world.store, catalogue, say=said.append)
    done = repricer.recompute(SINCE, datetime(2026, 1, 6, tzinfo=UTC))
    assert done.until == datetime(2026, 1, 5, 10, 58, tzinfo=UTC)
    assert done.events == 1
    assert any("windows after 2026-01-05 10:58 UTC may still change" in line for line in said)
    with pytest.raises(RepricingError, match="nothing is closed since 2026-01-05 11:00 UTC"):
        repricer.recompute(datetime(2026, 1, 5, 11, tzinfo=UTC))


def test_windows_whose_raw_events_are_gone_keep_their_cost(world: World, tmp_path: Path) -> None:
    before, after = own_catalogue(tmp_path, "1"), own_catalogue(tmp_path, "2")
    world.put([usage(), usage(occurred_at="2026-01-06T10:00:00Z")], before)
    world.roll_up()
    world.store.command("ALTER TABLE events DELETE WHERE occurred_at < '2026-01-06 00:00:00'", {"mutations_sync": 2})
    Repricer(world.store, after, pause=lambda _s: None).recompute(SINCE)
    assert world.rows(
        "SELECT toString(toDate(window_start)), sum(cost_nanousd) FROM rollup_1m GROUP BY 1 ORDER BY 1"
    ) == [
        ("2026-01-05", 1_125_000),
        ("2026-01-06", 1_225_000),
    ]


@pytest.mark.parametrize("fine_first", [False, True], ids=["folded from the start", "folded after a correction"])
def test_a_window_with_a_folded_tail_is_corrected_in_the_tail_once(
    world: World, tmp_path: Path, fine_first: bool
) -> None:
    one, two, three = (own_catalogue(tmp_path, price) for price in ("1", "2", "3"))
    world.put([usage(app=name) for name in "abc"] + [usage(app="a", occurred_at="2026-01-06T00:00:00Z")], one)
    world.roll_up()
    if fine_first:
        Repricer(world.store, two).recompute(SINCE)
    cube = next(cube for cube in CUBES if cube.name == "app")
    others = "source_epoch, source_partition, segment, 2 AS version, window_start, emitted_at"
    measures = ", ".join(cube.measures)
    zeros = ", ".join(f"0 AS {name}" for name in cube.measures)
    tail = f"FROM {cube.partials_table} FINAL WHERE app IN ('b', 'c') AND segment = 0"
    columns = f"INSERT INTO {cube.partials_table} (app, {others.replace('2 AS version', 'version')}, {measures}) "
    sums = ", ".join(f"sum(p.{name})" for name in cube.measures)
    keys = "p.source_epoch, p.source_partition, p.segment, 2, p.window_start"
    world.store.command(
        f"{columns} SELECT '__other__', {keys}, now64(3), {sums} FROM {cube.partials_table} AS p FINAL "
        "WHERE p.app IN ('b', 'c') AND p.segment = 0 GROUP BY ALL"
    )
    world.store.command(f"{columns} SELECT app, {others}, {zeros} {tail}")
    for catalogue, cost in ((three, 1_325_000), (two, 1_225_000), (two, 1_225_000)):
        done = Repricer(world.store, catalogue).recompute(SINCE)
        assert done.moving_groups == 0
        by_day = "SELECT toString(toDate(window_start)), sum(cost_nanousd) FROM rollup_app_1m GROUP BY 1 ORDER BY 1"
        assert world.rows(by_day) == [("2026-01-05", 3 * cost), ("2026-01-06", cost)]
        assert world.value("SELECT sum(cost_nanousd) FROM rollup_app_1d") == 4 * cost
    assert done.corrections == 0
