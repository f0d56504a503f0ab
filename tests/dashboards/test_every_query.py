"""Every query of every dashboard on the embedded store: with traffic, without, with choices, and in each period."""

from __future__ import annotations

import datetime as dt
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tokentide_dashboards.macros import TimeRange

from . import alert_rows, traffic
from .conftest import DEFAULTS, Store

GRAFANA = Path(__file__).resolve().parents[2] / "dashboards" / "grafana"
BOARDS = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(GRAFANA.glob("dashboards/*.json"))}
TEN_WEEKS = TimeRange(
    int(traffic.FIRST_DAY.timestamp() * 1000), int(traffic.END.timestamp() * 1000), interval_ms=21_600_000
)
TWO_DAYS = TimeRange(TEN_WEEKS.to_ms - 2 * 86_400_000, TEN_WEEKS.to_ms, interval_ms=300_000)
# What the pipeline says of itself is kept for two weeks only, so this is of now.
NOW = dt.datetime.now(dt.UTC).replace(microsecond=0)
SAMPLED_FROM = int(NOW.timestamp()) // 600 * 600 - 3600
SAMPLED = TimeRange((SAMPLED_FROM - 600) * 1000, (SAMPLED_FROM + 600) * 1000)

PANELS = [
    pytest.param(name, panel["title"], panel["targets"][0]["rawSql"], id=f"{name}: {panel['title']}")
    for name, board in BOARDS.items()
    for panel in board["panels"]
]
OTHERS = [
    pytest.param(name, other, sql, id=f"{name}: {other}")
    for name, board in BOARDS.items()
    for other, sql in [
        *((v["name"], v["query"]) for v in board["templating"]["list"] if v["type"] == "query"),
        *((a["name"], a["target"]["rawSql"]) for a in board["annotations"].get("list", [])),
    ]
]
OF_THE_PIPELINE = {("now", "Lag"), ("now", "Lag in records"), ("now", "Lag in time"), ("now", "Dead letters")}
ZERO_WHEN_EMPTY = {
    ("now", "Dead letters"),
    ("pipeline", "Open dead letters"),
    *(("alerts", title) for title in ("Firing now", "Critical", "Silenced", "Alerts in the range", "Not told")),
}


def fill_pipeline(store: Store) -> None:
    at = SAMPLED_FROM
    store.execute(
        "INSERT INTO pipeline_samples VALUES "
        f"({at + 550}, 'stream', 'usage', 0, 50, 100, 50, 70000), ({at + 590}, 'sink', 'usage', 0, 90, 100, 10, 4000)"
    )
    letter = "topic, epoch, partition, offset, row, reason, detail, events, producer_id, appended_at, rejected_at"
    store.execute(
        f"INSERT INTO dead_letters ({letter}) VALUES "
        f"('usage', 'e', 0, 1, -1, 'undecodable', '', 3, '', {at}, {at + 30}), "
        f"('usage', 'e', 0, 2, 7, 'negative', '', 1, '', {at}, {at + 40}), "
        f"('usage', 'e', 0, 3, 7, 'negative', '', 1, '', {at}, {at + 40})"
    )
    mark = "topic, epoch, partition, offset, row, status, marked_by, why, marked_at"
    store.execute(f"INSERT INTO dead_letter_marks ({mark}) VALUES ('usage', 'e', 0, 3, 7, 'discarded', 'me', '', {at})")
    record = (
        "topic, epoch, partition, offset, appended_at, producer_id, events, admitted, stored_events, duplicate_events, "
        "rejected_events, recorded_at"
    )
    store.execute(
        f"INSERT INTO ingest_ledger ({record}) VALUES "
        f"('usage', 'e', 0, 1, {at}, 'p1', 10, 1, 9, 1, 0, {at}), "
        f"('usage', 'e', 0, 2, {at}, 'p1', 10, 0, 0, 10, 0, {at}), "
        f"('usage', 'e', 1, 1, {at}, 'p2', 5, 1, 3, 0, 1, {at})"
    )
    watermark = "topic, epoch, partition, applied_offset, watermark, applied_events, emitted_at"
    store.execute(
        f"INSERT INTO stream_watermarks ({watermark}) "
        f"VALUES ('usage', 'e', 0, 2, {at}, 20, {at}), ('usage', 'e', 1, 1, {at + 100}, 5, {at})"
    )
    # An hour with a request more in the rollup than in the raw table, of which one came late.
    hour = (int(NOW.timestamp()) - 4 * 3600) // 3600 * 3600
    store.execute(
        "INSERT INTO rollup_model_1h_partials (window_start, model, provider, source_epoch, segment, version, "
        f"requests, emitted_at) VALUES ({hour}, 'm', 'p', 'e', 0, 1, 3, {at}), ({hour}, 'm', 'p', 'e', 1, 1, 1, {at})"
    )
    rows = ", ".join(
        f"('01900000-0000-7000-9000-00000000000{number}', {hour + 60 * number}, 'm', 'p')" for number in range(3)
    )
    store.execute(f"INSERT INTO events (event_id, occurred_at, model, provider) VALUES {rows}")


