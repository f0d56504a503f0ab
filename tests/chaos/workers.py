"""`python -m chaos.workers`: kill -9 of random workers and 3 -> 1 -> 3 workers under simulated traffic.

At the end the raw table, every cube's rollup and the simulator's own count must agree to the last event.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console

from chaos.processes import Fleet, child_environment
from tokentide_deploy import child_process
from tokentide_deploy.verify.run import Verifier
from tokentide_sinks.store import StoreError

TICK_S = 0.1
CATCH_UP_S = 1_800.0
PLAN = ((0.0, 3), (0.33, 1), (0.66, 3))
"""From which share of the events on there are so many workers."""


@dataclass
class Result:
    """What came out. findings: verify's, and what the simulator's count says; empty when all agree."""

    sent: int = 0
    stored: int = 0
    rolled_up: int = 0
    kills: int = 0
    scalings: int = 0
    seconds: float = 0.0
    cubes: dict[str, int] = field(default_factory=dict)
    findings: list[str] = field(default_factory=list)
    unexpected_ends: Counter[str] = field(default_factory=Counter)


class WorkersRun:
    """One run. kill_every_s: mean pause between two kills."""

    def __init__(
        self, folder: Path, seed: int, events: int, rate: float, kill_every_s: float, say: Callable[[str], None]
    ) -> None:
        self._random = random.Random(seed)
        self._seed, self._events, self._rate, self._kill_every_s = seed, events, rate, kill_every_s
        self._say = say
        self._folder = folder
        self.fleet = Fleet(folder, seed, small_disk=False)
        self.result = Result()

    def run(self) -> Result:
        """Send, kill, scale, compare."""
        began = time.monotonic()
        simulator: subprocess.Popen[bytes] | None = None
        try:
            self.fleet.start(workers=3)
            self._say("everything is up")
            simulator = self._simulator()
            self._hurt_until_sent(simulator)
            self.fleet.scale("worker", 3)
            self._compare()
        finally:
            if simulator is not None:
                child_process.kill_group(simulator)
            self.result.unexpected_ends = self.fleet.unexpected_ends
            self.result.seconds = time.monotonic() - began
            self.fleet.stop()
        return self.result

    def _simulator(self) -> subprocess.Popen[bytes]:
        argv = (sys.executable, "-m", "tokentide_producers.simulator", "--seed", str(self._seed))
        options = ("--rate", str(self._rate), "--events", str(self._events))
        env = child_environment() | {
            "TOKENTIDE_KAFKA_BOOTSTRAP_SERVERS": self.fleet.kafka_servers,
            "TOKENTIDE_STATUS_FILE": str(self._folder / "simulator.status"),
        }
        return child_process.spawn((*argv, *options), env, self._folder / "simulator.log")

    def _sent(self) -> int:
        try:
            return int(json.loads((self._folder / "simulator.status").read_text())["acknowledged_events"])
        except FileNotFoundError:
            return 0

    def _hurt_until_sent(self, simulator: subprocess.Popen[bytes]) -> None:
        next_kill_s = next_word_s = time.monotonic()
        while simulator.poll() is None:
            now_s = time.monotonic()
            self.fleet.tick()
            self._rescale()
            if now_s >= next_kill_s:
                next_kill_s = now_s + self._random.uniform(0.5, 1.5) * self._kill_every_s
                self._kill_one()
            if now_s >= next_word_s:
                next_word_s = now_s + 15
                self._say(f"{self._sent():,} events sent, {self.result.kills} kills")
            time.sleep(TICK_S)

    def _rescale(self) -> None:
        share = self._sent() / self._events
        count = next(count for start, count in reversed(PLAN) if share >= start)
        if len(self.fleet.of("worker")) != count:
            self._say(f"{len(self.fleet.of('worker'))} -> {count} workers")
            self.result.scalings += 1
            self.fleet.scale("worker", count)

    def _kill_one(self) -> None:
        alive = [member for member in self.fleet.of("worker") if member.is_ready]
        if alive:
            self._random.choice(alive).kill()
            self.result.kills += 1

    def _compare(self) -> None:
        result, store = self.result, self.fleet.store()
        result.sent = self._sent()
        deadline = time.monotonic() + CATCH_UP_S
        while time.monotonic() < deadline:
            self.fleet.tick()
            try:
                if int(store.rows("SELECT sum(requests) FROM rollup_1m")[0][0]) >= result.sent:
                    break
            except StoreError as error:
                self._say(f"the store does not answer: {error}")
            time.sleep(1.0)
        report = Verifier(self.fleet.kafka_servers, store, wait_s=60).run()
        result.cubes = report.cubes
        result.findings = [f"{finding.where}: {finding.what}" for finding in report.findings]
        result.stored = int(store.rows("SELECT count() FROM events")[0][0])
        result.rolled_up = int(store.rows("SELECT sum(requests) FROM rollup_1m")[0][0])
        if not result.sent == result.stored == result.rolled_up == self._events:
            result.findings.append(
                f"{self._events} events wanted, {result.sent} acknowledged, {result.stored} stored, "
                f"{result.rolled_up} in the rollup"
            )


def main() -> int:
    """Status 0 when there is no difference at all."""
    parser = argparse.ArgumentParser(prog="chaos.workers", description="Kill and scale workers; then compare.")
    parser.add_argument("--events", type=int, default=2_000_000)
    parser.add_argument("--rate", type=float, default=6_000)
    parser.add_argument("--kill-every-s", type=float, default=6.0)
    parser.add_argument("--seed", type=int, default=None, help="default: from the clock; it is printed")
    parser.add_argument("--folder", type=Path, default=None, help="keep logs and data here")
    given = parser.parse_args()
    # So that a polite kill takes all children and the small disk away as well.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    seed = given.seed if given.seed is not None else int(time.time())
    folder = given.folder or Path(tempfile.mkdtemp(prefix="tokentide-chaos-"))
    folder.mkdir(parents=True, exist_ok=True)
    console = Console(width=110)
    began = time.monotonic()

    def say(line: str) -> None:
        console.print(f"[dim]{time.monotonic() - began:6.0f} s[/] {line}", highlight=False)

    say(f"seed {seed}, logs in {folder}")
    result = WorkersRun(folder, seed, given.events, given.rate, given.kill_every_s, say).run()
    say(f"{result.sent:,} events acknowledged, {result.stored:,} stored, {result.rolled_up:,} in the rollup")
    say(f"{result.kills} workers killed, {result.scalings} scalings, other ends: {dict(result.unexpected_ends)}")
    for name, windows in result.cubes.items():
        say(f"cube {name}: {windows:,} windows compared with the raw events")
    for finding in result.findings[:40]:
        console.print(f"[red]✗[/] {finding}", highlight=False)
    if result.findings:
        return 1
    console.print("[green]✓[/] no difference in any cube")
    if given.folder is None:
        shutil.rmtree(folder, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
