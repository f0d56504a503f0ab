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


@pytest.mark.parametrize(
    ("row", "what"),
    [
        ((_START, "a", -1, 1), "requests is -1"),
        ((_START, "a", 1, float("inf")), "tokens is inf"),
        ((_START, "a", 1, 1, "", -0.5), "cost is -0.5"),
        ((_START, "a", 10**400, 1), "too large"),
    ],
)
def test_an_impossible_amount_is_refused(row: object, what: str) -> None:
    with pytest.raises(ValueError, match=f"row 1 of the share rows.*{what}"):
        detect_share_shifts([(_START, "a", 1, 1), row])


@pytest.mark.parametrize("rows", [None, 5, "rows", b"rows"])
def test_what_is_no_table_is_refused(rows: object) -> None:
    with pytest.raises(ValueError, match=f"share rows are {type(rows).__name__}"):
        detect_share_shifts(rows)


def test_columns_of_different_lengths_and_windows_without_length_are_refused() -> None:
    with pytest.raises(ValueError, match=r"different lengths.*'key': 1"):
        detect_share_shifts({"window_start": [1, 2], "key": ["a"], "requests": [1, 1]})
    with pytest.raises(ValueError, match="window_s is 0"):
        detect_share_shifts([(_START, "a", 1, 1)], window_s=0)


def test_shuffled_and_split_rows_with_missing_amounts_and_other_zones_are_the_same_mix() -> None:
    rows = [row[:4] for row in _demo_rows(3, "launch", minutes=30)]
    there = dt.timezone(dt.timedelta(hours=5, minutes=30))
    odd: list[tuple[object, ...]] = []
    for place, (at, key, requests, tokens) in enumerate(rows):
        assert isinstance(at, dt.datetime) and isinstance(requests, int)
        odd.append((at.astimezone(there) if place % 3 else at.replace(tzinfo=None), key, requests // 2, float("nan")))
        odd.append((at.isoformat(), key, float(requests - requests // 2), tokens))
    random.Random(1).shuffle(odd)
    assert _plain(detect_share_shifts(odd)) == _plain(detect_share_shifts(rows))


def _daily_rows(at: int, change: dict[str, float], days: int = 60) -> list[tuple[object, ...]]:
    """Daily rows of eight keys with a weekend of their own. change: factors on requests from that day on."""
    rng = np.random.default_rng(4)
    base = {f"m{k}": 0.02 + 0.03 * k for k in range(8)}
    rows: list[tuple[object, ...]] = []
    for day in range(days):
        when = dt.date(2025, 1, 1) + dt.timedelta(days=day)
        for place, (key, weight) in enumerate(base.items()):
            shape = 1 + (0.3 * np.sin(place) if when.weekday() >= 5 else 0)
            share = weight * shape * (change.get(key, 1.0) if day >= at else change.get(f"{key} before", 1.0))
            requests = int(rng.poisson(60_000 * share * rng.gamma(400, 1 / 400)))
            if requests:
                rows.append((when.isoformat(), key, requests, requests * 800))
    return rows


@pytest.mark.parametrize(
    ("change", "kind", "key"),
    [
        ({"m3 before": 0.0}, AlertKind.LAUNCH, "m3"),
        ({"m6": 0.01}, AlertKind.OUTAGE, "m6"),
        ({"m4": 1.9}, AlertKind.PRICE_CUT, "m4"),
    ],
)
def test_daily_rows_with_a_weekly_season_are_told_once_and_within_three_days(
    change: dict[str, float], kind: AlertKind, key: str
) -> None:
    alerts = detect_share_shifts(_daily_rows(40, change))
    assert [(alert.kind, alert.keys[0]) for alert in alerts] == [(kind, key)]
    assert dt.date(2025, 2, 10) <= dt.date.fromisoformat(str(alerts[0].detected_at)) <= dt.date(2025, 2, 13)


def test_daily_rows_without_a_shift_raise_nothing() -> None:
    assert detect_share_shifts(_daily_rows(40, {})) == []


def test_an_hour_without_one_key_is_told_in_hourly_rows() -> None:
    rng = np.random.default_rng(6)
    rows = [
        (_START + dt.timedelta(hours=hour), f"m{key}", int(rng.poisson(900 * (key + 1))), 1_000)
        for hour in range(200)
        for key in range(6)
        if not (hour == 150 and key == 4)
    ]
    (alert,) = detect_share_shifts(rows)
    assert (alert.kind, alert.keys, alert.detected_at) == (
        AlertKind.OUTAGE,
        ("m4",),
        _START + dt.timedelta(hours=150),
    )


def test_a_launch_during_the_first_day_is_told_once_though_it_is_soon_accepted() -> None:
    rows = _demo_rows(5, "launch", minutes=300)
    rows = [(*row[:3], row[3] * (3 if row[1] == "m29" else 1)) for row in rows]  # type: ignore[operator]
    assert [(alert.kind, alert.keys[0]) for alert in detect_share_shifts(rows)] == [(AlertKind.LAUNCH, "m29")]


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
