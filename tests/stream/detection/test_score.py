"""`score` on every odd series, and on a few that have something in them."""

from __future__ import annotations

import datetime as dt
import time
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tokentide_stream.detection import score

_START = dt.datetime(2025, 1, 6)  # noqa: DTZ001 - naive times are part of what is tried
_TOLD = 0.5


def _times(n: int, step_s: int = 300) -> list[dt.datetime]:
    return [_START + dt.timedelta(seconds=i * step_s) for i in range(n)]


_VALUES = st.one_of(
    st.none(),
    st.just(float("nan")),
    st.just(float("inf")),
    st.floats(-1e308, 1e308),
    st.integers(-5, 5),
    st.just(0),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(_VALUES, max_size=120), st.integers(0, 119), st.integers(0, 2**32))
def test_a_prefix_of_any_series_has_the_prefix_of_its_scores(values: list[float | None], cut: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    steps = rng.choice([0, 1, 60, 300, 86_400, 1_000_000], len(values))
    times = list(np.cumsum(steps) + 1.7e9)
    whole = score(times, values)
    assert len(whole) == len(values)
    assert np.isfinite(whole).all()
    assert ((whole >= 0) & (whole < 1)).all()
    assert np.array_equal(score(times[:cut], values[:cut]), whole[:cut])


def test_a_prefix_of_a_long_seasonal_series_has_the_prefix_of_its_scores() -> None:
    rng = np.random.default_rng(3)
    values = 50 + 20 * np.sin(np.arange(2500) * 2 * np.pi / 288) + rng.normal(0, 2, 2500)
    whole = score(_times(2500), values)
    for cut in (1, 700, 1999):
        assert np.array_equal(score(_times(cut), values[:cut]), whole[:cut])


@pytest.mark.parametrize("length", [0, 1, 2, 3])
def test_a_short_series_has_a_score_for_each_value(length: int) -> None:
    assert score(_times(length), [1.0] * length).tolist() == [0.0] * length


@pytest.mark.parametrize("value", [0, 45, -3.5, 1e300, -1e300, 1e-300])
def test_a_flat_series_scores_nothing(value: float) -> None:
    assert score(_times(2000), [value] * 2000).max() == 0


@pytest.mark.parametrize(("level", "wiggle"), [(45, 0.01), (0, 1e-9), (0, 1), (1e9, 1)])
def test_the_first_tiny_wiggle_of_a_flat_series_is_not_told(level: float, wiggle: float) -> None:
    values = np.full(3000, float(level))
    values[1500] += wiggle
    assert score(_times(3000), values).max() < _TOLD


@pytest.mark.parametrize(("level", "value"), [(7, 9), (7, 50), (0, 1e6), (0, 40), (-3, 12)])
def test_the_first_large_value_of_a_flat_series_is_told(level: float, value: float) -> None:
    values = np.full(1500, float(level))
    values[900] = value
    scores = score(_times(1500), values)
    assert np.flatnonzero(scores >= _TOLD).tolist() == [900]


@pytest.mark.parametrize("scale", [1e12, 1e-9, -1e6, 1e100])
def test_the_unit_of_a_series_makes_no_difference(scale: float) -> None:
    values = 100 + np.random.default_rng(11).normal(0, 5, 1000)
    values[800] += 60
    expected = score(_times(1000), values)
    assert np.flatnonzero(expected >= _TOLD).tolist() == [800]
    assert np.allclose(score(_times(1000), values * scale), expected, atol=1e-6)


def test_a_view_that_begins_late_is_not_told_for_being_new() -> None:
    """The comparison with the days before begins on the fifth day."""
    assert score(_times(1500), np.arange(1500)).max() < _TOLD
    assert score(_times(1500), np.arange(1500) % 37).max() < _TOLD


def test_a_series_with_rare_spikes_is_told_of_a_larger_one_alone() -> None:
    rng = np.random.default_rng(12)
    values = 10 + rng.normal(0, 0.1, 4000)
    spikes = np.flatnonzero(rng.random(4000) < 0.01)
    values[spikes] += rng.uniform(2, 8, spikes.size)
    values[3500] += 400
    told = np.flatnonzero(score(_times(4000), values)[1000:] >= _TOLD) + 1000
    assert 3500 in told
    assert told.size <= 5


def test_while_what_was_told_lasts_the_score_stays_between_usual_and_told() -> None:
    values = 40 + np.random.default_rng(13).normal(0, 1.5, 3000)
    values[2000:2040] = 90 + np.random.default_rng(14).normal(0, 1.5, 40)
    scores = score(_times(3000), values)
    assert scores[2000] >= _TOLD
    assert (scores[2001:2040] > np.quantile(scores[1000:2000], 0.95)).mean() > 0.8
    assert scores[2001:2100].max() < _TOLD


def test_iterators_and_other_numbers_are_values_too() -> None:
    rng = np.random.default_rng(15)
    whole = rng.integers(0, 9, 300).astype(float)
    expected = score(_times(300), whole)
    assert np.array_equal(score(iter(_times(300)), (Decimal(int(v)) for v in whole)), expected)
    assert score(_times(300), [10**400, *whole[1:]]).max() < 1


def test_what_cannot_be_read_is_named_by_its_place() -> None:
    with pytest.raises(ValueError, match="value 1 is 'many'"):
        score([1, 2], [1.0, "many"])
    with pytest.raises(ValueError, match="timestamp 1: time 'noon'"):
        score([1, "noon"], [1.0, 2.0])


@pytest.mark.parametrize(("times", "values", "what"), [(None, [1], "timestamps"), ([1], 5, "values")])
def test_what_is_no_series_is_refused(times: Any, values: Any, what: str) -> None:
    with pytest.raises(ValueError, match=f"{what} are"):
        score(times, values)


@pytest.mark.parametrize("level", [0.0, 1.0, 1e15])
def test_the_one_step_of_a_constant_series_is_told_once(level: float) -> None:
    values = np.full(300, level)
    values[200:] = 2 * level + 1
    scores = score(_times(300), values)
    assert np.flatnonzero(scores >= _TOLD).tolist() in ([200], [201], [202])
    assert scores.max() < 1


def test_a_perfect_square_wave_is_not_told_once_it_has_been_seen() -> None:
    hours = np.arange(4032) * 300 / 3600 % 24
    values = np.where((hours >= 9) & (hours < 18), 80.0, 20.0)
    assert score(_times(4032), values)[600:].max() < _TOLD


def test_noise_is_hardly_ever_told() -> None:
    rng = np.random.default_rng(5)
    told = sum(int((score(_times(3000), rng.normal(100, 10, 3000)) >= _TOLD).sum()) for _ in range(3))
    assert told <= 6


def test_a_spike_is_told_at_its_first_value_and_not_again_while_it_lasts() -> None:
    rng = np.random.default_rng(6)
    values = 40 + rng.normal(0, 1.5, 3000)
    values[2000:2040] += 40
    scores = score(_times(3000), values)
    assert scores[2000] >= _TOLD
    assert (scores[2001:2100] >= _TOLD).sum() == 0


def test_a_day_without_its_daily_rise_is_told() -> None:
    rng = np.random.default_rng(7)
    hours = np.arange(4032) * 300 / 3600
    values = np.where((hours % 24 >= 9) & (hours % 24 < 18), 80.0, 20.0) + rng.uniform(-4, 4, 4032)
    missing = (hours // 24 == 11) & (hours % 24 >= 9) & (hours % 24 < 18)
    values[missing] -= 60
    first = int(np.flatnonzero(missing)[0])
    assert score(_times(4032), values)[first : first + 108].max() >= _TOLD


def test_every_form_of_time_gives_the_same_scores() -> None:
    rng = np.random.default_rng(8)
    values = rng.normal(0, 1, 400)
    values[300] += 30
    times = _times(400)
    expected = score(times, values)
    aware = [t.replace(tzinfo=dt.UTC) for t in times]
    seconds = [t.timestamp() for t in aware]
    for form in (
        aware,
        np.array(times, dtype="datetime64[us]"),
        seconds,
        [s * 1000 for s in seconds],
        [t.isoformat() for t in times],
    ):
        assert np.allclose(score(form, values), expected)
    assert np.array_equal(score(times, list(values)), expected)


def test_a_missing_value_scores_nothing_and_leaves_no_trace() -> None:
    rng = np.random.default_rng(9)
    values = rng.normal(0, 1, 500)
    holes = list(values)
    holes.insert(250, None)
    times = _times(500)
    scores = score([*times[:250], times[250], *times[250:]], holes)
    assert scores[250] == 0
    assert np.array_equal(np.delete(scores, 250), score(times, values))


def test_times_and_values_of_unequal_number_are_refused() -> None:
    with pytest.raises(ValueError, match="3 timestamps for 2 values"):
        score([1, 2, 3], [1.0, 2.0])


def test_twenty_thousand_values_take_a_few_seconds() -> None:
    rng = np.random.default_rng(10)
    began = time.process_time()
    score(np.arange(20_000) * 60.0, rng.normal(0, 1, 20_000))
    assert time.process_time() - began < 8
