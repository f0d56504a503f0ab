"""End to end: a stack as users start it, simulated gateways at a constant rate, and what that takes.

    python -m tests.benchmarks.suite.stack_load --rate 181000 --seconds 60

Load generator, broker, stream workers, sinks and store run on this machine, as do the markers (`markers.py`) and the
queries that are timed meanwhile. CPU seconds are those from the start of the load until everything is stored.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import clickhouse_connect
import psutil
from tests.benchmarks.suite.markers import Prober
from tests.benchmarks.suite.queries import QueryTimer
from tests.benchmarks.suite.usage import Sampler, cpu_between, percentile

from tokentide_deploy.stack_state import load_stack

TOKENTIDE = [sys.executable, "-m", "tokentide_deploy.cli"]
PROJECT = Path(__file__).resolve().parents[3]
DRAIN_TIMEOUT_S = 180.0
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Load:
    """What is sent. rate: events per second; markers and queries: whether they run beside it. models: how many names,
    None for the catalogue's."""

    rate: float
    seconds: float = 60.0
    partitions: int = 4
    gateways: int = 8
    markers: bool = True
    queries: bool = True
    verify: bool = True
    models: int | None = None


class LoadFailedError(Exception):
    """The stack or the load generator did not do its part."""


class Stack:
    """`tokentide up --headless` in a folder of its own."""

    def __init__(self, folder: Path, partitions: int, environment: dict[str, str] | None = None) -> None:
        self.folder = folder
        command = [*TOKENTIDE, "up", "--headless", "--data-dir", str(folder), "--port-base", "0"]
        command += ["--partitions", str(partitions)]
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ | (environment or {})
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            _, errors = self.process.communicate(timeout=60)
            raise LoadFailedError(f"tokentide up ended with status {self.process.returncode}:\n{errors}")
        self.ready: dict[str, Any] = json.loads(line)

    def stop(self) -> None:
        """Ctrl-C, and wait."""
        self.process.send_signal(signal.SIGINT)
        try:
            self.process.communicate(timeout=120)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.communicate()

    def client(self) -> Any:
        """A ClickHouse client as any user's."""
        account = self.ready["clickhouse_writer"]
        return clickhouse_connect.get_client(
            host=account["host"],
            port=account["port"],
            username=account["user"],
            password=account["password"],
            database=account["database"],
            autogenerate_session_id=False,
            compress=False,
        )

    def pids(self) -> dict[str, list[int]]:
        """Component -> its processes; the supervisor itself as `up`."""
        found = {"up": [self.process.pid]}
        try:
            components = load_stack(self.folder).components
        except Exception:  # noqa: BLE001 - the stack may be going down; a sample less is no harm
            return found
        return found | {name: [info.pid] for name, info in components.items() if info.pid is not None}

    def status(self, component: str) -> dict[str, Any]:
        """A component's own counters; empty before the first."""
        try:
            found: dict[str, Any] = json.loads((self.folder / "run" / f"{component}.status.json").read_bytes())
        except FileNotFoundError:
            return {}
        return found

    def verify(self) -> dict[str, Any]:
        """`tokentide verify --format json`."""
        result = subprocess.run(
            [*TOKENTIDE, "verify", "--format", "json", "--wait-s", "120", "--data-dir", str(self.folder)],
            capture_output=True,
            text=True,
            timeout=600,
        )
        if result.returncode not in (0, 1) or not result.stdout:
            raise LoadFailedError(f"tokentide verify: {result.returncode}: {result.stderr[-2000:]}")
        report: dict[str, Any] = json.loads(result.stdout)
        return report


