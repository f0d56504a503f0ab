"""Simulated gateways: `python -m tokentide_producers.simulator --rate 50000 --seed 7 --gateways 8 [--duration-s 60]`.

`--scenario` (`demo_scenarios.py`) changes the traffic after a while; `--backfill-min` first sends what would have been
sent before now, unless the usage topic has records already.

Sends calibrated traffic (`traffic_model.py`) to the Kafka at TOKENTIDE_KAFKA_BOOTSTRAP_SERVERS until it is stopped.
Writes TOKENTIDE_READY_FILE when the first envelope is acknowledged and TOKENTIDE_STATUS_FILE about once a second, where
they are set, and one JSON line with exact counts at the end. Exit status 1 when not all was acknowledged.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from tokentide_producers.calibration import load_table
from tokentide_producers.demo_scenarios import SCENARIOS, DemoScenario, announcement, begins_at_ms, table_of
from tokentide_producers.event_columns import slices, tokens_in
from tokentide_producers.event_ids import EventIds
from tokentide_producers.pacing import ENVELOPE_EVENTS, Pacer, plan
from tokentide_producers.sender import EnvelopeSender
from tokentide_producers.settings import SimulatorSettings
from tokentide_producers.traffic_model import TrafficModel, from_gateway
from tokentide_producers.usage_topic import has_records
from tokentide_schemas.catalogue import load_catalogue
from tokentide_schemas.envelope import encode_arrow
from tokentide_schemas.settings import ProcessFiles, load_settings

logger = logging.getLogger(__name__)

MAX_OUTSTANDING_BYTES: Final = 64 * 1024 * 1024
MAX_BEHIND_S: Final = 2.0
CLOSE_TIMEOUT_S: Final = 20.0
BACKFILL_BLOCK_EVENTS: Final = 20_000
SCENARIO_BACKFILL_MIN: Final = 20.0
"""A scenario's history when none is asked for: what the alerts need to know what is normal."""
_STATUS_EVERY_S: Final = 1.0
_WAIT_S: Final = 0.02
# The client counts in whole milliseconds: a shorter wait would be none, and the loop would spin.
_SHORTEST_WAIT_S: Final = 0.001


@dataclass(frozen=True, slots=True)
class Options:
    """rate: events a second over all gateways. events: stop after this many; duration_s: or after this time, live.
    scenario: one of `SCENARIOS`. backfill_s: begin with this much history."""

    rate: float
    seed: int = 1
    gateways: int = 4
    duration_s: float | None = None
    events: int | None = None
    scenario: str | None = None
    backfill_s: float = 0.0


