"""Share shifts: every form of input, causality, and a short version of the labelled suite."""

from __future__ import annotations

import datetime as dt
import random
from dataclasses import dataclass
from types import ModuleType

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.detection import judge as judge_module
from benchmarks.detection import mixes
from tokentide_schemas.alerts import AlertKind
from tokentide_stream.detection import ShareShift, ShareShiftConfig, ShareShiftDetector, Sums, detect_share_shifts
from tokentide_stream.detection.findings import Measure

_START = dt.datetime(2025, 3, 3, 10, 7, tzinfo=dt.UTC)
_COLUMNS = ("window_start", "key", "requests", "tokens")
_KEYS = 30


def _demo_rows(
    seed: int, scenario: str, minutes: int = 60, at: int = 25, begin: dt.datetime = _START, total: int = 120_000
) -> list[tuple[object, ...]]:
    """One-minute windows of `total` requests, without a day of history."""
    rng = np.random.default_rng(seed)
    weights = np.sort(rng.dirichlet(np.full(_KEYS, 0.7)))[::-1]
    rows: list[tuple[object, ...]] = []
    for t in range(minutes):
        now = weights * np.exp(0.2 * np.cos(2 * np.pi * t / 1440 + np.arange(_KEYS)))
        now /= now.sum()
        if scenario == "launch":
            now[-1] = 0.05 if t >= at else 0.0
        if scenario == "outage" and at <= t < at + 12:
            now[1:3] = 0.0
        if scenario == "price_cut" and t >= at:
            now *= 1 - 0.04 / (1 - now[4])
            now[4] += 0.04
        requests = rng.poisson(total * now / now.sum() * rng.gamma(1_000, 1 / 1_000, _KEYS))
        price = np.where((np.arange(_KEYS) == 4) & (scenario == "price_cut") & (t >= at), 1.0, 2.0)
        for k in np.flatnonzero(requests):
            tokens = int(requests[k]) * 900
            row = (
                begin + dt.timedelta(minutes=t),
                f"m{k:02d}",
                int(requests[k]),
                tokens,
                "",
                float(tokens * price[k]),
            )
            rows.append(row)
    return rows


@pytest.mark.parametrize(
    ("scenario", "kind", "keys", "direction"),
    [
        ("launch", AlertKind.LAUNCH, {"m29"}, "up"),
        ("outage", AlertKind.OUTAGE, {"m01", "m02"}, "down"),
        ("price_cut", AlertKind.PRICE_CUT, {"m04"}, "up"),
    ],
)
def test_half_an_hour_of_history_is_enough_for_an_abrupt_shift(
    scenario: str, kind: AlertKind, keys: set[str], direction: str
) -> None:
    alerts = detect_share_shifts(_demo_rows(1, scenario))
    assert len(alerts) == 1, alerts
    alert = alerts[0]
    assert (alert.kind, set(alert.keys), alert.direction) == (kind, keys, direction)
    assert alert.detected_at <= _START + dt.timedelta(minutes=27)
    assert alert.started_at == _START + dt.timedelta(minutes=25)
    assert alert.is_learning


@pytest.mark.parametrize("seed", range(3))
def test_a_steady_hour_raises_nothing(seed: int) -> None:
    assert detect_share_shifts(_demo_rows(seed, "steady")) == []


@pytest.mark.parametrize("measure", ["requests", "tokens", "cost"])
def test_any_measure_may_be_watched_alone(measure: Measure) -> None:
    detector = ShareShiftDetector(ShareShiftConfig(measures=(measure,)))
    started = []
    by_window: dict[object, dict[str, Sums]] = {}
    for window_start, key, requests, tokens, _scope, cost in _demo_rows(1, "launch"):
        by_window.setdefault(window_start, {})[str(key)] = Sums(requests, tokens, cost)  # type: ignore[arg-type]
    for window_start, sums in by_window.items():
        started += detector.step(window_start, sums).started  # type: ignore[arg-type]
    assert [(shift.kind, shift.keys[0], shift.measure) for shift in started] == [(AlertKind.LAUNCH, "m29", measure)]


def test_midnight_does_not_make_the_minutes_before_it_an_earlier_day() -> None:
    begin = dt.datetime(2025, 3, 3, 23, 58, tzinfo=dt.UTC)
    rows = _demo_rows(3, "price_cut", begin=begin, total=12_000)
    (shift,) = detect_share_shifts(rows)
    assert shift.kind is AlertKind.PRICE_CUT
    assert shift.detected_at <= begin + dt.timedelta(minutes=27)


def test_the_parts_of_the_attribution_sum_to_the_change() -> None:
    (alert,) = detect_share_shifts(_demo_rows(1, "price_cut"))
    assert alert.attribution[0].key == alert.keys[0] == "m04"
    assert alert.attribution[0].change_pp == pytest.approx(4.0, abs=0.6)
    for part in alert.attribution:
        assert part.mix_change + part.volume_change == pytest.approx(part.after - part.before, rel=1e-9, abs=1e-6)
        assert part.change_pp == pytest.approx(100 * (part.share_after - part.share_before))


