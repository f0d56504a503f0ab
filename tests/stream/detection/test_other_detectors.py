"""Volumes, rates, latency, budgets, prices and new keys."""

from __future__ import annotations

import datetime as dt
import math

import numpy as np
import pytest

from tokentide_schemas.alerts import AlertKind
from tokentide_stream.detection import (
    BudgetConfig,
    BudgetDetector,
    Changes,
    LatencyConfig,
    LatencyDetector,
    NewKeyConfig,
    NewKeyDetector,
    PriceChangeConfig,
    PriceChangeDetector,
    ProportionConfig,
    ProportionDetector,
    Sums,
    VolumeConfig,
    VolumeDetector,
)

_START = dt.datetime(2025, 3, 3, tzinfo=dt.UTC)


def _minute(t: int) -> dt.datetime:
    return _START + dt.timedelta(minutes=t)


def _started(steps: list[Changes]) -> list[tuple[int, AlertKind, str]]:
    return [(t, f.kind, f.key) for t, changes in enumerate(steps) for f in changes.started]


def _ended(steps: list[Changes]) -> list[tuple[int, AlertKind, str]]:
    return [(t, e.finding.kind, e.finding.key) for t, changes in enumerate(steps) for e in changes.ended]


def test_a_key_gone_dark_is_told_within_two_windows_and_a_quiet_one_never() -> None:
    rng = np.random.default_rng(1)
    detector = VolumeDetector(VolumeConfig())
    steps = []
    for t in range(160):
        dark = 100 <= t < 130
        counts = {"": rng.poisson(1_000), "busy": 0 if dark else rng.poisson(50), "quiet": rng.poisson(0.3)}
        steps.append(detector.step(_minute(t), {k: n for k, n in counts.items() if n}))
    assert _started(steps) == [(101, AlertKind.SILENCE, "busy")]
    assert [(kind, key) for _, kind, key in _ended(steps)] == [(AlertKind.SILENCE, "busy")]
    assert detector.is_learning("busy")


def test_a_spike_and_a_drop_are_told_once_and_end() -> None:
    rng = np.random.default_rng(2)
    detector = VolumeDetector(VolumeConfig())
    steps = []
    for t in range(200):
        factor = 4 if 80 <= t < 95 else 0.1 if 140 <= t < 155 else 1
        steps.append(detector.step(_minute(t), {"a": rng.poisson(500 * factor), "b": rng.poisson(500)}))
    assert _started(steps) == [(81, AlertKind.SPIKE, "a"), (141, AlertKind.DROP, "a")]
    assert [kind for _, kind, _ in _ended(steps)] == [AlertKind.SPIKE, AlertKind.DROP]


def test_a_daily_season_and_a_daily_job_are_usual_and_a_slow_rise_over_days_is_told_once() -> None:
    rng = np.random.default_rng(3)
    detector = VolumeDetector(VolumeConfig(window_s=3_600))
    steps = []
    for t in range(24 * 18):
        season = 1 + 0.6 * math.cos(2 * math.pi * (t - 15) / 24)
        counts = {
            "steady": rng.poisson(1_000 * season),
            "job": rng.poisson(100 * season) + (2_000 if t % 24 == 3 else 0),
            "rising": rng.poisson(500 * season * (1 + max(0, t - 240) / 24 * 0.15)),
        }
        steps.append(detector.step(_START + dt.timedelta(hours=t), counts))
    told = _started(steps)
    assert [(kind, key) for _, kind, key in told] == [(AlertKind.VOLUME_DRIFT, "rising")]
    assert not detector.is_learning("steady")


def test_a_rise_of_the_error_rate_is_told_within_three_windows_and_ends() -> None:
    rng = np.random.default_rng(4)
    detector = ProportionDetector(ProportionConfig())
    steps = []
    for t in range(120):
        rate = 0.2 if 60 <= t < 80 else 0.01
        steps.append(
            detector.step(_minute(t), {"a": (rng.binomial(400, rate), 400), "b": (rng.binomial(400, 0.01), 400)})
        )
    (told,) = _started(steps)
    assert told[1:] == (AlertKind.ERROR_RATE, "a")
    assert 60 <= told[0] <= 62
    assert [key for _, _, key in _ended(steps)] == ["a"]


