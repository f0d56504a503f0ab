"""Seeded series after the looks of public ones: what is labelled stands beside much that is not.

Scale, granularity, noise, gaps and seasons follow files of the Numenta Anomaly Benchmark's corpus as they were looked
at (machine metrics at 5 minutes, ad prices by the hour, loop detectors with missing rows, tweet counts, a machine's
temperature, key strokes); no value was taken from them.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

import numpy as np

from .series import Canvas, Floats, Series

_START = dt.datetime(2014, 2, 14, 14, 27)  # noqa: DTZ001 - series with naive times are part of what is tried


def _spread(c: Canvas, count: int, low: float = 0.25, high: float = 0.95) -> list[int]:
    """Places anywhere in that part of the series, in order, at least a tenth of the length apart."""
    while True:
        places = np.sort(c.rng.uniform(low, high, count))
        if count < 2 or np.diff(places).min() >= 0.1:
            return [int(p * c.n) for p in places]


def _hourly(c: Canvas) -> Floats:
    """1 at one place of each hour, now and then one later."""
    out = np.zeros(c.n)
    each = 3600 // c.step_s
    for at in range(0, c.n - 2, each):
        out[at + int(c.rng.random() < 0.15)] = 1
    return out


def idle_network(c: Canvas) -> None:
    """A few levels in turn; transfers of five values a few times a day; a cluster of them is the anomaly."""
    c.values = c.rng.choice([42.0, 68.4, 68.4, 50.4, 60.0, 86.4, 94.8, 112.8, 121.2], c.n)
    transfer = np.array([17_500, 6.5e6, 1e4, 1.9e5, 4.8e5])

    def put(at: int) -> None:
        width = len(c.values[at : at + 5])
        c.values[at : at + 5] = (transfer * np.exp(c.rng.normal(0, 0.2, 5)))[:width]

    for at in np.flatnonzero(c.rng.random(c.n) < 0.006):
        c.values[at] = 4.3e5 * np.exp(c.rng.normal(0, 0.05))
    for at in np.flatnonzero(c.rng.random(c.n) < 0.007):
        put(int(at))
    for at in _spread(c, 2):
        for later in range(at, at + 45, 6):
            put(later)
        c.values[at + 12] = 8.3e6 * np.exp(c.rng.normal(0, 0.2))
        c.mark(at + 12)


def idle_cpu(c: Canvas) -> None:
    """Idle with an hourly bump; a busy hour or two is the anomaly, after which the floor is a little higher."""
    c.values = 2 + 0.1 * (-1.0) ** np.arange(c.n) + np.abs(c.rng.normal(0, 0.05, c.n)) + 1.2 * _hourly(c)
    for at in np.flatnonzero(c.rng.random(c.n) < 0.004):
        c.values[at : at + 3] += c.rng.uniform(2, 10)
    for number, at in enumerate(_spread(c, 2)):
        c.values[at:] += 1.0 * (number == 0)
        length = int(c.rng.integers(4, 30))
        c.values[at : at + length] = c.rng.normal(55, 9, len(c.values[at : at + length]))
        c.mark(at)
    c.values = np.round(np.clip(c.values, 0, 100), 3)


def idle_cpu_one_spike(c: Canvas) -> None:
    """Near zero with rare small spikes of one value; one far higher is the anomaly."""
    c.values = np.round(0.13 + 0.002 * c.rng.integers(-2, 3, c.n), 3)
    for at in np.flatnonzero(c.rng.random(c.n) < 0.004):
        c.values[at] = round(float(c.rng.uniform(0.3, 2.3)), 3)
    for at in _spread(c, 2):
        c.values[at : at + int(c.rng.integers(1, 4))] = c.rng.uniform(3.5, 9)
        c.mark(at)


def zero_cpu(c: Canvas) -> None:
    c.values = np.where(c.rng.random(c.n) < 0.4, 0.066, np.where(c.rng.random(c.n) < 0.3, 0.068, 0.06))
    for at in np.flatnonzero(c.rng.random(c.n) < 0.0015):
        c.values[at] = c.rng.uniform(0.1, 0.35)
    at = _spread(c, 1)[0]
    c.values[at : at + 2] = c.rng.uniform(0.8, 3)
    c.mark(at)


def steady_cpu(c: Canvas) -> None:
    """A noisy level that steps up or down to another and stays."""
    c.values = 42 + c.rng.normal(0, 2.2, c.n) + c.red(0.8, 0.98)
    for at in np.flatnonzero(c.rng.random(c.n) < 0.002):
        c.values[at] += c.rng.uniform(6, 20)
    for at in _spread(c, 2):
        c.values[at:] += c.rng.choice([-8.0, 10.0, 18.0])
        if c.rng.random() < 0.5:
            c.values[at] += 20
        c.mark(at)
    c.values = np.round(np.clip(c.values, 0, 100), 3)


def saturated_cpu(c: Canvas) -> None:
    """Between two plateaus in turn; at last stuck on one."""
    level = np.where((np.arange(c.n) // int(c.rng.integers(60, 140))) % 2 > 0, 96.0, 34.0)
    c.values = np.clip(level + c.rng.normal(0, 3, c.n), 0, 99.8)
    at = _spread(c, 1, 0.5, 0.8)[0]
    c.values[at:] = np.clip(99.4 + c.rng.normal(0, 0.2, c.n - at), 0, 99.8)
    c.mark(at + 100)


def scaling_group(c: Canvas) -> None:
    """Flat stretches of one value with small departures, jumps between them; a stretch of zeros is an anomaly."""
    c.values = 33.57 + np.where(c.rng.random(c.n) < 0.2, c.rng.normal(0, 0.4, c.n), 0.0)
    for at in np.flatnonzero(c.rng.random(c.n) < 0.003):
        c.values[at : at + 4] += c.rng.uniform(-3, 3)
    for number, at in enumerate(_spread(c, 3)):
        if number == 2:
            c.values[at:] = 0.0
        else:
            c.values[at : at + 10] = c.rng.uniform(42, 46)
        c.mark(at)


def database_cpu(c: Canvas) -> None:
    c.values = 6 + c.rng.gamma(2, 0.3, c.n) + 2.5 * _hourly(c) + c.red(0.3, 0.99)
    for at in _spread(c, 2):
        c.values[at : at + int(c.rng.integers(2, 40))] += c.rng.uniform(8, 18)
        c.mark(at)


def request_count(c: Canvas) -> None:
    """Counts with a day and a heavy tail; a stretch with a far heavier tail is the anomaly."""
    rate = 70 + 45 * np.sin(2 * np.pi * (c.hours - 3) / 24)
    c.values = np.rint(c.rng.gamma(2.0, np.maximum(rate, 4) / 2.0))
    for at in _spread(c, 2):
        c.values[at : at + 5] = np.rint(c.rng.uniform(480, 680, len(c.values[at : at + 5])))
        c.mark(at)


def disk_bursts(c: Canvas) -> None:
    """Zeros; writes now and then; a day of heavy writing is the anomaly."""
    c.values = np.where(c.rng.random(c.n) < 0.07, np.exp(c.rng.normal(14, 2, c.n)), 0.0)
    for number, at in enumerate(_spread(c, 2)):
        width = int(c.rng.integers(10, 40))
        c.values[at : at + width] = c.rng.uniform(2e8, 7e8, len(c.values[at : at + width]))
        c.mark(at + number)


def ad_price(c: Canvas) -> None:
    """By the hour, a day's shape times noise that remembers; hours are missing; one or two hours far off."""
    shape = 0.09 + 0.045 * np.sin(2 * np.pi * (c.hours - 4) / 24)
    c.values = shape * np.exp(c.red(0.22, 0.85) + c.rng.normal(0, 0.1, c.n))
    for at in np.flatnonzero(c.rng.random(c.n) < 0.003):
        c.values[at] *= c.rng.uniform(1.4, 1.8)
    for at in _spread(c, 2):
        c.values[at : at + int(c.rng.integers(1, 3))] *= c.rng.uniform(3, 8)
        c.mark(at)


