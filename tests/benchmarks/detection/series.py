"""Seeded series in the manner of the Numenta Anomaly Benchmark's families, with anomaly windows."""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
_START = dt.datetime(2025, 1, 6)  # noqa: DTZ001 - series with naive times are part of what is tried


@dataclass(frozen=True)
class Series:
    """anomalies: places at which something begins; windows: (first, last) around them, a tenth of the length in all."""

    name: str
    times: list[dt.datetime]
    values: Floats
    anomalies: tuple[int, ...]

    @property
    def windows(self) -> list[tuple[int, int]]:
        if not self.anomalies:
            return []
        half = int(0.1 * len(self.values) / len(self.anomalies) / 2)
        merged: list[tuple[int, int]] = []
        for at in sorted(self.anomalies):
            first, last = max(0, at - half), min(len(self.values) - 1, at + half)
            if merged and first <= merged[-1][1]:
                merged[-1] = (merged[-1][0], last)
            else:
                merged.append((first, last))
        return merged


class Canvas:
    def __init__(self, rng: np.random.Generator, n: int, step_s: int) -> None:
        self.rng, self.n, self.step_s = rng, n, step_s
        self.hours = np.arange(n) * step_s / 3600
        self.values = np.zeros(n)
        self.anomalies: list[int] = []

    def places(self, count: int) -> list[int]:
        """Places after the probation, apart from each other."""
        edges = np.linspace(0.25 * self.n, 0.95 * self.n, count + 1)
        return [int(self.rng.uniform(a + 0.1 * (b - a), a + 0.8 * (b - a))) for a, b in itertools.pairwise(edges)]

    def mark(self, *places: int) -> None:
        self.anomalies.extend(places)

    def daily(self, low: float, high: float, width: float = 9.0) -> Floats:
        return np.where((self.hours % 24 >= 9) & (self.hours % 24 < 9 + width), high, low).astype(float)

    def red(self, size: float, memory: float) -> Floats:
        noise = self.rng.normal(0, size * np.sqrt(1 - memory**2), self.n)
        out = np.zeros(self.n)
        for i in range(1, self.n):
            out[i] = memory * out[i - 1] + noise[i]
        return out


def cpu_jump(c: Canvas) -> None:
    c.values = 40 + c.rng.normal(0, 1.5, c.n)
    for at in c.places(2):
        c.values[at:] += c.rng.choice([-12, 12, 20])
        c.mark(at)


def cpu_spikes(c: Canvas) -> None:
    """Near-zero variance, small regular spikes; a large one is the anomaly."""
    c.values = np.round(0.1 + np.abs(c.rng.normal(0, 0.02, c.n)), 3)
    c.values[:: int(c.rng.integers(40, 80))] += 0.5
    for at in c.places(2):
        c.values[at : at + int(c.rng.integers(1, 6))] += c.rng.uniform(2, 30)
        c.mark(at)


def network_bursts(c: Canvas) -> None:
    c.values = np.exp(c.rng.normal(10, 0.6, c.n)) + (c.rng.random(c.n) < 0.01) * 1e6 * c.rng.random(c.n)
    for at in c.places(2):
        c.values[at : at + 20] += 4e6
        c.mark(at)


def disk_counts(c: Canvas) -> None:
    """Zero most of the time, heavy-tailed writes; anomaly: writes do not stop."""
    c.values = np.where(c.rng.random(c.n) < 0.05, np.exp(c.rng.normal(12, 1, c.n)), 0.0)
    at = c.places(1)[0]
    c.values[at : at + 60] = np.exp(c.rng.normal(13, 1, 60))
    c.mark(at)


def request_counts(c: Canvas) -> None:
    rate = 60 + 50 * np.sin(2 * np.pi * (c.hours - 8) / 24)
    c.values = c.rng.negative_binomial(5, 5 / (5 + np.maximum(rate, 2))).astype(float)
    for at in c.places(2):
        c.values[at : at + 8] += 500
        c.mark(at)


def ad_cost(c: Canvas) -> None:
    c.values = 0.1 * np.exp(c.red(0.4, 0.8)) * (1 + 0.3 * np.sin(2 * np.pi * c.hours / 24))
    for at in c.places(2):
        c.values[at : at + int(c.rng.integers(1, 4))] *= c.rng.uniform(6, 12)
        c.mark(at)


