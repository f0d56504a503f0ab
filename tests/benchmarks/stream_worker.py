"""Events per CPU-second of a whole stage-1 worker process: Faust, its Kafka clients, counting, rows and checkpoints.

    python -m tests.benchmarks.stream_worker # 10 million simulated events, 1, 3 and all cubes
    python -m tests.benchmarks.stream_worker --cubes 3 --events 20000000 --envelope 500

A topic on an embedded Kafka is filled with simulated traffic first; then a worker process counts it from the beginning,
as after an outage. CPU seconds are of that process with all its threads, from its start to its end; "while counting"
leaves out what it used before the first count (imports, joining the group). Prints JSON lines.
"""

from __future__ import annotations

import argparse
import asyncio
import datetime as dt
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("POLARS_MAX_THREADS", "1")  # as the worker's own entry point does

import numpy as np
import psutil
from confluent_kafka import Producer
from rich.console import Console
from rich.progress import Progress, track

from tokentide_deploy.embedded_kafka import EmbeddedKafka
from tokentide_deploy.kafka_topics import ensure_topics
from tokentide_producers.event_ids import EventIds
from tokentide_producers.traffic_model import TrafficModel
from tokentide_schemas import topics
from tokentide_schemas.catalogue import load_catalogue
from tokentide_schemas.cubes import CUBES
from tokentide_schemas.envelope import CONTENT_TYPE_ARROW, encode_arrow, headers_for
from tokentide_schemas.settings import load_settings

CHILD_CUBES = "TOKENTIDE_BENCHMARK_CUBES"
LONGEST_S = 1_800.0


def fill(bootstrap_servers: str, args: argparse.Namespace, console: Console) -> int:
    """Produce the events in envelopes, round robin over the partitions; returns the bytes of their values."""
    model = TrafficModel(load_catalogue(), dt.datetime.now(dt.UTC))
    rng, ids = np.random.default_rng(1), EventIds()
    producer = Producer(
        {
            "bootstrap.servers": bootstrap_servers,
            "linger.ms": 20,
            "compression.type": "lz4",
            "message.max.bytes": 8 << 20,
        }
    )
    span_ms = args.envelope * 1000 // args.events_per_s
    start_ms = int(time.time() * 1000) - args.events * 1000 // args.events_per_s - 1000
    size = 0
    for number in track(range(args.events // args.envelope), description="filling the topic", console=console):
        table = model.generate(args.envelope, rng, start_ms + number * span_ms, span_ms, "gw", ids)
        value = encode_arrow(table)
        size += len(value)
        headers = headers_for(CONTENT_TYPE_ARROW, args.envelope, "bench", number)
        while True:
            try:
                producer.produce(topics.USAGE, value=value, headers=list(headers), partition=number % args.partitions)
                break
            except BufferError:
                producer.poll(0.1)
        producer.poll(0)
    left = producer.flush(120)
    if left:
        raise SystemExit(f"Kafka did not take {left} envelopes")
    return size


def measure(bootstrap_servers: str, folder: Path, cubes: int, events: int, console: Console) -> dict[str, Any]:
    """Run one worker until it has counted everything."""
    folder.mkdir()
    environment = os.environ | {
        "TOKENTIDE_KAFKA_BOOTSTRAP_SERVERS": bootstrap_servers,
        "TOKENTIDE_DATA_DIR": str(folder),
        "TOKENTIDE_STATUS_FILE": str(folder / "status.json"),
        CHILD_CUBES: str(cubes),
    }
    log_file = folder / "worker.log"
    with log_file.open("wb") as log:
        child = subprocess.Popen([sys.executable, __file__], env=environment, stdout=log, stderr=log)
    process = psutil.Process(child.pid)
    began = time.monotonic()
    most_rss = 0
    status: dict[str, Any] = {}
    first: tuple[int, float] | None = None
    cpu_s = 0.0
    try:
        with Progress(console=console) as progress:
            task = progress.add_task(f"{cubes} cubes", total=events)
            while status.get("applied_events_total", 0) < events:
                if child.poll() is not None or time.monotonic() - began > LONGEST_S:
                    raise SystemExit(f"the worker ended or stands still; its log: {log_file.read_text()[-3000:]}")
                time.sleep(0.1)
                if (folder / "status.json").exists():
                    status = json.loads((folder / "status.json").read_text())
                most_rss = max(most_rss, process.memory_info().rss)
                if first is None and status.get("applied_events_total", 0):
                    first = (status["applied_events_total"], _cpu_s(process))
                progress.update(task, completed=status.get("applied_events_total", 0))
            child.terminate()
            while child.poll() is None:
                try:
                    cpu_s = max(cpu_s, _cpu_s(process))
                except psutil.NoSuchProcess:
                    break
                time.sleep(0.02)
    finally:
        if child.poll() is None:
            child.kill()
            child.wait()
    assert first is not None
    return {
        "cubes": cubes,
        "events": events,
        "cpu_s": round(cpu_s, 2),
        "cpu_s_before_counting": round(first[1], 2),
        "wall_s": round(time.monotonic() - began, 1),
        "events_per_cpu_s": round(events / cpu_s),
        "events_per_cpu_s_while_counting": round((events - first[0]) / (cpu_s - first[1])),
        "cpu_s_per_million_events": round(cpu_s / events * 1e6, 3),
        "open_groups": status.get("open_groups"),
        "peak_rss_mib": round(most_rss / 2**20),
    }


def _cpu_s(process: psutil.Process) -> float:
    used = process.cpu_times()
    return float(used.user + used.system)


def run_child() -> None:
    """A worker with the first so many of the shipped cubes."""
    import faust
    import uvloop

    from tokentide_stream.app import build_app
    from tokentide_stream.settings import StreamSettings

    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    app = build_app(load_settings(StreamSettings), CUBES[: int(os.environ[CHILD_CUBES])])
    faust.Worker(app, loop=loop, loglevel="warning", redirect_stdouts=False).execute_from_commandline()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=10_000_000)
    parser.add_argument("--envelope", type=int, default=2_000, help="events in one envelope")
    parser.add_argument(
        "--cubes", type=int, action="append", help=f"of the shipped, 1 to {len(CUBES)}; may be repeated"
    )
    parser.add_argument("--events-per-s", type=int, default=50_000, help="rate of event time")
    parser.add_argument("--partitions", type=int, default=4)
    args = parser.parse_args()
    console = Console(stderr=True)
    for cubes in args.cubes or [1, 3, len(CUBES)]:
        # A Kafka for each: the group's offsets and checkpoints must be those of a first start.
        with (
            tempfile.TemporaryDirectory(prefix="tokentide-bench-") as folder,
            EmbeddedKafka(Path(folder) / "kafka") as kafka,
        ):
            ensure_topics(kafka.bootstrap_servers, args.partitions)
            size = fill(kafka.bootstrap_servers, args, console)
            result = measure(kafka.bootstrap_servers, Path(folder) / "worker", cubes, args.events, console)
        result |= {"envelope_events": args.envelope, "bytes_per_event": round(size / args.events, 1)}
        sys.stdout.write(json.dumps(result) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    if CHILD_CUBES in os.environ:
        run_child()
    else:
        main()
