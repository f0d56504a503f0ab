"""What processes use: CPU seconds, memory. Sampled from outside, also over restarts."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import psutil

SAMPLE_S = 0.5


@dataclass(slots=True)
class Usage:
    """One component. cpu_s: user and system, of all its processes so far, threads included. peak_rss_bytes: the most
    that was seen."""

    cpu_s: float = 0.0
    peak_rss_bytes: int = 0


@dataclass(slots=True)
class _Seen:
    process: psutil.Process
    cpu_s: float = 0.0


@dataclass
class Sampler:
    """Samples components every half second in a thread. pids: component -> its present process ids."""

    pids: Callable[[], Mapping[str, list[int]]]
    _seen: dict[str, dict[int, _Seen]] = field(default_factory=dict)
    _peaks: dict[str, int] = field(default_factory=dict)
    _stop: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to sample."""
        self.sample()
        self._thread = threading.Thread(target=self._run, name="usage", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Take a last sample and end."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        self.sample()

    def _run(self) -> None:
        while not self._stop.wait(SAMPLE_S):
            self.sample()

    def sample(self) -> None:
        """Look once."""
        with self._lock:
            for name, pids in self.pids().items():
                seen = self._seen.setdefault(name, {})
                rss = 0
                for pid in pids:
                    try:
                        one = seen.get(pid) or _Seen(psutil.Process(pid))
                        times = one.process.cpu_times()
                        # Children that have ended and were waited for count for their parent.
                        one.cpu_s = times.user + times.system + times.children_user + times.children_system
                        rss += one.process.memory_info().rss
                    except psutil.NoSuchProcess:
                        continue
                    seen[pid] = one
                self._peaks[name] = max(self._peaks.get(name, 0), rss)

    def read(self) -> dict[str, Usage]:
        """Everything so far, from a fresh sample."""
        self.sample()
        with self._lock:
            return {
                name: Usage(sum(one.cpu_s for one in seen.values()), self._peaks.get(name, 0))
                for name, seen in self._seen.items()
            }


def cpu_between(before: Mapping[str, Usage], after: Mapping[str, Usage]) -> dict[str, float]:
    """CPU seconds of each component between two readings."""
    return {name: used.cpu_s - before.get(name, Usage()).cpu_s for name, used in after.items()}


def percentile(values: list[float], level: float) -> float | None:
    """The value below which the share `level` of the values lies, without interpolation; None for none."""
    if not values:
        return None
    ordered = sorted(values)
    return ordered[max(0, -(-int(level * 1000) * len(ordered) // 1000) - 1)]
