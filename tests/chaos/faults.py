"""The catalogue of faults. Each begins at once, may last some seconds, and is ended by the campaign."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from chaos.load_control import LoadGroup
from chaos.processes import SESSION_TIMEOUT_S, Fleet, Member
from chaos.store_proxy import StoreFault
from tokentide_schemas import crash_points

LONGER_THAN_A_SESSION_S = (SESSION_TIMEOUT_S + 1.0, SESSION_TIMEOUT_S + 5.0)
CRASH_POINT_S = 25.0


def _nothing() -> None:
    return


def _never() -> bool:
    return False


@dataclass
class Running:
    """A fault that has begun. It ends after `lasts_s`, or earlier when `is_over` says so; `end` heals what it broke."""

    lasts_s: float = 0.0
    end: Callable[[], None] = _nothing
    is_over: Callable[[], bool] = _never


@dataclass(frozen=True)
class FaultKind:
    """begin: does it, or returns None when it cannot be done just now. weight: how often it is drawn."""

    name: str
    weight: float
    begin: Callable[[], Running | None]


class Faults:
    """All faults on one fleet, drawn by a seed."""

    def __init__(self, fleet: Fleet, load: LoadGroup, source: random.Random) -> None:
        self.fleet = fleet
        self.load = load
        self.random = source

    def kinds(self) -> list[FaultKind]:
        """Every kind that this machine allows."""
        kinds = []
        points = {
            "events-sink": crash_points.EVENTS_SINK,
            "rollups-sink": crash_points.ROLLUPS_SINK,
            "worker": crash_points.WORKER,
        }
        for kind, names in points.items():
            kinds += [FaultKind(f"kill -9 at {name}", 3, self._crash_point(kind, name)) for name in names]
            kinds += [
                FaultKind(f"kill -9 {kind}", 4, self._kill(kind)),
                FaultKind(f"SIGSTOP {kind} > session", 3, self._freeze(kind)),
                FaultKind(f"{kind} cut off from Kafka > session", 2, self._isolate(kind)),
            ]
        kinds += [FaultKind(f"store proxy: {fault}", 4, self._store_fault(fault)) for fault in StoreFault]
        kinds += [
            FaultKind("store proxy: refuses connections", 3, self._refuse),
            FaultKind("kill -9 store", 4, self._kill("store")),
            FaultKind("SIGSTOP store", 3, self._freeze("store")),
            FaultKind("kill -9 kafka", 2, self._kill("kafka")),
            FaultKind("kafka proxy: cuts everybody", 3, self._cut_kafka),
            FaultKind("kafka proxy: cuts mid-transfer", 3, self._cut_kafka_in_the_middle),
            FaultKind("kafka proxy: stalls", 2, self._stall_kafka),
            FaultKind("workers scaled", 5, self._scale("worker", (1, 2, 3))),
            FaultKind("events sinks scaled", 5, self._scale("events-sink", (1, 2))),
            FaultKind("rollups sinks scaled", 2, self._scale("rollups-sink", (1, 2))),
            FaultKind("kill -9 emitter", 2, self._kill_emitter),
        ]
        if self.fleet.disk is not None and self.fleet.disk.is_available:
            kinds.append(FaultKind("store's disk full", 3, self._fill_disk))
        return kinds

    def _a_member(self, kind: str) -> Member | None:
        fit = [m for m in self.fleet.of(kind) if m.is_ready and not m.is_armed]
        return self.random.choice(fit) if fit else None

    def _crash_point(self, kind: str, point: str) -> Callable[[], Running | None]:
        def begin() -> Running | None:
            member = self._a_member(kind)
            if member is None:
                return None
            member.arm(point, self.random.randrange(1, 4))
            return Running(CRASH_POINT_S, member.disarm, lambda: not member.is_armed)

        return begin

    def _kill(self, kind: str) -> Callable[[], Running | None]:
        def begin() -> Running | None:
            member = self._a_member(kind)
            if member is None:
                return None
            member.kill()
            return Running()

        return begin

    def _freeze(self, kind: str) -> Callable[[], Running | None]:
        def begin() -> Running | None:
            member = self._a_member(kind)
            if member is None:
                return None
            member.freeze()
            seconds = self.random.uniform(*((1.0, 8.0) if kind == "store" else LONGER_THAN_A_SESSION_S))
            return Running(seconds, member.thaw)

        return begin

    def _isolate(self, kind: str) -> Callable[[], Running | None]:
        def begin() -> Running | None:
            member = self._a_member(kind)
            if member is None:
                return None
            proxy, pid = self.fleet.kafka_proxy, member.pid
            proxy.isolate(pid)
            return Running(self.random.uniform(*LONGER_THAN_A_SESSION_S), lambda: proxy.release(pid))

        return begin

    def _store_fault(self, fault: StoreFault) -> Callable[[], Running | None]:
        def begin() -> Running | None:
            proxy = self.fleet.store_proxy
            table = self.random.choice((None, "events", "events", "ingest_ledger", "dead_letters", "stream_watermarks"))
            armed = proxy.arm(fault, self.random.randrange(1, 4), table, self.random.uniform(0.5, 4.0))
            return Running(10.0, lambda: proxy.disarm(armed), lambda: not proxy.is_armed(armed))

        return begin

    def _refuse(self) -> Running | None:
        proxy = self.fleet.store_proxy
        proxy.refuse()
        return Running(self.random.uniform(0.5, 6.0), proxy.accept)

    def _cut_kafka(self) -> Running | None:
        self.fleet.kafka_proxy.cut_all()
        return Running()

    def _cut_kafka_in_the_middle(self) -> Running | None:
        self.fleet.kafka_proxy.cut_in_the_middle(self.random.randrange(2, 12))
        return Running(2.0)

    def _stall_kafka(self) -> Running | None:
        proxy = self.fleet.kafka_proxy
        proxy.stall()
        return Running(self.random.uniform(0.5, 9.0), proxy.resume)

    def _scale(self, kind: str, counts: tuple[int, ...]) -> Callable[[], Running | None]:
        def begin() -> Running | None:
            now = len(self.fleet.of(kind))
            self.fleet.scale(kind, self.random.choice([c for c in counts if c != now]), self.random.random() < 0.6)
            return Running()

        return begin

    def _fill_disk(self) -> Running | None:
        disk = self.fleet.disk
        assert disk is not None
        disk.fill()
        return Running(self.random.uniform(1.0, 8.0), disk.free)

    def _kill_emitter(self) -> Running | None:
        self.load.kill_one()
        return Running()
