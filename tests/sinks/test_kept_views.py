"""Kept results are those of their view, follow its tables, and are not given out for longer than promised."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from sinks.stored_world import World, usage
from tokentide_schemas.kept_views import (
    FRESH_S,
    KEPT_VIEWS_TABLE,
    RETENTION,
    USERS_BY_MODEL,
    VIEWS,
    KeptView,
    kept_table,
)
from tokentide_sinks.kept_views import COST_PAUSES, PAUSE_S, KeptViews
from tokentide_sinks.users import count_users


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def used(who: int, when: str) -> Any:
    return usage(event_id=str(uuid.uuid4()), occurred_at=when, model="maker/one", user_hash=f"{who + 1:032x}")


@pytest.fixture
def filled(world: World) -> World:
    world.put([used(who, f"2026-0{month}-15T00:00:00Z") for month in (1, 2) for who in range(5 - month)])
    count_users(world.store)
    return world


def rows(world: World, view: KeptView, name: str) -> list[tuple[Any, ...]]:
    return world.rows(f"SELECT {', '.join(view.columns)} FROM {name} ORDER BY ALL")


@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.name)
def test_what_is_kept_is_what_the_view_gives(view: KeptView, filled: World) -> None:
    expected = rows(filled, view, view.name)
    assert expected
    assert rows(filled, view, view.recent) == expected, "while nobody keeps it"
    assert KeptViews(filled.store).step() == len(VIEWS)
    assert filled.value(f"SELECT count() FROM {view.table}") == len(expected)
    assert rows(filled, view, view.recent) == expected


@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.name)
def test_the_kept_columns_have_the_types_of_the_view(view: KeptView, filled: World) -> None:
    found = filled.rows(
        f"SELECT name, type FROM system.columns WHERE database = currentDatabase() AND table = '{view.name}'"
    )
    assert dict(found) == dict(view.columns)
    assert all(f"    {name} {kind} " in kept_table(view) for name, kind in found)


def test_kept_rows_are_read_while_they_are_fresh_and_no_longer(filled: World) -> None:
    KeptViews(filled.store).step()
    filled.store.command(f"DELETE FROM {RETENTION.table} WHERE months_since = 1")
    assert len(rows(filled, RETENTION, RETENTION.recent)) == len(rows(filled, RETENTION, "retention")) - 1
    filled.store.command(
        f"INSERT INTO {KEPT_VIEWS_TABLE} SELECT name, generation, sources, now64(3) - toIntervalSecond({FRESH_S} + 1) "
        f"FROM {KEPT_VIEWS_TABLE} FINAL"
    )
    filled.store.command(f"DELETE FROM {KEPT_VIEWS_TABLE} WHERE checked_at > now64(3) - toIntervalSecond({FRESH_S})")
    assert rows(filled, RETENTION, RETENTION.recent) == rows(filled, RETENTION, "retention")


def test_changed_tables_are_followed_and_unchanged_ones_cost_nothing(filled: World) -> None:
    clock = Clock()
    kept = KeptViews(filled.store, clock)
    assert kept.step() == len(VIEWS)
    clock.now += PAUSE_S - 1
    filled.put([used(9, "2026-02-16T00:00:00Z")])
    count_users(filled.store)
    assert kept.step() == 0, "before its time"
    clock.now += 2
    assert kept.step() == len(VIEWS)
    for view in VIEWS:
        assert rows(filled, view, view.recent) == rows(filled, view, view.name)
    clock.now += PAUSE_S + 1
    assert kept.step() == 0
    assert filled.value(f"SELECT uniqExact(generation) FROM {USERS_BY_MODEL.table}") == 2


def test_of_many_generations_the_two_newest_stay(filled: World) -> None:
    for number in range(4):
        filled.put([used(20 + number, "2026-02-16T00:00:00Z")])
        count_users(filled.store)
        KeptViews(filled.store).step()
    assert filled.value(f"SELECT uniqExact(generation) FROM {RETENTION.table}") == 2
    assert rows(filled, RETENTION, RETENTION.recent) == rows(filled, RETENTION, "retention")


def test_a_view_that_takes_long_is_made_seldom(filled: World, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    kept = KeptViews(filled.store, clock)

    def slow(_view: KeptView) -> bool:
        clock.now += 100
        return True

    monkeypatch.setattr(kept, "_refresh", slow)
    assert kept.step() == len(VIEWS)
    clock.now += COST_PAUSES * 100 - len(VIEWS) * 100 - 1
    assert kept.step() == 0
    clock.now += len(VIEWS) * 100 + 2
    assert kept.step() == len(VIEWS)
