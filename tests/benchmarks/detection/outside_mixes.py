"""Labelled mixes by assumptions of their own: Zipf shares, Dirichlet-multinomial counts, hard steps at midnight.

Windows of a minute to a day from any hour of a week, lost windows, several causes in one mix.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from .mixes import Floats, Label, Mix

_SHAPES = {60: (0.2, 1.0), 300: (1.5, 5.0), 900: (3.0, 14.0), 3600: (5.0, 28.0), 86_400: (45.0, 90.0)}
"""Window's length -> days of a mix, from and to."""
WINDOWS_S = tuple(_SHAPES)
_LARGEST = 30_000


@dataclass
class Draft:
    """share: (windows, keys), what each window would be without noise."""

    rng: np.random.Generator
    window_s: int
    start: dt.datetime
    share: Floats
    total: Floats
    verbose: Floats
    price: Floats
    labels: list[Label] = field(default_factory=list)
    taken: list[int] = field(default_factory=list)
    cost_known: bool = False

    @property
    def n(self) -> int:
        return len(self.share)

    def windows(self, hours: float) -> int:
        return max(1, round(hours * 3600 / self.window_s))

    def pick(self, low: float, high: float, at: int) -> int:
        """A key of that share that has no cause yet; the nearest one where there is none."""
        now = self.share[at]
        free = [k for k in range(len(now)) if k not in self.taken]
        fit = [k for k in free if low <= now[k] <= high]
        key = int(self.rng.choice(fit)) if fit else min(free, key=lambda k: abs(now[k] - (low + high) / 2))
        self.taken.append(key)
        return key

    def move(self, key: int, by: Floats) -> None:
        """by: change of the key's share by window; the others keep their proportions."""
        old = self.share[:, key].copy()
        new = np.clip(old + by, 0.0, 0.95)
        self.share *= np.where(old < 1, (1 - new) / (1 - old), 1.0)[:, None]
        self.share[:, key] = new

    def label(self, kind: str, keys: tuple[int, ...], first: int, last: int, abrupt: bool) -> None:
        self.labels.append(Label(kind, keys, first, min(last, self.n - 1), abrupt))

    def ramp(self, at: int, windows: int) -> Floats:
        out: Floats = np.clip((np.arange(self.n) - at + 1) / max(1, windows), 0, 1)
        return out


