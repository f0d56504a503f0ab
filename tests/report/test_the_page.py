"""The HTML file: complete, well formed, and with nothing to load."""

from __future__ import annotations

import base64
import json
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from tests.board.chromium import Chromium, find
from tests.deploy.looking import Store

from tokentide_dashboards.figures import IDS
from tokentide_deploy.report.run import RECIPES

from .conftest import Written, report


@pytest.fixture(scope="module")
def tree(everything: Written) -> ET.Element:
    text = everything.page.read_text(encoding="utf-8")
    assert text.startswith("<!DOCTYPE html>\n")
    return ET.fromstring(text.removeprefix("<!DOCTYPE html>\n"))


def test_every_figure_and_table_of_the_study_is_there(tree: ET.Element) -> None:
    ids = [figure.attrib["id"] for figure in tree.iter("figure")]
    assert ids == [recipe.id for recipe in RECIPES]
    assert set(IDS) <= set(ids)
    assert len(ids) == len(set(ids))


def test_nothing_is_loaded_from_anywhere(tree: ET.Element, everything: Written) -> None:
    for element in tree.iter():
        assert element.tag not in ("script", "link", "iframe", "img", "object", "embed")
        assert "src" not in element.attrib
        target = element.attrib.get("href", "#")
        assert target.startswith(("#", "data:text/csv;base64,")), target
    text = everything.page.read_text(encoding="utf-8")
    assert not re.search(r"https?://|url\(|@import", text)


def test_links_within_the_page_lead_somewhere(tree: ET.Element) -> None:
    ids = {element.attrib["id"] for element in tree.iter() if "id" in element.attrib}
    inner = {element.attrib["href"][1:] for element in tree.iter("a") if element.attrib["href"].startswith("#")}
    assert inner and inner <= ids


def test_every_figure_has_words_and_numbers(tree: ET.Element, everything: Written) -> None:
    for figure in tree.iter("figure"):
        id_ = figure.attrib["id"]
        assert figure.find("figcaption/h3") is not None, id_
        defined = [term.text for term in figure.findall("details/dl/dt")]
        assert defined == ["Counted", "Divided by", "Left out"], id_
        is_empty = figure.find("p[@class='empty']") is not None
        if is_empty:
            assert everything.rows(id_) == [], id_
            continue
        assert len(figure.findall(".//tbody/tr")) == len(everything.rows(id_)) > 0, id_
        reading = figure.find("figcaption/p")
        assert reading is not None and reading.text, id_
        for picture in figure.iter("svg"):
            assert picture.attrib["role"] == "img" and picture.attrib["aria-label"], id_


def test_the_csv_in_the_page_is_the_csv_file(tree: ET.Element, everything: Written) -> None:
    links = {link.attrib["download"]: link.attrib["href"] for link in tree.iter("a") if "download" in link.attrib}
    assert len(links) > 40
    for name, target in links.items():
        data = base64.b64decode(target.removeprefix("data:text/csv;base64,"))
        assert data == (everything.csv_dir / name).read_bytes()


def test_a_reading_says_what_the_numbers_say(tree: ET.Element, everything: Written) -> None:
    (figure,) = [one for one in tree.iter("figure") if one.attrib["id"] == "F12"]
    reading = figure.findtext("figcaption/p") or ""
    # Ten weeks: too few for means of several.
    first, *_, last = everything.rows("F12")
    name = "Ended in a tool call"
    before, after = (f"{100 * float(row[name]):.1f}\u00a0%" for row in (first, last))
    moved = "grew" if float(last[name]) > float(first[name]) else "fell"
    assert reading == f"{name} {moved} from {before} to {after} ({first['Week from']} to {last['Week from']})."


def test_the_methods_are_filled_from_the_data(tree: ET.Element) -> None:
    from tests.dashboards import traffic

    terms = tree.findall(".//section[@id='methods']/dl/dt")
    texts = tree.findall(".//section[@id='methods']/dl/dd")
    facts = {term.text: text.text or "" for term, text in zip(terms, texts, strict=True)}
    events = traffic.events()
    assert facts["Attempts"].startswith(f"{len(events):,}, of {len(traffic.MODELS)} models")
    assert facts["Tokens"].startswith(f"{sum(map(traffic.total_tokens, events)):,}:")
    assert facts["No usage reported"].startswith(f"{sum(not event['usage_reported'] for event in events):,} (")
    assert facts["Cost unknown"].startswith(f"{sum(event['cost_nanousd'] is None for event in events):,} (")
    assert facts["Unlabelled"].startswith(f"{sum(not event['category'] for event in events):,} (")
    strange = sum(traffic.total_tokens(event) for event in events if event["model"] in traffic.STRANGE_MODELS)
    assert f"{len(traffic.STRANGE_MODELS)} models that it does not have, with {strange:,} (" in facts["Catalogue"]
    assert " and as many in the rollups" in facts["Raw and rollups"]
    assert "Nothing is hidden" in facts["Small groups"]


def test_without_raw_events_groups_by_category_say_why_they_are_empty(
    store: Store, tmp_path: Path, everything: Written
) -> None:
    # A copy of the rollups alone: what a store has when its raw events have expired.
    store.execute("RENAME TABLE events TO events_away", "CREATE TABLE events AS events_away")
    try:
        hidden = report(store, tmp_path / "hidden")
        shown = report(store, tmp_path / "shown", "--show-uncounted")
    finally:
        store.execute("DROP TABLE events SYNC", "RENAME TABLE events_away TO events")
    assert hidden.done.returncode == shown.done.returncode == 0, hidden.done.stderr + shown.done.stderr
    assert hidden.rows("C1") == []
    assert "its users cannot be counted any more" in hidden.page.read_text(encoding="utf-8")
    assert hidden.cells("F1"), "what follows from the model needs no raw events"
    assert shown.cells("C1") == everything.cells("C1")
    assert "UNCHECKED" in shown.page.read_text(encoding="utf-8")
    assert "none of the period are kept" in shown.page.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Chromium:
    path = find()
    if path is None:
        pytest.skip("no Chromium here")
    with Chromium(path, tmp_path_factory.mktemp("browser")) as running:
        yield running


@pytest.mark.parametrize(("width", "dark"), [(375, True), (1240, False)])
def test_it_opens_from_disk_at_every_width(browser: Chromium, everything: Written, width: int, dark: bool) -> None:
    page = browser.page(width, 900, dark=dark)
    page.open(everything.page.as_uri())
    page.wait_for("document.querySelector('footer')")
    assert page.run("document.documentElement.scrollWidth") <= width
    assert page.run("[...document.querySelectorAll('svg')].every(s => s.getBoundingClientRect().height > 25)")
    assert page.requested() == [everything.page.as_uri()]
    assert page.problems() == []
    luminance = json.loads(
        page.run("JSON.stringify(getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number))")
    )
    assert (max(luminance) < 60) is dark
    page.close()


@pytest.mark.slow
def test_each_figure_is_also_a_picture(store: Store, tmp_path: Path) -> None:
    if find() is None:
        pytest.skip("no Chromium here")
    pictures = tmp_path / "pictures"
    written = report(store, tmp_path, "--png-dir", str(pictures))
    assert written.done.returncode == 0, written.done.stderr
    assert {path.stem for path in pictures.iterdir()} == {recipe.id for recipe in RECIPES}
    for path in pictures.iterdir():
        data = path.read_bytes()
        assert data.startswith(b"\x89PNG\r\n"), path
        width, height = (int.from_bytes(data[at : at + 4], "big") for at in (16, 20))
        assert width > 800 and height > 200, path
