"""Labelled mixes as somebody who has read only what the function promises would write them in an afternoon.

Few keys, Dirichlet shares in each window, negative binomial totals, one cause for each mix at about two thirds of it,
an hour's outages and bursts, substitutions of all that a key had, drifts of log weights over days to weeks.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

import numpy as np

from .mixes import Floats, Label, Mix

_DAYS = {60: (0.3, 1.4), 300: (2.5, 6.0), 900: (6.0, 15.0), 3600: (12.0, 35.0), 86_400: (60.0, 120.0)}
WINDOWS_S = tuple(_DAYS)
_START = dt.datetime(2025, 1, 1, tzinfo=dt.UTC)


class Plain:
    """weight: (windows, keys), by which the shares are in proportion. size: tokens a request. price: of a token."""

    def __init__(self, rng: np.random.Generator, window_s: int) -> None:
        self.rng, self.window_s = rng, window_s
        days = rng.uniform(*_DAYS[window_s])
        self.n, self.k = int(days * 86_400 / window_s), int(rng.integers(4, 26))
        self.start = _START + dt.timedelta(seconds=int(rng.integers(14 * 86_400 // window_s)) * window_s)
        self.hours = (np.arange(self.n) * window_s + (self.start - _START).total_seconds()) / 3_600
        base = rng.dirichlet(np.full(self.k, rng.choice([0.7, 2.0, 10.0]))) + 0.003
        wave = np.cos(2 * np.pi * (self.hours[:, None] - rng.uniform(0, 24, self.k)) / 24)
        self.weight = base / base.sum() * np.exp(rng.uniform(0, 0.2) * wave * rng.random(self.k))
        # 1 January 2025 was a Wednesday.
        weekend = ((self.hours // 24 + 2) % 7 >= 5).astype(float)
        self.total = np.exp(rng.uniform(np.log(300), np.log(30_000))) * max(0.5, window_s / 900)
        self.total = self.total * (1 + rng.uniform(0, 0.7) * np.cos(2 * np.pi * (self.hours - 15) / 24))
        self.total = self.total * (1 - rng.uniform(0, 0.6) * weekend)
        if rng.random() < 0.4:
            self.weight = self.weight * np.exp(weekend[:, None] * rng.normal(0, 0.12, self.k))
        self.size, self.price = np.ones((self.n, self.k)), np.ones((self.n, self.k))
        self.labels: list[Label] = []
        first = max(0.5 * self.n, 30, 3.1 * 86_400 / window_s if window_s >= 900 else 0)
        self.at = int(rng.uniform(first, max(first + 1, 0.75 * self.n)))

    def windows(self, low_h: float, high_h: float) -> int:
        return max(1, round(self.rng.uniform(low_h, high_h) * 3_600 / self.window_s))

    def ramp(self, windows: int) -> Floats:
        """0 before the cause, 1 from its end on."""
        return np.asarray(np.clip((np.arange(self.n) - self.at + 1) / windows, 0, 1), dtype=np.float64)

    def key(self, low: float = 0.08, high: float = 0.4) -> int:
        """A key of about that share."""
        share = self.weight[self.at] / self.weight[self.at].sum()
        fit = np.flatnonzero((share >= low) & (share <= high))
        return int(self.rng.choice(fit)) if fit.size else int(np.argmin(np.abs(share - low)))

    def label(self, kind: str, keys: tuple[int, ...], windows: int | None, is_abrupt: bool = True) -> None:
        last = self.n - 1 if windows is None else min(self.n - 1, self.at + windows - 1)
        self.labels.append(Label(kind, keys, self.at, last, is_abrupt))


def none(m: Plain) -> None:
    """Nothing happens."""


def total_jump(m: Plain) -> None:
    m.total[m.at : m.at + m.windows(1, 24)] *= m.rng.choice([0.3, 3.0])


def small_launch(m: Plain) -> None:
    key = m.key(0.0, 1.0)
    m.weight[:, key] = m.weight.sum(axis=1) * 0.001
    m.weight[: m.at, key] = 0


def daily_job(m: Plain) -> None:
    key, hour = m.key(0.01, 0.1), m.rng.uniform(0, 23)
    if m.window_s < 86_400 and m.n * m.window_s > 3 * 86_400:
        m.weight[:, key] *= np.where((m.hours - hour) % 24 < 1, m.rng.uniform(3, 8), 1)


def launch(m: Plain) -> None:
    key, size, hours = m.key(0.0, 1.0), m.rng.uniform(0.03, 0.15), float(m.rng.choice([0, 2, 8]))
    seen_before = m.rng.choice([0.0, 0.0, 0.0002])
    ramp = m.ramp(max(1, round(hours * 3_600 / m.window_s)))
    others = m.weight.sum(axis=1) - m.weight[:, key]
    m.weight[:, key] = others * np.where(ramp > 0, ramp * size / (1 - size), seen_before)
    m.label("launch", (key,), None, hours * 3_600 <= m.window_s)


def substitution(m: Plain) -> None:
    loser = m.key()
    gainer = int(m.rng.choice([k for k in range(m.k) if k != loser]))
    moved = m.weight[m.at :, loser] * m.rng.uniform(0.5, 1.0)
    m.weight[m.at :, loser] -= moved
    m.weight[m.at :, gainer] += moved
    m.label("substitution", (loser, gainer), None)


def price_cut(m: Plain) -> None:
    key, hours = m.key(0.05, 0.3), m.rng.choice([1, 6, 12])
    m.weight[:, key] *= 1 + m.rng.uniform(0.4, 1.2) * m.ramp(max(1, round(hours * 3_600 / m.window_s)))
    m.price[m.at :, key] *= m.rng.uniform(0.4, 0.7)
    m.label("price_cut", (key,), None, hours * 3_600 <= m.window_s)


def outage(m: Plain) -> None:
    key, windows = m.key(), m.windows(0.75, 3)
    m.weight[m.at : m.at + windows, key] *= m.rng.choice([0.0, 0.05])
    m.label("outage", (key,), windows)


def burst(m: Plain) -> None:
    key, windows = m.key(0.03, 0.2), m.windows(1, 4)
    m.weight[m.at : m.at + windows, key] *= m.rng.uniform(3, 6)
    m.label("burst", (key,), windows)


def verbosity(m: Plain) -> None:
    key = m.key()
    m.size[m.at :, key] *= m.rng.choice([0.5, 1.6, 2.0, 3.0])
    m.label("verbosity", (key,), None)


def drift(m: Plain) -> None:
    days = m.rng.uniform(3, 10) if m.window_s < 86_400 else m.rng.uniform(14, 30)
    key, windows = m.key(0.06, 0.3), min(m.n - m.at, round(days * 86_400 / m.window_s))
    m.weight[:, key] *= np.exp(np.log(m.rng.uniform(1.8, 3)) * m.ramp(windows))
    m.label("drift", (key,), None, False)


CAUSES: dict[str, Callable[[Plain], None]] = {
    f.__name__: f
    for f in (none, total_jump, small_launch, daily_job, launch, substitution, price_cut, outage, burst, verbosity)
} | {"drift": drift}
_SHORT = [name for name in CAUSES if name not in ("daily_job", "drift")]
_DAILY = ["none", "small_launch", "launch", "substitution", "price_cut", "verbosity", "drift"]


def make(window_s: int, seed: int) -> Mix:
    """The mix of that window's length and seed; seeds go through the causes."""
    rng = np.random.default_rng([seed, window_s, 11])
    m = Plain(rng, window_s)
    names = _SHORT if window_s <= 300 else _DAILY if window_s == 86_400 else list(CAUSES)
    cause = names[seed % len(names)]
    CAUSES[cause](m)
    share = m.weight / m.weight.sum(axis=1, keepdims=True)
    concentration = rng.choice([500.0, 2_000.0, 10_000.0])
    drawn = rng.gamma(np.maximum(share * concentration, 1e-12))
    drawn = np.where(share > 0, drawn, 0)
    drawn /= drawn.sum(axis=1, keepdims=True)
    size = 30.0
    total = rng.negative_binomial(size, size / (size + m.total))
    requests = np.array([rng.multinomial(t, p) for t, p in zip(total, drawn, strict=True)], dtype=float)
    tokens = np.rint(requests * rng.uniform(200, 3_000, m.k) * m.size * rng.lognormal(0, 0.05, requests.shape))
    cost = tokens * rng.uniform(1, 20, m.k) * m.price
    return Mix(f"plain {cause}", window_s, requests, tokens, cost, m.labels, bool(rng.random() < 0.5), m.start)
