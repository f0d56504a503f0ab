"""Labelled, seeded mixes: requests, tokens and cost by window and key, with the causes that were put in."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
START = dt.datetime(2025, 3, 3, tzinfo=dt.UTC)


@dataclass(frozen=True)
class Label:
    """A cause: its keys (any of them is a right answer), and the windows in which telling it is right."""

    kind: str
    keys: tuple[int, ...]
    first: int
    last: int
    is_abrupt: bool


@dataclass
class Mix:
    kind: str
    window_s: int
    requests: Floats
    tokens: Floats
    cost: Floats
    labels: list[Label] = field(default_factory=list)
    with_cost: bool = False
    start: dt.datetime = START

    @property
    def key_days(self) -> float:
        return self.requests.size * self.window_s / 86_400

    def names(self) -> list[str]:
        return [f"model-{k:02d}" for k in range(self.requests.shape[1])]

    def rows(self) -> list[tuple[object, ...]]:
        names = self.names()
        rows: list[tuple[object, ...]] = []
        for t, k in zip(*np.nonzero(self.requests > 0), strict=True):
            at = self.start + dt.timedelta(seconds=int(t) * self.window_s)
            row: tuple[object, ...] = (at, names[k], int(self.requests[t, k]), int(self.tokens[t, k]))
            rows.append((*row, "", float(self.cost[t, k])) if self.with_cost else row)
        return rows


class World:
    """Everything about a mix before its events are drawn: log weights by window and key, and totals."""

    def __init__(self, rng: np.random.Generator, kind: str) -> None:
        self.rng, self.kind = rng, kind
        self.window_s = int(rng.choice([300, 900, 3600]))
        self.days = int(rng.integers(4, 9)) if self.window_s == 300 else int(rng.integers(5, 22))
        self.per_day = 86_400 // self.window_s
        self.n = self.days * self.per_day
        self.k = int(rng.integers(5, 41))
        self.volume = float(np.exp(rng.uniform(np.log(600), np.log(2e5))))
        base = rng.dirichlet(np.full(self.k, 0.8)) + 0.002
        self.log_weight = np.tile(np.log(base / base.sum()), (self.n, 1))
        self.total = np.ones(self.n)
        self.extra = np.zeros((self.n, self.k))
        self.token_factor = np.ones((self.n, self.k))
        self.price_factor = np.ones((self.n, self.k))
        self.dispersion = float(rng.choice([0.0, 1e-4, 1e-3]))
        self.bursty: dict[int, float] = {}
        self.with_cost = False
        self.hours = np.arange(self.n) * self.window_s / 3600
        self.labels: list[Label] = []

    def season(self, amplitude: float, weekly: float = 0.0) -> None:
        phase = self.rng.uniform(0, 24, self.k)
        size = self.rng.uniform(0.3, 1.0, self.k) * amplitude
        self.log_weight += size * np.cos(2 * np.pi * (self.hours[:, None] - phase) / 24)
        self.total *= 1 + 0.5 * np.cos(2 * np.pi * (self.hours - 15) / 24)
        if weekly:
            day = (self.hours // 24).astype(int) % 7
            effect = np.where(day >= 5, 1.0, 0.0)
            effect = np.convolve(effect, np.ones(self.per_day // 4) / (self.per_day // 4), "same")
            self.log_weight += effect[:, None] * self.rng.normal(0, weekly, self.k)
            self.total *= 1 - 0.3 * effect

    def share(self) -> Floats:
        weight = np.exp(self.log_weight)
        return weight / weight.sum(axis=1, keepdims=True)

    def key_with_share(self, low: float, high: float) -> int:
        """A key whose mean share lies between the two; where none does, one is given such a share."""
        share = self.share().mean(axis=0)
        fit = np.flatnonzero((share >= low) & (share <= high))
        if len(fit):
            return int(self.rng.choice(fit))
        key = int(np.argmin(np.abs(share - (low + high) / 2)))
        wanted = self.rng.uniform(low, high)
        self.log_weight[:, key] += np.log(wanted / (1 - wanted)) - np.log(share[key] / (1 - share[key]))
        return key

    def onset(self, hours_left: float = 12, after_days: float = 2.0) -> int:
        first = int(after_days * self.per_day)
        last = self.n - int(hours_left * 3600 / self.window_s) - 1
        return int(self.rng.integers(first, max(first + 1, last)))

    def windows(self, hours: float) -> int:
        return max(1, round(hours * 3600 / self.window_s))

    def shift(self, key: int, pp: Floats) -> None:
        """Moves a key's share by pp (fraction of 1, by window), the others keeping their proportions."""
        share = self.share()[:, key]
        wanted = np.clip(share + pp, 1e-9, 0.97)
        self.log_weight[:, key] += np.log(wanted / (1 - wanted)) - np.log(share / (1 - share))

    def label(self, kind: str, keys: tuple[int, ...], first: int, last: int, is_abrupt: bool) -> None:
        self.labels.append(Label(kind, keys, first, min(last, self.n - 1), is_abrupt))

    def draw(self) -> Mix:
        rng = self.rng
        mean = self.share() * (self.volume * self.total)[:, None] + self.extra * self.volume
        noisy = mean.copy()
        if self.dispersion:
            noisy *= rng.gamma(1 / self.dispersion, self.dispersion, mean.shape)
        for key, size in self.bursty.items():
            noisy[:, key] *= rng.gamma(1 / size, size, self.n)
        requests = rng.poisson(noisy).astype(float)
        per_request = np.exp(rng.normal(7.5, 0.7, self.k))
        # Tokens of a request vary by 1 to 2.5 times their mean; the sum of n such is close to a gamma variable.
        shape = np.maximum(requests, 1e-9) / rng.uniform(1.0, 2.5, self.k) ** 2
        tokens = np.rint(rng.gamma(shape, 1 / shape) * requests * per_request * self.token_factor)
        price = np.exp(rng.normal(1, 1, self.k))
        cost = tokens * price * self.price_factor
        return Mix(self.kind, self.window_s, requests, tokens, cost, self.labels, self.with_cost)