@pytest.fixture(scope="module")
def database(store: Store) -> Iterator[Store]:
    store.use_new_database("nothing")
    traffic.load(store.execute)
    store.use_new_database("busy")
    traffic.fill(store.execute, traffic.events())
    fill_pipeline(store)
    alert_rows.insert(store.execute, traffic.END - dt.timedelta(hours=1), dt.timedelta(hours=6))
    yield store
    store.use("busy")


@pytest.fixture
def busy(database: Store) -> Store:
    database.use("busy")
    return database


@pytest.fixture
def empty(database: Store) -> Store:
    database.use("nothing")
    return database


def time_range(name: str, title: str) -> TimeRange:
    if (name, title) in OF_THE_PIPELINE:
        return SAMPLED
    if name == "pipeline":
        newest = title in ("Late", "Late requests", "Rollup against raw")
        return TimeRange(int(NOW.timestamp() - 6 * 3600) * 1000, int(NOW.timestamp()) * 1000) if newest else SAMPLED
    return TWO_DAYS if name == "requests" else TEN_WEEKS


def panel_of(name: str, title: str) -> dict[str, Any]:
    (panel,) = [panel for panel in BOARDS[name]["panels"] if panel["title"] == title]
    return dict(panel)


@pytest.mark.parametrize(("name", "title", "sql"), PANELS)
def test_a_panel_has_rows_with_the_columns_that_it_draws(name: str, title: str, sql: str, busy: Store) -> None:
    # A rate now is of the last five minutes, in which this traffic has nothing; test_now_rows asserts it.
    when = time_range(name, title)
    rows = busy.rows(sql, when)
    assert rows, "no rows"
    columns = busy.columns(sql, when)
    panel = panel_of(name, title)
    if panel["type"] == "timeseries":
        assert [columns[0], columns[-1], len(columns)] == ["time", "Value", 3]
        assert [row[0] for row in rows] == sorted(row[0] for row in rows)
        assert len({(row[0], row[1]) for row in rows}) == len(rows), "a series has two values at one time"
    elif panel["type"] == "stat":
        assert (columns, len(rows)) == (["value"], 1)
        if name != "now":
            assert rows[0][0] is not None
    else:
        drawn = [override["matcher"]["options"] for override in panel["fieldConfig"]["overrides"]]
        for series in panel["options"].get("series", []):
            drawn += [series["x"]["matcher"]["options"], series["y"]["matcher"]["options"]]
        assert set(drawn) <= set(columns), f"no such columns: {sorted(set(drawn) - set(columns))}"


@pytest.mark.parametrize(("name", "title", "sql"), PANELS)
def test_an_empty_store_gives_no_value_and_no_error(name: str, title: str, sql: str, empty: Store) -> None:
    rows = empty.rows(sql, TEN_WEEKS)
    assert rows in ([], [[0]] if (name, title) in ZERO_WHEN_EMPTY else [[None]]), rows[:3]


@pytest.mark.parametrize(("name", "title", "sql"), PANELS)
@pytest.mark.parametrize(
    "choices",
    [
        pytest.param({"period": "hour", "window": "day", "outcome": "error"}, id="hours"),
        pytest.param({"period": "month", "window": "month", "category": ["programming", "(unlabelled)"]}, id="months"),
        pytest.param(
            {name: ["no'such\\one", "it\\"] for name, value in DEFAULTS.items() if value == "$__all"}, id="odd"
        ),
    ],
)
def test_whatever_is_chosen_no_panel_fails_or_shows_what_is_no_number(
    choices: dict[str, Any], name: str, title: str, sql: str, busy: Store
) -> None:
    for row in busy.rows(sql, TWO_DAYS, choices):
        assert not [v for v in row if v in ("nan", "inf", "-inf") or (isinstance(v, float) and not math.isfinite(v))]


@pytest.mark.parametrize(("name", "other", "sql"), OTHERS)
def test_a_variable_and_an_annotation_have_rows(name: str, other: str, sql: str, busy: Store) -> None:
    rows = busy.table(sql, TEN_WEEKS)
    assert rows
    marks = {"time", "title", "text", "tags"} | ({"timeEnd"} if other == "Alerts" else set())
    assert set(rows[0]) == ({"name"} if other in DEFAULTS else marks)


@pytest.mark.parametrize(("name", "other", "sql"), OTHERS)
def test_a_variable_and_an_annotation_have_no_rows_in_an_empty_store(
    name: str, other: str, sql: str, empty: Store
) -> None:
    assert empty.rows(sql, TEN_WEEKS) == []