class Simulation:
    """One run. `stop` may be set from a signal handler."""

    def __init__(
        self,
        options: Options,
        sender: EnvelopeSender,
        model: TrafficModel,
        *,
        ids: EventIds | None = None,
        clock: Callable[[], float] = time.monotonic,
        wall_clock_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
        on_progress: Callable[[], None] = lambda: None,
        tell: Callable[[str], None] = lambda _line: None,
    ) -> None:
        self.stop = False
        self.scenario_says = ""
        self.sent_events = 0
        self.sent_tokens = 0
        self._options = options
        self._sender = sender
        self._model = model
        # Not from the seed: two runs with one seed must not give two events one id.
        self._ids = ids if ids is not None else EventIds()
        self._clock = clock
        self._wall_clock_ms = wall_clock_ms
        self._on_progress = on_progress
        self._rng = np.random.default_rng(options.seed)
        self._names = [f"gw-sim-{number}" for number in range(options.gateways)]
        self._envelopes = 0
        self._tell = tell
        self._scenario = DemoScenario(options.scenario, model.cells) if options.scenario else None
        self._step = -1
        self._begin_ms: int | None = None
        # History is the schedule of a sender that is far behind, so that live traffic follows it without a seam.
        self.is_backfilling = options.backfill_s > 0
        self._live_from_s = clock()
        # It begins on a whole minute: half of one would look like a rise.
        before_s = options.backfill_s + (wall_clock_ms() / 1000 - options.backfill_s) % 60 if options.backfill_s else 0
        self.pacer = Pacer(
            options.rate,
            self._live_from_s - before_s,
            float("inf") if self.is_backfilling else MAX_BEHIND_S,
        )

    def run(self) -> None:
        """Generate and send until the options' end or `stop`."""
        options, sizes = self._options, plan(self._options.rate)
        end_s = self._live_from_s + (options.duration_s if options.duration_s is not None else float("inf"))
        while not self.stop:
            events, envelope_events = sizes.block_events, sizes.envelope_events
            if self.is_backfilling:
                missed = int(self.pacer.behind_s(self._clock()) * options.rate)
                if missed > events:
                    events, envelope_events = min(missed, BACKFILL_BLOCK_EVENTS), ENVELOPE_EVENTS
                else:
                    self.is_backfilling = False
                    self.pacer.limit_behind(MAX_BEHIND_S)
            if not self.is_backfilling and self._begin_ms is None:
                self._announce()
            if options.duration_s is not None:
                events = min(events, round((end_s - self.pacer.next_s) * options.rate))
            if options.events is not None:
                events = min(events, options.events - self.sent_events)
            if events <= 0:
                return
            self._send_block(events, envelope_events)

    def _announce(self) -> None:
        """The traffic is live: say when the scenario begins."""
        self._begin_ms = begins_at_ms(self._wall_clock_ms())
        if self._options.scenario:
            self.scenario_says = announcement(self._options.scenario, self._begin_ms)
            self._tell(self.scenario_says)

    def _follow_scenario(self, start_ms: int) -> None:
        if self._scenario is not None and self._begin_ms is not None:
            step = self._scenario.step((start_ms - self._begin_ms) / 1000)
            if step > self._step:
                self._step = step
                self._model.use(self._scenario.mix(step))

    def _send_block(self, events: int, envelope_events: int) -> None:
        start_s = self.pacer.advance(events, self._clock())
        start_ms = self._wall_clock_ms() - round((self._clock() - start_s) * 1000)
        span_ms = max(1, int(events / self._options.rate * 1000))
        self._follow_scenario(start_ms)
        block = self._model.generate(events, self._rng, start_ms, span_ms, self._names[0], self._ids)
        done = 0
        for piece in slices(block, envelope_events):
            done += piece.num_rows
            self._wait_until(start_s + done / self._options.rate)
            if self.stop:
                return
            number = self._envelopes % len(self._names)
            self._envelopes += 1
            tokens = tokens_in(piece)
            value = encode_arrow(from_gateway(piece, self._names[number]))
            self._sender.submit(value, piece.num_rows, tokens=tokens, producer=number)
            self._sender.service()
            self.sent_events += piece.num_rows
            self.sent_tokens += tokens

    def _wait_until(self, due_s: float) -> None:
        """Until an envelope is due and there is room for it."""
        self._on_progress()
        while not self.stop:
            left_s = due_s - self._clock()
            is_full = self._sender.outstanding_bytes > MAX_OUTSTANDING_BYTES
            if left_s <= 0 and not is_full:
                return
            self._sender.service(_WAIT_S if is_full else min(max(left_s, _SHORTEST_WAIT_S), _WAIT_S))
            self._on_progress()


class StatusFiles:
    """Writes the ready file once and the status file about once a second."""

    def __init__(self, files: ProcessFiles, sender: EnvelopeSender) -> None:
        self._ready = files.ready_file
        self._status = files.status_file
        self._sender = sender
        self._is_ready = False
        self._last = (time.monotonic(), 0, 0)
        self.simulation: Simulation | None = None

    def update(self) -> None:
        """Call often; writes when it is time."""
        if not self._is_ready and self._sender.stats().acknowledged_envelopes:
            self._is_ready = True
            if self._ready is not None:
                write_json(self._ready, {"component": "simulator", "ready_at": _now(), "pid": os.getpid()})
        if time.monotonic() - self._last[0] >= _STATUS_EVERY_S:
            self.write()

    def write(self) -> None:
        """Write the status now."""
        stats = self._sender.stats()
        now_s = time.monotonic()
        then_s, events, tokens = self._last
        self._last = (now_s, stats.acknowledged_events, stats.acknowledged_tokens)
        span_s = max(now_s - then_s, 1e-6)
        if self._status is not None:
            rates = {
                "events_per_s": (stats.acknowledged_events - events) / span_s,
                "tokens_per_s": (stats.acknowledged_tokens - tokens) / span_s,
            }
            write_json(self._status, report(self._sender, self.simulation) | rates)