def stationary(w: World) -> None:
    pass


def daily(w: World) -> None:
    w.season(float(w.rng.uniform(0.2, 0.7)))


def weekly(w: World) -> None:
    w.season(float(w.rng.uniform(0.2, 0.5)), weekly=float(w.rng.uniform(0.05, 0.2)))


def growth(w: World) -> None:
    w.season(0.2)
    w.total *= np.exp(np.linspace(0, np.log(w.rng.uniform(2, 5)), w.n))


def low_volume(w: World) -> None:
    w.volume = float(w.rng.uniform(50, 200))
    w.season(0.2)


def overdispersed(w: World) -> None:
    w.season(0.2)
    for key in w.rng.choice(w.k, 2, replace=False):
        w.bursty[int(key)] = float(w.rng.uniform(0.3, 1.5))


def batch_jobs(w: World) -> None:
    """The same hour each day, from the second day on as from the first; a little early or late, larger or smaller."""
    w.season(0.2)
    key, hour, length = w.key_with_share(0.01, 0.1), float(w.rng.uniform(1, 23)), float(w.rng.uniform(0.5, 2))
    for day in range(w.days):
        first = round((day * 24 + hour + w.rng.normal(0, 0.05)) * 3600 / w.window_s)
        w.log_weight[first : first + w.windows(length), key] += np.log(w.rng.uniform(4, 5))


def tiny_keys(w: World) -> None:
    w.season(0.2)
    for key in w.rng.choice(w.k, 2, replace=False):
        born = w.onset()
        share = w.share()[:, key]
        small = w.rng.uniform(0.0005, 0.004)
        w.log_weight[:, key] += np.log(small) - np.log(share)
        w.log_weight[:born, key] = -40


def total_jump(w: World) -> None:
    w.season(0.2)
    first = w.onset()
    w.total[first : first + w.windows(float(w.rng.uniform(2, 48)))] *= w.rng.choice([0.4, 2.0, 4.0])


def burst(w: World) -> None:
    w.season(0.25)
    key, first, length = w.key_with_share(0.01, 0.15), w.onset(), w.windows(float(w.rng.uniform(3, 6)))
    pp = np.zeros(w.n)
    pp[first : first + length] = w.rng.uniform(0.04, 0.12)
    w.shift(key, pp)
    w.label("burst", (key,), first, first + length, True)


