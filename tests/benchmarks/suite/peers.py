"""The same job by what a user would otherwise write (`tests/benchmarks/peers/`), on one broker and store.

Each peer in turn reads the same topic of JSON events (one a record, keyed by model and category) into tables
that are emptied before. Figures are of the peer's and the store's processes between its first stored rows and its last:
starts and the broker are left out. A peer that is not done in its time is judged by what it had stored until then.
"""

from __future__ import annotations

import datetime as dt
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl
import psutil
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic
from tests.benchmarks.raw_schema import cpu_s, store_process

from tokentide_deploy.embedded_kafka import EmbeddedKafka
from tokentide_producers.event_ids import EventIds
from tokentide_producers.traffic_model import TrafficModel
from tokentide_schemas.catalogue import load_catalogue
from tokentide_sinks.store import Store

PROJECT: Final = Path(__file__).resolve().parents[3]
FOLDER: Final = PROJECT / "tests" / "benchmarks" / "peers"
ENVIRONMENT: Final = PROJECT / "build" / "peers-venv"
TOPIC: Final = "peers"
PARTITIONS: Final = 4
START_S: Final = 120.0
IDLE_S: Final = 20.0

PEERS: Final[dict[str, tuple[str, str, bool, str]]] = {
    "loop, polars": ("loop_polars.py", "polars", False, "dedup after a crash, lateness, dead letters"),
    "loop, msgspec": ("loop_msgspec.py", "confluent-kafka", False, "dedup after a crash, lateness, dead letters"),
    "sentry-arroyo": ("arroyo_peer.py", "sentry-arroyo", True, "dedup, windows, lateness (has dead letters)"),
    "Bytewax": ("bytewax_peer.py", "bytewax", True, "dedup, consumer groups, dead letters"),
    "Quix Streams": ("quix_peer.py", "quixstreams", True, "dedup, dead letters; late events are dropped"),
    "Faust": ("faust_peer.py", "faust-streaming", True, "dedup, lateness, dead letters"),
}
"""Name -> its program, the package whose version is told, whether it is a streaming framework, what it does not do."""

FIELDS: Final = (
    "event_id", "request_id", "occurred_at", "gateway", "request_model", "model", "provider", "category", "subcategory",
    "app", "tenant", "user_hash", "session_hash", "country", "language", "input_uncached_tokens",
    "input_cache_read_tokens", "input_cache_write_tokens", "output_tokens", "output_reasoning_tokens", "cost_nanousd",
    "outcome", "finish_reason", "error_type", "http_status", "streamed", "time_to_first_token_ms", "latency_ms",
)  # fmt: skip
_LOW = frozenset(
    [
        "gateway",
        "request_model",
        "model",
        "provider",
        "category",
        "subcategory",
        "app",
        "tenant",
        "country",
        "language",
        "outcome",
        "finish_reason",
        "error_type",
    ]
)
_TEXT = frozenset(("event_id", "request_id", "user_hash", "session_hash"))
_NULLABLE = frozenset(("cost_nanousd", "time_to_first_token_ms"))


def tables() -> list[str]:
    """The peers' tables: the fields of an event, and counts that the table adds up."""
    columns = []
    for name in FIELDS:
        kind = "LowCardinality(String)" if name in _LOW else "String" if name in _TEXT else "Int64"
        columns.append(f"{name} {f'Nullable({kind})' if name in _NULLABLE else kind} CODEC(ZSTD(1))")
    return [
        f"CREATE TABLE peer_raw ({', '.join(columns)}) ENGINE = MergeTree ORDER BY occurred_at",
        "CREATE TABLE peer_counts (window_start UInt32, model LowCardinality(String), category LowCardinality(String), "
        "requests UInt64) ENGINE = SummingMergeTree ORDER BY (window_start, model, category)",
    ]


