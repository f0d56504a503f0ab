"""Sums over partials are those of the rollup views, whatever of a row's history is in the store."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tokentide_dashboards.macros import TimeRange
from tokentide_dashboards.partial_sums import part, presummed, words

from . import traffic
from .conftest import Store

RANGE = TimeRange(int(traffic.FIRST_DAY.timestamp() * 1000), int(traffic.END.timestamp() * 1000))
FIRST_DAY_S = RANGE.from_ms // 1000
VIEWS = [
    (stem, tier)
    for stem in ("rollup", "rollup_models", "rollup_geography", "rollup_tenant", "rollup_app")
    for tier in ("1h", "1d")
]


@pytest.fixture(scope="module")
def store_with_history(store: Store) -> Iterator[Store]:
    store.use_new_database("busy")
    traffic.fill(store.execute, traffic.events())
    columns = "window_start, model, provider, category, outcome, source_epoch, source_partition, segment, version"
    for day, partition, segment, version, requests in (
        (0, 1, 0, 1, 1000),  # overtaken by the next version
        (0, 1, 0, 2, 7),
        (0, 1, 1, 1, 5),  # late: adds to the others
        (0, 2, 0, 1, 3),
        (1, 2, 0, 1, 9),
    ):
        for tier in ("1h", "1d"):
            store.execute(
                f"INSERT INTO rollup_model_{tier}_partials ({columns}, requests, output_tokens) VALUES "
                f"({FIRST_DAY_S + day * 86_400}, 'openai/gpt-5', 'azure', '', 'ok', 'e', {partition}, {segment}, "
                f"{version}, {requests}, {requests * 10})"
            )
    # The daily cube counts from its second day on; the hourly one has always been there.
    store.execute(f"INSERT INTO stream_coverage VALUES ('model_1d', 'usage', 'e', 0, {FIRST_DAY_S + 86_400})")
    yield store


@pytest.mark.parametrize(("stem", "tier"), VIEWS)
def test_they_are_those_of_the_view(stem: str, tier: str, store_with_history: Store) -> None:
    cube = part(stem, tier)
    sums = ", ".join(f"sum({name})" for name in (*cube.measures, "total_tokens"))
    rows = presummed(
        stem, tier, window="toStartOfMonth(p.window_start)", window_name="month",
        where_window="$__timeFilter(p.window_start)", uses=[sums, cube.dimensions[0]], where=[],
    )  # fmt: skip
    by = cube.dimensions[0]
    mine = f"SELECT month, {by}, {sums} FROM ({rows}) GROUP BY month, {by} ORDER BY month, {by}"
    views = (
        f"SELECT toStartOfMonth(window_start) AS month, {by}, {sums} FROM {stem}_{tier} "
        f"WHERE $__timeFilter(window_start) GROUP BY month, {by} ORDER BY month, {by}"
    )
    found = store_with_history.rows(mine, RANGE)
    assert found
    assert found == store_with_history.rows(views, RANGE)


def test_only_the_newest_version_and_every_segment_counts(store_with_history: Store) -> None:
    def requests(tier: str) -> int:
        rows = presummed(
            "rollup", tier, window="toStartOfDay(p.window_start)", window_name="day", uses=["sum(requests)"],
            where_window=f"$__timeFilter(p.window_start) AND p.window_start < {FIRST_DAY_S + 2 * 86_400}",
            where=["provider = 'azure'"],
        )  # fmt: skip
        return int(store_with_history.rows(f"SELECT sum(requests) FROM ({rows})", RANGE)[0][0])

    azure = [e for e in traffic.events() if e["provider"] == "azure"]
    days = [(event["occurred_at"] - traffic.FIRST_DAY) // traffic.DAY for event in azure]
    first, second = days.count(0), days.count(1)
    assert requests("1h") == first + second + 7 + 5 + 3 + 9
    assert requests("1d") == second + 9, "what was before the cube is left out"


def test_a_condition_on_an_attribute_or_a_sum_selects_groups(store_with_history: Store) -> None:
    rows = presummed(
        "rollup_models", "1h", window="toStartOfMonth(p.window_start)", window_name="month",
        where_window="$__timeFilter(p.window_start)", uses=["model"],
        where=["open_weights = 'yes'", "total_tokens > 0"],
    )  # fmt: skip
    found = {row[0] for row in store_with_history.rows(f"SELECT DISTINCT model FROM ({rows})", RANGE)}
    attributes = traffic.Attributes(traffic.load_catalogue())
    assert found == {
        e["model"] for e in traffic.events() if attributes.of(e, "open_weights") and traffic.total_tokens(e)
    }


def test_dimensions_that_nothing_needs_are_not_grouped_by() -> None:
    sql = presummed(
        "rollup", "1d", window="x", window_name="w", where_window="1", uses=["sumIf(requests, 'provider' = model)"],
        where=["category != 'outcome'"],
    )  # fmt: skip
    assert sql.endswith("GROUP BY w, model"), "a condition needs no group, a word in a text is none"
    assert words("sum(a) = 'b \\' c'") == {"sum", "a"}


def test_a_view_that_does_not_exist_is_named() -> None:
    with pytest.raises(ValueError, match="no cube has a view rollup_nothing_1d"):
        part("rollup_nothing", "1d")