@pytest.mark.parametrize(
    ("title", "rows"),
    [
        ("Lag", [[70_000]]),
        ("Unaccounted", [[1]]),
        ("Repeated", [[11 / 25]]),
        ("Late", [[1 / 4]]),
        ("Open dead letters", [[4]]),
    ],
)
def test_the_pipelines_numbers_are_the_known_ones(title: str, rows: list[list[float]], busy: Store) -> None:
    sql = panel_of("pipeline", title)["targets"][0]["rawSql"]
    assert busy.rows(sql, time_range("pipeline", title)) == rows


def test_the_pipelines_accounts_add_up_and_show_what_is_missing(busy: Store) -> None:
    rows = busy.table(panel_of("pipeline", "Accounts")["targets"][0]["rawSql"], SAMPLED)
    names = ("Partition", "Records", "Events", "Stored", "Repeated", "Refused", "Unaccounted")
    assert [[row[name] for name in names] for row in rows] == [["0", 2, 20, 9, 11, 0, 0], ["1", 1, 5, 3, 0, 1, 1]]
    letters = busy.rows(panel_of("pipeline", "Open dead letters by reason")["targets"][0]["rawSql"], SAMPLED)
    assert [row[:3] for row in letters] == [["undecodable", 1, 3], ["negative", 1, 1]]
    over_time = busy.rows(panel_of("pipeline", "What became of the events")["targets"][0]["rawSql"], SAMPLED)
    assert [row[1:] for row in over_time] == [["refused", 1], ["repeated", 11], ["stored", 12]]


def test_the_watermarks_age_is_that_of_the_slowest_partition(busy: Store) -> None:
    ((age_ms,),) = busy.rows(panel_of("pipeline", "Watermark age")["targets"][0]["rawSql"], SAMPLED)
    expected_ms = (dt.datetime.now(dt.UTC).timestamp() - SAMPLED_FROM) * 1000
    assert age_ms == pytest.approx(expected_ms, abs=60_000)


def test_a_rollup_that_differs_from_raw_is_shown(busy: Store) -> None:
    range_ = time_range("pipeline", "Rollup against raw")
    rows = busy.table(panel_of("pipeline", "Rollup against raw")["targets"][0]["rawSql"], range_)
    assert [(row["Raw"], row["Rolled up"], row["Difference"]) for row in rows] == [(3, 4, 1)]


@pytest.mark.parametrize(
    ("title", "rows"),
    [
        ("Firing now", [[2]]),
        ("Critical", [[1]]),
        ("Silenced", [[1]]),
        ("Alerts in the range", [[11]]),
        ("Median detection", [[120]]),
        ("Not told", [[18]]),
    ],
)
def test_the_alerts_numbers_are_the_known_ones(title: str, rows: list[list[float]], busy: Store) -> None:
    assert busy.rows(panel_of("alerts", title)["targets"][0]["rawSql"], TEN_WEEKS) == rows


def test_the_most_severe_alert_stands_first_and_a_silenced_one_last(busy: Store) -> None:
    rows = busy.table(panel_of("alerts", "Going on")["targets"][0]["rawSql"], TEN_WEEKS)
    assert [(row["Severity"], row["Silenced by"]) for row in rows] == [
        ("critical", ""),
        ("info", ""),
        ("warning", "night-batch"),
    ]


def test_a_receiver_that_is_down_is_seen(busy: Store) -> None:
    rows = busy.table(panel_of("alerts", "Receivers")["targets"][0]["rawSql"], TEN_WEEKS)
    assert [(row["Receiver"], row["Told"], row["Waiting"], row["Newest error"]) for row in rows] == [
        ("log", 18, 0, ""),
        ("slack", 0, 18, "answered 503 Service Unavailable"),
        ("webhook", 18, 0, ""),
    ]


def test_who_gained_and_who_lost_stand_together(busy: Store) -> None:
    rows = busy.table(panel_of("alerts", "Who gained and who lost")["targets"][0]["rawSql"], TEN_WEEKS)
    assert [(row["Who"], row["Change in pp"], row["By mix"]) for row in rows[:2]] == [
        ("acme/loser", -8.0, None),
        ("acme/model-11", 8.0, 9e6),
    ]


def test_what_is_marked_was_told_and_has_an_end(busy: Store) -> None:
    sql = next(sql for name, other, sql in (one.values for one in OTHERS) if (name, other) == ("models", "Alerts"))
    rows = busy.table(sql, TEN_WEEKS)
    assert len(rows) == 10, "eleven fired, one of them silenced"
    assert all(row["timeEnd"] > row["time"] for row in rows)
    assert rows[-1]["title"].startswith("outage ↓ ") and rows[-1]["tags"] == ["critical", "outage", "rule-1"]
