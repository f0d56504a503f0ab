"""The figures' CSV files against the same numbers calculated in Python from the events, without SQL."""

from __future__ import annotations

import datetime as dt
import math
from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from tests.dashboards import traffic
from tests.dashboards.traffic import Event, own_cost_nanousd, prompt_tokens, total_tokens
from tests.deploy.looking import Store

from tokentide_schemas.catalogue import load_catalogue
from tokentide_schemas.countries import load_continents

from .conftest import Written, report

EVENTS = traffic.events()
ATTRIBUTES = traffic.Attributes(load_catalogue())
CONTINENTS = load_continents()
ORIGINS = {
    "proprietary": "Proprietary", "chinese_open": "Chinese open weights", "rest_of_world_open": "Other open weights",
    None: "Not in the catalogue",
}  # fmt: skip


def week(event: Event) -> str:
    return traffic.monday(event)[:10]


def sums(key: Callable[[Event], Any], measure: Callable[[Event], float], events: Iterable[Event]) -> dict[Any, float]:
    found: dict[Any, float] = defaultdict(float)
    for event in events:
        found[key(event)] += measure(event)
    return {name: value for name, value in found.items() if value}


def cells(
    group: Callable[[Event], str], measure: Callable[[Event], float], events: Iterable[Event] = EVENTS
) -> dict[tuple[str, str], float]:
    return sums(lambda event: (week(event), group(event)), measure, events)


def shares(amounts: dict[tuple[str, str], float]) -> dict[tuple[str, str], float]:
    totals: dict[str, float] = defaultdict(float)
    for (time, _), amount in amounts.items():
        totals[time] += amount
    return {(time, name): amount / totals[time] for (time, name), amount in amounts.items()}


def folded(amounts: dict[tuple[str, str], float], leading: int) -> dict[tuple[str, str], float]:
    totals: dict[str, float] = defaultdict(float)
    for (_, name), amount in amounts.items():
        totals[name] += amount
    named = sorted(totals, key=lambda name: (-totals[name], name))[:leading]
    found: dict[tuple[str, str], float] = defaultdict(float)
    for (time, name), amount in amounts.items():
        found[time, name if name in named else "Others"] += amount
    return found


def is_open(event: Event) -> bool:
    return ATTRIBUTES.of(event, "open_weights") is True


def origin(event: Event) -> str:
    return ORIGINS[ATTRIBUTES.of(event, "origin_group")]


def author(event: Event) -> str:
    return ATTRIBUTES.of(event, "author") or "unknown"


def weighted(event: Event) -> float:
    return event["category_weight"] * total_tokens(event)


def labelled(event: Event) -> bool:
    return bool(event["category"])


def completion(event: Event) -> int:
    return int(event["output_tokens"] + event["output_reasoning_tokens"])


def weekly_ratio(
    above: Callable[[Event], float], below: Callable[[Event], float], events: Iterable[Event] = EVENTS
) -> dict[str, float]:
    chosen = list(events)
    upper, lower = sums(week, above, chosen), sums(week, below, chosen)
    return {time: upper.get(time, 0.0) / value for time, value in lower.items()}


def test_open_and_proprietary_shares(everything: Written) -> None:
    names = {True: "Open weights", False: "Proprietary", None: "Not in the catalogue"}
    expected = shares(cells(lambda event: names[ATTRIBUTES.of(event, "open_weights")], total_tokens))
    assert everything.cells("F1") == pytest.approx(expected)
    assert {name for _, name in expected} == set(names.values())


def test_tokens_by_origin(everything: Written) -> None:
    assert everything.cells("F2") == cells(origin, total_tokens)


def test_share_within_open_models(everything: Written) -> None:
    expected = shares(folded(cells(lambda event: event["model"], total_tokens, filter(is_open, EVENTS)), 15))
    assert everything.cells("F3") == pytest.approx(expected)


