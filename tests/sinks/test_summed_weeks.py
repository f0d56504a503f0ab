"""Sums of resting weeks are those of the partials at any moment; no other week is taken from them."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from sinks.stored_world import World, usage
from tokentide_schemas.cubes import CUBES, MODEL_CUBE, stored_cubes
from tokentide_schemas.rollup_sums import (
    PER_MS,
    SUMMED_WEEKS_TABLE,
    has_sums,
    resting_weeks,
    sum_week,
    sums_by,
    sums_table_name,
)
from tokentide_sinks import summed_weeks
from tokentide_sinks.summed_weeks import READERS_S, Summed, Week, add_up, due, resting, sum_next_week, to_drop

DAYS = MODEL_CUBE.tier_cubes[1]
MONDAYS = ("2026-01-05", "2026-01-12", "2026-01-19")


def events(number: int) -> list[Any]:
    """Of three weeks, in two models and two outcomes."""
    return [
        usage(
            event_id=f"01900000-0000-7000-8000-{number * 1000 + n:012x}",
            occurred_at=f"{MONDAYS[n % 3]}T{n % 24:02}:00:00Z",
            model=("maker/one", "maker/two")[n % 2],
            outcome=("ok", "error")[n % 5 == 0],
            output_tokens=n,
        )
        for n in range(60)
    ]


@pytest.fixture
def filled(world: World) -> World:
    world.put(events(1))
    world.roll_up()
    return world


def settle(world: World) -> int:
    """Add up whatever can be; how many weeks that were."""
    done = 0
    while sum_next_week(world.store, CUBES, rest_s=-1):
        done += 1
    return done


def totals(world: World, where: str = "1") -> list[tuple[Any, ...]]:
    """Through the sums where they are right."""
    keys = [("toMonday(p.window_start)", "monday"), ("p.model", "model")]
    return world.rows(f"SELECT * FROM ({sums_by(DAYS, keys, DAYS.measures, where)}) ORDER BY monday, model")


def truth(world: World, where: str = "1") -> list[tuple[Any, ...]]:
    """From the partials alone."""
    sums = ", ".join(f"sum(p.{name})" for name in DAYS.measures)
    return world.rows(
        f"SELECT toMonday(p.window_start) AS monday, p.model AS model, {sums} FROM {DAYS.partials_table} AS p FINAL "
        f"WHERE {where} GROUP BY monday, model ORDER BY monday, model"
    )


def from_sums(world: World) -> list[str]:
    """The weeks of the daily cube that a query takes from the sums."""
    (weeks,) = world.rows(f"SELECT {resting_weeks(DAYS)}")[0]
    return sorted(str(week) for week, _ in weeks)


def late(world: World, version: int, segment: int = 7, requests: int = 5) -> None:
    """A partial of the second week that comes after everything else."""
    world.store.command(
        f"INSERT INTO {DAYS.partials_table} (window_start, model, provider, source_epoch, source_partition, segment, "
        f"version, requests) VALUES ('2026-01-13 00:00:00', 'maker/one', 'p', 'e', 3, {segment}, {version}, {requests})"
    )


def test_every_week_of_every_long_cube_is_added_up_once(filled: World) -> None:
    cubes = [cube for cube in stored_cubes(CUBES) if has_sums(cube)]
    assert from_sums(filled) == []
    assert settle(filled) == len(MONDAYS) * len(cubes)
    assert settle(filled) == 0, "they are added up again"
    assert from_sums(filled) == list(MONDAYS)
    for cube in cubes:
        sums = ", ".join(f"sum({name})" for name in cube.measures)
        found = filled.rows(f"SELECT {sums} FROM {sums_table_name(cube)}")
        assert found == filled.rows(f"SELECT {sums} FROM {cube.partials_table} FINAL"), cube.name
        assert found[0][0] == 60


def test_the_sums_are_really_read(filled: World) -> None:
    settle(filled)
    generation = filled.value(
        f"SELECT max(generation) FROM {SUMMED_WEEKS_TABLE} WHERE partials = '{DAYS.partials_table}'"
    )
    before = totals(filled)
    filled.store.command(
        f"INSERT INTO {sums_table_name(DAYS)} (generation, window_start, model, requests) "
        f"SELECT generation, week, 'maker/one', 1000 FROM {SUMMED_WEEKS_TABLE} FINAL WHERE generation = {generation}"
    )
    assert totals(filled) != before, "what was put into the sums behind their back does not show"


def test_with_and_without_sums_a_query_gives_the_same(filled: World) -> None:
    expected = truth(filled)
    assert len(expected) == len(MONDAYS) * 2
    assert totals(filled) == expected
    settle(filled)
    assert totals(filled) == expected
    for where in ("p.outcome = 'error'", "p.window_start >= '2026-01-12 00:00:00'", "p.model = 'maker/two'"):
        assert totals(filled, where) == truth(filled, where)


def test_a_late_segment_shows_at_once_and_its_week_alone_is_read_from_the_partials(filled: World) -> None:
    settle(filled)
    before = {row[:2]: row[2] for row in totals(filled)}
    late(filled, version=1)
    assert from_sums(filled) == [MONDAYS[0], MONDAYS[2]]
    after = {row[:2]: row[2] for row in totals(filled)}
    key = (dt.date(2026, 1, 12), "maker/one")
    assert after == {**before, key: before[key] + 5}
    assert settle(filled) == 1
    assert from_sums(filled) == list(MONDAYS)
    assert totals(filled) == truth(filled)


def test_a_newer_version_replaces_what_was_added_up(filled: World) -> None:
    late(filled, version=1, requests=5)
    settle(filled)
    late(filled, version=2, requests=9)
    assert totals(filled) == truth(filled)
    assert from_sums(filled) == [MONDAYS[0], MONDAYS[2]]
    # Merged: as many rows as before, with another value.
    filled.store.command(f"OPTIMIZE TABLE {DAYS.partials_table} PARTITION ID '20260112' FINAL")
    assert from_sums(filled) == [MONDAYS[0], MONDAYS[2]]
    assert totals(filled) == truth(filled)
    settle(filled)
    assert totals(filled) == truth(filled)


def test_rows_that_come_again_change_nothing(filled: World) -> None:
    settle(filled)
    before = totals(filled)
    filled.roll_up()
    assert totals(filled) == before == truth(filled)
    assert from_sums(filled) == []
    settle(filled)
    assert totals(filled) == before


def test_a_death_between_the_sums_and_their_announcement_leaves_nothing_doubled(
    filled: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(_point: str) -> None:
        raise KeyboardInterrupt

    expected = truth(filled)
    with monkeypatch.context() as patched:
        patched.setattr(summed_weeks, "reach", die)
        with pytest.raises(KeyboardInterrupt):
            add_up(filled.store, DAYS, MONDAYS[0])
    assert filled.value(f"SELECT count() FROM {sums_table_name(DAYS)}") > 0
    assert from_sums(filled) == []
    assert totals(filled) == expected
    settle(filled)
    assert totals(filled) == expected


def test_a_row_that_arrives_while_a_week_is_added_up_keeps_the_sums_from_being_used(
    filled: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(summed_weeks, "reach", lambda _point: late(filled, version=1))
    assert add_up(filled.store, DAYS, MONDAYS[1]) is False
    assert from_sums(filled) == []
    assert totals(filled) == truth(filled)


def test_two_that_add_up_the_same_week_at_once_leave_one_of_the_two_in_use(filled: World) -> None:
    assert add_up(filled.store, DAYS, MONDAYS[0])
    assert add_up(filled.store, DAYS, MONDAYS[0])
    assert from_sums(filled) == [MONDAYS[0]]
    assert totals(filled) == truth(filled)


def test_only_a_week_that_has_rested_is_added_up(filled: World) -> None:
    assert not sum_next_week(filled.store, CUBES, rest_s=3600)
    weeks = {place: week for place, week in resting(filled.store, CUBES).items() if place[0] == DAYS.partials_table}
    assert sorted(monday for _, monday in weeks) == list(MONDAYS)
    assert all(0 <= week.resting_s < 3600 for week in weeks.values())


def test_what_is_due_is_what_rests_and_has_changed_newest_first() -> None:
    weeks = {
        ("a", "2026-01-05"): Week(("x:1",), 1000),
        ("a", "2026-01-12"): Week(("y:1",), 1000),
        ("a", "2026-01-19"): Week(("z:1",), 1000),
        ("a", "2026-01-26"): Week(("w:1",), 10),
    }
    summed = {("a", "2026-01-12"): Summed(("y:1",), 5), ("a", "2026-01-19"): Summed(("z:1", "z:2"), 6)}
    assert due(weeks, summed, 600) == [("a", "2026-01-19"), ("a", "2026-01-05")]


def test_replaced_sums_stay_for_queries_that_chose_them_and_abandoned_ones_for_an_hour() -> None:
    now_ms = 10_000_000
    old, current = 1_000_000 * PER_MS, 9_000_000 * PER_MS
    summed = {("a", "w"): Summed(("x",), current)}
    stored = [("a", "w", old), ("a", "w", current), ("a", "v", 5_000_000 * PER_MS), ("a", "v", 9_999_000 * PER_MS)]
    dropped = to_drop(stored, summed, now_ms)
    assert dropped == [("a", "w", old), ("a", "v", 5_000_000 * PER_MS)]
    just_replaced = {("a", "w"): Summed(("x",), (now_ms - READERS_S * 1000) * PER_MS)}
    assert ("a", "w", old) not in to_drop(stored, just_replaced, now_ms)


def test_dropping_takes_what_is_not_announced_and_leaves_the_rest(filled: World) -> None:
    stored = f"SELECT uniqExact(generation) FROM {sums_table_name(DAYS)}"
    filled.store.command(sum_week(DAYS, MONDAYS[0], 1000 * PER_MS))
    assert add_up(filled.store, DAYS, MONDAYS[1])
    assert filled.value(stored) == 2
    assert not sum_next_week(filled.store, CUBES, rest_s=3600)
    assert filled.value(stored) == 1
    assert totals(filled) == truth(filled)
    assert from_sums(filled) == [MONDAYS[1]]
