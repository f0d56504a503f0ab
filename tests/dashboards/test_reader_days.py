"""Days, weeks and months that begin where the reader lives: against calendars of Python, in zones of every kind."""

from __future__ import annotations

import datetime as dt
import zoneinfo
from collections import Counter
from collections.abc import Iterator

import pytest

from tokentide_dashboards.macros import TimeRange
from tokentide_dashboards.period_sql import PERIOD, Rollup
from tokentide_dashboards.ranking_sql import grouped

from .conftest import Store

NOW_S = int(dt.datetime.now(dt.UTC).timestamp())
STEP_S = 450
"""A request each seven and a half minutes: every quarter hour has its own number."""
DAYS_BACK = 200
"""Long enough for the clocks to change once, wherever they do."""
FIRST_S = (NOW_S - DAYS_BACK * 86_400) // 86_400 * 86_400
MINUTES_FROM_S = (NOW_S - 80 * 86_400) // 86_400 * 86_400
"""Older minutes have expired."""
EXACT_FROM_S = NOW_S - 60 * 86_400
"""Since when cut hours are read from minutes."""
MOMENTS = range(FIRST_S, NOW_S, STEP_S)
WHOLE_HOURS = ["utc", "UTC", "Asia/Tokyo", "America/New_York", "Europe/Berlin", "America/Havana", "Pacific/Kiritimati"]
PARTS_OF_HOURS = ["Asia/Kolkata", "Asia/Kathmandu", "Australia/Lord_Howe", "Pacific/Chatham", "America/St_Johns"]
SQL = Rollup("rollup").grouped({"time": PERIOD}, {"requests": "sum(requests)"}) + " ORDER BY time"


@pytest.fixture(scope="module")
def steady(store: Store) -> Iterator[Store]:
    store.use_new_database("steady")
    for tier, window_s, first_s in (("", 60, MINUTES_FROM_S), ("_1h", 3600, FIRST_S), ("_1d", 86_400, FIRST_S)):
        store.execute(
            f"INSERT INTO rollup_model{tier}_partials (window_start, model, provider, source_epoch, segment, version, "
            f"requests) SELECT toDateTime(intDiv(moment, {window_s}) * {window_s}, 'UTC') AS at, 'm', 'p', 'e', 0, 1, "
            f"count() FROM (SELECT {FIRST_S} + number * {STEP_S} AS moment FROM numbers({len(MOMENTS)})) "
            f"WHERE moment >= {first_s} GROUP BY at"
        )
    yield store


def beginning(moment_s: int, period: str, zone: zoneinfo.ZoneInfo) -> int:
    """The calendar's own: midnight by the wall clock, or the first moment after it where the clocks jump over it."""
    if period == "hour":
        return moment_s // 3600 * 3600
    day = dt.datetime.fromtimestamp(moment_s, zone).date()
    if period == "week":
        day -= dt.timedelta(days=day.weekday())
    elif period == "month":
        day = day.replace(day=1)
    return int(dt.datetime.combine(day, dt.time(), zone).timestamp())


def zone_of(name: str) -> zoneinfo.ZoneInfo:
    return zoneinfo.ZoneInfo("UTC" if name == "utc" else name)


def found(store: Store, from_s: int, to_s: int, period: str, zone: str) -> dict[int, int]:
    """Requests by beginning of the period, seconds since 1970."""
    rows = store.rows(
        f"SELECT toUnixTimestamp(time), requests FROM ({SQL})",
        TimeRange(from_s * 1000, to_s * 1000, timezone=zone),
        {"period": period},
    )
    assert len({row[0] for row in rows}) == len(rows)
    return {int(at): int(requests) for at, requests in rows}


def expected(from_s: int, to_s: int, period: str, zone: str) -> dict[int, int]:
    place = zone_of(zone)
    start_s = beginning(from_s, period, place)
    return dict(Counter(beginning(at, period, place) for at in MOMENTS if start_s <= at <= to_s))