def start_generator(stack: Stack, load: Load) -> subprocess.Popen[str]:
    """Simulated gateways for a while."""
    environment = {**os.environ, "TOKENTIDE_KAFKA_BOOTSTRAP_SERVERS": stack.ready["kafka_bootstrap_servers"]}
    environment["TOKENTIDE_STATUS_FILE"] = str(stack.folder / "generator.status.json")
    ready = stack.folder / "generator.ready.json"
    ready.unlink(missing_ok=True)
    environment["TOKENTIDE_READY_FILE"] = str(ready)
    arguments = ["--rate", str(load.rate), "--duration-s", str(load.seconds), "--gateways", str(load.gateways)]
    if load.models is not None:
        arguments += ["--models", str(load.models)]
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.benchmarks.suite.generator", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        cwd=PROJECT,
    )
    # It sends from its own start on; imports and tables of traffic take seconds before.
    while not ready.exists() and process.poll() is None:
        time.sleep(0.01)
    return process


def measure(stack: Stack, load: Load, say: Say) -> dict[str, Any]:
    """One load on a running stack. Raises LoadFailedError."""
    own = psutil.Process()
    client = stack.client()
    stored_before = _stored(client)
    kafka_before, store_before = _kafka_bytes(stack), _store_bytes(client)
    generator = start_generator(stack, load)
    sampler = Sampler(lambda: stack.pids() | {"generator": [generator.pid]})
    prober = Prober(stack.ready["kafka_bootstrap_servers"], stack.client, load.partitions) if load.markers else None
    timer = QueryTimer(stack.client) if load.queries else None
    sampler.start()
    before = sampler.read()
    own_before = own.cpu_times()
    began = time.monotonic()
    if prober:
        prober.start()
    if timer:
        timer.start()
    lags: list[dict[str, float]] = []
    output: list[str] = []
    reader = threading.Thread(target=lambda: output.extend(generator.communicate()), daemon=True)
    reader.start()
    while reader.is_alive():
        reader.join(1.0)
        lags.append(_lag(stack, time.monotonic() - began))
        if int(lags[-1]["at_s"]) % 10 == 0:
            say(f"{lags[-1]['at_s']:4.0f} s: {lags[-1]}")
    sent_s = time.monotonic() - began
    if generator.returncode != 0:
        raise LoadFailedError(f"the generator ended with status {generator.returncode}: {output[-1][-2000:]}")
    report = json.loads(output[0].strip().splitlines()[-1])
    delays = prober.stop() if prober else None
    queries = timer.stop() if timer else {}
    expected = stored_before + report["acknowledged_events"] + (delays.sent if delays else 0)
    stored = _wait_until_stored(stack, client, expected)
    drained_s = time.monotonic() - began
    sampler.stop()
    after = sampler.read()
    own_after = own.cpu_times()
    cpu = cpu_between(before, after)
    cpu["markers and queries"] = own_after.user + own_after.system - own_before.user - own_before.system
    events = report["acknowledged_events"]
    millions = events / 1e6
    result: dict[str, Any] = {
        "load": asdict(load),
        "events": events,
        "stored_before": stored_before,
        "tokens": report["acknowledged_tokens"],
        "skipped_events": report["skipped_events"],
        "sent_s": round(sent_s, 2),
        "drained_s": round(drained_s - sent_s, 2),
        "events_per_s": round(events / sent_s),
        "tokens_per_day": round(report["acknowledged_tokens"] / sent_s * 86_400),
        "cpu_s": {name: round(used, 2) for name, used in sorted(cpu.items(), key=lambda item: -item[1])},
        "cpu_s_per_million": {name: round(used / millions, 3) for name, used in cpu.items()},
        "cpu_s_per_million_all": round(sum(cpu.values()) / millions, 3),
        "cores_used": round(sum(cpu.values()) / drained_s, 2),
        "peak_rss_mib": {name: round(used.peak_rss_bytes / 2**20) for name, used in after.items()},
        "wire_bytes_per_event": round(report["acknowledged_bytes"] / events, 1),
        "kafka_disk_bytes_per_event": {
            topic: round((size - kafka_before.get(topic, 0)) / events, 2)
            for topic, size in sorted(_kafka_bytes(stack).items(), key=lambda item: -item[1])[:6]
        },
        "store_disk_bytes_per_event": {
            table: round((size - store_before.get(table, 0)) / events, 2)
            for table, size in sorted(_store_bytes(client).items(), key=lambda item: -item[1])[:8]
        },
        "stored_exactly": stored == expected,
        "most_lag_records": {
            name: max((int(one.get(name, 0)) for one in lags), default=0) for name in ("stream", "events-sink")
        },
        "lags": lags,
        "queries": queries,
    }
    if delays:
        result["visible"] = {
            "markers": delays.sent,
            "lost": delays.lost,
            **{
                f"{where}_{name}_s": _rounded(percentile(values, level))
                for where, values in (("raw", delays.raw_s), ("rollups", delays.rollups_s))
                for name, level in (("p50", 0.5), ("p99", 0.99), ("max", 1.0))
            },
        }
    client.close()
    say(
        f"{result['events']:,} events at {result['events_per_s']:,} a second, stored {result['drained_s']} s later; "
        f"{result['cpu_s_per_million_all']} CPU-s per million"
    )
    if load.verify:
        say("verifying")
        try:
            found = stack.verify()
            result["verified"] = {"holds": found["holds"], "findings": found["findings"]}
        except (LoadFailedError, subprocess.TimeoutExpired) as error:
            # What was measured is still worth showing; the run is failed all the same.
            result["verified"] = {"holds": False, "findings": [str(error)]}
    return result


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)


