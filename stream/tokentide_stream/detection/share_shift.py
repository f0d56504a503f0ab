"""The share-shift detector, window by window. Pure: time comes in with the window."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from tokentide_stream.detection.findings import (
    Direction,
    EndReason,
    Measure,
    ShareShift,
    ShareShiftEnd,
    Sums,
    Transitions,
)
from tokentide_stream.detection.mix_reference import MixReference, Reading
from tokentide_stream.detection.mix_ring import HORIZONS
from tokentide_stream.detection.season import DAY_S, Bools, Floats
from tokentide_stream.detection.share_kinds import Candidate, UnitCosts, attribution, kind_of

_BASE_CRITICAL = 5.5
_SLOW_CRITICAL: dict[Measure, float] = {"requests": 4.5, "tokens": 6.0, "cost": 6.0}
_PRIOR_DISPERSION: dict[Measure, float] = {"requests": 1.5, "tokens": 5.0, "cost": 5.0}
_RETOLD_S = 86_400
_AFTER_UNFAMILIAR_S = 43_200
"""How long the levels of a first weekend show in the hours after it; slow comparisons need two to four times that."""
_SETTLED_S = 10_800
"""How long after many keys have moved at once a first weekend counts as settled."""


@dataclass(frozen=True, slots=True)
class ShareShiftConfig:
    """The defaults need no tuning.

    window_s: the windows' length; 60 to 86,400. min_effect_pp: a smaller change of a share is never told.
    min_requests: total requests over the tested windows, below which nothing is told. accept_after_s: a shift that
    lasts as long, and has come to rest, is the new normal; an outage is waited for outage_accept_after_s. measures:
    whose shares are watched. ready_after_windows: before them, nothing is told.
    """

    window_s: int = 60
    scope: str = ""
    measures: tuple[Measure, ...] = ("requests", "tokens")
    min_effect_pp: float = 1.0
    min_requests: int = 30
    accept_after_s: int = 86_400
    learning_accept_after_s: int = 7_200
    outage_accept_after_s: int = 7 * 86_400
    ready_after_windows: int = 10


@dataclass
class _Open:
    """A shift that was told. members: every key that it holds, those included that only moved along with it."""

    shift: ShareShift
    measure: Measure
    members: dict[int, float]
    opened: int
    opened_s: float
    calm: int = 0
    peaks: dict[int, float] = field(default_factory=dict)
    lead: list[int] = field(default_factory=list)


class ShareShiftDetector:
    """Shares of one dimension in one scope. One instance each; steps in order of time, one for each closed window."""

    def __init__(self, config: ShareShiftConfig) -> None:
        self._config = config
        self._index: dict[str, int] = {}
        self._names: list[str] = []
        self._size = 16
        self._mixes = {
            measure: MixReference(config.window_s, self._size, _PRIOR_DISPERSION[measure])
            for measure in config.measures
        }
        self._costs = UnitCosts(config.window_s)
        self._born_s: list[float] = []
        self._first_s: float | None = None
        self._last_s: float | None = None
        self._windows = 0
        self._open: list[_Open] = []
        self._cooling: dict[int, int] = {}
        self._request_effect = np.zeros(self._size)
        self._told: dict[int, tuple[float, float]] = {}
        self._unfamiliar_s = -np.inf
        self._broad_s = -np.inf
        self._strange_s = -np.inf
        self._was_strange = False

    @property
    def is_learning(self) -> bool:
        """Less than a day of history: only shifts that a daily season could hardly make are told."""
        return self._first_s is None or self._last_s is None or self._last_s - self._first_s < DAY_S

    @property
    def open_shifts(self) -> list[ShareShift]:
        """Told and not ended, oldest first."""
        return [known.shift for known in self._open]

    def step(self, window_start: dt.datetime, sums_by_key: Mapping[str, Sums]) -> Transitions:
        """Take the next window. A key that is absent has had nothing. Windows that are skipped, or have no requests at
        all, count as missing, not as zero; a window that does not come after the last one raises ValueError."""
        time_s = window_start.timestamp()
        if self._last_s is not None and time_s <= self._last_s:
            raise ValueError(
                f"window {window_start.isoformat()} is not after the one before; step through them in order"
            )
        requests, amounts = self._columns(sums_by_key, time_s)
        if requests.sum() <= 0 or any(a.sum() <= 0 for a in amounts.values()):
            return Transitions()
        if self._first_s is None:
            self._first_s = time_s
        self._last_s = time_s
        self._costs.add(requests, self._cost_column(sums_by_key), time_s)
        held, young = self._held(), self._young(time_s)
        if self._was_strange and all(mix.season.is_familiar(time_s) for mix in self._mixes.values()):
            self._was_strange = False
            for mix in self._mixes.values():
                mix.return_to_season()
        readings = {m: mix.read(time_s, amounts[m], requests, held, young) for m, mix in self._mixes.items()}
        ended = self._end(window_start, time_s)
        started = (
            self._start(window_start, time_s, readings, young)
            if self._windows >= self._config.ready_after_windows
            else []
        )
        held, told = self._held(), self._held()
        for mix in self._mixes.values():
            mix.update(held, self._young(time_s), told)
        self._windows += 1
        return Transitions(started, ended)

    def _columns(self, sums_by_key: Mapping[str, Sums], time_s: float) -> tuple[Floats, dict[Measure, Floats]]:
        for key in sums_by_key:
            if key not in self._index:
                self._index[key] = len(self._names)
                self._names.append(key)
                self._born_s.append(time_s)
        if len(self._names) > self._size:
            self._size = max(2 * self._size, len(self._names))
            for mix in self._mixes.values():
                mix.grow(self._size)
            self._costs.grow(self._size)
        places = [self._index[key] for key in sums_by_key]
        columns: dict[Measure, Floats] = {}
        requests = np.zeros(self._size)
        requests[places] = [max(0.0, sums.requests) for sums in sums_by_key.values()]
        for measure in self._mixes:
            column = np.zeros(self._size)
            column[places] = [max(0.0, getattr(sums, measure) or 0.0) for sums in sums_by_key.values()]
            columns[measure] = column
        return requests, columns

    def _cost_column(self, sums_by_key: Mapping[str, Sums]) -> tuple[Floats, Floats]:
        cost, tokens = np.full(self._size, np.nan), np.zeros(self._size)
        for key, sums in sums_by_key.items():
            if sums.cost is not None:
                cost[self._index[key]] = sums.cost
            tokens[self._index[key]] = sums.tokens
        return cost, tokens

    def _held(self) -> Bools:
        held = np.zeros(self._size, dtype=bool)
        for known in self._open:
            held[list(known.members)] = True
        return held

    def _young(self, time_s: float) -> Bools:
        """Keys first seen within the last day, when others were known already: their reference is nothing."""
        young = np.zeros(self._size, dtype=bool)
        born = np.asarray(self._born_s)
        assert self._first_s is not None
        ready_s = self._first_s + self._config.ready_after_windows * self._config.window_s
        young[: born.size] = (born >= ready_s) & (time_s - born < DAY_S)
        grown = np.flatnonzero(
            (born >= ready_s) & (time_s - born >= DAY_S) & (time_s - born < DAY_S + self._config.window_s)
        )
        for key in grown:
            if not any(key in known.members for known in self._open):
                for mix in self._mixes.values():
                    mix.restart(int(key), time_s)
        return young

    def _candidates(
        self, reading: Reading, mix: MixReference, young: Bools, measure: Measure, time_s: float
    ) -> list[Candidate]:
        """Keys whose own change is large and significant, and not what was seen at this hour before."""
        config = self._config
        least = config.min_effect_pp / 100
        learning = self.is_learning
        unfamiliar_s = time_s - self._unfamiliar_s
        # Of a first weekend nobody knows yet how it differs, and what was learned on it is wrong for the days after.
        strange_s = time_s - self._strange_s
        caution = 1.8 if strange_s <= _AFTER_UNFAMILIAR_S else 1.0
        found = []
        # With few windows the noise itself is hardly known.
        critical = _BASE_CRITICAL * (1 + 2.5 / np.sqrt(self._windows)) if learning else _BASE_CRITICAL
        limits = mix.thresholds(critical)
        wary = mix.thresholds(min(caution, 1.4) * critical) if caution > 1 else limits
        low, high = mix.season.envelope()
        total = reading.total
        x = reading.observed / total / reading.centre
        for i, horizon in enumerate(HORIZONS):
            effect, z = reading.effect[i], reading.z[i]
            needed = np.full(self._size, least)
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
                hit &= mix.agreeing(3) & (~young | (np.abs(self._request_effect) >= 0.8 * least))
            if mix.knows_season:
                up_known = (effect > 0) & (x <= 1.5 * high) & ~young
                down_known = (effect < 0) & (x >= 0.75 * low)
                hit &= ~(up_known | down_known)
            for key in np.flatnonzero(hit):
                found.append(Candidate(int(key), measure, float(effect[key]), float(z[key]), horizon * config.window_s))
        cheaper = self._costs.cheaper(time_s)
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

    def _start(
        self, window_start: dt.datetime, time_s: float, readings: Mapping[Measure, Reading], young: Bools
    ) -> list[ShareShift]:
        held = self._held()
        by_key: dict[int, Candidate] = {}
        self._notice_unfamiliar(time_s, readings)
        if "requests" in readings:
            self._request_effect = self._mixes["requests"].recent_effect(3)
        else:
            # Requests are not watched: nothing speaks against a new key's tokens.
            self._request_effect = np.full(self._size, np.inf)
        for measure, reading in readings.items():
            if reading.total <= 0:
                continue
            for candidate in self._candidates(reading, self._mixes[measure], young, measure, time_s):
                if held[candidate.key] or self._cooling.get(candidate.key, -1) >= self._windows:
                    continue
                if self._is_told_already(candidate, time_s):
                    continue
                by_key.setdefault(candidate.key, candidate)
        if not by_key:
            return []
        candidates = sorted(by_key.values(), key=lambda c: -abs(c.effect))
        candidates = [c for c in candidates if not self._moves_along(c, time_s, readings)]
        if not candidates:
            return []
        lead = candidates[0]
        reading, mix = readings[lead.measure], self._mixes[lead.measure]
        candidates += self._companions(lead, candidates, reading, mix, held)
        along = [c for c in candidates if abs(c.effect) >= 0.15 * abs(lead.effect)]
        kind = kind_of(along, readings, young, self._costs, time_s)
        if self.is_learning and self._could_be_a_daily_job(lead, along, young, kind):
            return []
        direction: Direction = "up" if lead.effect > 0 else "down"
        total, expected, observed = reading.total, reading.expected, reading.observed
        weights = expected / max(expected.sum(), 1e-12)
        value, reference = float(observed[lead.key] / total), float(weights[lead.key])
        if lead.slow:
            reference = max(0.0, value - lead.effect)
        back = mix.onset(lead.key, 1.0 if lead.effect > 0 else -1.0)
        started = window_start - dt.timedelta(seconds=(back - 1) * self._config.window_s)
        shift = ShareShift(
            detected_at=window_start,
            window_start=window_start,
            started_at=started,
            scope=self._config.scope,
            keys=tuple(self._names[c.key] for c in along),
            direction=direction,
            kind=kind,
            size_pp=100 * (value - reference),
            measure=lead.measure,
            reference=reference,
            value=value,
            significance=abs(lead.z),
            window_s=self._config.window_s,
            is_learning=self.is_learning,
            attribution=attribution(self._names, [c.key for c in along], weights, expected, observed),
        )
        members = {c.key: c.effect for c in candidates}
        opened = _Open(shift, lead.measure, members, self._windows, time_s, lead=[c.key for c in along])
        self._open.append(opened)
        for candidate in along:
            if candidate.slow:
                for known_mix in self._mixes.values():
                    known_mix.hold_to_season(candidate.key)
        return [shift]

    def _notice_unfamiliar(self, time_s: float, readings: Mapping[Measure, Reading]) -> None:
        """Many keys have moved at once on the first day of its kind (weekend, or working days)."""
        if self.is_learning:
            return
        for measure, reading in readings.items():
            mix = self._mixes[measure]
            if mix.season.is_familiar(time_s) or reading.total <= 0:
                continue
            self._strange_s, self._was_strange = time_s, True
            if mix.is_broad(reading, is_now=True):
                self._broad_s = time_s
            # Once noticed, it lasts as long as such days do.
            if time_s - self._unfamiliar_s < DAY_S or mix.is_broad(reading):
                self._unfamiliar_s = time_s

    def _companions(
        self, lead: Candidate, found: list[Candidate], reading: Reading, mix: MixReference, held: Bools
    ) -> list[Candidate]:
        """Keys that have moved in the same windows, and would be told in the next ones by themselves."""
        if lead.slow:
            return []
        effect = mix.recent_effect(2)
        least = max(0.5 * self._config.min_effect_pp / 100, 0.15 * abs(lead.effect))
        hit = (np.abs(reading.one_window_z) >= 4.0) & (np.abs(effect) >= least) & ~held & mix.agreeing(2)
        known = {c.key for c in found}
        more = [
            Candidate(int(k), lead.measure, float(effect[k]), float(reading.one_window_z[k]), lead.span_s)
            for k in np.flatnonzero(hit)
            if int(k) not in known
        ]
        return sorted(more, key=lambda c: -abs(c.effect))

    def _is_told_already(self, candidate: Candidate, time_s: float) -> bool:
        """The same key has moved the same way within the last day: only something larger is news."""
        told_s, effect = self._told.get(candidate.key, (-np.inf, 0.0))
        return (
            time_s - told_s < _RETOLD_S and candidate.effect * effect > 0 and abs(candidate.effect) < 1.5 * abs(effect)
        )

    def _could_be_a_daily_job(self, lead: Candidate, along: list[Candidate], young: Bools, kind: str) -> bool:
        """On the first day nothing tells a daily job from a burst: a rise of a known key alone has to be large."""
        alone = all(c.effect > 0 for c in along)
        return alone and not young[lead.key] and kind == "burst" and lead.effect < 0.3

    def _moves_along(self, candidate: Candidate, time_s: float, readings: Mapping[Measure, Reading]) -> bool:
        """True where an open shift explains it: soon after it, or as the other side of what it moved."""
        for known in self._open:
            age_s = time_s - known.opened_s
            soon = max(3_600, 4 * self._config.window_s)
            lead = known.members[known.lead[0]]
            opposite = candidate.effect * lead < 0
            outage = (
                candidate.effect < 0 and not candidate.slow and readings[candidate.measure].observed[candidate.key] == 0
            )
            if age_s <= soon and not (outage and age_s > 3 * self._config.window_s):
                known.members[candidate.key] = candidate.effect
                return True
            if opposite and abs(candidate.effect) <= 1.2 * abs(lead) and age_s <= DAY_S and not outage:
                known.members[candidate.key] = candidate.effect
                return True
        return False

    def _end(self, window_start: dt.datetime, time_s: float) -> list[ShareShiftEnd]:
        ended = []
        for known in list(self._open):
            reason = self._reason_to_end(known, time_s)
            if reason is None:
                continue
            self._open.remove(known)
            ended.append(ShareShiftEnd(known.shift, window_start, reason))
            for key, told in known.members.items():
                peak = known.peaks.get(key, told)
                self._told[key] = (time_s, peak if peak * told > 0 and abs(peak) > abs(told) else told)
                self._cooling[key] = self._windows + 3
                for mix in self._mixes.values():
                    if reason == "accepted":
                        mix.restart(key, time_s)
                    else:
                        mix.forget(key)
        return ended

    def _reason_to_end(self, known: _Open, time_s: float) -> EndReason | None:
        mix = self._mixes[known.measure]
        effect = mix.recent_effect(2)
        lead = known.lead[0]
        size = known.members[lead]
        now = float(effect[lead]) * (1 if size > 0 else -1)
        for key in known.members:
            if abs(effect[key]) > abs(known.peaks.get(key, 0.0)):
                known.peaks[key] = float(effect[key])
        back = now < max(0.3 * abs(size), 0.4 * self._config.min_effect_pp / 100)
        known.calm = known.calm + 1 if back else 0
        if known.calm >= 2 and self._windows > known.opened + 2:
            return "returned"
        config = self._config
        limit = config.learning_accept_after_s if self.is_learning else config.accept_after_s
        if known.shift.kind == "outage":
            limit = config.outage_accept_after_s
        age_s = time_s - known.opened_s
        if age_s < limit:
            return None
        return "accepted" if mix.is_settled(lead, size) or age_s > 7 * limit else None