def travel_time(c: Canvas) -> None:
    rush = 150 * ((np.abs(c.hours % 24 - 8) < 1.5) | (np.abs(c.hours % 24 - 17) < 1.5))
    c.values = np.round(250 + rush + c.rng.gamma(1, 40, c.n))
    for at in c.places(2):
        c.values[at : at + 12] += c.rng.uniform(900, 3000)
        c.mark(at)


def speed(c: Canvas) -> None:
    c.values = np.round(np.clip(70 - 12 * (np.abs(c.hours % 24 - 17) < 2) + c.rng.normal(0, 4, c.n), 5, 90))
    for at in c.places(2):
        c.values[at : at + 15] = np.round(c.rng.uniform(15, 30, 15))
        c.mark(at)


def tweets(c: Canvas) -> None:
    """Overdispersed counts with many small peaks; a peak far above them is the anomaly."""
    rate = 20 * (1 + 0.6 * np.sin(2 * np.pi * (c.hours - 10) / 24)) * np.exp(c.red(0.4, 0.7))
    c.values = c.rng.poisson(rate).astype(float)
    for at in c.rng.integers(0, c.n, c.n // 400):
        c.values[at : at + 3] *= c.rng.uniform(2, 6)
    for at in c.places(3):
        c.values[at : at + 8] += c.rng.uniform(500, 2000) * np.exp(-np.arange(8) / 3)
        c.mark(at)


def taxi(c: Canvas) -> None:
    """Half hours, day and week; holidays are weaker or stronger than their weekday."""
    day = (c.hours // 24).astype(int)
    shape = 15 + 10 * np.sin(2 * np.pi * (c.hours - 11) / 24) + 4 * np.sin(4 * np.pi * (c.hours - 9) / 24)
    c.values = 1000 * shape * np.where(day % 7 >= 5, 0.85, 1.0) * (1 + c.red(0.04, 0.9))
    for at in c.places(4):
        first = at - at % 48
        c.values[first : first + 48] *= c.rng.choice([0.35, 0.5, 1.5])
        c.mark(first + 20)


def machine_temperature(c: Canvas) -> None:
    c.values = 90 + c.red(4, 0.995) + c.rng.normal(0, 0.6, c.n)
    for at in c.places(2):
        length = int(c.rng.integers(40, 150))
        c.values[at : at + length] -= c.rng.uniform(25, 50) * np.hanning(len(c.values[at : at + length]))
        c.mark(at + length // 4)


def ambient_temperature(c: Canvas) -> None:
    c.values = 70 + 3 * np.sin(2 * np.pi * c.hours / 24) + c.red(3, 0.99) + c.rng.normal(0, 0.5, c.n)
    at = c.places(1)[0]
    c.values[at:] += np.minimum(12, np.arange(c.n - at) * 0.5)
    c.mark(at)


def key_hold(c: Canvas) -> None:
    c.values = np.abs(c.rng.normal(0.06, 0.02, c.n))
    at = c.places(1)[0]
    c.values[at : at + 60] = np.abs(c.rng.normal(0.13, 0.05, 60))
    c.mark(at)


def variance_change(c: Canvas) -> None:
    c.values = 50 + c.rng.normal(0, 2, c.n)
    at = c.places(1)[0]
    c.values[at : at + c.n // 10] = 50 + c.rng.normal(0, 8, len(c.values[at : at + c.n // 10]))
    c.mark(at)


def gone_flat(c: Canvas) -> None:
    c.values = 30 + 10 * np.sin(2 * np.pi * c.hours / 24) + c.rng.normal(0, 2, c.n)
    at = c.places(1)[0]
    c.values[at : at + c.n // 15] = c.values[at]
    c.mark(at)


def art_jump_up(c: Canvas) -> None:
    c.values = c.daily(20, 80) + c.rng.uniform(-4, 4, c.n)
    day = int(c.n * 0.7 * c.step_s / 86_400)
    inside = ((c.hours // 24) == day) & (c.values > 50)
    c.values[inside] += 80
    c.mark(int(np.flatnonzero(inside)[0]))


def art_jump_down(c: Canvas) -> None:
    c.values = c.daily(20, 80) + c.rng.uniform(-4, 4, c.n)
    day = int(c.n * 0.7 * c.step_s / 86_400)
    inside = ((c.hours // 24) == day) & (c.values < 50) & (c.hours % 24 > 18)
    c.values[inside] -= 40
    c.mark(int(np.flatnonzero(inside)[0]))


def art_no_jump(c: Canvas) -> None:
    c.values = c.daily(20, 80) + c.rng.uniform(-4, 4, c.n)
    day = int(c.n * 0.7 * c.step_s / 86_400)
    inside = ((c.hours // 24) == day) & (c.values > 50)
    c.values[inside] -= 60
    c.mark(int(np.flatnonzero(inside)[0]))


def art_flat_middle(c: Canvas) -> None:
    c.values = c.daily(20, 80) + c.rng.uniform(-4, 4, c.n)
    day = int(c.n * 0.7 * c.step_s / 86_400)
    inside = ((c.hours // 24) == day) & (c.values > 50)
    c.values[inside] -= 35
    c.mark(int(np.flatnonzero(inside)[0]))


def art_spike_density(c: Canvas) -> None:
    c.values = np.where(c.rng.random(c.n) < 0.01, 20.0, 0.0)
    at = int(c.n * 0.8)
    c.values[at : at + c.n // 10] = np.where(c.rng.random(len(c.values[at : at + c.n // 10])) < 0.15, 20.0, 0.0)
    c.mark(at)


def flat_line(c: Canvas) -> None:
    c.values[:] = 45.0


def flat_with_wiggle(c: Canvas) -> None:
    c.values[:] = 45.0
    c.values[int(c.n * 0.6)] += 0.01


def square_wave(c: Canvas) -> None:
    c.values = c.daily(20, 80)


def daily_noise(c: Canvas) -> None:
    c.values = c.daily(20, 80) + c.rng.uniform(-3, 3, c.n)


def noise(c: Canvas) -> None:
    c.values = c.rng.uniform(18, 90, c.n)


def slow_drift(c: Canvas) -> None:
    c.values = np.linspace(100, 300, c.n) + c.rng.normal(0, 5, c.n)


def missing(c: Canvas) -> None:
    c.values = np.round(200 + c.red(10, 0.9))
    at = c.places(1)[0]
    c.values[at:] += 90
    c.mark(at)
    c.values[c.rng.random(c.n) < 0.1] = np.nan


FAMILIES: dict[str, tuple[Callable[[Canvas], None], int, int]] = {
    make.__name__: (make, n, step_s)
    for make, n, step_s in (
        (cpu_jump, 4032, 300),
        (cpu_spikes, 4032, 300),
        (network_bursts, 4032, 300),
        (disk_counts, 4730, 300),
        (request_counts, 4032, 300),
        (ad_cost, 1600, 3600),
        (travel_time, 2500, 600),
        (speed, 2500, 600),
        (tweets, 8000, 300),
        (taxi, 8000, 1800),
        (machine_temperature, 8000, 300),
        (ambient_temperature, 7267, 3600),
        (key_hold, 1882, 60),
        (variance_change, 4032, 300),
        (gone_flat, 4032, 300),
        (art_jump_up, 4032, 300),
        (art_jump_down, 4032, 300),
        (art_no_jump, 4032, 300),
        (art_flat_middle, 4032, 300),
        (art_spike_density, 4032, 300),
        (flat_line, 4032, 300),
        (flat_with_wiggle, 4032, 300),
        (square_wave, 4032, 300),
        (daily_noise, 4032, 300),
        (noise, 4032, 300),
        (slow_drift, 4032, 300),
        (missing, 4032, 300),
    )
}


def make(name: str, seed: int) -> Series:
    draw, n, step_s = FAMILIES[name]
    rng = np.random.default_rng([seed, list(FAMILIES).index(name)])
    canvas = Canvas(rng, n, step_s)
    draw(canvas)
    times = [_START + dt.timedelta(seconds=i * step_s) for i in range(n)]
    return Series(name, times, canvas.values, tuple(canvas.anomalies))