def test_few_requests_or_a_rate_below_the_floor_are_not_told() -> None:
    rng = np.random.default_rng(5)
    detector = ProportionDetector(ProportionConfig(kind=AlertKind.LATE_RATE))
    steps = []
    for t in range(120):
        rise = t >= 60
        few = (1.0 if rise else 0.0, 2.0)
        low = (rng.binomial(5_000, 0.01 if rise else 0.001), 5_000)
        steps.append(detector.step(_minute(t), {"few": few, "low": low}))
    assert _started(steps) == []


def test_a_latency_quantile_that_doubles_is_told() -> None:
    rng = np.random.default_rng(6)
    bounds = [50 * 1.3**i for i in range(24)] + [math.inf]
    detector = LatencyDetector(LatencyConfig(), bounds)
    steps = []
    for t in range(100):
        latencies = rng.lognormal(6.5 + (0.9 if 60 <= t < 75 else 0), 0.6, 300)
        counts = np.histogram(latencies, bins=[0, *bounds])[0]
        steps.append(detector.step(_minute(t), {"a": counts.tolist()}))
    (told,) = _started(steps)
    assert told[1:] == (AlertKind.LATENCY, "a")
    assert 60 <= told[0] <= 63
    assert [key for _, _, key in _ended(steps)] == ["a"]
    with pytest.raises(ValueError, match="ascending"):
        LatencyDetector(LatencyConfig(), [5, 3])


def test_a_budget_is_told_by_forecast_and_again_when_spent_and_ends_with_the_month() -> None:
    month = {("", "month"): 30_000}
    detector = BudgetDetector(BudgetConfig(month, window_s=3_600))  # type: ignore[arg-type]
    start = dt.datetime(2025, 4, 1, tzinfo=dt.UTC)
    steps = [detector.step(start + dt.timedelta(hours=h), {"a": 40, "b": 20}) for h in range(24 * 31)]
    told = [(h, f.note["is_forecast"], f.value) for h, changes in enumerate(steps) for f in changes.started]
    assert [is_forecast for _, is_forecast, _ in told] == [1.0, 0.0]
    assert told[0][0] == 71
    assert told[0][2] == pytest.approx(60 * 720, rel=0.01)
    assert told[1][0] == 499
    assert [h for h, _, _ in _ended(steps)] == [720, 720]


def test_an_hourly_budget_begins_anew_each_hour() -> None:
    detector = BudgetDetector(BudgetConfig({("tenant", "hour"): 100}))
    steps = [detector.step(_minute(t), {"tenant": 3}) for t in range(120)]
    assert [t for t, _, _ in _started(steps)] == [33, 93]
    with pytest.raises(ValueError, match="must be positive"):
        BudgetDetector(BudgetConfig({("", "day"): 0}))


def test_a_price_change_is_told_once() -> None:
    rng = np.random.default_rng(7)
    detector = PriceChangeDetector(PriceChangeConfig())
    steps = []
    for t in range(60):
        tokens = float(rng.integers(50_000, 90_000))
        price = (1.0 if t < 30 else 0.6) * rng.normal(1, 0.01)
        steps.append(detector.step(_minute(t), {"a": Sums(10, tokens, tokens * price), "free": Sums(10, tokens, None)}))
    assert _started(steps) == [(31, AlertKind.PRICE_CHANGE, "a")]
    (finding,) = steps[31].started
    assert finding.note["relative"] == pytest.approx(-0.4, abs=0.03)
    assert [t for t, _, _ in _ended(steps)] == [32]


def test_a_new_key_is_told_once_when_it_has_enough_requests() -> None:
    detector = NewKeyDetector(NewKeyConfig(min_requests=50), known=["old"])
    steps = []
    for t in range(60):
        counts = {"old": 100.0, "stock": 5.0} | ({"new": 20.0} if t >= 30 else {}) | ({"tiny": 0.5} if t >= 30 else {})
        steps.append(detector.step(_minute(t), counts))
    assert _started(steps) == [(32, AlertKind.NEW_MODEL, "new")]
    assert steps[32].started[0].started_at == _minute(30)