def test_an_outage_ends_when_the_share_is_back_and_its_end_is_no_new_shift() -> None:
    detector = ShareShiftDetector(ShareShiftConfig())
    windows: dict[dt.datetime, dict[str, Sums]] = {}
    for at, key, requests, tokens, _, cost in _demo_rows(2, "outage"):
        windows.setdefault(at, {})[str(key)] = Sums(requests, tokens, cost)  # type: ignore[arg-type, call-overload]
    steps = [detector.step(at, sums) for at, sums in windows.items()]
    assert [len(s.started) for s in steps if s.started] == [1]
    ((end,),) = [s.ended for s in steps if s.ended]
    assert end.reason == "returned"
    assert detector.open_shifts == []
    assert detector.is_learning


def test_a_window_out_of_order_is_refused() -> None:
    detector = ShareShiftDetector(ShareShiftConfig())
    detector.step(_START, {"a": Sums(10, 10)})
    with pytest.raises(ValueError, match="not after the one before"):
        detector.step(_START, {"a": Sums(10, 10)})


@dataclass(frozen=True)
class _Row:
    window_start: dt.datetime
    key: str
    requests: int
    tokens: int


def _plain(alerts: list[ShareShift]) -> list[tuple[object, ...]]:
    return [(a.keys, a.kind, a.direction, round(a.size_pp, 9)) for a in alerts]


def test_rows_of_every_form_give_the_same_alerts() -> None:
    rows = [row[:4] for row in _demo_rows(3, "launch", minutes=30)]
    expected = _plain(detect_share_shifts(rows))
    assert len(expected) == 1
    mappings = [dict(zip(_COLUMNS, row, strict=True)) for row in rows]
    shuffled = random.Random(1).sample(rows, len(rows))
    forms: list[object] = [
        mappings,
        shuffled,
        iter(rows),
        [_Row(*row) for row in rows],
        pl.DataFrame(mappings),
        pa.Table.from_pylist(mappings),
        {name: [row[i] for row in rows] for i, name in enumerate(_COLUMNS)},
    ]
    for form in forms:
        assert _plain(detect_share_shifts(form)) == expected


def test_times_come_back_in_the_form_they_were_given_in() -> None:
    rows = _demo_rows(3, "launch", minutes=30)
    at = detect_share_shifts(rows)[0].detected_at
    for form in (
        lambda t: t.replace(tzinfo=None),
        lambda t: t.isoformat(),
        lambda t: int(t.timestamp()),
        lambda t: np.datetime64(t.replace(tzinfo=None)),
    ):
        (alert,) = detect_share_shifts([(form(row[0]), *row[1:]) for row in rows])
        assert alert.detected_at == form(at)


def test_scopes_are_apart() -> None:
    rows = [(*row[:4], "programming", row[5]) for row in _demo_rows(1, "launch")]
    rows += [(*row[:4], "chat", row[5]) for row in _demo_rows(1, "steady")]
    assert [alert.scope for alert in detect_share_shifts(rows)] == ["programming"]


@pytest.mark.parametrize(
    "rows",
    [
        [],
        [(_START, "a", 0, 0)],
        [(_START, "a", 5, 5)],
        [(_START, "a", 5, None), (_START, None, 5, 7)],
        [(_START + dt.timedelta(hours=h), "only", 100, 100) for h in range(200)],
        [(_START + dt.timedelta(hours=h), "ab"[h % 2], 100, 100) for h in range(100)],
        [(_START + dt.timedelta(days=d), f"k{d}", 10**15, 10**18) for d in range(30)],
    ],
)
def test_odd_rows_are_no_error(rows: list[tuple[object, ...]]) -> None:
    detect_share_shifts(rows)


@pytest.mark.parametrize("row", [("yesterday", "a", 1, 1), (_START, "a", "many", 1), (None, "a", 1, 1), {"key": "a"}])
def test_a_row_that_cannot_be_read_is_named(row: object) -> None:
    with pytest.raises(ValueError, match="row 1 of the share rows"):
        detect_share_shifts([(_START, "a", 1, 1), row])


@settings(max_examples=6, deadline=None)
@given(st.sampled_from(["launch", "outage", "price_cut"]), st.integers(0, 9), st.integers(5, 59))
def test_a_prefix_of_the_rows_gives_the_prefix_of_the_alerts(scenario: str, seed: int, cut: int) -> None:
    rows = _demo_rows(seed, scenario, minutes=60)
    until = _START + dt.timedelta(minutes=cut)
    whole = [alert for alert in detect_share_shifts(rows) if alert.detected_at < until]
    assert detect_share_shifts([row for row in rows if row[0] < until]) == whole  # type: ignore[operator]


def _tally(module: ModuleType, kinds: list[str], seeds: range) -> judge_module.Tally:
    total = judge_module.Tally()
    for kind in kinds:
        for seed in seeds:
            mix = module.make(kind, seed)
            if mix.requests.size > 6_000:
                continue
            places = {name: place for place, name in enumerate(mix.names())}
            told = [
                judge_module.Told(
                    round((alert.detected_at - mix.start).total_seconds() / mix.window_s),
                    tuple(places[key] for key in alert.keys),
                    alert.kind,
                )
                for alert in detect_share_shifts(mix.rows(), mix.window_s)
            ]
            total.add(judge_module.judge(mix, told))
    return total


def test_a_short_run_of_the_labelled_suite_holds_the_promises() -> None:
    found = _tally(mixes, list(mixes.KINDS), range(200, 202))
    assert found.hits + found.misses >= 3
    assert found.f1 >= 0.95
    assert found.median_delay(abrupt=True) <= 3
