"""The board's JSON interface over a seeded store: data, errors in words, and what the browser may not say."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from tokentide_deploy.board.dashboards import COMMITTED_FOLDER

from .conftest import Board

NOW = "tokentide-now"
DAY_S = 86_400


def dashboard(sql: str, *, variables: list[dict[str, Any]] | None = None, **panel: Any) -> dict[str, Any]:
    """A dashboard with one panel."""
    target = {"refId": "A", "rawSql": sql, "queryType": "table", "format": 1}
    one = {"id": 1, "type": "table", "title": "T", "gridPos": {"x": 0, "y": 0, "w": 24, "h": 8}, "targets": [target]}
    return {
        "uid": "own",
        "title": "Own",
        "time": {"from": "now-1h", "to": "now"},
        "panels": [{**one, **panel}],
        "templating": {"list": variables or []},
    }


@pytest.fixture
def own_board(start_board: Callable[..., Board], tmp_path: Path) -> Callable[[dict[str, Any]], Board]:
    """A board over one dashboard of the test's own."""

    def start(model: dict[str, Any]) -> Board:
        folder = tmp_path / "dashboards"
        folder.mkdir()
        (folder / "own.json").write_text(json.dumps(model), encoding="utf-8")
        return start_board("--dashboards", str(folder))

    return start


def test_every_committed_dashboard_is_offered_with_now_first(board: Board) -> None:
    listed = [one["uid"] for one in board.http.get("/api/boards").json()]
    committed = {json.loads(path.read_text(encoding="utf-8"))["uid"] for path in COMMITTED_FOLDER.glob("*.json")}
    assert listed[0] == NOW
    assert set(listed) == committed


def test_the_browser_never_sees_or_sends_sql(board: Board) -> None:
    text = board.http.get("/").text + board.http.get(f"/api/boards/{NOW}").text
    assert "rawSql" not in text
    assert "SELECT" not in text
    refused = board.panel(NOW, 1, board.view(rawSql="SELECT 1"))
    assert refused.status_code == 400
    assert "rawSql" in refused.json()["error"]


def test_a_panel_answers_with_typed_fields_and_what_it_read(board: Board) -> None:
    frame = board.panel(NOW, 8, board.view(days=0.1)).json()["frames"][0]
    assert [(field["name"], field["kind"]) for field in frame["fields"]] == [
        ("time", "time"), ("model", "string"), ("Value", "number"),
    ]  # fmt: skip
    times = frame["fields"][0]["values"]
    assert len(times) == frame["rows"] > 0
    assert abs(times[-1] / 1000 - time.time()) < DAY_S
    assert frame["read_rows"] > 0


def test_a_variable_selects_and_its_options_are_those_of_the_range(board: Board) -> None:
    options = board.http.post(f"/api/boards/{NOW}/variables/model", json=board.view(days=0.1)).json()["options"]
    model = options[0]["value"]
    frame = board.panel(NOW, 12, board.view(days=0.1, variables={"model": [model]})).json()["frames"][0]
    assert frame["fields"][0]["values"] == [model]


def test_a_value_with_quotes_and_sql_in_it_is_only_a_value(board: Board) -> None:
    for value in ("') OR 1=1 --", "\\', 1) OR 1=1 --", "x' UNION ALL SELECT"):
        frame = board.panel(NOW, 12, board.view(variables={"model": [value]})).json()["frames"][0]
        assert "error" not in frame
        assert frame["rows"] == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"variables": {"model": ["$__timeFilter("]}}, r"holds \$__"),
        ({"variables": {"model": ["a\nb"]}}, "control character"),
        ({"variables": {"nonsense": ["x"]}}, "no variable nonsense"),
        ({"timezone": "Mars/Olympus"}, "time zone"),
        ({"from_ms": 2_000_000_000_000, "to_ms": 1_000_000_000_000}, "ends before it begins"),
        ({"from_ms": -1}, "from_ms"),
        ({"to_ms": 10**15}, "to_ms"),
        ({"points": 10**9}, "points"),
    ],
)
def test_a_request_that_makes_no_sense_is_refused_in_words(board: Board, change: dict[str, Any], message: str) -> None:
    answer = board.panel(NOW, 12, board.view(**change)).json()
    text = answer.get("error") or answer["frames"][0]["error"]
    assert re.search(message, text), text


def test_an_unknown_dashboard_panel_or_variable_is_404(board: Board) -> None:
    assert board.http.get("/api/boards/none").status_code == 404
    assert board.panel(NOW, 999, board.view()).status_code == 404
    assert board.http.post(f"/api/boards/{NOW}/variables/none", json=board.view()).status_code == 404
    assert board.http.post(f"/api/boards/{NOW}/panels/1", content=b"{").status_code == 400


