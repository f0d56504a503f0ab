"""The main panels against the same numbers calculated in Python from the events, without SQL."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from statistics import fmean
from typing import Any

import pytest

from tokentide_dashboards.macros import TimeRange
from tokentide_dashboards.period_sql import LEADING_SERIES, OTHER
from tokentide_schemas.catalogue import load_catalogue
from tokentide_schemas.countries import load_continents

from . import traffic
from .conftest import Store
from .traffic import Event, Measure

TEN_WEEKS = TimeRange(int(traffic.FIRST_DAY.timestamp() * 1000), int(traffic.END.timestamp() * 1000), 3_600_000)
EVENTS = traffic.events()
ATTRIBUTES = traffic.Attributes(load_catalogue())
CONTINENTS = load_continents()
Key = Callable[[Event], Any]


@pytest.fixture(scope="module")
def busy(store: Store) -> Iterator[Store]:
    store.use_new_database("busy")
    traffic.fill(store.execute, EVENTS)
    yield store


class Boards:
    """Asks a panel of a dashboard by its title."""

    def __init__(self, boards: dict[str, dict[str, Any]], store: Store) -> None:
        self._boards, self._store = boards, store

    def sql(self, board: str, title: str) -> str:
        (panel,) = [panel for panel in self._boards[board]["panels"] if panel["title"] == title]
        return str(panel["targets"][0]["rawSql"])

    def series(self, board: str, title: str, **choices: Any) -> dict[tuple[str, str], float]:
        rows = self._store.rows(self.sql(board, title), TEN_WEEKS, choices)
        return {(row[0], row[1]): row[2] for row in rows}

    def table(self, board: str, title: str, **choices: Any) -> list[dict[str, Any]]:
        return self._store.table(self.sql(board, title), TEN_WEEKS, choices)

    def value(self, board: str, title: str, **choices: Any) -> Any:
        ((found,),) = self._store.rows(self.sql(board, title), TEN_WEEKS, choices)
        return found


@pytest.fixture
def ask(boards: dict[str, dict[str, Any]], busy: Store) -> Boards:
    return Boards(boards, busy)


def sums(key: Key, measure: Measure, events: Iterable[Event] = EVENTS) -> dict[Any, float]:
    found: dict[Any, float] = defaultdict(float)
    for event in events:
        found[key(event)] += measure(event)
    return dict(found)


def weekly(name: Key, measure: Measure, events: Iterable[Event] = EVENTS) -> dict[tuple[str, Any], float]:
    """Sums by week and name; zero where a name has nothing in a week that has something."""
    chosen = list(events)
    found = sums(lambda event: (traffic.monday(event), name(event)), measure, chosen)
    weeks = {traffic.monday(event) for event in chosen}
    names = {n for n, total in sums(name, measure, chosen).items() if total > 0}
    return {(week, n): found.get((week, n), 0.0) for week in weeks for n in names}


def folded(name: Key, measure: Measure, leading: int = LEADING_SERIES, events: Iterable[Event] = EVENTS) -> Key:
    """`name` with everything beyond the largest as one group."""
    totals = sums(name, measure, events)
    order = sorted(totals, key=lambda n: (-totals[n], n))
    return lambda event: name(event) if name(event) in order[:leading] else OTHER


def shares(amounts: dict[tuple[str, Any], float]) -> dict[tuple[str, Any], float]:
    by_week = defaultdict(float)
    for (week, _), amount in amounts.items():
        by_week[week] += amount
    return {(week, name): amount / by_week[week] for (week, name), amount in amounts.items()}


def model(event: Event) -> str:
    return str(event["model"])


def author(event: Event) -> str:
    return ATTRIBUTES.of(event, "author") or "unknown"


def is_open(event: Event) -> bool:
    return bool(ATTRIBUTES.of(event, "open_weights"))


ORIGINS = {
    "proprietary": "Proprietary",
    "chinese_open": "Chinese open weights",
    "rest_of_world_open": "Other open weights",
    None: "Not in the catalogue",
}


def origin(event: Event) -> str:
    return ORIGINS[ATTRIBUTES.of(event, "origin_group")]


def weighted(event: Event) -> float:
    return float(event["category_weight"]) * traffic.total_tokens(event)


def labelled(*names: str) -> list[Event]:
    return [e for e in EVENTS if e["category"] and (not names or e["category"] in names)]


def continent(event: Event) -> str:
    return CONTINENTS.get(event["country"], "unknown")


def one(_: Event) -> int:
    return 1


tokens = traffic.total_tokens
cost = traffic.own_cost_nanousd
OPEN = [event for event in EVENTS if is_open(event)]
REASONING = [event for event in EVENTS if ATTRIBUTES.of(event, "reasoning")]
CHINESE = [event for event in EVENTS if origin(event) == "Chinese open weights"]

VOLUMES = [
    ("models", "Tokens by model", weekly(folded(model, tokens), tokens)),
    ("open-closed", "Tokens by origin", weekly(origin, tokens)),
    ("agentic", "Reasoning models by tokens", weekly(model, tokens, REASONING)),
    ("geography", "Tokens by country", weekly(lambda e: e["country"] or "(unknown)", tokens)),
    ("cost", "Cost by model", weekly(folded(model, cost), lambda e: cost(e) / 1e9)),
]
SHARES = [
    ("models", "Share of tokens by model", shares(weekly(folded(model, tokens), tokens))),
    ("models", "Share of requests by model", shares(weekly(folded(model, one), one))),
    ("models", "Share of tokens by author", shares(weekly(author, tokens))),
    (
        "open-closed",
        "Open against proprietary",
        shares(
            weekly(
                lambda e: {True: "Open weights", False: "Proprietary", None: "Not in the catalogue"}[
                    ATTRIBUTES.of(e, "open_weights")
                ],
                tokens,
            )
        ),
    ),
    ("open-closed", "Share within open weights by model", shares(weekly(model, tokens, OPEN))),
    (
        "open-closed",
        "Categories of open models",
        shares(weekly(lambda e: e["category"], weighted, [e for e in labelled() if is_open(e)])),
    ),
    (
        "open-closed",
        "Categories of Chinese open models",
        shares(weekly(lambda e: e["category"], weighted, [e for e in CHINESE if e["category"]])),
    ),
    ("open-closed", "Programming tokens by origin", shares(weekly(origin, weighted, labelled("programming")))),
    ("open-closed", "Roleplay tokens by origin", shares(weekly(origin, weighted, labelled("roleplay")))),
    ("open-closed", "Reasoning models by origin", shares(weekly(origin, tokens, REASONING))),
    ("categories", "Category mix over time", shares(weekly(lambda e: e["category"], weighted, labelled()))),
    ("categories", "Programming tokens by author", shares(weekly(author, weighted, labelled("programming")))),
    (
        "providers",
        "Share of tokens by provider",
        shares(weekly(folded(lambda e: e["provider"], tokens), tokens)),
    ),
    (
        "agentic",
        "Tool-call tokens by model",
        shares(
            weekly(
                folded(model, lambda e: tokens(e) * (e["finish_reason"] == "tool_calls")),
                lambda e: tokens(e) * (e["finish_reason"] == "tool_calls"),
            )
        ),
    ),
    ("geography", "Share of spend by continent", shares(weekly(continent, cost))),
    ("geography", "Share of tokens by continent", shares(weekly(continent, tokens))),
    ("cost", "Share of cost by author", shares(weekly(author, cost))),
]


@pytest.mark.parametrize(("board", "title", "expected"), VOLUMES, ids=[f"{b}: {t}" for b, t, _ in VOLUMES])
def test_amounts_over_time_are_those_of_the_events(
    board: str, title: str, expected: dict[Any, float], ask: Boards
) -> None:
    assert ask.series(board, title) == pytest.approx(expected)


@pytest.mark.parametrize(("board", "title", "expected"), SHARES, ids=[f"{b}: {t}" for b, t, _ in SHARES])
def test_shares_are_those_of_the_events_and_sum_to_one(
    board: str, title: str, expected: dict[Any, float], ask: Boards
) -> None:
    found = ask.series(board, title)
    assert found == pytest.approx(expected)
    assert sums(lambda point: point[0][0], lambda point: point[1], found.items()) == pytest.approx(  # type: ignore[arg-type, index]
        dict.fromkeys({week for week, _ in found}, 1.0)
    )


def test_every_period_holds_the_same_tokens(ask: Boards) -> None:
    total = sum(map(tokens, EVENTS))
    for period in ("hour", "day", "week", "month"):
        assert sum(ask.series("models", "Tokens by model", period=period).values()) == total, period
        assert ask.value("models", "Tokens", period=period) == total


def test_the_first_period_is_whole_though_the_range_begins_in_it(ask: Boards, busy: Store) -> None:
    later = TimeRange(TEN_WEEKS.from_ms + 3 * 86_400_000, TEN_WEEKS.to_ms)
    ((found,),) = busy.rows(ask.sql("models", "Tokens"), later)
    assert found == sum(map(tokens, EVENTS))


def test_a_choice_selects_in_every_panel_of_its_dashboard(ask: Boards) -> None:
    chosen = [e for e in EVENTS if e["provider"] == "novita" and e["category"] in ("programming", "")]
    choices = {"provider": ["novita"], "category": ["programming", "(unlabelled)"]}
    assert ask.value("models", "Tokens", **choices) == sum(map(tokens, chosen))
    assert ask.value("models", "Requests", **choices) == len(chosen)
    assert {row["Model"] for row in ask.table("models", "Models", **choices)} == {model(e) for e in chosen}


def test_the_number_of_open_models_by_size_is_counted_once_each(ask: Boards) -> None:
    titles = {"small": "Small (under 15B)", "medium": "Medium (15B to 70B)", "large": "Large (70B and more)"}
    seen: dict[tuple[str, str], set[str]] = defaultdict(set)
    for event in OPEN:
        if tokens(event):
            size = titles.get(ATTRIBUTES.of(event, "size_class"), "Size unknown")
            seen[traffic.monday(event), size].add(model(event))
    found = {
        point: count for point, count in ask.series("open-closed", "Number of open models by size").items() if count
    }
    assert found == {point: len(names) for point, names in seen.items()}


RATIOS = {
    ("agentic", "Mean prompt tokens per request", "prompt"): (EVENTS, traffic.prompt_tokens),
    ("agentic", "Mean completion tokens per request", "completion"): (
        EVENTS,
        lambda e: e["output_tokens"] + e["output_reasoning_tokens"],
    ),
    ("agentic", "Mean sequence length", "sequence"): (
        EVENTS,
        lambda e: traffic.prompt_tokens(e) + e["output_tokens"] + e["output_reasoning_tokens"],
    ),
    ("agentic", "Sequence length, programming and all", "programming"): (
        labelled("programming"),
        lambda e: traffic.prompt_tokens(e) + e["output_tokens"] + e["output_reasoning_tokens"],
    ),
    ("categories", "Mean prompt tokens by category", "roleplay"): (labelled("roleplay"), traffic.prompt_tokens),
}


@pytest.mark.parametrize(("board", "title", "name"), RATIOS)
def test_a_mean_divides_by_the_requests_whose_usage_is_known(board: str, title: str, name: str, ask: Boards) -> None:
    events, measure = RATIOS[board, title, name]
    known = [event for event in events if event["usage_reported"]]
    expected = {
        week: fmean(measure(event) for event in known if traffic.monday(event) == week)
        for week in {traffic.monday(event) for event in known}
    }
    found = {week: value for (week, series), value in ask.series(board, title).items() if series == name}
    assert found == pytest.approx(expected)


def test_the_reasoning_share_is_of_all_tokens_and_not_of_reasoning_tokens(ask: Boards) -> None:
    everything, reasoning = sums(traffic.monday, tokens), sums(traffic.monday, tokens, REASONING)
    expected = {(week, "reasoning models"): reasoning[week] / everything[week] for week in everything}
    assert ask.series("agentic", "Reasoning share of tokens") == pytest.approx(expected)


def test_the_tool_call_share_is_of_requests_that_ended_in_a_call(ask: Boards) -> None:
    called = [event for event in EVENTS if event["finish_reason"] == "tool_calls"]
    everything, in_calls = sums(traffic.monday, tokens), sums(traffic.monday, tokens, called)
    expected = {(week, "ended in a tool call"): in_calls[week] / everything[week] for week in everything}
    assert ask.series("agentic", "Tool-call share of tokens") == pytest.approx(expected)


def test_errors_by_provider_are_of_all_attempts(ask: Boards) -> None:
    attempts = sums(lambda e: e["provider"], one)
    leading = sorted(attempts, key=lambda name: (-attempts[name], name))[:LEADING_SERIES]
    by_point = sums(lambda e: (traffic.monday(e), e["provider"]), one)
    failed = sums(lambda e: (traffic.monday(e), e["provider"]), lambda e: e["outcome"] == "error")
    expected = {point: failed[point] / by_point[point] for point in by_point if point[1] in leading}
    assert ask.series("providers", "Errors by provider") == pytest.approx(expected)


def test_the_price_is_cost_without_own_keys_per_million_tokens_without_them(ask: Boards) -> None:
    own_tokens = sum(tokens(e) for e in EVENTS if not e["is_byok"])
    spent_usd = sum(map(cost, EVENTS)) / 1e9
    assert ask.value("cost", "Cost") == pytest.approx(spent_usd)
    assert ask.value("cost", "USD per million tokens") == pytest.approx(spent_usd / own_tokens * 1e6)
    assert ask.value("cost", "Cost unknown") == pytest.approx(fmean(e["cost_nanousd"] is None for e in EVENTS))
    assert ask.value("cost", "Own-key tokens") == pytest.approx(1 - own_tokens / sum(map(tokens, EVENTS)))


@pytest.mark.parametrize(
    ("board", "title", "column", "name"),
    [
        ("models", "Models", "Model", model),
        ("providers", "Providers", "Provider", lambda e: e["provider"]),
        ("geography", "Countries", "Country", lambda e: e["country"] or "(unknown)"),
        ("geography", "Continents", "Continent", continent),
        ("cost", "Cost by tenant", "Tenant", lambda e: e["tenant"] or "(none)"),
        ("cost", "Cost by app", "App", lambda e: e["app"] or "(none)"),
    ],
)
def test_a_table_has_the_events_tokens_requests_and_cost(
    board: str, title: str, column: str, name: Key, ask: Boards
) -> None:
    rows = ask.table(board, title)
    assert {row[column]: row["Tokens"] for row in rows} == sums(name, tokens)
    assert {row[column]: row["Requests"] for row in rows} == sums(name, one)
    if "Cost" in rows[0]:
        spent = {row[column]: row["Cost"] for row in rows}
        assert spent == pytest.approx(sums(name, lambda e: cost(e) / 1e9))
    for share in [key for key in rows[0] if key.startswith("Share")]:
        assert sum(row[share] for row in rows) == pytest.approx(1)


def test_authors_of_open_models_have_their_tokens(ask: Boards) -> None:
    rows = ask.table("open-closed", "Authors of open models")
    assert {row["Author"]: row["Tokens"] for row in rows} == sums(author, tokens, OPEN)
    assert {row["Author"]: row["Models"] for row in rows} == {
        name: len({model(e) for e in OPEN if author(e) == name}) for name in {author(e) for e in OPEN}
    }


def test_subcategories_are_shares_of_their_category_in_the_last_week(ask: Boards) -> None:
    last = [e for e in labelled() if e["occurred_at"] >= traffic.END - traffic.WEEK]
    pairs = sums(lambda e: (e["category"], e["subcategory"] or "(none)"), weighted, last)
    wholes = sums(lambda e: e["category"], weighted, last)
    rows = ask.table("categories", "Subcategories")
    assert {(row["Category"], row["Subcategory"]): row["Share of category"] for row in rows} == pytest.approx(
        {pair: amount / wholes[pair[0]] for pair, amount in pairs.items() if wholes[pair[0]]}
    )


def test_a_point_of_the_scatter_is_a_model_with_its_price_and_tokens(ask: Boards) -> None:
    rows = ask.table("cost", "Price and usage by model")
    own = sums(model, lambda e: 0 if e["is_byok"] else tokens(e))
    spent, used = sums(model, cost), sums(model, tokens)
    assert {row["Model"]: row["USD per million tokens"] for row in rows} == pytest.approx(
        {name: spent[name] / 1e3 / own[name] for name in spent}
    )
    assert {row["Model"]: row["Open weights"] for row in rows} == {
        name: used[name] if name in {model(e) for e in OPEN} else None for name in used
    }
    assert all((row["Open weights"] is None) != (row["Proprietary or unknown"] is None) for row in rows)


def test_retention_is_the_share_of_a_months_new_users_that_came_back(ask: Boards) -> None:
    months: dict[tuple[str, int], set[int]] = defaultdict(set)
    for event in EVENTS:
        if event["user"] is not None:
            at = event["occurred_at"]
            months[model(event), event["user"]].add(at.year * 12 + at.month - 1)
    cohorts: dict[tuple[str, int], list[set[int]]] = defaultdict(list)
    for (name, _), active in months.items():
        cohorts[name, min(active)].append(active)
    expected = {
        (name, f"{first // 12}-{first % 12 + 1:02}"): (
            len(members), fmean(first + 1 in active for active in members) if first + 1 <= 2025 * 12 + 9 else None
        )
        for (name, first), members in cohorts.items()
    }  # fmt: skip
    found = {
        (row["Model"], row["Cohort"]): (row["Users"], row["1"]) for row in ask.table("retention", "Retention by cohort")
    }
    assert len(found) > 10
    assert found == {key: pytest.approx(expected[key]) for key in found}


def test_the_leaderboard_compares_with_the_week_before(ask: Boards) -> None:
    this = sums(model, tokens, [e for e in EVENTS if e["occurred_at"] >= traffic.END - traffic.WEEK])
    last = sums(
        model, tokens,
        [e for e in EVENTS if traffic.END - 2 * traffic.WEEK <= e["occurred_at"] < traffic.END - traffic.WEEK],
    )  # fmt: skip
    rows = ask.table("rankings", "Models by tokens")
    assert {row["Model"]: row["Tokens"] for row in rows if row["Tokens"]} == {n: t for n, t in this.items() if t}
    assert [row["Rank"] for row in rows] == list(range(1, len(rows) + 1))
    assert sum(row["Share"] for row in rows) == pytest.approx(1)
    for row in rows:
        before, now = last.get(row["Model"], 0), this.get(row["Model"], 0)
        assert row["Change"] == (pytest.approx(now / before - 1) if before else None)
        change_pp = 100 * (now / sum(this.values()) - before / sum(last.values()))
        assert row["Share change"] == pytest.approx(change_pp, abs=1e-9)


def test_trending_is_growth_over_the_mean_of_three_windows_and_leaves_out_who_did_not_grow(ask: Boards) -> None:
    def windows_back(event: Event) -> int:
        return int((traffic.END - event["occurred_at"] - traffic.MILLISECOND) / traffic.WEEK)

    this = sums(lambda e: e["app"] or "(none)", tokens, [e for e in EVENTS if windows_back(e) == 0])
    earlier = sums(lambda e: e["app"] or "(none)", tokens, [e for e in EVENTS if 1 <= windows_back(e) <= 3])
    more = {name: amount - earlier.get(name, 0) / 3 for name, amount in this.items()}
    rows = ask.table("rankings", "Trending apps")
    assert {row["App"]: row["More tokens"] for row in rows} == pytest.approx({n: m for n, m in more.items() if m > 0})
    assert rows[0]["App"] == "agent" and rows[0]["Growth"] is None, "the app that is new"


@pytest.mark.parametrize(("window", "days"), [("day", 1), ("week", 7), ("month", 30)])
def test_a_window_is_as_long_as_it_says(window: str, days: int, ask: Boards) -> None:
    since = traffic.END - days * traffic.DAY
    rows = ask.table("rankings", "Apps by tokens", window=window)
    assert sum(row["Tokens"] for row in rows) == sum(tokens(e) for e in EVENTS if e["occurred_at"] >= since)


def test_a_store_that_is_younger_than_a_window_has_no_change_and_no_trend(ask: Boards, busy: Store) -> None:
    young = TimeRange(TEN_WEEKS.from_ms, TEN_WEEKS.from_ms + 10 * 86_400_000)
    rows = busy.table(ask.sql("rankings", "Models by tokens"), young)
    assert rows and all(row["Change"] is None and row["Share change"] is None for row in rows)
    assert busy.table(ask.sql("rankings", "Trending models"), young) == []


def test_single_requests_are_the_newest_that_are_chosen(ask: Boards) -> None:
    chosen = [e for e in EVENTS if e["provider"] == "novita" and e["outcome"] == "error"]
    rows = ask.table("requests", "Newest requests", provider=["novita"], outcome="error")
    assert [row["Request"] for row in rows] == [e["request_id"] for e in reversed(chosen)][:200]
    assert {row["Error"] for row in rows} == {"timeout"}


def test_launches_are_marked_only_of_models_that_are_used(boards: dict[str, dict[str, Any]], busy: Store) -> None:
    (mark,) = [one for one in boards["models"]["annotations"]["list"] if one["name"] == "Model launches"]
    rows = busy.table(mark["target"]["rawSql"], TEN_WEEKS)
    released = {
        row["name"]: str(row["release_date"]) for row in load_catalogue().model_rows() if row["id"] in traffic.MODELS
    }
    first, last = f"{traffic.FIRST_DAY:%Y-%m-%d}", f"{traffic.END:%Y-%m-%d}"
    assert {row["title"]: row["time"][:10] for row in rows} == {
        name: date for name, date in released.items() if first <= date <= last
    }
    assert rows