def launch(w: World) -> None:
    """5 % in a day: at once, or by a ramp of up to a day."""
    w.season(0.25)
    key, first = int(w.rng.integers(w.k)), w.onset(36)
    ramp = float(w.rng.choice([0, 3, 24]))
    target = w.rng.uniform(0.04, 0.08)
    pp = np.clip((np.arange(w.n) - first + 1) / max(1, w.windows(ramp)), 0, 1) * target
    w.log_weight[:, key] = -40.0
    w.shift(key, np.where(np.arange(w.n) >= first, pp, 0.0))
    w.log_weight[:first, key] = -40.0
    w.label("launch", (key,), first, first + w.windows(30), ramp == 0)


def price_cut(w: World, with_cost: bool) -> None:
    w.season(0.25)
    key, first = w.key_with_share(0.05, 0.2), w.onset(36)
    ramp = float(w.rng.choice([0.5, 6, 12]))
    size = w.rng.uniform(0.04, 0.1)
    w.shift(key, np.clip((np.arange(w.n) - first + 1) / w.windows(ramp), 0, 1) * size)
    w.price_factor[first:, key] = w.rng.uniform(0.4, 0.7)
    w.with_cost = with_cost
    w.label("price_cut", (key,), first, first + w.windows(ramp + 24), ramp < 1)


def price_cut_seen(w: World) -> None:
    price_cut(w, True)


def price_cut_unseen(w: World) -> None:
    price_cut(w, False)


def substitution(w: World) -> None:
    w.season(0.25)
    loser = w.key_with_share(0.1, 0.3)
    gainer = int(w.rng.choice([k for k in range(w.k) if k != loser]))
    first, size = w.onset(), w.rng.uniform(0.04, 0.08)
    share = w.share()
    moved = np.where(np.arange(w.n) >= first, np.minimum(size, share[:, loser] * 0.8), 0)
    changed = share.copy()
    changed[:, loser] -= moved
    changed[:, gainer] += moved
    w.log_weight = np.log(changed)
    w.label("substitution", (loser, gainer), first, w.n - 1, True)


def outage(w: World) -> None:
    """One provider: one to three keys at once; what they had goes to the others."""
    w.season(0.25)
    keys = {w.key_with_share(0.05, 0.3)} | {int(k) for k in w.rng.choice(w.k, int(w.rng.integers(0, 3)))}
    first, length = w.onset(), w.windows(float(w.rng.uniform(1.5, 8)))
    length = max(length, 4)
    for key in keys:
        w.log_weight[first : first + length, key] -= w.rng.uniform(3.5, 12)
    w.label("outage", tuple(keys), first, first + length - 1, True)


def drift(w: World) -> None:
    w.season(0.2)
    key, length = w.key_with_share(0.05, 0.25), w.windows(24 * float(w.rng.uniform(2.5, 4)))
    first = int(w.rng.integers(w.per_day, max(w.per_day + 1, w.n - length)))
    size = w.rng.uniform(0.05, 0.1)
    w.shift(key, np.clip((np.arange(w.n) - first + 1) / length, 0, 1) * size)
    w.label("drift", (key,), first, first + length + w.windows(36), False)


def verbosity(w: World) -> None:
    w.season(0.25)
    key, first = w.key_with_share(0.08, 0.3), w.onset()
    w.token_factor[first:, key] = w.rng.choice([0.5, 1.6, 2.0, 2.5])
    w.label("verbosity", (key,), first, w.n - 1, True)


KINDS: dict[str, Callable[[World], None]] = {
    "stationary": stationary,
    "daily season": daily,
    "weekly season": weekly,
    "growth": growth,
    "low volume": low_volume,
    "overdispersed tenant": overdispersed,
    "decoy: batch jobs": batch_jobs,
    "decoy: tiny new keys": tiny_keys,
    "decoy: total jumps": total_jump,
    "burst": burst,
    "launch": launch,
    "price cut, cost seen": price_cut_seen,
    "price cut, unseen": price_cut_unseen,
    "substitution": substitution,
    "outage": outage,
    "drift": drift,
    "verbosity": verbosity,
}


def make(kind: str, seed: int) -> Mix:
    """The mix of that kind and seed. The generator of every seed and kind is its own."""
    world = World(np.random.default_rng([seed, list(KINDS).index(kind)]), kind)
    KINDS[kind](world)
    return world.draw()
