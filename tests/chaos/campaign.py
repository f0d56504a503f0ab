"""A campaign: faults under load, several at a time, in rounds; after each round everything must be counted once."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from chaos.checks import Verdict, check, progress_ms
from chaos.faults import FaultKind, Faults, Running
from chaos.load_control import LoadGroup
from chaos.processes import Fleet

TICK_S = 0.1
PROGRESS_EVERY_S = 0.4
AT_ONCE = 4
MEAN_PAUSE_S = 1.0
RECOVERY_LIMIT_S = 240.0


@dataclass
class Tally:
    """What became of the faults of one kind. lost, doubled: in rounds in which the kind took part."""

    count: int = 0
    lost: int = 0
    doubled: int = 0
    recoveries_s: list[float] = field(default_factory=list)

    @property
    def p50_s(self) -> float:
        """Median recovery."""
        return median(self.recoveries_s) if self.recoveries_s else 0.0

    @property
    def max_s(self) -> float:
        """Slowest recovery."""
        return max(self.recoveries_s, default=0.0)


@dataclass
class Outcome:
    """A whole campaign. problems: the first failing round's."""

    seed: int
    tallies: dict[str, Tally]
    rounds: int = 0
    stored: int = 0
    seconds: float = 0.0
    problems: tuple[str, ...] = ()
    unexpected_ends: dict[str, int] = field(default_factory=dict)

    @property
    def faults(self) -> int:
        """How many there were."""
        return sum(tally.count for tally in self.tallies.values())

    @property
    def holds(self) -> bool:
        """Nothing lost, nothing doubled."""
        return not self.problems


@dataclass
class _Injected:
    kind: str
    running: Running
    ends_at_s: float
    ended_at_s: float | None = None
    ended_at_ms: int = 0


