"""Every query of the dashboard Now, expanded and run on ClickHouse over known rows, with its answer asserted."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterator
from typing import Any

import pytest

from tokentide_dashboards.macros import TimeRange

from .conftest import Store

HOUR = dt.datetime(2026, 1, 1, 10, tzinfo=dt.UTC)
T0 = int(HOUR.timestamp())
TEN_MINUTES = TimeRange(T0 * 1000, (T0 + 600) * 1000)
MANY_MODELS_T0 = T0 + 86_400
# Samples of the pipeline are kept for two weeks only, so theirs is a recent time.
SAMPLES_T0 = int(dt.datetime.now(dt.UTC).timestamp()) // 600 * 600 - 3600
SAMPLED = TimeRange(SAMPLES_T0 * 1000, (SAMPLES_T0 + 600) * 1000)
CATCHING_UP_T0 = T0 + 2 * 86_400

_COLUMNS = (
    "window_start, model, provider, category, outcome, source_epoch, source_partition, segment, version, requests, "
    "usage_missing_requests, input_uncached_tokens, output_tokens, cost_nanousd, cost_unknown_requests, emitted_at"
)


def partial(
    at_s: int,
    model: str,
    *,
    provider: str = "openai",
    category: str = "code",
    outcome: str = "ok",
    partition: int = 0,
    version: int = 1,
    requests: int = 1,
    without_usage: int = 0,
    tokens_in: int = 0,
    tokens_out: int = 0,
    cost_nanousd: int = 0,
    without_cost: int = 0,
    emitted_at: str = "toDateTime64('2026-01-01 12:00:00', 3, 'UTC')",
) -> str:
    return (
        f"({at_s}, '{model}', '{provider}', '{category}', '{outcome}', 'e', {partition}, 0, {version}, {requests}, "
        f"{without_usage}, {tokens_in}, {tokens_out}, {cost_nanousd}, {without_cost}, {emitted_at})"
    )


def seeded_partials() -> list[str]:
    rows = [partial(T0 - 1200, "alpha", tokens_in=1)]  # the store reaches back beyond the previous period
    for minute in range(-10, 0):
        rows.append(partial(T0 + 60 * minute, "alpha", tokens_in=60))
    for minute in range(10):
        at_s = T0 + 60 * minute
        # 120 tokens and 2 requests a minute from two partitions; an older version of one must not count.
        rows.append(partial(at_s, "alpha", tokens_in=100, cost_nanousd=60_000_000, version=2))
        rows.append(partial(at_s, "alpha", tokens_in=7_777, cost_nanousd=1, version=1))
        rows.append(partial(at_s, "alpha", tokens_out=20, partition=1))
        if minute >= 5:
            rows.append(
                partial(at_s, "beta", provider="azure", category="chat", tokens_in=30, tokens_out=10, without_cost=1)
            )
    rows.append(
        partial(T0 + 540, "beta", provider="azure", category="", outcome="error", without_usage=1, without_cost=1)
    )
    rows += [partial(MANY_MODELS_T0, f"m{n:02}", tokens_in=10 * n) for n in range(1, 13)]
    rows += [partial(CATCHING_UP_T0 + 60 * m, "alpha", tokens_in=100) for m in range(2)]
    rows.append(partial(CATCHING_UP_T0 + 120, "alpha", tokens_in=5, emitted_at="now64(3) + toIntervalHour(1)"))
    return rows


@pytest.fixture(scope="module")
def database(store: Store) -> Iterator[Store]:
    store.use_new_database("empty")
    store.use_new_database("seeded")
    store.execute(f"INSERT INTO rollup_model_partials ({_COLUMNS}) VALUES {', '.join(seeded_partials())}")
    store.execute(
        "INSERT INTO pipeline_samples VALUES "
        f"({SAMPLES_T0 + 100}, 'stream', 'usage', 0, 50, 100, 50, 70000), "
        f"({SAMPLES_T0 + 590}, 'stream', 'usage', 0, 90, 100, 10, 4000), "
        f"({SAMPLES_T0 + 590}, 'stream', 'usage', 1, 95, 100, 5, 1000), "
        f"({SAMPLES_T0 + 591}, 'sink', 'usage', 0, 100, 100, 0, 99000)"
    )
    columns = "topic, epoch, partition, offset, row, reason, detail, events, producer_id, appended_at, rejected_at"
    store.execute(
        f"INSERT INTO dead_letters ({columns}) VALUES "
        f"('usage', 'e', 0, 1, -1, 'undecodable', '', 3, '', {T0}, {T0 + 30}), "
        f"('usage', 'e', 0, 1, -1, 'undecodable', '', 3, '', {T0}, {T0 + 30}), "
        f"('usage', 'e', 0, 2, 7, 'negative', '', 1, '', {T0}, {T0 + 40}), "
        f"('usage', 'e', 0, 3, 7, 'negative', '', 9, '', {T0}, {T0 + 4000})"
    )
    yield store
    store.use("seeded")


@pytest.fixture
def seeded(database: Store) -> Store:
    database.use("seeded")
    return database


@pytest.fixture
def empty(database: Store) -> Store:
    database.use("empty")
    return database


def sql_of(now_json: dict[str, Any], title: str) -> str:
    (panel,) = [panel for panel in now_json["panels"] if panel["title"] == title]
    (target,) = panel["targets"]
    return str(target["rawSql"])


def variable_sql(now_json: dict[str, Any], name: str) -> str:
    (variable,) = [variable for variable in now_json["templating"]["list"] if variable["name"] == name]
    return str(variable["query"])


def clock(after_s: int, start_s: int = T0) -> str:
    return dt.datetime.fromtimestamp(start_s + after_s, dt.UTC).strftime("%Y-%m-%d %H:%M:%S")


def series(values: dict[str, list[float]]) -> list[list[Any]]:
    """Rows of a chart with one point a minute from T0, in the order in which the query gives them."""
    points = len(next(iter(values.values())))
    return [[clock(60 * minute), name, values[name][minute]] for minute in range(points) for name in values]


BEFORE, AFTER = 5, 5
EXPECTED: dict[str, list[list[Any]]] = {
    "Tokens a day at this rate": [[(5 * 120 + 5 * 40) / 5 * 1440]],
    "Requests per minute": [[(10 + 5 + 1) / 5]],
    "Cost per hour": [[0.06 * 60]],
    "Errors": [[1 / 26]],
    "Without usage": [[1 / 26]],
    "Lag": [[4000]],
    "Dead letters": [[4]],
    "Tokens per minute by model": series({"alpha": [120.0] * 10, "beta": [0.0] * BEFORE + [40.0] * AFTER}),
    "Share of tokens by model": series(
        {"alpha": [1.0] * BEFORE + [0.75] * AFTER, "beta": [0.0] * BEFORE + [0.25] * AFTER}
    ),
    "Tokens per minute by category": series(
        {"code": [120.0] * 10, "chat": [0.0] * BEFORE + [40.0] * AFTER, "(unlabelled)": [0.0] * 10}
    ),
    "Share of tokens by category": series(
        {
            "code": [1.0] * BEFORE + [0.75] * AFTER,
            "chat": [0.0] * BEFORE + [0.25] * AFTER,
            "(unlabelled)": [0.0] * 10,
        }
    ),
    "Models": [
        ["alpha", 20, 1200, 6 / 7, 1.0, 100 * (6 / 7 - 1), 0.6, 0.0],
        ["beta", 6, 200, 1 / 7, None, 100 / 7, None, 1 / 6],
    ],
    "Lag in records": [
        [clock(60, SAMPLES_T0), "stream", 50],
        [clock(540, SAMPLES_T0), "sink", 0],
        [clock(540, SAMPLES_T0), "stream", 15],
    ],
    "Lag in time": [
        [clock(60, SAMPLES_T0), "stream", 70000],
        [clock(540, SAMPLES_T0), "sink", 0],
        [clock(540, SAMPLES_T0), "stream", 4000],
    ],
}


def test_every_panel_has_its_rows_asserted(now_json: dict[str, Any]) -> None:
    assert {panel["title"] for panel in now_json["panels"]} == set(EXPECTED)


@pytest.mark.parametrize("title", EXPECTED)
def test_a_panel_gives_the_known_rows(title: str, seeded: Store, now_json: dict[str, Any]) -> None:
    got = seeded.rows(sql_of(now_json, title), SAMPLED if title.startswith("Lag") else TEN_MINUTES)
    assert len(got) == len(EXPECTED[title]), got
    for row, wanted in zip(got, EXPECTED[title], strict=True):
        assert len(row) == len(wanted)
        for value, wanted_value in zip(row, wanted, strict=True):
            exact = wanted_value is None or isinstance(wanted_value, str)
            assert value == (wanted_value if exact else pytest.approx(wanted_value)), (row, wanted)


@pytest.mark.parametrize("title", EXPECTED)
@pytest.mark.parametrize(
    "time_range",
    [
        pytest.param(TEN_MINUTES, id="ten minutes"),
        pytest.param(TimeRange(T0 * 1000, T0 * 1000), id="no time at all"),
        pytest.param(TimeRange(T0 * 1000, (T0 + 60) * 1000), id="one minute"),
        pytest.param(TimeRange(T0 * 1000, (T0 + 40 * 86_400) * 1000, 3_600_000), id="forty days"),
    ],
)
def test_an_empty_store_gives_no_value_and_no_error(
    title: str, time_range: TimeRange, empty: Store, now_json: dict[str, Any]
) -> None:
    rows = empty.rows(sql_of(now_json, title), time_range)
    assert rows in ([], [[None]], [[0]])
    assert rows != [[0]] or title == "Dead letters", "only what is known to be none may be zero"


@pytest.mark.parametrize("title", EXPECTED)
@pytest.mark.parametrize("length_s", [0, 1, 59, 60, 61, 120])
def test_a_range_of_a_minute_never_gives_what_is_no_number(
    title: str, length_s: int, seeded: Store, now_json: dict[str, Any]
) -> None:
    for row in seeded.rows(sql_of(now_json, title), TimeRange(T0 * 1000, (T0 + length_s) * 1000)):
        assert not [v for v in row if v in ("nan", "inf", "-inf") or (isinstance(v, float) and not math.isfinite(v))]


@pytest.mark.parametrize(
    ("title", "rows"),
    [
        ("Tokens a day at this rate", [[120 * 1440]]),
        ("Requests per minute", [[2]]),
        ("Tokens per minute by model", [[clock(0), "alpha", 120]]),
        ("Share of tokens by model", [[clock(0), "alpha", 1]]),
        ("Models", [["alpha", 2, 120, 1, 1.0, 0, 0.06, 0]]),
    ],
)
def test_one_complete_minute_is_enough(
    title: str, rows: list[list[Any]], seeded: Store, now_json: dict[str, Any]
) -> None:
    got = seeded.rows(sql_of(now_json, title), TimeRange(T0 * 1000, (T0 + 60) * 1000))
    assert got == [[v if isinstance(v, str) else pytest.approx(v) for v in row] for row in rows]


def test_a_minute_that_is_still_filling_has_no_rate(seeded: Store, now_json: dict[str, Any]) -> None:
    sql = sql_of(now_json, "Tokens a day at this rate")
    assert seeded.rows(sql, TimeRange(T0 * 1000, (T0 + 59) * 1000)) == [[None]]


def test_the_minute_in_which_the_range_ends_is_left_out(seeded: Store, now_json: dict[str, Any]) -> None:
    ends_in_minute_9 = TimeRange(T0 * 1000, (T0 + 570) * 1000)
    got = seeded.rows(sql_of(now_json, "Tokens a day at this rate"), ends_in_minute_9)
    assert got == [[(120 + 4 * 160) / 5 * 1440]]
    points = seeded.rows(sql_of(now_json, "Tokens per minute by model"), ends_in_minute_9)
    assert {point[0] for point in points} == {clock(60 * minute) for minute in range(9)}


def test_a_newest_minute_that_still_changes_is_left_out(seeded: Store, now_json: dict[str, Any]) -> None:
    # The pipeline catches up: the minute is long past, but its rows were emitted just now and are not all there.
    behind = TimeRange(CATCHING_UP_T0 * 1000, (CATCHING_UP_T0 + 600) * 1000)
    assert seeded.rows(sql_of(now_json, "Requests per minute"), behind) == [[1]]
    assert seeded.rows(sql_of(now_json, "Tokens a day at this rate"), behind) == [[100 * 1440]]
    points = seeded.rows(sql_of(now_json, "Tokens per minute by model"), behind)
    assert [point[2] for point in points] == [100, 100]


def test_five_silent_minutes_have_an_unknown_rate_and_not_zero(seeded: Store, now_json: dict[str, Any]) -> None:
    silent = TimeRange(T0 * 1000, (T0 + 1000) * 1000)
    assert seeded.rows(sql_of(now_json, "Tokens a day at this rate"), silent) == [[None]]


def test_a_chosen_model_without_requests_among_others_has_a_rate_of_zero(
    seeded: Store, now_json: dict[str, Any]
) -> None:
    half = TimeRange(T0 * 1000, (T0 + 300) * 1000)
    assert seeded.rows(sql_of(now_json, "Requests per minute"), half, {"model": ["beta"]}) == [[0]]


def test_cost_is_unknown_when_no_request_has_a_price(seeded: Store, now_json: dict[str, Any]) -> None:
    sql = sql_of(now_json, "Cost per hour")
    assert seeded.rows(sql, TEN_MINUTES, {"provider": ["azure"]}) == [[None]]


def test_variables_select_in_every_panel_over_the_rollup(seeded: Store, now_json: dict[str, Any]) -> None:
    azure = {"provider": ["azure", "no'such\\one"], "category": ["(unlabelled)", "chat"], "model": ["beta"]}
    assert seeded.rows(sql_of(now_json, "Requests per minute"), TEN_MINUTES, azure) == [[6 / 5]]
    assert seeded.rows(sql_of(now_json, "Errors"), TEN_MINUTES, azure) == [[pytest.approx(1 / 6)]]
    assert [row[0] for row in seeded.rows(sql_of(now_json, "Models"), TEN_MINUTES, azure)] == ["beta"]
    points = seeded.rows(sql_of(now_json, "Share of tokens by category"), TEN_MINUTES, azure)
    assert {(point[1], point[2]) for point in points} == {("chat", 1), ("(unlabelled)", 0)}
    only_unlabelled = {"category": ["(unlabelled)"]}
    assert seeded.rows(sql_of(now_json, "Errors"), TEN_MINUTES, only_unlabelled) == [[1]]


def test_wide_points_are_divided_by_the_minutes_that_they_cover(seeded: Store, now_json: dict[str, Any]) -> None:
    # Points of 4 minutes: 10:00-10:04, 10:04-10:08 and, cut by the range's end, 10:08-10:10.
    wide = TimeRange(T0 * 1000, (T0 + 600) * 1000, interval_ms=240_000)
    points = seeded.rows(sql_of(now_json, "Tokens per minute by model"), wide)
    assert [p[2] for p in points if p[1] == "alpha"] == [120, 120, 120]
    assert [p[2] for p in points if p[1] == "beta"] == [0, 30, 40]


def test_the_tail_of_many_models_is_one_series(seeded: Store, now_json: dict[str, Any]) -> None:
    day = TimeRange(MANY_MODELS_T0 * 1000, (MANY_MODELS_T0 + 60) * 1000)
    points = seeded.rows(sql_of(now_json, "Tokens per minute by model"), day)
    assert [(p[1], p[2]) for p in points] == [
        *((f"m{n:02}", 10 * n) for n in range(12, 2, -1)),
        ("(other)", 10 + 20),
    ]
    shares = seeded.rows(sql_of(now_json, "Share of tokens by model"), day)
    assert sum(p[2] for p in shares) == pytest.approx(1)


def test_change_is_unknown_where_the_store_does_not_reach_back(seeded: Store, now_json: dict[str, Any]) -> None:
    # The twenty minutes from 09:50: before them the store has only the row of 09:40.
    (alpha, beta) = seeded.rows(sql_of(now_json, "Models"), TimeRange((T0 - 1200) * 1000, (T0 + 600) * 1000))
    assert alpha[:3] == ["alpha", 31, 1 + 600 + 1200]
    assert alpha[4:6] == beta[4:6] == [None, None]


def test_old_samples_say_nothing_about_the_lag_now(seeded: Store, now_json: dict[str, Any]) -> None:
    ends_later = TimeRange(SAMPLES_T0 * 1000, (SAMPLES_T0 + 700) * 1000)
    assert seeded.rows(sql_of(now_json, "Lag"), ends_later) == [[None]]


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("model", ["alpha", "beta"]),
        ("provider", ["azure", "openai"]),
        ("category", ["(unlabelled)", "chat", "code"]),
    ],
)
def test_a_variable_offers_what_the_range_holds(
    name: str, values: list[str], database: Store, now_json: dict[str, Any]
) -> None:
    sql = variable_sql(now_json, name)
    database.use("seeded")
    assert database.rows(sql, TEN_MINUTES) == [[value] for value in values]
    database.use("empty")
    assert database.rows(sql, TEN_MINUTES) == []
