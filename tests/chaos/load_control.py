"""The load's processes as the campaign sees them."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from chaos.processes import PARTITIONS, child_environment
from tokentide_deploy import child_process
from tokentide_schemas.settings import write_json_atomically

SETTLE_S = 400.0


@dataclass
class Expected:
    """What must be stored. bounds: model -> (at least, at most) requests, for emitters that were killed."""

    requests: Counter[str] = field(default_factory=Counter)
    tokens: Counter[str] = field(default_factory=Counter)
    rejected: int = 0
    bounds: dict[str, tuple[int, int]] = field(default_factory=dict)


class LoadProcess:
    """One process of load.py."""

    def __init__(self, kind: str, label: str, folder: Path, kafka: str, rate: float, seed: int) -> None:
        self.kind = kind
        self.label = label
        self.folder = folder / label
        self.folder.mkdir(parents=True)
        options = {"kafka": kafka, "label": label, "rate": rate, "seed": seed, "partitions": PARTITIONS}
        write_json_atomically(self.folder / "load.json", options)
        self.tell("run")
        argv = (sys.executable, "-m", "chaos.load", kind, str(self.folder))
        self.process: subprocess.Popen[bytes] = child_process.spawn(argv, child_environment(), self.folder / "load.log")

    def tell(self, word: str) -> None:
        """run, pause or stop."""
        partial = self.folder / "control.partial"
        partial.write_text(word)
        partial.replace(self.folder / "control")

    def wait_for(self, state: str) -> dict[str, Any]:
        """The counts, once the process says that it is in a state."""
        deadline = time.monotonic() + SETTLE_S
        while True:
            counts = self._read("counts.json")
            assert counts.get("state") != "failed", f"{self.label}: {counts['why']}"
            if counts.get("state") == state:
                return counts
            log = (self.folder / "load.log").read_text()[-2000:]
            assert self.process.poll() is None, f"{self.label} ended: {log}"
            assert time.monotonic() < deadline, f"{self.label} is not in state {state} after {SETTLE_S:g} s"
            time.sleep(0.05)

    def kill(self) -> None:
        """kill -9."""
        child_process.kill_group(self.process)

    def bounds(self) -> tuple[int, int]:
        """At least and at most how many events of a killed emitter are in Kafka."""
        said = self._read("bounds.json")
        return int(said.get("at_least", 0)), int(said.get("at_most", 0))

    def _read(self, name: str) -> dict[str, Any]:
        try:
            found: dict[str, Any] = json.loads((self.folder / name).read_text())
        except FileNotFoundError:
            return {}
        return found


class LoadGroup:
    """Emitters and plain producers that live through the whole run, and one emitter that is killed now and then."""

    def __init__(self, folder: Path, kafka: str, seed: int, events_per_s: float) -> None:
        self._folder = folder
        self._kafka = kafka
        self._seed = seed
        self._rate = events_per_s
        shares = (("emitter", "emitter-a", 0.4), ("emitter", "emitter-b", 0.3), ("plain", "plain", 0.2))
        self._steady = [LoadProcess(k, label, folder, kafka, r * self._rate, seed) for k, label, r in shares]
        self._mortals: list[LoadProcess] = []
        self._bounds: dict[str, tuple[int, int]] = {}
        self._add_mortal()

    def _add_mortal(self) -> None:
        label = f"mortal-{len(self._bounds)}"
        self._mortals = [LoadProcess("mortal", label, self._folder, self._kafka, 0.1 * self._rate, self._seed)]

    def kill_one(self) -> None:
        """kill -9 of an emitter; another takes its place."""
        for mortal in self._mortals:
            mortal.kill()
            self._bounds[f"chaos/{mortal.label}"] = mortal.bounds()
        self._add_mortal()

    def pause(self) -> Expected:
        """Pause all; what must now be stored."""
        everybody = [*self._steady, *self._mortals]
        for one in everybody:
            one.tell("pause")
        expected = Expected(bounds=dict(self._bounds))
        for one in everybody:
            counts = one.wait_for("pause")
            expected.rejected += counts["rejected"]
            for model, (requests, tokens) in counts["models"].items():
                expected.requests[model] += requests
                expected.tokens[model] += tokens
        return expected

    def resume(self) -> None:
        """Go on; returns when all do, so that the next pause cannot be answered with the last one's counts."""
        everybody = [*self._steady, *self._mortals]
        for one in everybody:
            one.tell("run")
        for one in everybody:
            one.wait_for("run")

    def stop(self) -> None:
        """End all."""
        for one in [*self._steady, *self._mortals]:
            one.kill()