def loop_speed(c: Canvas) -> None:
    """Whole miles an hour, with rush-hour dips; jams of an hour are labelled, the dips are not."""
    c.values = 66 + c.rng.normal(0, 3.6, c.n)
    for at in np.flatnonzero(c.rng.random(c.n) < 0.004):
        width = int(c.rng.integers(2, 6))
        c.values[at : at + width] -= c.rng.uniform(8, 28, len(c.values[at : at + width]))
    for at in _spread(c, 3):
        fall = np.minimum(1, np.arange(12) / 4) * c.rng.uniform(45, 58)
        c.values[at : at + 12] -= fall[: len(c.values[at : at + 12])]
        c.mark(at + 3)
    c.values = np.round(np.clip(c.values, 1, 95))


def travel_minutes(c: Canvas) -> None:
    """Seconds on a road: heavy tail every day; tails of hours are labelled."""
    rush = np.exp(-(((c.hours % 24) - 17) ** 2) / 4) * 120
    c.values = 240 + rush * c.rng.gamma(2, 0.5, c.n) + c.rng.gamma(1.2, 30, c.n)
    for at in np.flatnonzero(c.rng.random(c.n) < 0.002):
        c.values[at] += c.rng.uniform(300, 1200)
    for at in _spread(c, 2):
        width = int(c.rng.integers(8, 20))
        c.values[at : at + width] += c.rng.uniform(1500, 4500) * np.hanning(width + 2)[1:-1][: c.n - at]
        c.mark(at + 2)
    c.values = np.round(c.values)


