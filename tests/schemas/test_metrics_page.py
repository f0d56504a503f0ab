"""docs/metrics.md names every measure, share column and view, as the schemas have them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tokentide_schemas import metrics_page
from tokentide_schemas.cubes import MEASURES
from tokentide_schemas.shares import SCHEMA

PAGE = (Path(__file__).parents[2] / metrics_page.PAGE).read_text()


def test_the_committed_page_is_fresh() -> None:
    assert metrics_page.filled(PAGE) == PAGE, "run python -m tokentide_schemas.metrics_page and commit the page"


def test_a_measure_that_is_added_makes_the_page_stale(monkeypatch: pytest.MonkeyPatch) -> None:
    more = (*MEASURES, type(MEASURES[0])("new_measure", "count()", "New."))
    monkeypatch.setattr(metrics_page, "MEASURES", more)
    assert metrics_page.filled(PAGE) != PAGE


@pytest.mark.parametrize("view", metrics_page.views())
def test_the_page_says_what_a_view_is(view: str) -> None:
    assert f"`{view}`" in PAGE


def test_every_share_column_is_explained() -> None:
    assert set(metrics_page.SHARE_COLUMNS) == set(SCHEMA.names) - {"is_final"}
