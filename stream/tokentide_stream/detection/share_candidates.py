"""Keys whose share has changed by more than it does for no reason. Pure but for what it remembers of strange days."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from tokentide_stream.detection.findings import Measure
from tokentide_stream.detection.mix_reference import MixReference, Reading
from tokentide_stream.detection.mix_ring import HORIZONS
from tokentide_stream.detection.season import DAY_S, Bools, Floats
from tokentide_stream.detection.share_config import ShareShiftConfig
from tokentide_stream.detection.share_kinds import Candidate

_BASE_CRITICAL = 5.5
_LONG_WINDOW_S = 1_800
"""An outage may be over within one window of that length."""
_DARK_CRITICAL = 8.0
_SLOW_CRITICAL: dict[Measure, float] = {"requests": 4.5, "tokens": 6.0, "cost": 6.0}
_AFTER_UNFAMILIAR_S = 43_200
"""How long the levels of a first weekend show in the hours after it; slow comparisons need two to four times that."""
_SETTLED_S = 10_800
"""How long after many keys have moved at once a first weekend counts as settled."""


class CandidateFinder:
    """Finds the keys whose own change is large and significant, and not what was seen at this hour before.

    It knows days of a kind (weekend, or working days) that is seen for the first time: of those more is asked.
    """

    def __init__(self, config: ShareShiftConfig) -> None:
        self._config = config
        self._unfamiliar_s = -np.inf
        self._broad_s = -np.inf
        self._strange_s = -np.inf
        self._was_strange = False

    def familiar_again(self, time_s: float, mixes: Mapping[Measure, MixReference]) -> bool:
        """True once, when days as they are known follow on strange ones."""
        if not self._was_strange or not all(mix.season.is_familiar(time_s) for mix in mixes.values()):
            return False
        self._was_strange = False
        return True

    def notice(self, time_s: float, readings: Mapping[Measure, Reading], mixes: Mapping[Measure, MixReference]) -> None:
        """Many keys have moved at once on the first day of its kind (weekend, or working days)."""
        for measure, reading in readings.items():
            mix = mixes[measure]
            if mix.season.is_familiar(time_s) or reading.total <= 0:
                continue
            self._strange_s, self._was_strange = time_s, True
            if mix.is_broad(reading, is_now=True):
                self._broad_s = time_s
            # Once noticed, it lasts as long as such days do.
            if time_s - self._unfamiliar_s < DAY_S or mix.is_broad(reading):
                self._unfamiliar_s = time_s

    def find(self, reading: Reading, mix: MixReference, young: Bools, measure: Measure, time_s: float,
             is_learning: bool, cheaper: Bools, request_effect: Floats) -> list[Candidate]:  # fmt: skip
        """young: keys too new for a reference. cheaper: keys whose unit cost has fallen within days. request_effect:
        mean change of the requests' shares over three windows, by which tokens of a new key are believed."""
        config = self._config
        size = young.size
        least = config.min_effect_pp / 100
        learning = is_learning
        unfamiliar_s = time_s - self._unfamiliar_s
        # Of a first weekend nobody knows yet how it differs, and what was learned on it is wrong for the days after.
        strange_s = time_s - self._strange_s
        caution = 1.8 if strange_s <= _AFTER_UNFAMILIAR_S else 1.0
        found = []
        # With few windows the noise itself is hardly known.
        critical = _BASE_CRITICAL * (1 + 2.5 / np.sqrt(mix.windows)) if learning else _BASE_CRITICAL
        limits = mix.thresholds(critical)
        wary = mix.thresholds(min(caution, 1.4) * critical) if caution > 1 else limits
        low, high = mix.season.envelope()
        known_low, known_high = mix.season.known_range()
        total = reading.total
        x = reading.observed / total / reading.centre
        for i, horizon in enumerate(HORIZONS):
            effect, z = reading.effect[i], reading.z[i]
            needed = np.full(size, least)
            if learning:
                # A daily season may move a key by a tenth in an hour.
                hours = (horizon + 11) * config.window_s / 3_600
                by_season = (np.exp(min(0.8, 0.1 * hours)) - 1) * reading.expected / total
                needed = np.where(
                    young, needed, np.maximum(least + 0.01, np.where(effect > 0, by_season, 0.6 * by_season))
                )
            # Token sums are heavy-tailed: two windows can be two long prompts.
            if measure != "requests" and horizon < 3:
                continue
            # No season makes a key leap by more than half of what it was within some windows.
            leap = np.abs(effect) >= np.maximum(3 * least, 0.6 * reading.expected / total)
            hit = (
                (np.abs(z) >= np.where(leap, limits[i], wary[i]))
                & (np.abs(effect) >= needed)
                & (np.abs(reading.share_change) >= 0.6 * needed)
            )
            hit &= np.abs(reading.one_window_z) >= 1.0
            if measure != "requests":
                hit &= mix.agreeing(3) & (~young | (np.abs(request_effect) >= 0.8 * least))
            if mix.knows_season:
                up_known = (effect > 0) & (x <= known_high) & ~young
                down_known = (effect < 0) & (x >= known_low)
                hit &= ~(up_known | down_known)
            for key in np.flatnonzero(hit):
                found.append(Candidate(int(key), measure, float(effect[key]), float(z[key]), horizon * config.window_s))
        if measure == "requests" and not learning and config.window_s >= _LONG_WINDOW_S:
            for key in np.flatnonzero(self._is_dark(reading, mix, young, low)):
                change = float((reading.observed[key] - reading.expected[key]) / total)
                found.append(Candidate(int(key), measure, change, float(reading.one_window_z[key]), config.window_s))
        is_clean = unfamiliar_s > 2 * _AFTER_UNFAMILIAR_S and not 0 < strange_s <= 4 * _AFTER_UNFAMILIAR_S
        if not learning and is_clean:
            for i in range(len(reading.slow_z)):
                effect, z = reading.slow_effect[i], reading.slow_z[i]
                hit = (np.abs(z) >= caution * _SLOW_CRITICAL[measure]) & (np.abs(effect) >= 2.0 * least) & ~young
                # A key that has become cheaper is expected to gain.
                hit |= cheaper & (z >= 3.5) & (effect >= 1.2 * least)
                hit &= np.abs(reading.share_change) >= 0.5 * np.abs(effect)
                if i < 2:
                    hit &= ~((effect > 0) & (x <= 1.15 * high)) & ~((effect < 0) & (x >= 0.85 * low))
                for key in np.flatnonzero(hit):
                    found.append(Candidate(int(key), measure, float(effect[key]), float(z[key]), 0, slow=i + 1))
        if unfamiliar_s <= _AFTER_UNFAMILIAR_S:
            # A first weekend moves many keys: what is new, gone, or very large is told all the same.
            gone = reading.observed < 0.1 * reading.expected
            # Once the mix has settled into it, so is a leap of one key against the last hours.
            settled = time_s - self._broad_s > _SETTLED_S
            leap = np.maximum(3 * least, 0.3 * reading.expected / total)
            found = [
                c
                for c in found
                if young[c.key]
                or gone[c.key]
                or abs(c.effect) >= 0.15
                or (settled and not c.slow and abs(c.effect) >= leap[c.key])
            ]
        best: dict[int, Candidate] = {}
        for candidate in found:
            if candidate.key not in best:
                best[candidate.key] = candidate
        return list(best.values())

    def _is_dark(self, reading: Reading, mix: MixReference, young: Bools, low: Floats) -> Bools:
        """Keys that one long window has without hardly any of their requests, which no other key has taken over."""
        change = (reading.observed - reading.expected) / reading.total
        gone = (reading.observed < 0.1 * reading.expected) & (reading.one_window_z <= -_DARK_CRITICAL) & ~young
        gone &= -change >= 2 * self._config.min_effect_pp / 100
        gone &= change.max() < 0.4 * -change
        if mix.knows_season:
            gone &= reading.observed / reading.total / reading.centre < 0.5 * low
        dark: Bools = gone
        return dark