def occupancy(c: Canvas) -> None:
    day = np.clip(np.sin(2 * np.pi * (c.hours - 7) / 24), 0, 1)
    c.values = np.round((1 + 9 * day) * c.rng.gamma(9, 1 / 9, c.n), 2)
    for at in _spread(c, 2):
        c.values[at : at + 9] += c.rng.uniform(14, 30)
        c.mark(at)


def tweet_counts(c: Canvas) -> None:
    """Counts with a day; peaks of two to four times that die away, each few days; far larger ones are labelled."""
    rate = 48 + 20 * np.sin(2 * np.pi * (c.hours - 9) / 24)
    extra = np.zeros(c.n)
    for at in np.flatnonzero(c.rng.random(c.n) < 0.004):
        tail = np.exp(-np.arange(20) / c.rng.uniform(1, 4)) * c.rng.pareto(2.5) * 60
        extra[at : at + 20] += np.minimum(tail, 400)[: len(extra[at : at + 20])]
    for at in _spread(c, 3):
        tail = np.exp(-np.arange(60) / c.rng.uniform(2, 15)) * c.rng.uniform(900, 2500)
        extra[at : at + 60] += tail[: len(extra[at : at + 60])]
        c.mark(at)
    c.values = c.rng.poisson(rate * c.rng.gamma(20, 1 / 20, c.n) + extra).astype(float)


def quiet_tweets(c: Canvas) -> None:
    """Mostly 0 to 3; peaks of ten; hundreds are labelled."""
    rate = 1.2 * (1 + 0.8 * np.sin(2 * np.pi * (c.hours - 9) / 24))
    extra = np.zeros(c.n)
    for at in np.flatnonzero(c.rng.random(c.n) < 0.003):
        extra[at : at + 3] += c.rng.uniform(3, 25)
    for at in _spread(c, 2):
        extra[at : at + 6] += c.rng.uniform(120, 400)
        c.mark(at)
    c.values = c.rng.poisson(rate + extra).astype(float)