def fill(servers: str, events: int) -> tuple[int, int, float]:
    """Produce the events, then one later event for each key and partition that closes windows.

    Returns all events, the millisecond at which the closing ones begin, and bytes an event.
    """
    admin = AdminClient({"bootstrap.servers": servers})
    admin.create_topics([NewTopic(TOPIC, PARTITIONS, 1)])[TOPIC].result(60)
    model, rng, ids = TrafficModel(load_catalogue(), dt.datetime.now(dt.UTC)), np.random.default_rng(3), EventIds()
    producer = Producer(
        {"bootstrap.servers": servers, "linger.ms": 50, "compression.type": "lz4", "batch.size": 1_000_000}
    )
    # Ten minutes that are over: no framework may hold events back because they are new.
    end_ms = int(time.time() * 1000) // 60_000 * 60_000 - 20 * 60_000
    start_ms, size = end_ms - 10 * 60_000, 0
    keys: dict[str, bytes] = {}
    for first in range(0, events, 50_000):
        rows = min(50_000, events - first)
        begin = start_ms + (end_ms - start_ms) * first // events
        block = model.generate(rows, rng, begin, (end_ms - start_ms) * rows // events, f"gw-{first // 50_000 % 8}", ids)
        for key, line in _lines(block):
            keys.setdefault(key, line)
            size += len(line)
            _produce(producer, key, line)
    total = events
    for key, line in keys.items():
        late = pl.read_ndjson(line).with_columns(pl.lit(end_ms + 180_000).alias("occurred_at"))
        _produce(producer, key, late.write_ndjson().strip().encode())
        total += 1
    if producer.flush(120):
        raise RuntimeError("Kafka did not take all events of the peers' topic")
    return total, end_ms, size / events


def _lines(block: Any) -> list[tuple[str, bytes]]:
    frame = pl.from_arrow(block)
    assert isinstance(frame, pl.DataFrame)
    binary = [pl.col(name).bin.encode("hex") for name in ("event_id", "user_hash", "session_hash")]
    plain = frame.select(FIELDS).with_columns(
        *binary, pl.col("occurred_at").dt.epoch("ms"), pl.col("streamed").cast(pl.Int64)
    )
    keys = plain.select(pl.concat_str("model", pl.lit("|"), "category")).to_series().to_list()
    return list(zip(keys, (line.encode() for line in plain.write_ndjson().splitlines()), strict=True))


def _produce(producer: Producer, key: str, line: bytes) -> None:
    while True:
        try:
            producer.produce(TOPIC, value=line, key=key.encode())
            return
        except BufferError:
            producer.poll(0.05)


def environment(say: Callable[[str], None]) -> Path:
    """The peers' own virtual environment, made from their lock when it is missing; its Python."""
    python = ENVIRONMENT / "bin" / "python"
    lock = FOLDER / "requirements.lock"
    stamp = ENVIRONMENT / ".installed"
    if not stamp.exists() or stamp.stat().st_mtime < lock.stat().st_mtime:
        say(f"installing the peers into {ENVIRONMENT.relative_to(PROJECT)}")
        uv = Path(sys.executable).with_name("uv")
        subprocess.run([uv, "venv", "--quiet", "--clear", "--python", sys.executable, ENVIRONMENT], check=True)
        subprocess.run(
            [uv, "pip", "install", "--quiet", "--python", python, "--require-hashes", "-r", lock], check=True
        )
        stamp.touch()
    return python


def compare(events: int, seconds: float, say: Callable[[str], None]) -> dict[str, Any]:
    """All peers in turn. A peer that fails is in the result as failed."""
    python = environment(say)
    found: dict[str, Any] = {}
    with (
        tempfile.TemporaryDirectory(prefix="tokentide-peers-") as folder,
        EmbeddedKafka(Path(folder) / "kafka") as kafka,
    ):
        say(f"filling a topic with {events:,} JSON events")
        total, closing_ms, size = fill(kafka.bootstrap_servers, events)
        found["json_bytes_per_event"] = round(size, 1)
        with store_process() as (store, process):
            for sql in tables():
                store.command(sql)
            port = int(store._options["port"])
            for name in PEERS:
                try:
                    found[name] = _run(name, python, kafka.bootstrap_servers, port, store, process,
                                       (total, events, closing_ms), seconds, Path(folder))  # fmt: skip
                except Exception as error:  # noqa: BLE001 - the others still count
                    found[name] = {"failed": str(error)[-1500:]}
                say(f"{name}: {found[name]}")
    return found


def _run(
    name: str, python: Path, servers: str, port: int, store: Store, store_process_: psutil.Process,
    expected: tuple[int, int, int], seconds: float, folder: Path,
) -> dict[str, Any]:  # fmt: skip
    program, package, is_framework, lacks = PEERS[name]
    total, events, closing_ms = expected
    for table in ("peer_raw", "peer_counts"):
        store.command(f"TRUNCATE TABLE {table}")
    variables = {
        **os.environ,
        "PEER_KAFKA": servers,
        "PEER_TOPIC": TOPIC,
        "PEER_GROUP": f"peer-{program.removesuffix('.py')}",
        "PEER_CLICKHOUSE_PORT": str(port),
        "POLARS_MAX_THREADS": "2",
    }
    version = subprocess.run(
        [python, "-c", f"import importlib.metadata as m; print(m.version('{package}'))"],
        capture_output=True, text=True, check=True,
    ).stdout.strip()  # fmt: skip
    log = folder / f"{program}.log"
    with log.open("wb") as output:
        child = subprocess.Popen([python, FOLDER / program], env=variables, stdout=output, stderr=output, cwd=folder)
    process = psutil.Process(child.pid)
    began = time.monotonic()
    first: tuple[int, float, float] | None = None
    raw = changed_raw = counted = 0
    changed_s = began
    peak = 0
    used = (0.0, 0.0)
    try:
        while child.poll() is None:
            time.sleep(0.25)
            used = (cpu_s(process), cpu_s(store_process_))
            peak = max(peak, process.memory_info().rss)
            raw = int(store.rows("SELECT count() FROM peer_raw")[0][0])
            counted = int(
                store.rows(f"SELECT sum(requests) FROM peer_counts WHERE window_start < {closing_ms // 1000}")[0][0]
            )
            now = time.monotonic()
            if raw + counted != changed_raw:
                changed_raw, changed_s = raw + counted, now
            if first is None and raw:
                first = (raw, sum(used), now)
            is_over = first is not None and now - first[2] > seconds
            if (raw >= total and counted >= events) or is_over or now - changed_s > (IDLE_S if first else START_S):
                break
        else:
            raise RuntimeError(f"{program} ended with status {child.returncode}: {log.read_text()[-1200:]}")
    finally:
        if child.poll() is None:
            child.kill()
        child.wait()
    if first is None or raw <= first[0]:
        raise RuntimeError(f"{program} stored {raw} rows and no more: {log.read_text()[-1200:]}")
    return {
        "version": f"{package} {version}",
        "framework": is_framework,
        "lacks": lacks,
        "rows": raw,
        "counted": counted,
        "complete": raw == total and counted == events,
        "cpu_s_per_million": round((sum(used) - first[1]) / (raw - first[0]) * 1e6, 2),
        "peak_rss_mib": round(peak / 2**20),
    }
