"""The share-shift detector, window by window. Pure: time comes in with the window."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping

import numpy as np

from tokentide_stream.detection.findings import (
    Direction,
    Measure,
    ShareShift,
    ShareShiftEnd,
    Sums,
    Transitions,
)
from tokentide_stream.detection.mix_reference import MixReference, Reading
from tokentide_stream.detection.season import DAY_S, Bools, Floats, long_s
from tokentide_stream.detection.share_candidates import CandidateFinder
from tokentide_stream.detection.share_config import ShareShiftConfig
from tokentide_stream.detection.share_kinds import Candidate, UnitCosts, attribution, kind_of
from tokentide_stream.detection.share_open import OpenShift

_PRIOR_DISPERSION: dict[Measure, float] = {"requests": 1.5, "tokens": 5.0, "cost": 5.0}


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
        self._long_s = long_s(config.window_s)
        self._costs = UnitCosts(config.window_s)
        self._born_s: list[float] = []
        self._first_s: float | None = None
        self._last_s: float | None = None
        self._windows = 0
        self._open: list[OpenShift] = []
        self._cooling: dict[int, int] = {}
        self._told: dict[tuple[int, Measure], tuple[float, float]] = {}
        self._accepted: set[int] = set()
        self._finder = CandidateFinder(config)

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
        if self._finder.familiar_again(time_s, self._mixes):
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
        young[: born.size] = (born >= ready_s) & (time_s - born < self._long_s)
        # What a new key has come to is known once its launch has been accepted.
        young[list(self._accepted)] = False
        over_s = time_s - born - self._long_s
        grown = np.flatnonzero((born >= ready_s) & (over_s >= 0) & (over_s < self._config.window_s))
        for key in grown:
            if key not in self._accepted and not any(key in known.members for known in self._open):
                for mix in self._mixes.values():
                    mix.restart(int(key), time_s)
        return young

    def _start(
        self, window_start: dt.datetime, time_s: float, readings: Mapping[Measure, Reading], young: Bools
    ) -> list[ShareShift]:
        held = self._held()
        by_key: dict[int, Candidate] = {}
        if not self.is_learning:
            self._finder.notice(time_s, readings, self._mixes)
        if "requests" in readings:
            request_effect = self._mixes["requests"].recent_effect(3)
        else:
            # Requests are not watched: nothing speaks against a new key's tokens.
            request_effect = np.full(self._size, np.inf)
        cheaper = self._costs.cheaper(time_s)
        for measure, reading in readings.items():
            if reading.total <= 0:
                continue
            found = self._finder.find(
                reading, self._mixes[measure], young, measure, time_s, self.is_learning, cheaper, request_effect
            )
            for candidate in found:
                if held[candidate.key] or self._cooling.get(candidate.key, -1) >= self._windows:
                    continue
                if self._is_told_already(candidate, time_s):
                    continue
                by_key.setdefault(candidate.key, candidate)
        if not by_key:
            return []
        candidates = sorted(by_key.values(), key=lambda c: -abs(c.effect))
        candidates = [
            c
            for c in candidates
            if not any(known.takes_along(c, time_s, readings[c.measure].observed[c.key]) for known in self._open)
        ]
        if not candidates:
            return []
        lead = candidates[0]
        reading, mix = readings[lead.measure], self._mixes[lead.measure]
        candidates += self._companions(lead, candidates, reading, mix, held)
        along = [c for c in candidates if abs(c.effect) >= 0.15 * abs(lead.effect)]
        kind = kind_of(along, readings, young, self._costs, time_s, mix.ramp_windows(lead.key) * self._config.window_s)
        if self.is_learning and self._could_be_a_daily_job(along, young, kind, reading):
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
        span = max(2, lead.span_s // self._config.window_s)
        opened = OpenShift(shift, lead.measure, members, self._windows, time_s, lead=[c.key for c in along], span=span)
        self._open.append(opened)
        for candidate in along:
            if candidate.slow:
                for known_mix in self._mixes.values():
                    known_mix.hold_to_season(candidate.key)
        return [shift]

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
        told_s, effect = self._told.get((candidate.key, candidate.measure), (-np.inf, 0.0))
        return (
            time_s - told_s < self._long_s
            and candidate.effect * effect > 0
            and abs(candidate.effect) < 1.5 * abs(effect)
        )

    def _could_be_a_daily_job(self, along: list[Candidate], young: Bools, kind: str, reading: Reading) -> bool:
        """On the first day nothing tells a daily job from a burst, nor from the launch of a key that was there before:
        a rise of a known key alone has to be large."""
        lead = along[0]
        alone = all(c.effect > 0 for c in along) and not young[lead.key]
        was_there = reading.expected[lead.key] > 0.01 * reading.observed[lead.key]
        return alone and lead.effect < 0.3 and (kind == "burst" or (kind == "launch" and bool(was_there)))

    def _end(self, window_start: dt.datetime, time_s: float) -> list[ShareShiftEnd]:
        ended = []
        for known in list(self._open):
            mix = self._mixes[known.measure]
            known.see_peaks(self._mixes)
            reason = known.reason_to_end(mix, self._config, time_s, self._windows, self.is_learning)
            if reason is None:
                continue
            self._open.remove(known)
            ended.append(ShareShiftEnd(known.shift, window_start, reason))
            for key, told in known.members.items():
                for measure in self._mixes:
                    peak = known.peaks.get((key, measure), 0.0)
                    self._told[key, measure] = (time_s, peak if peak * told > 0 and abs(peak) > abs(told) else told)
                self._cooling[key] = self._windows + 3
                if reason == "accepted":
                    self._accepted.add(key)
                for mix in self._mixes.values():
                    if reason == "accepted":
                        mix.restart(key, time_s)
                    else:
                        mix.forget(key)
        return ended