def machine_heat(c: Canvas) -> None:
    """Slow wandering with much noise; falls over an hour or hours are labelled, ramps of a day are not."""
    c.values = 92 + c.red(6, 0.999) + c.rng.uniform(-1.4, 1.4, c.n)
    for at in _spread(c, 3):
        fall, width = c.rng.uniform(25, 60), int(c.rng.integers(30, 200))
        shape = np.minimum(1, np.arange(width) / c.rng.uniform(5, 40)) * np.minimum(1, (width - np.arange(width)) / 30)
        c.values[at : at + width] -= (fall * shape)[: len(c.values[at : at + width])]
        c.mark(at + 10)


def office_heat(c: Canvas) -> None:
    """By the hour: day, week and months; a week of cold or heat is labelled."""
    c.values = 71 + 2.5 * np.sin(2 * np.pi * c.hours / 24) + 2 * np.sin(2 * np.pi * c.hours / 8760) + c.red(2.2, 0.985)
    c.values += c.rng.normal(0, 0.35, c.n)
    for at in _spread(c, 2):
        width = int(c.rng.integers(20, 90))
        c.values[at : at + width] += (c.rng.choice([-1, 1]) * 11 * np.hanning(width))[: len(c.values[at : at + width])]
        c.mark(at + width // 4)


def cab_rides(c: Canvas) -> None:
    """Half hours, days and weeks; a holiday, a storm and a night out of the ordinary are labelled."""
    weekday = (c.hours // 24).astype(int) % 7
    hour = c.hours % 24
    work = 15 + 9 * np.sin(2 * np.pi * (hour - 12) / 24) + 4 * np.sin(4 * np.pi * (hour - 8) / 24)
    free = 15 + 8 * np.sin(2 * np.pi * (hour - 14) / 24) + 3 * np.sin(4 * np.pi * (hour - 0) / 24)
    c.values = 1000 * np.where(weekday >= 5, free, work) * np.exp(c.red(0.05, 0.95)) * c.rng.normal(1, 0.02, c.n)
    for at in _spread(c, 5):
        first = at - at % 48
        kind = int(c.rng.integers(3))
        if kind == 0:
            c.values[first : first + 48] *= 0.55
            c.mark(first + 16)
        elif kind == 1:
            c.values[first + 30 : first + 54] *= np.linspace(0.6, 0.1, len(c.values[first + 30 : first + 54]))
            c.mark(first + 34)
        else:
            c.values[first + 46 : first + 54] *= 1.9
            c.mark(first + 48)
    c.values = np.round(c.values)


def request_latency(c: Canvas) -> None:
    c.values = 45 + c.rng.normal(0, 1.6, c.n) + c.red(1, 0.97)
    for at in np.flatnonzero(c.rng.random(c.n) < 0.003):
        c.values[at] += c.rng.uniform(4, 9)
    for number, at in enumerate(_spread(c, 3)):
        width = (1, 3, 25)[number]
        c.values[at : at + width] += c.rng.uniform(18, 50)
        c.mark(at)
    c.values = np.round(c.values, 3)


def daily_pool(c: Canvas) -> None:
    """Utilisation of a pool by office hours, that changes its size; then days at the top."""
    busy = np.clip(np.sin(2 * np.pi * (c.hours - 7) / 24), 0, 1) ** 0.5
    c.values = 35 + 45 * busy * c.rng.normal(1, 0.05, c.n) + c.rng.normal(0, 2.5, c.n) + c.red(2, 0.99)
    at = _spread(c, 1, 0.6, 0.9)[0]
    width = min(c.n - at, 700)
    c.values[at : at + width] = np.clip(96 + c.rng.normal(0, 3, width), 0, 100)
    c.mark(at)


def key_strokes(c: Canvas) -> None:
    c.values = np.abs(0.055 + 0.02 * c.rng.standard_t(4, c.n))
    for at in _spread(c, 2):
        width = int(c.rng.integers(10, 50))
        c.values[at : at + width] = np.abs(c.rng.normal(0.16, 0.06, len(c.values[at : at + width])))
        c.mark(at)


def daily_shape(c: Canvas) -> None:
    c.values = np.where((c.hours % 24 >= 9) & (c.hours % 24 < 18), 80.0, 20.0) + c.rng.uniform(-4, 4, c.n)
    day = int(c.rng.integers(9, 12))
    inside = np.flatnonzero(((c.hours // 24) == day) & (c.hours % 24 >= 9) & (c.hours % 24 < 18))
    c.values[inside] = c.rng.choice([20.0, 48.0, 140.0]) + c.rng.uniform(-4, 4, inside.size)
    c.mark(int(inside[0]))


def calm_day(c: Canvas) -> None:
    c.values = np.where((c.hours % 24 >= 9) & (c.hours % 24 < 18), 80.0, 20.0) + c.rng.uniform(-3, 3, c.n)


def calm_flat(c: Canvas) -> None:
    c.values[:] = 45.0


def calm_square(c: Canvas) -> None:
    c.values = np.where((c.hours % 24 >= 9) & (c.hours % 24 < 18), 80.0, 20.0)


def calm_noise(c: Canvas) -> None:
    c.values = c.rng.uniform(18, 90, c.n)


def calm_walk(c: Canvas) -> None:
    c.values = 1e4 + np.cumsum(c.rng.normal(0, 1, c.n))


def calm_ratio(c: Canvas) -> None:
    """A rate of errors: mostly exactly 0, otherwise a few thousandths."""
    c.values = c.rng.binomial(400, 0.0015, c.n) / 400


FAMILIES: dict[str, tuple[Callable[[Canvas], None], int, int, float]] = {
    make.__name__: (make, n, step_s, missing)
    for make, n, step_s, missing in (
        (idle_network, 4730, 300, 0.0),
        (idle_cpu, 4032, 300, 0.0),
        (idle_cpu_one_spike, 4032, 300, 0.0),
        (zero_cpu, 4032, 300, 0.0),
        (steady_cpu, 4032, 300, 0.0),
        (saturated_cpu, 4032, 300, 0.0),
        (scaling_group, 4621, 300, 0.0),
        (database_cpu, 4032, 300, 0.0),
        (request_count, 4032, 300, 0.0),
        (disk_bursts, 4730, 300, 0.0),
        (ad_price, 1640, 3600, 0.01),
        (loop_speed, 1130, 300, 0.4),
        (travel_minutes, 2500, 600, 0.3),
        (occupancy, 2400, 300, 0.3),
        (tweet_counts, 15_800, 300, 0.0),
        (quiet_tweets, 15_800, 300, 0.0),
        (machine_heat, 20_000, 300, 0.0),
        (office_heat, 7267, 3600, 0.05),
        (cab_rides, 10_320, 1800, 0.0),
        (request_latency, 4032, 300, 0.0),
        (daily_pool, 16_000, 300, 0.0),
        (key_strokes, 1882, 300, 0.5),
        (daily_shape, 4032, 300, 0.0),
        (calm_day, 4032, 300, 0.0),
        (calm_flat, 4032, 300, 0.0),
        (calm_square, 4032, 300, 0.0),
        (calm_noise, 4032, 300, 0.0),
        (calm_walk, 4032, 300, 0.0),
        (calm_ratio, 4032, 300, 0.0),
    )
}


def make(name: str, seed: int) -> Series:
    """The series of that family and seed. missing: part of the rows that are left out, times included."""
    draw, n, step_s, missing = FAMILIES[name]
    rng = np.random.default_rng([seed, 77, list(FAMILIES).index(name)])
    canvas = Canvas(rng, n, step_s)
    draw(canvas)
    steps = rng.geometric(1 - missing, n) if missing else np.ones(n, dtype=np.int64)
    seconds = np.cumsum(steps) * step_s
    times = [_START + dt.timedelta(seconds=int(s)) for s in seconds]
    return Series(name, times, canvas.values, tuple(canvas.anomalies))
