"""The parts of `make bench`. Each measures one thing and returns what goes into the JSON; each may fail alone."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.benchmarks.suite import stored_events
from tests.benchmarks.suite.stack_load import PROJECT, Load, LoadFailedError, Stack, measure

Say = Callable[[str], None]

GOAL_EVENTS_PER_S: Final = 181_000
"""100 trillion tokens a day at 6,400 tokens a request."""


@dataclass(frozen=True, slots=True)
class Scale:
    """How long things take. The full form takes about 25 minutes on two cores, the quick one about 4.

    growth_rate: events per second of the loads that are compared with each other: well below what the machine can do,
    so that each gets the processor time that it asks for.
    """

    rate: float = GOAL_EVENTS_PER_S
    seconds: float = 60.0
    growth_rate: float = 60_000
    growth_seconds: float = 25.0
    stored: tuple[int, ...] = (100_000, 10_000_000, 100_000_000)
    partitions: tuple[int, ...] = (1, 4, 12)
    models: tuple[int, ...] = (30, 1_000)
    emitter_events: int = 200_000
    peer_events: int = 1_000_000
    peer_seconds: float = 40.0


QUICK: Final = Scale(
    rate=60_000,
    seconds=20.0,
    growth_rate=30_000,
    growth_seconds=10.0,
    stored=(100_000, 2_000_000),
    partitions=(1, 4),
    models=(30, 1_000),
    emitter_events=50_000,
    peer_events=200_000,
    peer_seconds=15.0,
)


@contextmanager
def fresh_stack(partitions: int) -> Iterator[Stack]:
    """A stack in a folder that is gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="tokentide-bench-"))
    try:
        stack = Stack(folder, partitions)
        try:
            yield stack
        finally:
            stack.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def emitter(scale: Scale, say: Say) -> dict[str, Any]:
    """`tests/benchmarks/emitter.py` in a process of its own: what `emit` costs where it is called."""
    say(f"{scale.emitter_events:,} events through the emitter")
    answer = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks.emitter", str(scale.emitter_events)],
        capture_output=True,
        text=True,
        timeout=300,
        cwd=PROJECT,
    )
    if answer.returncode:
        raise LoadFailedError(f"the emitter's benchmark ended with status {answer.returncode}: {answer.stderr[-1500:]}")
    found: dict[str, Any] = json.loads(answer.stdout)
    return found


def end_to_end_and_stored(scale: Scale, say: Say) -> dict[str, Any]:
    """The load of the goal, and the smaller one before and after it at a growing number of stored events."""
    small = Load(scale.growth_rate, scale.growth_seconds, markers=False, verify=False)
    found: dict[str, Any] = {"by_stored_events": {}}
    with fresh_stack(4) as stack:
        first, *others = scale.stored
        say(f"{first:,} stored events")
        measure(stack, Load(10_000, first / 10_000, markers=False, queries=False, verify=False), say)
        found["by_stored_events"][first] = measure(stack, small, say)
        say(f"end to end: {scale.rate:,.0f} events/s for {scale.seconds:.0f} s")
        found["end_to_end"] = measure(stack, Load(scale.rate, scale.seconds), say)
        for events in others:
            say(f"{events:,} stored events")
            seconds = stored_events.fill_up(stack, events, say)
            found["by_stored_events"][events] = measure(stack, small, say) | {"fill_s": round(seconds, 1)}
    return found


def by_partitions(scale: Scale, say: Say) -> dict[int, Any]:
    """The same load on stacks with different numbers of partitions."""
    found = {}
    for partitions in scale.partitions:
        say(f"{partitions} partitions")
        with fresh_stack(partitions) as stack:
            found[partitions] = measure(
                stack, Load(scale.growth_rate, scale.growth_seconds, partitions, markers=False, verify=False), say
            )
    return found


def by_models(scale: Scale, say: Say) -> dict[int, Any]:
    """The same load with different numbers of models, each on a stack of its own."""
    found = {}
    for models in scale.models:
        say(f"{models} models")
        with fresh_stack(4) as stack:
            found[models] = measure(
                stack,
                Load(scale.growth_rate, scale.growth_seconds, markers=False, verify=False, models=models),
                say,
            )
    return found