def draft(rng: np.random.Generator, window_s: int) -> Draft:
    low, high = _SHAPES[window_s]
    n = int(rng.uniform(low, high) * 86_400 / window_s)
    k = int(np.clip(np.exp(rng.uniform(np.log(5), np.log(300))), 5, max(6, _LARGEST // n)))
    monday = dt.datetime(2025, 6, 2, tzinfo=dt.UTC)
    start = monday + dt.timedelta(seconds=int(rng.integers(7 * 86_400 // window_s)) * window_s)
    hours = (np.arange(n) * window_s + (start - monday).total_seconds()) / 3600
    weight = np.arange(1, k + 1) ** -rng.uniform(0.7, 1.4)
    log = np.tile(np.log(rng.permutation(weight / weight.sum())), (n, 1))
    if rng.random() < 0.7:
        size = rng.uniform(0, 0.6) * rng.random(k)
        log += size * np.sin(2 * np.pi * (hours[:, None] - rng.uniform(0, 24, k)) / 24)
    free = ((hours // 24) % 7 >= 5).astype(float)
    if rng.random() < 0.5:
        log += free[:, None] * rng.normal(0, rng.uniform(0.05, 0.3), k)
    log += rng.normal(0, 0.01, k) * np.linspace(0, 1, n)[:, None]
    share = np.exp(log)
    share /= share.sum(axis=1, keepdims=True)
    volume = np.exp(rng.uniform(np.log(500), np.log(80_000))) * np.clip(window_s / 900, 0.3, 20)
    total = volume * (1 + rng.uniform(0, 0.6) * np.sin(2 * np.pi * (hours - 9) / 24)) * (1 - 0.4 * free)
    total *= rng.gamma(50, 1 / 50, n)
    return Draft(rng, window_s, start, share, total, np.ones((n, k)), np.ones((n, k)))


def launch(d: Draft, at: int, until: int) -> None:
    key, size = d.pick(0.0, 0.02, at), d.rng.uniform(0.03, 0.1)
    hours = float(d.rng.choice([0, 0, 2, 12]))
    d.move(key, -d.share[:, key])
    d.move(key, np.where(np.arange(d.n) >= at, d.ramp(at, d.windows(hours)) * size, 0))
    d.label("launch", (key,), at, max(until, at + d.windows(hours + 24)), d.windows(hours) <= 1)


def substitution(d: Draft, at: int, until: int) -> None:
    loser = d.pick(0.06, 0.3, at)
    gainer = d.pick(0.005, 0.2, at)
    part = d.rng.uniform(0.4, 0.9)
    moved = np.where(np.arange(d.n) >= at, part * d.share[:, loser], 0)
    d.share[:, loser] -= moved
    d.share[:, gainer] += moved
    d.label("substitution", (loser, gainer), at, until, True)


def price_cut(d: Draft, at: int, until: int) -> None:
    key, hours = d.pick(0.03, 0.25, at), float(d.rng.choice([0.25, 2, 8]))
    d.move(key, d.ramp(at, d.windows(hours)) * d.rng.uniform(0.04, 0.12))
    d.price[at:, key] = d.rng.uniform(0.3, 0.8)
    d.label("price_cut", (key,), at, max(until, at + d.windows(hours + 24)), d.windows(hours) <= 1)


def outage(d: Draft, at: int, until: int) -> None:
    key = d.pick(0.05, 0.35, at)
    length = min(max(4, d.windows(float(d.rng.uniform(0.5, 6)))), until - at)
    left = d.rng.choice([0.0, 0.02, 0.1])
    by = np.zeros(d.n)
    by[at : at + length] = -(1 - left) * d.share[at : at + length, key]
    d.move(key, by)
    d.label("outage", (key,), at, at + length - 1, True)


def verbosity(d: Draft, at: int, until: int) -> None:
    key = d.pick(0.06, 0.35, at)
    d.verbose[at:, key] = d.rng.choice([0.45, 1.7, 2.2, 3.0])
    d.label("verbosity", (key,), at, until, True)


def burst(d: Draft, at: int, until: int) -> None:
    key = d.pick(0.005, 0.1, at)
    length = min(max(4, d.windows(float(d.rng.uniform(1.5, 5)))), until - at)
    by = np.zeros(d.n)
    by[at : at + length] = d.rng.uniform(0.05, 0.2)
    d.move(key, by)
    d.label("burst", (key,), at, at + length - 1, True)


def drift(d: Draft, at: int, until: int) -> None:
    key, length = d.pick(0.04, 0.25, at), max(8, d.windows(24 * float(d.rng.uniform(1.5, 4))))
    d.move(key, d.ramp(at, length) * d.rng.uniform(0.06, 0.14))
    # A day and a half after it has come to rest is soon enough for what nobody would see in hours.
    d.label("drift", (key,), at, max(until, at + length + d.windows(36)), False)


def daily_job(d: Draft) -> None:
    key, hour, length = d.pick(0.005, 0.05, 0), d.rng.uniform(0, 24), d.rng.uniform(0.5, 2)
    hours = (np.arange(d.n) * d.window_s / 3600 - hour) % 24
    d.move(key, np.where(hours < length, d.rng.uniform(0.03, 0.15), 0.0))


def small_births(d: Draft) -> None:
    for _ in range(3):
        key, at = d.pick(0.0, 0.02, 0), int(d.rng.integers(d.n // 4, d.n))
        d.move(key, np.where(np.arange(d.n) >= at, d.rng.uniform(0.0003, 0.003), 0.0) - d.share[:, key])


def total_step(d: Draft) -> None:
    at = int(d.rng.integers(d.n // 3, d.n))
    d.total[at : at + d.windows(d.rng.uniform(1, 48))] *= d.rng.choice([0.3, 3.0, 6.0])


CAUSES: dict[str, Callable[[Draft, int, int], None]] = {
    f.__name__: f for f in (launch, substitution, price_cut, outage, verbosity, burst, drift)
}
DECOYS: tuple[Callable[[Draft], None], ...] = (daily_job, small_births, total_step)


def make(window_s: int, seed: int, causes: int | None = None) -> Mix:
    """A mix of that window's length and seed, with none to three causes of any kinds."""
    rng = np.random.default_rng([seed, window_s, 3])
    d = draft(rng, window_s)
    names = list(CAUSES) if window_s > 60 else ["launch", "outage", "substitution", "price_cut"]
    if window_s == 86_400:
        names = ["launch", "substitution", "price_cut", "verbosity"]
    day = d.windows(24)
    settled = 45 if window_s == 60 else max(20, int((1.5 if rng.random() < 0.5 else 3) * day))
    count = int(rng.integers(0, 4)) if causes is None else causes
    # A series of days of a minute each has hardly a daily job; longer ones may.
    for decoy in DECOYS:
        if rng.random() < 0.3 and window_s not in (60, 86_400):
            decoy(d)
    room = d.n - settled - 15
    if count and room > 30:
        count = min(count, max(1, room // max(24, d.windows(10))))
        edges = settled + np.linspace(0, room, count + 1)
        for i in range(count):
            at = int(edges[i] + rng.uniform(0, 0.3) * (edges[i + 1] - edges[i]))
            CAUSES[str(rng.choice(names))](d, at, int(edges[i + 1]) if i + 1 < count else d.n - 1)
    d.cost_known = bool(rng.random() < 0.5)
    return _draw(d)


def _draw(d: Draft) -> Mix:
    rng, share = d.rng, np.maximum(d.share, 1e-12)
    share /= share.sum(axis=1, keepdims=True)
    concentration = float(rng.choice([np.inf, 20_000, 3_000]))
    if np.isfinite(concentration):
        share = rng.gamma(share * concentration + 1e-9)
        share /= share.sum(axis=1, keepdims=True)
    share = np.where(d.share <= 1e-11, 0, share)
    requests = rng.multinomial(rng.poisson(d.total), share / share.sum(axis=1, keepdims=True)).astype(float)
    length = np.exp(rng.normal(7, 0.8, share.shape[1]))
    shape = np.maximum(requests, 1e-9) / rng.uniform(0.8, 2.0, share.shape[1]) ** 2
    tokens = np.rint(rng.gamma(shape) / shape * requests * length * d.verbose)
    cost = tokens * np.exp(rng.normal(1, 1, share.shape[1])) * d.price
    lost = rng.random(d.n) < rng.choice([0.0, 0.01])
    at = int(rng.integers(d.n))
    if rng.random() < 0.3:
        lost[at : at + int(rng.integers(1, 6))] = True
    for label in d.labels:
        # A judge of delays needs the windows after the onset.
        lost[label.first : label.first + 4] = False
    requests[lost] = 0
    tokens[lost] = 0
    return Mix(f"outside {d.window_s}", d.window_s, requests, tokens, cost, d.labels, d.cost_known, d.start)
