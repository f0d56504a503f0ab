"""What the command says when it cannot make a report, and what it shows while it does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.deploy.looking import Store, running_store, tokentide

from tokentide_deploy.report.run import RECIPES

from .conftest import FIRST_DAY, LAST_DAY, Written, report


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with running_store(tmp_path_factory.mktemp("empty-store")) as running:
        running.make_tables()
        yield running


def test_it_shows_each_figure_with_its_seconds(everything: Written) -> None:
    lines = [line for line in everything.done.stderr.splitlines() if line.startswith("[")]
    assert len(lines) == len(RECIPES) + 2
    assert lines[-1].startswith(f"[{len(lines)}/{len(lines)}]")
    for recipe, line in zip(RECIPES, lines[1:], strict=False):
        assert f" s  {recipe.id} " in line


def test_an_empty_store_is_said(empty: Store, tmp_path: Path) -> None:
    written = report(empty, tmp_path)
    assert written.done.returncode == 8
    assert f"Nothing is stored from {FIRST_DAY} to {LAST_DAY} (UTC): the store has no rollups" in written.done.stderr
    assert not written.page.exists()


def test_a_period_without_traffic_says_where_there_is_some(store: Store, tmp_path: Path) -> None:
    written = report(store, tmp_path, "--from", "2024-01-01", "--to", "2024-01-31")
    assert written.done.returncode == 8
    assert f"The store has {FIRST_DAY} to {LAST_DAY} (UTC)" in written.done.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--from", "yesterday"), "'yesterday' is no day"),
        (("--to", "2025-02-30"), "'2025-02-30' is no day"),
        (("--from", "2025-09-02", "--to", "2025-09-01"), "ends on 2025-09-01 before it begins on 2025-09-02"),
        (("--time-zone", "Mars/Olympus"), "'Mars/Olympus' is no time zone"),
        (("--min-users", "0"), "greater than or equal to 1"),
    ],
)
def test_arguments_that_cannot_be_end_with_status_2(
    store: Store, tmp_path: Path, arguments: tuple[str, ...], says: str
) -> None:
    written = report(store, tmp_path, *arguments)
    assert written.done.returncode == 2
    assert says in " ".join(written.done.stderr.replace("│", " ").split())
    assert not written.page.exists()


def test_a_store_that_does_not_answer_ends_with_status_6(tmp_path: Path) -> None:
    written = report(Store(9), tmp_path)
    assert written.done.returncode == 6
    assert "does not answer" in written.done.stderr


def test_no_running_stack_ends_with_status_5(tmp_path: Path) -> None:
    done = tokentide("report", "--from", "2025-01-01", "--to", "2025-01-02", "--data-dir", str(tmp_path / "none"))
    assert done.returncode == 5
    assert "Traceback" not in done.stderr


def test_a_folder_that_cannot_be_made_is_said_before_the_work(store: Store, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    written = report(store, tmp_path, "--csv-dir", str(tmp_path / "file" / "csv"))
    assert written.done.returncode == 1
    assert "cannot be made" in written.done.stderr
    assert "[ 1/" not in written.done.stderr


def test_pictures_without_a_browser_are_refused_before_the_work(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKENTIDE_CHROMIUM", str(tmp_path / "none"))
    written = report(store, tmp_path, "--png-dir", str(tmp_path / "png"))
    assert written.done.returncode == 1
    assert "TOKENTIDE_CHROMIUM" in written.done.stderr
    assert not written.page.exists()


@pytest.mark.parametrize("days", [1, 10, 1500])
def test_short_and_long_periods_have_buckets_of_their_own(store: Store, tmp_path: Path, days: int) -> None:
    import datetime as dt

    first = LAST_DAY - dt.timedelta(days=days - 1)
    written = report(store, tmp_path, "--from", str(first), "--min-users", "1")
    assert written.done.returncode == 0, written.done.stderr
    bucket = {1: "Hour", 10: "Day", 1500: "Month"}[days]
    rows = written.rows("F2")
    assert f"{bucket} from" in rows[0]
    assert len(rows) == {1: 24, 10: 10, 1500: 51}[days]
