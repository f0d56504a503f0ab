"""The board in Chromium: every dashboard at three widths in both themes, and a reader who clicks, zooms and types.

TOKENTIDE_SCREENSHOTS names a folder in which the pictures are kept.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from tokentide_deploy.board.dashboards import COMMITTED_FOLDER

from .chromium import Chromium, Page
from .conftest import Board

UIDS = sorted(json.loads(path.read_text(encoding="utf-8"))["uid"] for path in COMMITTED_FOLDER.glob("*.json"))
ALL_LOADED = (
    "document.querySelectorAll('.panel').length > 0 && "
    "[...document.querySelectorAll('.panel')].every((panel) => panel.dataset.loaded && "
    "!panel.classList.contains('loading'))"
)
TALLEST_PX = 9_000
LOOKS = ((1280, "light"), (1280, "dark"), (360, "dark"), (2560, "dark"))
"""A laptop, a phone and a wall screen, in CSS pixels, and a theme. Light is looked at in one width."""
WITHOUT_ROWS = {"Images", "Dead letters by reason", "Open dead letters by reason"}
"""Panels that have nothing to show of the seeded traffic: it has no images and nothing was refused."""


@pytest.fixture
def open_page(chromium: Chromium, board: Board) -> Iterator[Callable[..., Page]]:
    """Opens a path of the board and waits until all panels have loaded."""
    opened: list[Page] = []

    def start(path: str, width: int = 1280, *, dark: bool = False, base: str | None = None) -> Page:
        page = chromium.page(width, 800, dark=dark, touch=width < 600)
        opened.append(page)
        page.open((base or board.url) + path)
        page.wait_for("document.querySelectorAll('.panel').length > 0")
        # Panels load when they come into view: a window that holds the page shows them all.
        page.resize(width, min(page.run("document.documentElement.scrollHeight") + 20, TALLEST_PX))
        page.wait_for(ALL_LOADED)
        return page

    yield start
    for page in opened:
        page.close()


@pytest.fixture
def screenshots(tmp_path: Path) -> Path:
    folder = Path(os.environ.get("TOKENTIDE_SCREENSHOTS", tmp_path))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.mark.parametrize("uid", UIDS)
def test_a_dashboard_is_drawn_at_every_width_and_in_both_themes_without_an_error(
    open_page: Callable[..., Page], board: Board, screenshots: Path, uid: str
) -> None:
    page = open_page(f"/d/{uid}?timezone=utc&refresh=off")
    shown_theme = "document.documentElement.dataset.theme"
    for width, theme in LOOKS:
        if theme != page.run(shown_theme):
            page.key("l")
            page.wait_for(f"{shown_theme} === '{theme}'")
        if width != page.run("window.innerWidth"):
            page.resize(width, TALLEST_PX)
            page.wait_for(f"document.body.dataset.drawnWidth === '{width}'")
        page.wait_for(ALL_LOADED)
        page.resize(width, min(page.run("document.getElementById('panels').offsetHeight") + 160, TALLEST_PX))
        page.screenshot(screenshots / f"{uid}-{width}-{theme}.png")
        assert page.run("document.documentElement.scrollWidth") <= width, "the page scrolls sideways"
    errors = "[...document.querySelectorAll('.panel[data-state=error]')].map((panel) => panel.innerText)"
    assert page.run(errors) == []
    empty = "[...document.querySelectorAll('.panel[data-state=empty] h2')].map((title) => title.innerText)"
    assert set(page.run(empty)) <= WITHOUT_ROWS
    assert page.problems() == []
    assert [url for url in page.requested() if not url.startswith((board.url, "data:"))] == []
    # Every button, link and chart has a name for a screen reader, every panel a heading.
    nameless = page.run(
        "[...document.querySelectorAll('button, a, [role=img], select, input')].filter((one) => "
        "!(one.getAttribute('aria-label') || one.textContent.trim() || one.labels?.length)).map((one) => one.outerHTML)"
    )
    assert nameless == []
    assert page.run("[...document.querySelectorAll('.panel h2')].every((one) => one.textContent.trim())")


def test_a_drill_down_leads_to_the_dashboard_with_range_and_value(open_page: Callable[..., Page]) -> None:
    page = open_page("/d/tokentide-now?from=now-2h&to=now")
    model = page.run("document.querySelector('.kind-table tbody a').textContent")
    page.click(".kind-table tbody a")
    chosen = "document.querySelector('[data-variable=model] .variable-value').textContent"
    page.wait_for(f"location.pathname !== '/d/tokentide-now' && {chosen} === {json.dumps(model)} && {ALL_LOADED}")
    query = parse_qs(urlsplit(page.run("location.href")).query)
    assert model in query["var-model"]
    assert query["from"] == ["now-2h"]
    assert page.problems() == []
    page.run("history.back()")
    page.wait_for("location.pathname === '/d/tokentide-now' && " + ALL_LOADED)


def test_the_range_and_a_variable_change_what_is_drawn_and_the_address(open_page: Callable[..., Page]) -> None:
    page = open_page("/d/tokentide-now")
    rows = "document.querySelectorAll('.kind-table tbody tr').length"
    before = page.run(rows)
    page.click(".range-button")
    page.wait_for("document.querySelector('[data-range=\"now-6h now\"]')")
    page.click('[data-range="now-6h now"]')
    page.wait_for("location.search.includes('from=now-6h') && " + ALL_LOADED)
    page.click("[data-variable=model]")
    page.wait_for("document.querySelectorAll('.option-list input').length > 2")
    option = page.run("document.querySelectorAll('.option-list input')[1].dataset.value")
    page.run("document.querySelectorAll('.option-list input')[1].click()")
    page.click(".popover .primary")
    page.wait_for(f"{rows} === 1")
    assert before > 1
    assert parse_qs(urlsplit(page.run("location.href")).query)["var-model"] == [option]
    assert page.run("document.querySelector('.kind-table tbody th').textContent").startswith(option)
    assert page.problems() == []


def test_dragging_over_a_chart_zooms_to_that_time(open_page: Callable[..., Page]) -> None:
    page = open_page("/d/tokentide-now")
    box = page.run(
        "(() => { const r = document.querySelector('.kind-timeseries .canvas').getBoundingClientRect();"
        " return [r.left, r.top, r.width, r.height]; })()"
    )
    y = box[1] + box[3] / 2
    page.mouse("mouseMoved", box[0] + box[2] * 0.4, y)
    page.mouse("mousePressed", box[0] + box[2] * 0.4, y)
    page.mouse("mouseMoved", box[0] + box[2] * 0.5, y)
    page.mouse("mouseMoved", box[0] + box[2] * 0.6, y)
    page.mouse("mouseReleased", box[0] + box[2] * 0.6, y)
    page.wait_for("/from=\\d{13}/.test(location.search)")
    query = parse_qs(urlsplit(page.run("location.href")).query)
    span_ms = int(query["to"][0]) - int(query["from"][0])
    # A fifth of the canvas, whose plot shows one hour.
    assert 0.15 * 3_600_000 < span_ms < 0.35 * 3_600_000
    assert page.problems() == []


def test_the_time_zone_moves_the_labels_and_not_the_data(open_page: Callable[..., Page]) -> None:
    newest = "document.querySelector('.kind-table tbody th').textContent"
    utc = open_page("/d/tokentide-requests?timezone=utc&from=now-3h&to=now").run(newest)
    tokyo = open_page("/d/tokentide-requests?timezone=Asia/Tokyo&from=now-3h&to=now").run(newest)
    hours = (int(tokyo[11:13]) - int(utc[11:13])) % 24
    assert hours == 9
    assert tokyo[14:] == utc[14:]


def test_the_keys_work_and_a_dialog_shows_the_data_as_a_table(open_page: Callable[..., Page]) -> None:
    page = open_page("/d/tokentide-now")
    page.key("-")
    page.wait_for("/from=\\d{13}/.test(location.search)")
    page.key("l")
    page.wait_for("document.documentElement.dataset.theme === 'dark'")
    page.key("t")
    page.wait_for("document.querySelector('.range-popover')")
    page.key("Escape")
    page.wait_for("!document.querySelector('.range-popover')")
    page.run("document.querySelector('.kind-timeseries button[aria-label^=Data]').click()")
    page.wait_for("document.querySelector('dialog[open] table tbody tr')")
    assert "SELECT" in page.run("document.querySelector('dialog pre').textContent")
    page.run("document.querySelector('dialog button[aria-label=Close]').click()")
    page.wait_for("!document.querySelector('dialog')")
    assert page.problems() == []


def test_live_refresh_asks_again(open_page: Callable[..., Page], board: Board) -> None:
    page = open_page("/d/tokentide-now?refresh=5s")
    before = len([url for url in page.requested() if "/panels/" in url])
    deadline_s = time.monotonic() + 30
    while len([url for url in page.requested() if "/panels/" in url]) < before + 14:
        assert time.monotonic() < deadline_s, "no refresh within 30 s"
        page.run("1")
        time.sleep(0.1)
    assert page.problems() == []


def test_a_panel_that_fails_says_why_and_the_others_go_on(
    open_page: Callable[..., Page], start_board: Callable[..., Board], tmp_path: Path
) -> None:
    folder = tmp_path / "dashboards"
    folder.mkdir()

    def panel(number: int, sql: str, kind: str = "stat", **options: object) -> dict[str, object]:
        return {
            "id": number, "type": kind, "title": f"Panel {number}", "description": "A panel of this test.",
            "gridPos": {"x": 0, "y": 6 * (number - 1), "w": 24, "h": 6},
            "fieldConfig": {"defaults": {}, "overrides": []},
            "options": options, "targets": [{"refId": "A", "rawSql": sql, "queryType": "table", "format": 1}],
        }  # fmt: skip

    model = {
        "uid": "mixed", "title": "Mixed", "time": {"from": "now-1h", "to": "now"}, "templating": {"list": []},
        "panels": [
            panel(1, "SELECT no_such_column FROM rollup_1m"),
            panel(2, "SELECT 42 AS v"),
            panel(3, "SELECT arrayJoin(['a', 'b']) AS k, 5 AS x, 7 AS y", "barchart", orientation="horizontal"),
            panel(4, "SELECT arrayJoin(['<img src=x onerror=alert(1)>', 'b']) AS k, 3 AS v", "piechart"),
            panel(5, "SELECT arrayJoin(['a', 'b']) AS k, 3 AS v", "bargauge"),
            panel(6, "SELECT arrayJoin(['a', 'b']) AS k, 'r' AS r, 3 AS v", "heatmap"),
            panel(7, "SELECT 0.4 AS v", "gauge"),
            panel(8, "SELECT 1", "text", content="**Bold** and [a link](/d/mixed)"),
            panel(9, "SELECT 1", "nodeGraph"),
        ],
    }  # fmt: skip
    (folder / "mixed.json").write_text(json.dumps(model), encoding="utf-8")
    running = start_board("--dashboards", str(folder))
    page = open_page("/d/mixed", base=running.url)
    states = page.run("[...document.querySelectorAll('.panel')].map((panel) => panel.dataset.state)")
    assert states == ["error", *["drawn"] * 7, "error"]
    assert "no_such_column" in page.run("document.querySelector('#panel-1').innerText")
    assert "nodeGraph" in page.run("document.querySelector('#panel-9').innerText")
    assert "42" in page.run("document.querySelector('#panel-2').innerText")
    assert page.run("document.querySelectorAll('.panel img').length") == 0
    assert page.problems() == []


def test_alerts_are_drawn_as_regions_and_told_in_words(open_page: Callable[..., Page]) -> None:
    page = open_page("/d/tokentide-now?timezone=utc&from=now-6h&to=now")
    page.wait_for("!document.getElementById('marks').hidden")
    summary = page.run("document.querySelector('#marks summary').textContent")
    assert summary.startswith("Marked in the charts: alerts ")
    # A summary: what the browser itself opens with the Enter key once it has the focus.
    page.run("document.querySelector('#marks summary').focus()")
    assert page.run("document.activeElement.tagName") == "SUMMARY"
    page.run("document.activeElement.click()")
    page.wait_for("document.getElementById('marks').open")
    lines = page.run("[...document.querySelectorAll('#marks li')].map((one) => one.textContent)")
    assert len(lines) == int(summary.rsplit(" ", 1)[1])
    assert any("launch" in line and "took 8.0 pp of all tokens" in line for line in lines)
    assert all(" to " in line for line in lines), "an alert has an end, or goes on until now"
    charts = page.run("[...document.querySelectorAll('.kind-timeseries .canvas')].map((one) => one.ariaLabel)")
    assert charts and all("Marked: alerts " in label for label in charts)
    assert page.problems() == []


def test_the_pointer_in_a_region_shows_the_alert(open_page: Callable[..., Page]) -> None:
    page = open_page("/d/tokentide-now?timezone=utc&from=now-6h&to=now")
    page.wait_for("!document.getElementById('marks').hidden")
    box = page.run(
        "(() => { const r = document.querySelector('.kind-timeseries .canvas').getBoundingClientRect();"
        " return [r.left, r.top, r.width, r.height]; })()"
    )
    # The last alerts go on until now, which is where the chart ends.
    page.mouse("mouseMoved", box[0] + box[2] * 0.90, box[1] + box[3] / 2)
    page.mouse("mouseMoved", box[0] + box[2] * 0.91, box[1] + box[3] / 2)
    page.wait_for("document.querySelector('.tip-note')?.textContent.includes('acme/model-')")
    assert page.problems() == []
