"""Rates against their own reference: errors, missing usage, late data. Pure."""

from __future__ import annotations

import datetime as dt
import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from tokentide_schemas.alerts import AlertKind
from tokentide_stream.detection.episodes import Episodes
from tokentide_stream.detection.findings import Changes, Finding

_CRITICAL = 5.0
_TESTED = 3
_PRIOR_TRIALS = 20.0


@dataclass(frozen=True, slots=True)
class ProportionConfig:
    """kind: error_rate, usage_missing_rate or late_rate. floor: a rate below it is never told. min_change: smallest
    rise in the rate (0.02: two points). min_trials: trials over the three windows tested together."""

    kind: AlertKind = AlertKind.ERROR_RATE
    window_s: int = 60
    floor: float = 0.02
    min_change: float = 0.02
    min_trials: int = 50
    accept_after_s: int = 86_400
    ready_after_windows: int = 5


@dataclass
class _Rate:
    """hits, trials: decayed sums of what is usual. dispersion: variance over that of independent trials."""

    hits: float = 0.0
    trials: float = 0.0
    dispersion: float = 1.5
    seen: int = 0
    last: deque[tuple[float, float]] = field(default_factory=lambda: deque(maxlen=_TESTED))

    def usual(self, floor: float) -> float:
        """A tenth of the floor is believed before anything is known."""
        return (self.hits + 0.1 * floor * _PRIOR_TRIALS) / (self.trials + _PRIOR_TRIALS)


class ProportionDetector:
    """Tells rises only; a rate that falls is good news. Over three windows together, the last two of which both lie
    above the reference."""

    def __init__(self, config: ProportionConfig) -> None:
        self._config = config
        self._rates: dict[str, _Rate] = {}
        self._episodes = Episodes(config.accept_after_s)
        self._decay = 0.5 ** (config.window_s / max(21_600, 12 * config.window_s))

    def step(self, window_start: dt.datetime, hits_and_trials: Mapping[str, tuple[float, float]]) -> Changes:
        """(hits, trials) by key, e.g. (errors, requests); a key without trials is left as it is. Unit: ratio."""
        changes = Changes()
        for key, (hits, trials) in hits_and_trials.items():
            if trials > 0:
                self._step(window_start, key, min(hits, trials), trials, changes)
        return changes

    def _step(self, at: dt.datetime, key: str, hits: float, trials: float, changes: Changes) -> None:
        config = self._config
        rate = self._rates.setdefault(key, _Rate())
        rate.last.append((hits, trials))
        sum_hits, sum_trials = sum(h for h, _ in rate.last), sum(n for _, n in rate.last)
        usual, now = rate.usual(config.floor), sum_hits / sum_trials
        if key in self._episodes:
            is_back = hits / trials < usual + 0.4 * (self._episodes.finding(key).change or 0.0)
            reason = self._episodes.follow(key, is_back, at, changes)
            if reason == "accepted":
                rate.hits, rate.trials = now * rate.trials, rate.trials
            if reason is not None:
                rate.last.clear()
            return
        variance = max(usual * (1 - usual), 1e-6) * sum_trials * rate.dispersion + (0.2 * usual * sum_trials) ** 2
        z = (sum_hits - usual * sum_trials) / math.sqrt(variance)
        least = usual + config.min_change
        above = len(rate.last) >= 2 and all(h / n >= max(config.floor, least) for h, n in list(rate.last)[-2:])
        ready = rate.seen >= config.ready_after_windows and sum_trials >= config.min_trials
        if ready and above and z >= _CRITICAL and now >= config.floor and sum_hits >= 5:
            started = at - dt.timedelta(
                seconds=config.window_s * (2 if len(rate.last) == 3 and self._is_high(rate.last[0], least) else 1)
            )
            finding = Finding(
                config.kind,
                key,
                "up",
                at,
                started,
                now,
                usual,
                now - usual,
                "ratio",
                z,
                rate.seen * config.window_s < 86_400,
            )
            self._episodes.start(key, finding, changes)
            return
        self._learn(rate, hits, trials, usual)

    @staticmethod
    def _is_high(window: tuple[float, float], least: float) -> bool:
        return window[0] / window[1] >= least

    def _learn(self, rate: _Rate, hits: float, trials: float, usual: float) -> None:
        rate.seen += 1
        spread = (hits - usual * trials) ** 2 / max(usual * (1 - usual) * trials, 0.5)
        alpha = max(1 - self._decay, 1 / (rate.seen + 8))
        rate.dispersion = max(1.0, rate.dispersion + alpha * (min(spread, 16 * rate.dispersion) - rate.dispersion))
        # A window that stands out counts for a part only, so that the start of a rise does not become the reference.
        bound = usual * trials + 3 * math.sqrt(rate.dispersion * max(usual * trials, 1.0))
        rate.hits = rate.hits * self._decay + min(hits, bound)
        rate.trials = rate.trials * self._decay + trials