class Campaign:
    """Runs one. `say` gets a line of progress now and then."""

    def __init__(
        self,
        folder: Path,
        seed: int,
        *,
        events_per_s: float = 2_000,
        per_round: int = 10,
        sink_module: str | None = None,
        only: str | None = None,
        say: Callable[[str], None] = lambda _line: None,
    ) -> None:
        self._source = random.Random(seed)
        self._per_round = per_round
        self._only = only
        self._say = say
        self.fleet = Fleet(folder, seed, sink_module=sink_module)
        self._folder = folder
        self._events_per_s = events_per_s
        self._active: list[_Injected] = []
        self._progress_at_s = 0.0
        self._store = self.fleet.store(timeout_s=3)
        self.outcome = Outcome(seed, {})

    def run(self, faults: int) -> Outcome:
        """Inject so many faults; ends early at the first round that fails."""
        began = time.monotonic()
        load: LoadGroup | None = None
        try:
            if self.fleet.disk is not None and not self.fleet.disk.is_available:
                self._say(f"NO SMALL DISK HERE, so no full disk: {self.fleet.disk.why_not}")
            self.fleet.start(workers=1, events_sinks=1, rollups_sinks=1)
            self._say(f"everything is up after {time.monotonic() - began:.0f} s")
            load = LoadGroup(self._folder / "load", self.fleet.kafka_servers, self.outcome.seed, self._events_per_s)
            menu = self._menu(load)
            load.resume()
            while self.outcome.faults < faults and self.outcome.holds:
                self._round(load, menu, min(self._per_round, faults - self.outcome.faults))
        except AssertionError as error:
            self.outcome.problems = (str(error),)
        finally:
            self.outcome.seconds = time.monotonic() - began
            self.outcome.unexpected_ends = dict(self.fleet.unexpected_ends)
            self._heal()
            if load is not None:
                load.stop()
            self.fleet.stop()
        return self.outcome

    def _menu(self, load: LoadGroup) -> list[FaultKind]:
        menu = Faults(self.fleet, load, self._source).kinds()
        chosen = [kind for kind in menu if self._only is None or self._only in kind.name]
        if not chosen:
            raise ValueError(f"no fault has {self._only!r} in its name; there are: {[kind.name for kind in menu]}")
        return chosen

    def _round(self, load: LoadGroup, menu: list[FaultKind], faults: int) -> None:
        began = time.monotonic()
        took_part: list[str] = []
        next_at_s = began
        while len(took_part) < faults or self._active:
            now_s = time.monotonic()
            if len(took_part) < faults and now_s >= next_at_s and len(self._active) < AT_ONCE:
                name = self._inject(menu, now_s)
                if name is not None:
                    took_part.append(name)
                    next_at_s = now_s + self._source.expovariate(1 / MEAN_PAUSE_S)
            self._tick()
        self.fleet.wait_ready()
        verdict = check(self.fleet.store(), self.fleet.kafka_servers, load.pause(), self.fleet.tick)
        self._account(verdict, took_part, time.monotonic() - began)
        if verdict.holds:
            load.resume()

    def _inject(self, menu: list[FaultKind], now_s: float) -> str | None:
        kind = self._source.choices(menu, [one.weight for one in menu])[0]
        if any(one.kind == kind.name and one.ended_at_s is None for one in self._active):
            return None
        running = kind.begin()
        if running is None:
            return None
        self._note(f"begins: {kind.name} for up to {running.lasts_s:.1f} s")
        self._active.append(_Injected(kind.name, running, now_s + running.lasts_s))
        self.outcome.tallies.setdefault(kind.name, Tally()).count += 1
        return kind.name

    def _tick(self) -> None:
        self.fleet.tick()
        now_s = time.monotonic()
        for one in self._active:
            if one.ended_at_s is None and (now_s >= one.ends_at_s or one.running.is_over()):
                one.running.end()
                one.ended_at_s, one.ended_at_ms = now_s, int(time.time() * 1000)
                self._note(f"ended: {one.kind}")
        waiting = [one for one in self._active if one.ended_at_s is not None]
        if waiting and now_s - self._progress_at_s >= PROGRESS_EVERY_S:
            self._progress_at_s = now_s
            # Never wait for a store that is itself stopped: the tick that would wake it is this one.
            is_up = self.fleet.members["store"].is_alive and not self.fleet.members["store"].stopped
            reached_ms = progress_ms(self._store) if is_up else 0
            for one in waiting:
                assert one.ended_at_s is not None
                if reached_ms >= one.ended_at_ms:
                    self._active.remove(one)
                    self._note(f"recovered: {one.kind}")
                    self.outcome.tallies[one.kind].recoveries_s.append(time.monotonic() - one.ended_at_s)
                elif now_s - one.ended_at_s > RECOVERY_LIMIT_S:
                    raise AssertionError(f"no recovery from {one.kind!r} within {RECOVERY_LIMIT_S:g} s")
        time.sleep(TICK_S)

    def _note(self, text: str) -> None:
        """A line for whoever has to find out later what happened when; times as in the logs."""
        now = time.time()
        stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(now))
        with (self._folder / "journal.log").open("a") as journal:
            journal.write(f"{stamp},{int(now * 1000) % 1000:03d} {text}\n")

    def _heal(self) -> None:
        for one in self._active:
            if one.ended_at_s is None:
                one.running.end()
        self._active.clear()

    def _account(self, verdict: Verdict, took_part: list[str], seconds: float) -> None:
        outcome = self.outcome
        outcome.rounds += 1
        outcome.stored = verdict.stored
        outcome.problems = verdict.problems
        for name in set(took_part):
            outcome.tallies[name].lost += verdict.lost
            outcome.tallies[name].doubled += verdict.doubled
        word = "exact" if verdict.holds else f"NOT EXACT: {verdict.lost} lost, {verdict.doubled} doubled"
        self._say(f"{outcome.faults:4d} faults, {verdict.stored:,} events: {word} (round of {seconds:.0f} s)")
