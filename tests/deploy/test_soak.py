"""What a soak run concludes from its samples."""

from __future__ import annotations

import pytest

from benchmarks.soak import Bounds, Sample, growth, slope_per_h

BOUNDS = Bounds(rss_mb_per_h=100, open_files_per_h=20, lag_records=1_000)


def steady(**changes: float) -> list[Sample]:
    """Ten minutes; `changes` are per sample."""
    return [
        Sample(
            at_s=10.0 * number,
            pid=1,
            rss_mb=200 + changes.get("rss_mb", 0) * number,
            open_files=50 + int(changes.get("open_files", 0) * number),
            lag_records=int(changes.get("lag_records", 0) * number),
        )
        for number in range(60)
    ]


def test_the_slope_is_that_of_the_line() -> None:
    assert slope_per_h([(0, 5.0), (1800, 6.0), (3600, 7.0)]) == pytest.approx(2.0)
    assert slope_per_h([(0, 5.0)]) == 0.0


def test_what_stands_still_exceeds_nothing() -> None:
    assert growth("worker", steady(), 100, BOUNDS).exceeded == ()


@pytest.mark.parametrize(
    ("changes", "exceeded"),
    [({"rss_mb": 0.5}, "memory"), ({"open_files": 1}, "open files"), ({"lag_records": 100}, "lag")],
)
def test_what_grows_is_named(changes: dict[str, float], exceeded: str) -> None:
    assert growth("worker", steady(**changes), 100, BOUNDS).exceeded == (exceeded,)


def test_growth_in_the_warm_up_does_not_count_and_a_restart_that_nobody_wanted_does() -> None:
    samples = [Sample(0.0, 7, 20.0, 10, 50_000), *steady()]
    found = growth("worker", samples, 5, BOUNDS)
    assert (found.rss_mb_per_h, found.restarts, found.exceeded) == (0.0, 1, ("restarted",))
    assert growth("worker", samples, 5, BOUNDS, kills=1).exceeded == ()


def test_the_slope_is_that_of_the_process_that_runs_at_the_end() -> None:
    before = [Sample(one.at_s, 7, 900.0, 400, 0) for one in steady()]
    after = [Sample(one.at_s + 600, 8, one.rss_mb, one.open_files, 0) for one in steady()]
    found = growth("worker", [*before, *after], 100, BOUNDS, kills=1)
    assert (found.rss_mb_per_h, found.open_files_per_h, found.exceeded) == (0.0, 0.0, ())


def test_no_sample_after_the_warm_up_is_an_error() -> None:
    with pytest.raises(ValueError, match="no sample"):
        growth("worker", steady(), 10_000, BOUNDS)