def _stored(client: Any) -> int:
    return int(client.query("SELECT count() FROM events").result_rows[0][0])


def _kafka_bytes(stack: Stack) -> dict[str, int]:
    """Topic -> bytes of its log segments. Indexes are left out: Kafka makes their files large and cuts them later."""
    found: dict[str, int] = {}
    for path in (stack.folder / "kafka").rglob("*.log"):
        topic, _, number = path.parent.name.rpartition("-")
        if number.isdigit():
            found[topic] = found.get(topic, 0) + path.stat().st_size
    return found


def _store_bytes(client: Any) -> dict[str, int]:
    rows = client.query(
        "SELECT table, sum(bytes_on_disk) FROM system.parts WHERE active AND database = currentDatabase() "
        "GROUP BY table"
    ).result_rows
    return {str(table): int(size) for table, size in rows}


def _lag(stack: Stack, at_s: float) -> dict[str, float]:
    found: dict[str, float] = {"at_s": round(at_s, 1)}
    for name in ("stream", "events-sink", "rollups-sink"):
        found[name] = stack.status(name).get("lag_records", 0)
    found["waiting_rows"] = stack.status("events-sink").get("waiting_rows", 0)
    found["stored"] = stack.status("events-sink").get("stored_events_total", 0)
    return found


def _wait_until_stored(stack: Stack, client: Any, expected: int) -> int:
    """Until raw has everything and the stream has counted it."""
    deadline = time.monotonic() + DRAIN_TIMEOUT_S
    while True:
        stored = _stored(client)
        if (stored >= expected and not stack.status("stream").get("lag_records")) or time.monotonic() > deadline:
            return stored
        time.sleep(0.2)


def run(load: Load, say: Say, environment: dict[str, str] | None = None, keep: Path | None = None) -> dict[str, Any]:
    """A fresh stack, one load, and its end."""
    folder = keep or Path(tempfile.mkdtemp(prefix="tokentide-bench-"))
    stack = Stack(folder, load.partitions, environment)
    try:
        return measure(stack, load, say)
    finally:
        stack.stop()
        if keep is None:
            shutil.rmtree(folder, ignore_errors=True)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=float, default=181_000)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--partitions", type=int, default=4)
    parser.add_argument("--no-markers", action="store_true")
    parser.add_argument("--no-queries", action="store_true")
    parser.add_argument("--no-verify", action="store_true")
    args = parser.parse_args(arguments)
    load = Load(
        args.rate,
        args.seconds,
        args.partitions,
        markers=not args.no_markers,
        queries=not args.no_queries,
        verify=not args.no_verify,
    )
    result = run(load, lambda line: print(line, file=sys.stderr, flush=True))  # noqa: T201
    sys.stdout.write(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
