"""The page's pure modules (units, times, links, addresses, series), run by Node with cases that Grafana defines."""

from __future__ import annotations

import datetime as dt
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

import tokentide_deploy.board

MODULES = Path(tokentide_deploy.board.__file__).parent / "static" / "js"


def run(module: str, function: str, *arguments: Any) -> Any:
    """The result of an exported function."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("NO NODE: the page's formats are NOT tested; install nodejs")
    script = (
        f"import * as m from {json.dumps((MODULES / module).as_uri())};"
        f"const v = m[{json.dumps(function)}](...{json.dumps(arguments)});"
        "process.stdout.write(JSON.stringify(v === undefined ? null : v));"
    )
    result = subprocess.run(
        [node, "--input-type=module", "-e", script], capture_output=True, text=True, timeout=30, check=False
    )
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def run_all(module: str, function: str, cases: list[list[Any]]) -> list[Any]:
    """The results of one function for many arguments, in one process."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("NO NODE: the page's formats are NOT tested; install nodejs")
    script = (
        f"import * as m from {json.dumps((MODULES / module).as_uri())};"
        f"process.stdout.write(JSON.stringify({json.dumps(cases)}.map((c) => m[{json.dumps(function)}](...c))));"
    )
    result = subprocess.run([node, "--input-type=module", "-e", script], capture_output=True, text=True, timeout=30)
    assert result.returncode == 0, result.stderr
    found: list[Any] = json.loads(result.stdout)
    return found


UNITS: list[tuple[float | None, str, int | None, str]] = [
    (0, "short", None, "0"),
    (7, "short", None, "7"),
    (1.5, "short", None, "1.50"),
    (999, "short", None, "999"),
    (1000, "short", None, "1 K"),
    (1234, "short", None, "1.23 K"),
    (999_999, "short", None, "1.00 Mil"),
    (1_234_567, "short", None, "1.23 Mil"),
    (12_345_678, "short", 1, "12.3 Mil"),
    (2_500_000_000, "short", None, "2.50 Bil"),
    (7_100_000_000_000, "short", None, "7.10 Tri"),
    (-4_321, "short", None, "-4.32 K"),
    (0.00012345, "short", None, "0.000123"),
    (0.1234, "percentunit", None, "12.3%"),
    (0.1234, "percentunit", 2, "12.34%"),
    (1, "percentunit", None, "100%"),
    (0.07, "percentunit", None, "7%"),
    (12.5, "percent", 1, "12.5%"),
    (1.5, "currencyUSD", 2, "$1.50"),
    (1234.5, "currencyUSD", 2, "$1.23K"),
    (-0.5, "currencyUSD", 2, "-$0.50"),
    (2_000_000, "currencyUSD", None, "$2M"),
    (250, "ms", None, "250 ms"),
    (1500, "ms", None, "1.50 s"),
    (90_000, "ms", None, "1.50 min"),
    (7_200_000, "ms", None, "2 hour"),
    (0.25, "s", None, "250 ms"),
    (90, "s", None, "1.50 min"),
    (2048, "bytes", None, "2 KiB"),
    (1500, "decbytes", None, "1.50 kB"),
    (1234, "reqps", None, "1.23k req/s"),
    (2.345, "suffix:pp", 2, "2.35 pp"),
    (12345, "none", None, "12345"),
    (5, "tok", None, "5 tok"),
    (None, "short", None, ""),
]


def test_units_are_written_as_grafana_writes_them() -> None:
    written = run_all("units.js", "formatValue", [[value, unit, decimals] for value, unit, decimals, _ in UNITS])
    wrong = [(case, text) for case, text in zip(UNITS, written, strict=True) if case[3] != text]
    # 2.345 is 2.3449... in binary; either rounding of it is right.
    assert [(case, text) for case, text in wrong if not (case[0] == 2.345 and text == "2.34 pp")] == []


def test_axis_labels_have_no_useless_zeros() -> None:
    cases = [[1_500_000, "short", 0], [2_000_000, "short", 0], [0.2, "percentunit", 0], [0, "percentunit", 0]]
    assert run_all("units.js", "formatTick", cases) == ["1.5 Mil", "2 Mil", "20%", "0%"]


NOON_MS = 1_774_785_600_000  # 2026-03-29 12:00 UTC: the day on which Berlin's clocks went forward


