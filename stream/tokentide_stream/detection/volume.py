"""Volumes: spike, drop, silence and slow drift, of the total and of each key. Pure."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from tokentide_schemas.alerts import AlertKind
from tokentide_stream.detection.episodes import Episodes
from tokentide_stream.detection.findings import Changes, Direction, Finding
from tokentide_stream.detection.mix_reference import MixReference, Reading
from tokentide_stream.detection.season import DAY_S, Bools, Floats

_CRITICAL = 6.0
_DRIFT_CRITICAL = 4.5
_DRIFT_DAYS = 3


@dataclass(frozen=True, slots=True)
class VolumeConfig:
    """window_s: the windows' length. min_change: smallest relative change that is told (0.5: up or down by half of the
    reference). min_count: smallest absolute change in a window. silence_probability: a key is silent when no request
    at all, since its last one, is as improbable. drift_min_change: smallest relative change of a day's volume against
    the days before. accept_after_s: a change that lasts is the new normal, a silence after three times as long."""

    window_s: int = 60
    min_change: float = 0.5
    min_count: float = 20.0
    silence_probability: float = 1e-6
    drift_min_change: float = 0.25
    accept_after_s: int = 86_400
    ready_after_windows: int = 15


class VolumeDetector:
    """Counts by key; '' is the caller's name for the total where it passes one. Steps in order of time."""

    def __init__(self, config: VolumeConfig) -> None:
        self._config = config
        self._index: dict[str, int] = {}
        self._names: list[str] = []
        self._size = 16
        self._reference = MixReference(config.window_s, self._size, 2.0, is_mix=False)
        self._first_s: list[float] = []
        self._last_s: float | None = None
        self._zeros = np.zeros(self._size)
        self._expected_since = np.zeros(self._size)
        self._episodes = Episodes(config.accept_after_s)
        self._silences = Episodes(3 * config.accept_after_s)
        self._cooling: dict[int, int] = {}
        self._windows = 0

    def is_learning(self, key: str) -> bool:
        """True until the key has a full day of history."""
        place = self._index.get(key)
        return place is None or self._last_s is None or self._last_s - self._first_s[place] < DAY_S

    def step(self, window_start: dt.datetime, count_by_key: Mapping[str, float]) -> Changes:
        """The next window's counts; a key that was known and is absent counts as zero. Kinds: spike, drop, silence,
        volume_drift. Unit: requests (a window). A window that does not come after the last one raises ValueError."""
        time_s = window_start.timestamp()
        if self._last_s is not None and time_s <= self._last_s:
            raise ValueError(
                f"window {window_start.isoformat()} is not after the one before; step through them in order"
            )
        self._last_s = time_s
        counts = self._column(count_by_key, time_s)
        held, young = self._held(), self._young(time_s)
        reading = self._reference.read(time_s, counts, counts, held, np.zeros(self._size, dtype=bool))
        changes = Changes()
        self._follow(window_start, counts, reading, changes)
        self._silent(window_start, counts, reading, changes)
        if self._windows >= self._config.ready_after_windows:
            self._moved(window_start, counts, reading, young, changes)
            self._drifted(window_start, reading, changes)
        held = self._held()
        self._reference.update(held, np.zeros(self._size, dtype=bool), held)
        self._windows += 1
        return changes

    def _column(self, count_by_key: Mapping[str, float], time_s: float) -> Floats:
        for key in count_by_key:
            if key not in self._index:
                self._index[key] = len(self._names)
                self._names.append(key)
                self._first_s.append(time_s)
        if len(self._names) > self._size:
            more = max(2 * self._size, len(self._names)) - self._size
            self._size += more
            self._reference.grow(self._size)
            self._zeros, self._expected_since = np.pad(self._zeros, (0, more)), np.pad(self._expected_since, (0, more))
        counts = np.zeros(self._size)
        counts[[self._index[key] for key in count_by_key]] = [max(0.0, float(n)) for n in count_by_key.values()]
        return counts

    def _held(self) -> Bools:
        held = np.zeros(self._size, dtype=bool)
        held[[int(str(n)) for episodes in (self._episodes, self._silences) for n in episodes.names()]] = True
        return held

    def _young(self, time_s: float) -> Bools:
        """Keys that are too new for a rise to be more than their growing up."""
        young = np.ones(self._size, dtype=bool)
        ready_s = self._config.ready_after_windows * self._config.window_s
        young[: len(self._first_s)] = time_s - np.asarray(self._first_s) < ready_s
        return young

    def _moved(self, at: dt.datetime, counts: Floats, reading: Reading, young: Bools, changes: Changes) -> None:
        config = self._config
        horizon = 0
        expected = reading.expected
        mean = expected + reading.effect[horizon]
        learning = np.array([self.is_learning(name) for name in self._names] + [True] * (self._size - len(self._names)))
        least = np.where(learning, 2 * config.min_change, config.min_change)
        critical = np.where(learning, _CRITICAL * (1 + 2.5 / math.sqrt(max(1, self._windows))), _CRITICAL)
        z = reading.z[horizon]
        sure = (np.abs(z) >= np.maximum(critical, self._reference.thresholds(_CRITICAL)[horizon])) & ~young
        sure &= np.abs(reading.effect[horizon]) >= config.min_count
        up = sure & (z > 0) & (mean >= (1 + least) * expected) & (reading.one_window_z >= 3)
        down = sure & (z < 0) & (mean <= (1 - np.minimum(least, 0.8)) * expected) & (reading.one_window_z <= -3)
        if self._reference.knows_season:
            low, high = self._reference.season.envelope()
            up &= counts > 1.4 * high
            down &= counts < 0.7 * low
        for place in np.flatnonzero(up | down):
            if place in self._silences or self._cooling.get(int(place), -1) >= self._windows:
                continue
            is_up = bool(up[place])
            kind = AlertKind.SPIKE if is_up else AlertKind.DROP
            self._tell(int(place), kind, at, float(mean[place]), float(expected[place]), float(abs(z[place])), changes)

    def _drifted(self, at: dt.datetime, reading: Reading, changes: Changes) -> None:
        """The last day against the days before, once there are enough of them."""
        if self._reference.season.days_known < _DRIFT_DAYS:
            return
        z, effect, level = reading.slow_z[-1], reading.slow_effect[-1], self._reference.slow_reference()
        hit = (np.abs(z) >= _DRIFT_CRITICAL) & (np.abs(effect) >= self._config.drift_min_change * level)
        hit &= np.abs(effect) >= self._config.min_count
        for place in np.flatnonzero(hit):
            if place in self._silences or self._cooling.get(int(place), -1) >= self._windows:
                continue
            reference, change = float(level[place]), float(effect[place])
            self._reference.hold_to_season(int(place))
            self._tell(
                int(place), AlertKind.VOLUME_DRIFT, at, reference + change, reference, float(abs(z[place])), changes
            )

    def _silent(self, at: dt.datetime, counts: Floats, reading: Reading, changes: Changes) -> None:
        """No request at all, where some were due: the probability of none, negative binomial."""
        expected = reading.expected
        if self._reference.knows_season:
            expected = np.minimum(expected, np.maximum(self._reference.season.envelope()[0], 0.0))
        zero = counts == 0
        self._zeros = np.where(zero, self._zeros + 1, 0)
        self._expected_since = np.where(zero, self._expected_since + expected, 0.0)
        if self._windows < self._config.ready_after_windows:
            return
        dispersion = np.maximum(self._reference.dispersion(), 1.05)
        log_none = -self._expected_since * np.log(dispersion) / (dispersion - 1)
        hit = (self._zeros >= 2) & (log_none <= math.log(self._config.silence_probability))
        for place in np.flatnonzero(hit):
            key = int(place)
            if key in self._silences:
                continue
            if key in self._episodes:
                self._episodes.end(key, at, "returned", changes)
            started = at - dt.timedelta(seconds=(float(self._zeros[key]) - 1) * self._config.window_s)
            usual = float(self._expected_since[key] / self._zeros[key])
            finding = Finding(
                AlertKind.SILENCE, self._names[key], "down", at, started, 0.0, usual, -usual, "requests",
                is_learning=self.is_learning(self._names[key]),
                note={"log10_probability": float(log_none[key]) / math.log(10)},
            )  # fmt: skip
            self._silences.start(key, finding, changes)

    def _tell(
        self, place: int, kind: AlertKind, at: dt.datetime, value: float, reference: float, z: float, changes: Changes
    ) -> None:
        direction: Direction = "up" if value > reference else "down"
        back = self._reference.onset(place, 1.0 if value > reference else -1.0) - 1
        finding = Finding(
            kind, self._names[place], direction, at, at - dt.timedelta(seconds=back * self._config.window_s), value,
            reference, value - reference, "requests", z, self.is_learning(self._names[place]),
        )  # fmt: skip
        self._episodes.start(place, finding, changes)

    def _follow(self, at: dt.datetime, counts: Floats, reading: Reading, changes: Changes) -> None:
        effect = self._reference.recent_effect(2)
        for name in self._episodes.names():
            place = int(str(name))
            change = self._episodes.finding(name).change or 0.0
            is_back = abs(float(effect[place])) < 0.4 * abs(change) or effect[place] * change < 0
            self._ended(place, self._episodes.follow(name, is_back, at, changes))
        for name in self._silences.names():
            place = int(str(name))
            self._ended(place, self._silences.follow(name, counts[place] > 0, at, changes))

    def _ended(self, place: int, reason: str | None) -> None:
        if reason is None:
            return
        self._cooling[place] = self._windows + 3
        if reason == "accepted":
            self._reference.rebase(place)
        else:
            self._reference.forget(place)