def test_number_of_open_models(everything: Written) -> None:
    sizes = {"small": "Small (under 15B)", "medium": "Medium (15B to 70B)", "large": "Large (70B and more)"}
    seen = {
        (week(event), event["model"], sizes[ATTRIBUTES.of(event, "size_class")])
        for event in EVENTS
        if is_open(event) and total_tokens(event)
    }
    expected: dict[tuple[str, str], float] = defaultdict(float)
    for time, _, size in seen:
        expected[time, size] += 1
    assert everything.cells("F5") == expected


def test_shares_by_author(everything: Written) -> None:
    assert everything.cells("M1") == pytest.approx(shares(folded(cells(author, total_tokens), 9)))


def test_shares_by_model_and_the_rest(everything: Written) -> None:
    expected = shares(folded(cells(lambda event: event["model"], total_tokens), 12))
    assert everything.cells("M2") == pytest.approx(expected)
    assert any(name == "Others" for _, name in expected), "the case has no rest"


def test_category_mix_is_scaled_up(everything: Written) -> None:
    expected = shares(cells(lambda event: event["category"], weighted, filter(labelled, EVENTS)))
    assert everything.cells("C1") == pytest.approx(expected)


def test_programming_by_origin(everything: Written) -> None:
    code = [event for event in EVENTS if event["category"] == "programming"]
    assert everything.cells("F8") == pytest.approx(shares(cells(origin, weighted, code)))


def test_categories_of_one_author(everything: Written) -> None:
    own = [event for event in EVENTS if labelled(event) and author(event) == "anthropic"]
    assert everything.cells("F23") == pytest.approx(shares(cells(lambda event: event["category"], weighted, own)))


@pytest.mark.parametrize(
    ("figure", "name", "above", "below", "chosen"),
    [
        (
            "F10",
            "Reasoning models",
            lambda e: total_tokens(e) if ATTRIBUTES.of(e, "reasoning") else 0,
            total_tokens,
            lambda e: True,
        ),
        (
            "F12",
            "Ended in a tool call",
            lambda e: total_tokens(e) if e["finish_reason"] == "tool_calls" else 0,
            total_tokens,
            lambda e: True,
        ),
        ("F14", "Prompt", prompt_tokens, lambda e: e["usage_reported"], lambda e: True),
        ("F15", "Completion", completion, lambda e: e["usage_reported"], lambda e: True),
        ("F17", "Sequence", lambda e: prompt_tokens(e) + completion(e), lambda e: e["usage_reported"], lambda e: True),
        ("F19", "Programming", lambda e: weighted(e) if e["category"] == "programming" else 0, weighted, labelled),
    ],
)
def test_ratios_by_week(everything: Written, figure: str, name: str, above: Any, below: Any, chosen: Any) -> None:
    expected = {(time, name): value for time, value in weekly_ratio(above, below, filter(chosen, EVENTS)).items()}
    assert everything.cells(figure) == pytest.approx(expected)


def test_sequences_of_programming_and_of_everything(everything: Written) -> None:
    def length(event: Event) -> float:
        return prompt_tokens(event) + completion(event)

    code = [event for event in EVENTS if event["category"] == "programming"]
    expected = {}
    for name, events in (("Programming", code), ("All requests", EVENTS)):
        for time, value in weekly_ratio(length, lambda event: event["usage_reported"], events).items():
            expected[time, name] = value
    assert everything.cells("F18") == pytest.approx(expected)


def test_spend_by_continent(everything: Written) -> None:
    expected = shares(cells(lambda event: CONTINENTS.get(event["country"], "unknown"), own_cost_nanousd))
    assert everything.cells("F29") == pytest.approx(expected)


@pytest.mark.parametrize(
    ("figure", "column", "group"),
    [
        ("T2", "Continent", lambda event: CONTINENTS.get(event["country"], "unknown")),
        ("T3", "Country", lambda event: event["country"] or "(unknown)"),
        ("T4", "Language", lambda event: event["language"] or "(unknown)"),
    ],
)
def test_places_and_languages(everything: Written, figure: str, column: str, group: Any) -> None:
    expected = sums(group, total_tokens, EVENTS)
    rows = everything.rows(figure)
    assert {row[column]: float(row["Tokens"]) for row in rows} == expected
    assert sum(float(row["Share"]) for row in rows) == pytest.approx(1)
    assert [row[column] for row in rows] == sorted(expected, key=lambda name: (-expected[name], name))