def report(sender: EnvelopeSender, simulation: Simulation | None) -> dict[str, Any]:
    """The exact counts so far."""
    stats = sender.stats()
    return {
        "component": "simulator",
        "updated_at": _now(),
        "updated_at_ms": time.time_ns() // 1_000_000,
        "sent_events": simulation.sent_events if simulation else 0,
        "sent_tokens": simulation.sent_tokens if simulation else 0,
        "skipped_events": simulation.pacer.skipped_events if simulation else 0,
        "is_backfilling": simulation.is_backfilling if simulation else False,
        "scenario": simulation.scenario_says if simulation else "",
        "acknowledged_events": stats.acknowledged_events,
        "acknowledged_tokens": stats.acknowledged_tokens,
        "acknowledged_envelopes": stats.acknowledged_envelopes,
        "acknowledged_bytes": stats.acknowledged_bytes,
        "outstanding_events": stats.outstanding_events,
        "retries": stats.retries,
        "last_error": stats.last_error,
        "cpu_s": round(time.process_time(), 3),
    }


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Replace a file atomically: a reader never sees half of it."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    partial.write_text(json.dumps(content) + "\n", encoding="utf-8")
    partial.replace(path)


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def _now() -> str:
    return dt.datetime.now(dt.UTC).isoformat()


def _positive(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError("must be a number above 0")
    return value


def _minutes(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 24 * 60:
        raise argparse.ArgumentTypeError("must be a number from 0 to 1440 minutes")
    return value


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be a whole number from 1")
    return value


def parse(arguments: Sequence[str] | None = None) -> Options:
    """Options of the command line. Exits with status 2 for unusable ones."""
    parser = argparse.ArgumentParser(prog="tokentide-simulator", description="Simulated LLM gateways.")
    parser.add_argument("--rate", type=_positive, default=2_000.0, help="events per second over all gateways")
    parser.add_argument("--seed", type=int, default=1, help="same seed, same traffic (event ids excepted)")
    parser.add_argument("--gateways", type=_count, default=4, help="gateway nodes, each a producer of its own")
    parser.add_argument("--duration-s", type=_positive, default=None, help="stop after this many seconds")
    parser.add_argument("--events", type=_count, default=None, help="stop after this many events")
    parser.add_argument("--scenario", choices=SCENARIOS, default=None, help="what happens after some normal traffic")
    parser.add_argument(
        "--backfill-min",
        type=_minutes,
        default=None,
        help="minutes of history to send first when the usage topic is empty (with a scenario: 20)",
    )
    given = parser.parse_args(arguments)
    minutes = given.backfill_min
    if minutes is None:
        minutes = SCENARIO_BACKFILL_MIN if given.scenario else 0.0
    return Options(given.rate, given.seed, given.gateways, given.duration_s, given.events, given.scenario, minutes * 60)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run; gives the exit status."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    options = parse(arguments)
    process = load_settings(SimulatorSettings)
    servers, settings = process.kafka_bootstrap_servers, process.sender
    if options.backfill_s and has_records(servers, settings.topic):
        logger.warning("the usage topic %s has records already: no history is sent before them", settings.topic)
        options = replace(options, backfill_s=0.0)
    sender = EnvelopeSender(servers, settings=settings, producers=options.gateways)
    status = StatusFiles(process, sender)
    table = table_of(options.scenario, load_table())
    model = TrafficModel(load_catalogue(), dt.datetime.now(dt.UTC), table)
    simulation = Simulation(options, sender, model, on_progress=status.update, tell=_say)
    status.simulation = simulation

    def stop(_signal: int, _frame: object) -> None:
        simulation.stop = True

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    simulation.run()
    left = sender.close(CLOSE_TIMEOUT_S)
    status.update()
    status.write()
    sys.stdout.write(json.dumps(report(sender, simulation) | {"unacknowledged_envelopes": len(left)}) + "\n")
    return 1 if left else 0


if __name__ == "__main__":
    sys.exit(main())