@pytest.mark.parametrize("period", ["day", "week", "month"])
@pytest.mark.parametrize("zone", WHOLE_HOURS)
def test_periods_begin_at_the_readers_midnight(steady: Store, zone: str, period: str) -> None:
    from_s = NOW_S - 190 * 86_400
    if period == "month":
        from_s = NOW_S - 150 * 86_400
    assert found(steady, from_s, NOW_S, period, zone) == expected(from_s, NOW_S, period, zone)


@pytest.mark.parametrize("period", ["day", "week"])
@pytest.mark.parametrize("zone", PARTS_OF_HOURS)
def test_midnights_within_an_hour_are_exact_while_there_are_minutes(steady: Store, zone: str, period: str) -> None:
    from_s = EXACT_FROM_S + 8 * 86_400
    assert found(steady, from_s, NOW_S, period, zone) == expected(from_s, NOW_S, period, zone)


@pytest.mark.parametrize("zone", [*WHOLE_HOURS, *PARTS_OF_HOURS])
def test_the_sum_of_the_days_is_the_range_with_minutes_and_without(steady: Store, zone: str) -> None:
    from_s = NOW_S - 190 * 86_400
    start_s = beginning(from_s, "day", zone_of(zone))
    days = found(steady, from_s, NOW_S, "day", zone)
    # A range from within an hour of which there are no minutes begins with that hour.
    hour_s = start_s // 3600 * 3600
    assert sum(days.values()) == len([at for at in MOMENTS if hour_s <= at <= NOW_S])
    exact = expected(from_s, NOW_S, "day", zone)
    assert set(days) == set(exact)
    assert max(abs(days[day] - exact[day]) for day in exact) <= 3600 // STEP_S


def test_hours_are_the_same_everywhere(steady: Store) -> None:
    from_s = NOW_S - 3 * 86_400
    utc = found(steady, from_s, NOW_S, "hour", "utc")
    assert utc == expected(from_s, NOW_S, "hour", "utc")
    assert found(steady, from_s, NOW_S, "hour", "Asia/Kolkata") == utc


def test_a_range_that_ended_at_the_readers_midnight_has_nothing_of_the_next_day(steady: Store) -> None:
    tokyo = zone_of("Asia/Tokyo")
    end_s = beginning(NOW_S - 5 * 86_400, "day", tokyo)
    for period in ("day", "week"):
        from_s = end_s - 3 * 86_400
        assert found(steady, from_s, end_s - 1, period, "Asia/Tokyo") == expected(
            from_s, end_s - 1, period, "Asia/Tokyo"
        )


@pytest.mark.parametrize("zone", ["utc", "Asia/Tokyo", "America/New_York", "Asia/Kathmandu"])
@pytest.mark.parametrize(("window", "days"), [("week", 7), ("month", 30)])
def test_a_ranking_ends_with_the_readers_last_full_day(steady: Store, zone: str, window: str, days: int) -> None:
    place = zone_of(zone)
    today = dt.datetime.fromtimestamp(NOW_S, place).date()
    ages = Counter((today - dt.datetime.fromtimestamp(at, place).date()).days for at in MOMENTS)
    exact = {age: sum(ages[age * days + day] for day in range(1, days + 1)) for age in range(4)}
    rows = steady.rows(
        f"SELECT age, requests FROM ({grouped('rollup', 'model', {'requests': 'sum(requests)'})}) ORDER BY age",
        TimeRange((NOW_S - 86_400) * 1000, NOW_S * 1000, timezone=zone),
        {"window": window},
    )
    # Without minutes a cut hour counts whole.
    tolerance = 3600 // STEP_S if zone == "Asia/Kathmandu" and window == "month" else 0
    assert {row[0] for row in rows} == set(range(4))
    assert all(abs(requests - exact[age]) <= tolerance for age, requests in rows)