@pytest.mark.parametrize(
    ("text", "zone", "is_end", "utc"),
    [
        ("now", "UTC", False, "2026-03-29T12:00:00"),
        ("now-1h", "UTC", False, "2026-03-29T11:00:00"),
        ("now/d", "UTC", False, "2026-03-29T00:00:00"),
        ("now/d", "Europe/Berlin", False, "2026-03-28T23:00:00"),
        ("now-1d", "Europe/Berlin", False, "2026-03-28T13:00:00"),  # 14:00 the day before, in winter time
        ("now-24h", "Europe/Berlin", False, "2026-03-28T12:00:00"),
        ("now/w", "America/New_York", False, "2026-03-23T04:00:00"),  # Monday's midnight there
        ("now-1M/M", "UTC", False, "2026-02-01T00:00:00"),
        ("1774785600000", "UTC", False, "2026-03-29T12:00:00"),
        ("2026-03-29 12:00", "Europe/Berlin", False, "2026-03-29T10:00:00"),
        ("2026-03-29T12:00:00Z", "Europe/Berlin", False, "2026-03-29T12:00:00"),
    ],
)
def test_times_are_read_in_the_readers_zone(text: str, zone: str, is_end: bool, utc: str) -> None:
    ms = run("time.js", "parseTime", text, zone, NOON_MS, is_end)
    assert dt.datetime.fromtimestamp(ms / 1000, dt.UTC).strftime("%Y-%m-%dT%H:%M:%S") == utc


def test_yesterday_ends_a_millisecond_before_today() -> None:
    end = run("time.js", "parseTime", "now-1d/d", "UTC", NOON_MS, True)
    assert end == run("time.js", "parseTime", "now/d", "UTC", NOON_MS, False) - 1


@pytest.mark.parametrize("text", ["", "soon", "now-", "now-1", "now-1x", "2026-13"])
def test_what_is_no_time_is_none(text: str) -> None:
    assert run("time.js", "parseTime", text, "UTC", NOON_MS, False) is None


CONTEXT = {
    "from": "now-7d",
    "to": "now",
    "variables": {"provider": ["openai", "azure & co"], "period": ["week"]},
    "labels": {"model": "openai/gpt-5"},
    "cells": {"Model": "a/b?c", "Tokens": 12},
    "value": 3,
}


@pytest.mark.parametrize(
    ("url", "address"),
    [
        (
            "/d/x?${__url_time_range}&${datasource:queryparam}&var-model=${__field.labels.model}",
            "/d/x?from=now-7d&to=now&var-model=openai%2Fgpt-5",
        ),
        ("/d/x?${provider:queryparam}", "/d/x?var-provider=openai&var-provider=azure%20%26%20co"),
        ('/d/x?var-model=${__data.fields["Model"]}', "/d/x?var-model=a%2Fb%3Fc"),
        ("/d/x?v=${__value.raw}&p=$period", "/d/x?v=3&p=week"),
        ("https://example.com/m/${__field.labels.model}", "https://example.com/m/openai%2Fgpt-5"),
        ("javascript:alert(1)", None),
        ("//evil.example/x", None),
    ],
)
def test_links_carry_what_was_clicked(url: str, address: str | None) -> None:
    assert run("links.js", "linkAddress", {"title": "t", "url": url}, CONTEXT) == address


MODEL = {
    "time": {"from": "now-1h", "to": "now"},
    "refresh": "10s",
    "templating": {
        "list": [
            {"name": "model", "type": "query", "multi": True, "includeAll": True, "current": {"value": ["$__all"]}},
            {"name": "period", "type": "custom", "current": {"value": "week"}},
        ]
    },
}


@pytest.mark.parametrize(
    "search",
    ["", "?from=now-7d&to=now&var-model=a&var-model=b%2Fc", "?timezone=utc&refresh=off", "?var-period=day&viewPanel=4"],
)
def test_the_address_and_the_state_say_the_same(search: str) -> None:
    state = run("state.js", "stateFrom", search, MODEL, "Europe/Berlin")
    assert run("state.js", "searchOf", state, MODEL) == search


def test_long_rows_become_series_named_by_their_labels() -> None:
    frame = {
        "refId": "A",
        "fields": [
            {"name": "time", "kind": "time", "values": [1, 1, 2]},
            {"name": "model", "kind": "string", "values": ["a", "b", "a"]},
            {"name": "Value", "kind": "number", "values": [10, 20, 30]},
        ],
    }
    panel = {"fieldConfig": {"defaults": {"unit": "short"}, "overrides": [
        {"matcher": {"id": "byName", "options": "b"}, "properties": [{"id": "unit", "value": "s"}]}]}}  # fmt: skip
    series = run("fields.js", "seriesOf", panel, [frame])
    assert [(one["name"], one["points"], one["config"]["unit"]) for one in series] == [
        ("a", [[1, 10], [2, 30]], "short"),
        ("b", [[1, 20]], "s"),
    ]


def test_a_name_has_its_colour_and_no_two_names_of_a_panel_share_one() -> None:
    names = [f"author/model-{n}" for n in range(16)]
    node = shutil.which("node")
    if node is None:
        pytest.skip("NO NODE: the page's formats are NOT tested; install nodejs")
    script = (
        f"import {{ seriesColors }} from {json.dumps((MODULES / 'colors.js').as_uri())};"
        f"process.stdout.write(JSON.stringify([...seriesColors({json.dumps(names)}).entries()]));"
    )
    text = subprocess.run(
        [node, "--input-type=module", "-e", script], capture_output=True, text=True, timeout=30
    ).stdout
    colors = dict(json.loads(text))
    assert len(set(colors.values())) == 16
