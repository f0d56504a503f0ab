"""Every figure and table of the study has a panel, and the page that says which is up to date."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tokentide_dashboards import figures
from tokentide_dashboards.figures import FIGURES, IDS, PAGE, RANKINGS

Boards = dict[str, dict[str, Any]]


def titles(boards: Boards, name: str) -> set[str]:
    return {panel["title"] for panel in boards[name]["panels"]}


def test_the_study_has_33_figures_and_five_tables_and_each_is_in_the_table_once_in_order() -> None:
    assert (len(IDS), IDS[0], IDS[32], IDS[-1]) == (38, "F1", "F33", "T5")
    assert tuple(figure.id for figure in FIGURES) == IDS


@pytest.mark.parametrize("figure", FIGURES, ids=[figure.id for figure in FIGURES])
def test_a_figures_panel_exists_and_its_choices_can_be_made_there(figure: figures.Figure, boards: Boards) -> None:
    assert figure.panel in titles(boards, figure.dashboard)
    assert set(figure.choices) <= {v["name"] for v in boards[figure.dashboard]["templating"]["list"]}


@pytest.mark.parametrize(("what", "dashboard", "panel"), RANKINGS)
def test_what_rankings_show_has_a_panel(what: str, dashboard: str, panel: str, boards: Boards) -> None:
    assert panel in titles(boards, dashboard), what


def test_the_figures_authors_are_in_the_catalogue() -> None:
    from tokentide_schemas.catalogue import load_catalogue

    chosen = {figure.choices["author"] for figure in FIGURES if "author" in figure.choices}
    assert len(chosen) == 6
    assert chosen <= set(load_catalogue().authors)


def test_a_figure_over_time_that_is_a_share_is_stacked_to_one(boards: Boards) -> None:
    of_a_whole = [f for f in FIGURES if f.id in {"F1", "F3", "F4", "F6", "F7", "F8", "F9", "F20", "F23", "F29"}]
    for figure in of_a_whole:
        (panel,) = [p for p in boards[figure.dashboard]["panels"] if p["title"] == figure.panel]
        defaults = panel["fieldConfig"]["defaults"]
        assert (defaults["unit"], defaults["max"]) == ("percentunit", 1), figure.id
        assert defaults["custom"]["stacking"]["mode"] == "normal", figure.id


def test_the_page_is_what_the_table_makes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert figures.main(["--check"]) == 0
    old = tmp_path / "figures.md"
    old.write_text(PAGE.read_text(encoding="utf-8").replace("| F7 |", "| F77 |"), encoding="utf-8")
    assert figures.main(["--check", "--out", str(old)]) == 1
    assert "out of date" in capsys.readouterr().err
    assert figures.main(["--check", "--out", str(tmp_path / "none.md")]) == 1


def test_the_page_names_every_figure_and_its_links_exist() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert re.findall(r"^\| ([FT]\d+) \|", text, re.MULTILINE) == list(IDS)
    for target in re.findall(r"\]\(([^)]+)\)", text):
        assert (PAGE.parent / target).exists()