def test_price_and_usage_by_model(everything: Written) -> None:
    spent = sums(lambda event: event["model"], own_cost_nanousd, EVENTS)
    own = sums(lambda event: event["model"], lambda e: 0 if e["is_byok"] else total_tokens(e), EVENTS)
    tokens = sums(lambda event: event["model"], total_tokens, EVENTS)
    points = {row["Model"]: row for row in everything.rows("F32")}
    assert points.keys() == spent.keys()
    for name, row in points.items():
        assert float(row["USD per million tokens"]) == pytest.approx(spent[name] / 1e3 / own[name])
        assert float(row["Tokens"]) == tokens[name]
    first = everything.rows("T5")[0]
    assert first["Model"] == max(spent, key=lambda name: spent[name])
    assert float(first["Share of cost"]) == pytest.approx(spent[first["Model"]] / sum(spent.values()))
    assert float(first["Log10 of it"]) == pytest.approx(math.log10(tokens[first["Model"]] / 1e6))


def test_shares_of_the_two_halves(everything: Written) -> None:
    # The middle lies in a week; the leaderboard's halves are made of whole weeks by their start.
    middle = traffic.FIRST_DAY + (traffic.END - traffic.FIRST_DAY) / 2
    late = [event for event in EVENTS if week(event) >= middle.date().isoformat()]
    tokens = sums(lambda event: event["model"], total_tokens, late)
    row = everything.rows("M4")[0]
    assert float(row["Second half"]) == pytest.approx(tokens[row["Model"]] / sum(tokens.values()))


def test_retention_counts_who_comes_back(everything: Written) -> None:
    months: dict[tuple[str, int], set[tuple[int, int]]] = defaultdict(set)
    for event in EVENTS:
        if event["user"] is not None:
            months[event["model"], event["user"]].add((event["occurred_at"].year, event["occurred_at"].month))
    size: dict[tuple[str, str], int] = defaultdict(int)
    back: dict[tuple[str, str, int], int] = defaultdict(int)
    for (model, _), seen in months.items():
        year, month = min(seen)
        size[model, f"{year}-{month:02}"] += 1
        for later_year, later_month in seen:
            back[model, f"{year}-{month:02}", (later_year - year) * 12 + later_month - month] += 1
    rows = everything.rows("F30")
    assert len(rows) > 5
    for row in rows:
        key = (row["Model"], row["Cohort"])
        assert int(row["Users"]) == size[key]
        for since in (1, 2):
            if row[str(since)]:
                assert float(row[str(since)]) == pytest.approx(back[*key, since] / size[key])
    assert any(row["2"] for row in rows) and any(not row["2"] for row in rows)


def test_weeks_begin_where_the_reader_lives(store: Store, tmp_path: Path) -> None:
    zone = ZoneInfo("Asia/Tokyo")
    written = report(store, tmp_path, "--min-users", "1", "--time-zone", "Asia/Tokyo")
    assert written.done.returncode == 0, written.done.stderr

    def local_week(event: Event) -> str:
        day = event["occurred_at"].astimezone(zone).date()
        return str(day - dt.timedelta(days=day.weekday()))

    last = (traffic.END - traffic.DAY).date()
    inside = [event for event in EVENTS if event["occurred_at"].astimezone(zone).date() <= last]
    assert len(inside) < len(EVENTS)
    expected = sums(lambda event: (local_week(event), origin(event)), total_tokens, inside)
    found = written.cells("F2")
    assert {key: value for key, value in found.items() if value} == {
        key: value for key, value in expected.items() if key[0] >= traffic.FIRST_DAY.date().isoformat()
    }
    assert found != cells(origin, total_tokens)
