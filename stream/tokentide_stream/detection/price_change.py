"""Unit cost by model and provider: a change of price. Pure."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass

from tokentide_schemas.alerts import AlertKind
from tokentide_stream.detection.findings import Changes, Finding, FindingEnd, Sums

_NOISE_FACTOR = 4.0
_READY_WINDOWS = 5


@dataclass(frozen=True, slots=True)
class PriceChangeConfig:
    """min_change: smallest relative change of the cost of a token; where the unit cost of a key varies by itself (its
    mix of input, cached and output tokens), four of its usual variations. confirm_windows: as many in a row have to
    lie on the same side. min_tokens: windows with fewer are passed over."""

    window_s: int = 60
    min_change: float = 0.05
    min_tokens: float = 10_000.0
    confirm_windows: int = 2


@dataclass
class _Price:
    unit: float
    noise: float = 0.02
    seen: int = 1
    side: int = 0
    run: int = 0
    run_cost: float = 0.0
    run_tokens: float = 0.0
    run_start: dt.datetime | None = None


class PriceChangeDetector:
    """Tells a change once; the new price is the reference from then on, so a change ends ("accepted") at the step
    after it was told."""

    def __init__(self, config: PriceChangeConfig) -> None:
        self._config = config
        self._prices: dict[str, _Price] = {}
        self._told: list[Finding] = []

    def step(self, window_start: dt.datetime, sums_by_key: Mapping[str, Sums]) -> Changes:
        """cost in nano-USD; keys without cost are skipped. Unit: nanousd (for a token)."""
        changes = Changes(ended=[FindingEnd(finding, window_start, "accepted") for finding in self._told])
        self._told = []
        for key, sums in sums_by_key.items():
            if sums.cost is not None and sums.tokens >= self._config.min_tokens:
                self._step(window_start, key, float(sums.cost), float(sums.tokens), changes)
        self._told = list(changes.started)
        return changes

    def _step(self, at: dt.datetime, key: str, cost: float, tokens: float, changes: Changes) -> None:
        now = cost / tokens
        price = self._prices.get(key)
        if price is None:
            self._prices[key] = _Price(now)
            return
        change = (now - price.unit) / price.unit if price.unit > 0 else float(now > 0)
        least = max(self._config.min_change, _NOISE_FACTOR * price.noise)
        side = (change > least) - (change < -least)
        if side == 0 or price.seen < _READY_WINDOWS:
            price.run, price.side = 0, 0
            alpha = max(0.02, 1 / (price.seen + 1))
            price.unit += alpha * (now - price.unit)
            price.noise += alpha * (min(abs(change), 3 * price.noise + 0.01) - price.noise)
            price.seen += 1
            return
        if side != price.side:
            price.side, price.run, price.run_cost, price.run_tokens, price.run_start = side, 0, 0.0, 0.0, at
        price.run += 1
        price.run_cost += cost
        price.run_tokens += tokens
        if price.run < self._config.confirm_windows:
            return
        new = price.run_cost / price.run_tokens
        started = price.run_start or at
        changes.started.append(
            Finding(
                AlertKind.PRICE_CHANGE,
                key,
                "up" if side > 0 else "down",
                at,
                started,
                new,
                price.unit,
                new - price.unit,
                "nanousd",
                note={"relative": (new - price.unit) / price.unit if price.unit else 0.0},
            )
        )
        self._prices[key] = _Price(new, price.noise, _READY_WINDOWS)
