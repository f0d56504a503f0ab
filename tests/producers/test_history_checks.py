"""The table of published and measured: every figure is there, its SQL is complete, and its bounds can be missed."""

from __future__ import annotations

import math

import pytest

from tokentide_producers.history.checks import FULL_EVENTS, Check, Published, judge
from tokentide_producers.history.scenario import Scenario
from tokentide_producers.history.traffic import HOUR_MS, place
from tokentide_schemas.catalogue import load_catalogue

NOW_MS = 1_790_000_000_123
# F5 and F13 have no published number, F24 and F26 none for all months, F32 and F33 are T5 and F31 drawn otherwise.
EXPECTED = {f"F{number}" for number in range(1, 32)} - {"F5", "F13", "F24", "F26"} | {f"T{n}" for n in range(1, 6)}


def check(**fields: object) -> Check:
    return Check(id="x", figure="F1", name="x", unit="%", period="all", sql="SELECT 1", **fields)  # type: ignore[arg-type]


def test_every_figure_with_a_published_number_is_checked_and_no_id_occurs_twice() -> None:
    checks = Published().checks
    assert {entry.figure for entry in checks} - {"-"} == EXPECTED
    assert len({entry.id for entry in checks}) == len(checks)


def test_each_check_can_fail() -> None:
    for entry in Published().checks:
        low, high = entry.bounds()
        assert math.isfinite(low) or math.isfinite(high), entry.id
        given = [entry.value is not None, entry.at_least is not None, entry.at_most is not None]
        assert sum(given) == 1, entry.id
        if entry.value is not None:
            assert entry.tolerance > 0, entry.id


def test_the_sql_has_no_placeholder_left_and_the_times_of_the_span() -> None:
    published, scenario = Published(), Scenario(load_catalogue())
    for end_ms in (None, NOW_MS):
        span = place(scenario, end_ms)
        for entry in published.checks:
            sql = published.sql(entry, span, scenario.launches)
            assert "{" not in sql, entry.id
            assert ("2024-11-03 00:00:00" in sql) == (end_ms is None and entry.period in ("all", "first")) or (
                entry.figure == "F30"
            ), entry.id


def test_a_shifted_span_shifts_periods_cohorts_and_launches() -> None:
    published, scenario = Published(), Scenario(load_catalogue())
    span = place(scenario, NOW_MS)
    by_id = {entry.id: entry for entry in published.checks}
    assert span.end_ms == NOW_MS // HOUR_MS * HOUR_MS
    assert "cohort_month = toDate('2025-06-01')" in published.sql(
        by_id["retention_gemini"], place(scenario, None), scenario.launches
    )
    assert "2025-06-01" not in published.sql(by_id["retention_gemini"], span, scenario.launches)
    assert "toDateTime('2025-08-28 00:00:00', 'UTC')" in published.sql(
        by_id["no_tokens_before_launch"], place(scenario, None), scenario.launches
    )


@pytest.mark.parametrize(
    ("fields", "measured", "holds"),
    [
        ({"value": 10.0, "tolerance": 2.0}, 11.9, True),
        ({"value": 10.0, "tolerance": 2.0}, 12.1, False),
        ({"at_least": 50.0, "slack": 4.0}, 49.5, True),
        ({"at_least": 50.0, "slack": 4.0}, 48.5, False),
        ({"at_most": 0.0}, 0.0, True),
        ({"at_most": 0.0}, 1.0, False),
        ({"value": 10.0, "tolerance": 2.0}, None, False),
        ({"value": 10.0, "tolerance": 2.0}, math.nan, False),
    ],
)
def test_a_value_holds_within_its_tolerance(fields: dict[str, float], measured: float | None, holds: bool) -> None:
    assert judge(check(**fields), measured, FULL_EVENTS).holds is holds


def test_a_quarter_of_the_sample_doubles_the_tolerance_and_a_larger_one_does_not_narrow_it() -> None:
    entry = check(value=10.0, tolerance=2.0)
    assert (judge(entry, 10, FULL_EVENTS // 4).low, judge(entry, 10, FULL_EVENTS // 4).high) == (6, 14)
    assert judge(entry, 10, FULL_EVENTS * 100).low == 8


def test_what_is_left_out_says_why_and_does_not_fail() -> None:
    outcome = judge(check(value=10.0, tolerance=2.0), None, FULL_EVENTS, "raw events are kept for 30 days")
    assert outcome.holds and outcome.row()["skipped"] == "raw events are kept for 30 days"