def test_a_query_that_fails_gives_the_stores_message_in_its_frame(own_board: Callable[..., Board]) -> None:
    running = own_board(dashboard("SELECT no_such_column FROM rollup_1m"))
    answer = running.panel("own", 1, running.view())
    assert answer.status_code == 200
    assert "no_such_column" in answer.json()["frames"][0]["error"]
    assert "UNKNOWN_IDENTIFIER" in answer.json()["frames"][0]["error"]


@pytest.mark.parametrize("sql", ["DROP TABLE events", "INSERT INTO events SELECT * FROM events", "SELECT 1; SELECT 2"])
def test_a_dashboard_cannot_write(own_board: Callable[..., Board], sql: str) -> None:
    running = own_board(dashboard(sql))
    assert "error" in running.panel("own", 1, running.view()).json()["frames"][0]


def test_where_a_variable_stands_unquoted_only_its_options_are_taken(own_board: Callable[..., Board]) -> None:
    variable = {"name": "n", "type": "custom", "query": "1,2", "current": {"value": "1"}, "multi": False}
    running = own_board(dashboard("SELECT ${n:raw} AS v", variables=[variable]))
    good = running.panel("own", 1, running.view(variables={"n": ["2"]})).json()["frames"][0]
    assert good["fields"][0]["values"] == [2]
    bad = running.panel("own", 1, running.view(variables={"n": ["sleep(3)"]})).json()["frames"][0]
    assert "not one of the options" in bad["error"]


def test_all_without_a_guard_stands_for_the_options(own_board: Callable[..., Board]) -> None:
    query = {"name": "v", "type": "query", "query": "SELECT arrayJoin(['a', 'b''c'])", "multi": True,
             "includeAll": True, "current": {"value": ["$__all"]}}  # fmt: skip
    running = own_board(dashboard("SELECT arrayJoin([${v:singlequote}]) AS v", variables=[query]))
    frame = running.panel("own", 1, running.view()).json()["frames"][0]
    assert frame["fields"][0]["values"] == ["a", "b'c"]


def test_points_of_whole_days_begin_at_the_readers_midnight_also_when_the_clocks_change(
    own_board: Callable[..., Board],
) -> None:
    # The clocks went forward on 2026-03-08 in New York: midnight is 05:00 UTC before and 04:00 UTC after.
    sql = (
        "SELECT $__timeInterval(t) AS time, count() AS n FROM (SELECT toDateTime('2026-03-06 00:00:00', 'UTC') + "
        "number * 3600 AS t FROM numbers(120)) GROUP BY time ORDER BY time WITH FILL STEP "
        "toIntervalSecond($__interval_s)"
    )
    running = own_board(dashboard(sql, interval="1d"))
    view = running.view(from_ms=1_772_755_200_000, to_ms=1_773_187_200_000, timezone="America/New_York")
    frame = running.panel("own", 1, view).json()["frames"][0]
    hours = [time.strftime("%m-%d %H", time.gmtime(ms / 1000)) for ms in frame["fields"][0]["values"]]
    assert hours == ["03-05 05", "03-06 05", "03-07 05", "03-08 05", "03-09 04", "03-10 04"]
    assert frame["fields"][1]["values"] == [5, 24, 24, 23, 24, 20]


def test_a_store_that_is_gone_is_said_in_each_panel(start_board: Callable[..., Board]) -> None:
    running = start_board(clickhouse_url="http://reader@127.0.0.1:9/tokentide")
    frame = running.panel(NOW, 1, running.view()).json()["frames"][0]
    assert "does not answer" in frame["error"]
    assert running.http.get("/").status_code == 200


def test_a_dashboard_that_changes_on_disk_is_read_again(own_board: Callable[..., Board], tmp_path: Path) -> None:
    running = own_board(dashboard("SELECT 1 AS v"))
    path = tmp_path / "dashboards" / "own.json"
    path.write_text(json.dumps({**dashboard("SELECT 1 AS v"), "title": "Changed"}), encoding="utf-8")
    assert running.http.get("/api/boards").json()[0]["title"] == "Changed"


def test_the_page_holds_its_dashboard_and_asks_nobody_else(board: Board) -> None:
    answer = board.http.get("/")
    assert "default-src 'self'" in answer.headers["content-security-policy"]
    assert '"uid": "tokentide-now"' in answer.text
    assert "http://" not in answer.text.partition("<body>")[0]
    assert httpx.get(f"{board.url}/static/vendor/NOTICE").status_code == 200


def test_the_board_stops_cleanly(start_board: Callable[..., Board]) -> None:
    running = start_board()
    assert running.stop() == 0
