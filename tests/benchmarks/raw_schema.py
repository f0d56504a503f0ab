"""The raw table's schema by measurement: sorting key, partitions, engine and codecs on the embedded store.

    python -m tests.benchmarks.raw_schema [--rows 2000000] [--days 8] [--repeats 3] [--only NAME ...]

One fresh store process for each candidate. Prints, as a Markdown table: bytes per event on disk after all merges, rows
per CPU-second of the store while it inserts (100k rows an insert, in time order, background merges included), rows per
CPU-second with the final merge as well, and the best wall time of each query in milliseconds.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow as pa

from tokentide_producers.event_ids import EventIds
from tokentide_producers.traffic_model import TrafficModel
from tokentide_schemas.catalogue import load_catalogue
from tokentide_schemas.clickhouse import events_table
from tokentide_sinks.store import Store

INSERT_ROWS = 100_000
DAY_MS = 86_400_000
END_MS = int(dt.datetime(2026, 11, 16, tzinfo=dt.UTC).timestamp() * 1000)

KEY = "ORDER BY (occurred_at, event_id)"
BY_WEEK = "PARTITION BY toMonday(occurred_at)"
BLOOM = (
    "INDEX request_id_bloom request_id TYPE bloom_filter(0.01) GRANULARITY 4,\n"
    "    INDEX user_hash_bloom user_hash TYPE bloom_filter(0.01) GRANULARITY 4,\n    "
)


def _replacing(*pairs: tuple[str, str]) -> Callable[[str], str]:
    def change(sql: str) -> str:
        for old, new in pairs:
            if old not in sql:
                raise ValueError(f"the table has no {old!r} any more: adapt this candidate")
            sql = sql.replace(old, new)
        return sql

    return change


def _by(key: str) -> Callable[[str], str]:
    return _replacing((KEY, f"ORDER BY ({key})"))


def _base(sql: str) -> str:
    """The shipped table without what was chosen here, so that the choice stays comparable."""
    return sql.replace(BLOOM, "").replace("PARTITION BY toDate(occurred_at)", BY_WEEK)


CANDIDATES: dict[str, Callable[[str], str]] = {
    "week, RMT, (occurred_at, event_id)": _base,
    "day": lambda sql: _replacing((BY_WEEK, "PARTITION BY toDate(occurred_at)"))(_base(sql)),
    "month": lambda sql: _replacing((BY_WEEK, "PARTITION BY toYYYYMM(occurred_at)"))(_base(sql)),
    "plain MergeTree": lambda sql: _replacing(("ENGINE = ReplacingMergeTree", "ENGINE = MergeTree"))(_base(sql)),
    "key: hour, model": lambda sql: _by("toStartOfHour(occurred_at), model, occurred_at, event_id")(_base(sql)),
    "key: hour, tenant": lambda sql: _by("toStartOfHour(occurred_at), tenant, occurred_at, event_id")(_base(sql)),
    "ids with bloom filters": lambda sql: _replacing(("(\n    event_id", f"(\n    {BLOOM}event_id"))(_base(sql)),
    "no T64 on integers": lambda sql: _replacing(("CODEC(T64, ZSTD(1))", "CODEC(ZSTD(1))"))(_base(sql)),
    "ZSTD(3)": lambda sql: _replacing(("ZSTD(1)", "ZSTD(3)"))(_base(sql)),
    "LZ4": lambda sql: _replacing(("ZSTD(1)", "LZ4"))(_base(sql)),
    "DoubleDelta on times": lambda sql: _replacing(("CODEC(Delta,", "CODEC(DoubleDelta,"))(_base(sql)),
    "strings, no LowCardinality": lambda sql: _replacing(("LowCardinality(String)", "String"))(_base(sql)),
}

AT = f"toDateTime64({END_MS // 1000}, 3, 'UTC')"
TOKENS = "sum(toUInt64(input_uncached_tokens) + input_cache_read_tokens + output_tokens + output_reasoning_tokens)"
QUERIES = {
    "models 1 h": f"SELECT model, {TOKENS} AS t FROM events WHERE occurred_at >= {AT} - INTERVAL 1 HOUR "
    "GROUP BY model ORDER BY t DESC LIMIT 10",
    "models 1 d": f"SELECT model, {TOKENS} AS t FROM events WHERE occurred_at >= {AT} - INTERVAL 1 DAY "
    "GROUP BY model ORDER BY t DESC LIMIT 10",
    "categories, weeks": f"SELECT toMonday(occurred_at) AS w, category, {TOKENS} FROM events GROUP BY w, category",
    "tenant 1 d": f"SELECT model, count(), {TOKENS} FROM events WHERE tenant = 'team-00007' "
    f"AND occurred_at >= {AT} - INTERVAL 1 DAY GROUP BY model",
    "one request": "SELECT * FROM events WHERE request_id = {request}",
    "one user": "SELECT count(), sum(cost_nanousd) FROM events WHERE user_hash = unhex({user})",
}


def blocks(rows: int, days: int) -> list[pa.Table]:
    """Simulated events with the sink's origin columns, in the sizes that the sink inserts."""
    start_ms = END_MS - days * DAY_MS
    model = TrafficModel(load_catalogue(()), dt.datetime.fromtimestamp(END_MS / 1000, dt.UTC))
    rng = np.random.default_rng(7)
    ids = EventIds()
    made = []
    count = rows // INSERT_ROWS
    for i in range(count):
        batch = model.generate(
            INSERT_ROWS, rng, start_ms + i * days * DAY_MS // count, days * DAY_MS // count, f"gateway-{i % 4}", ids
        )
        table = pa.Table.from_batches([batch])
        offsets = i * 50 + np.arange(INSERT_ROWS) // 2_000
        ingested = table.column("occurred_at").cast(pa.int64()).to_numpy() + 800
        origin = {
            "ingested_at": pa.array(ingested).cast(pa.timestamp("ms", "UTC")),
            "kafka_topic": pa.array(["tokentide.usage"] * INSERT_ROWS).dictionary_encode(),
            "kafka_partition": pa.array(np.full(INSERT_ROWS, i % 4, np.uint16)),
            "kafka_offset": pa.array(offsets.astype(np.uint64)),
            "producer_id": pa.array([f"producer-{i % 4}"] * INSERT_ROWS).dictionary_encode(),
            "producer_sequence": pa.array(offsets.astype(np.uint64)),
        }
        for name, column in origin.items():
            table = table.append_column(name, column)
        made.append(table)
    return made


@contextmanager
def store_process() -> Iterator[tuple[Store, psutil.Process]]:
    """A store process of its own on a temporary directory."""
    with tempfile.TemporaryDirectory(prefix="raw-schema-") as directory:
        ready = Path(directory) / "ready.json"
        command = [sys.executable, "-m", "tokentide_deploy.store", "--data-dir", f"{directory}/data", "--port", "0"]
        log = (Path(directory) / "log").open("wb")
        process = subprocess.Popen([*command, "--ready-file", str(ready)], stdout=log, stderr=log)
        try:
            deadline = time.monotonic() + 60
            while not ready.exists():
                if process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError((Path(directory) / "log").read_text())
                time.sleep(0.05)
            port = json.loads(ready.read_text())["port"]
            yield Store(f"http://tokentide@127.0.0.1:{port}/tokentide", 600), psutil.Process(process.pid)
        finally:
            process.terminate()
            process.wait(60)
            log.close()


def cpu_s(process: psutil.Process) -> float:
    """CPU-seconds that the process has used."""
    times = process.cpu_times()
    return float(times.user + times.system)


def measure(ddl: str, data: list[pa.Table], repeats: int) -> dict[str, float]:
    """One candidate."""
    rows = sum(block.num_rows for block in data)
    sample = data[len(data) // 2].slice(1_234, 1).to_pylist()[0]
    literals = {"request": f"'{sample['request_id']}'", "user": f"'{sample['user_hash'].hex()}'"}
    with store_process() as (store, process):
        store.command(ddl)
        before = cpu_s(process)
        for i, block in enumerate(data):
            store.insert("events", block, f"token-{i}")
        inserted = cpu_s(process)
        store.command("OPTIMIZE TABLE events FINAL")
        merged = cpu_s(process)
        size = store.rows(
            "SELECT sum(bytes_on_disk), sum(rows) FROM system.parts WHERE table = 'events' AND active "
            "AND database = currentDatabase()"
        )[0]
        if int(size[1]) != rows:
            raise RuntimeError(f"{size[1]} rows are stored instead of {rows}")
        found = {
            "B/event": int(size[0]) / rows,
            "insert rows/CPU-s": rows / (inserted - before),
            "with merges": rows / (merged - before),
        }
        for name, query in QUERIES.items():
            sql = query
            for key, literal in literals.items():
                sql = sql.replace("{" + key + "}", literal)
            best = float("inf")
            for _ in range(repeats):
                started = time.perf_counter()
                store.rows(sql)
                best = min(best, time.perf_counter() - started)
            found[f"{name} ms"] = best * 1000
        store.close()
    return found


def main(arguments: list[str]) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--days", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", nargs="*", default=list(CANDIDATES))
    options = parser.parse_args(arguments)
    data = blocks(options.rows, options.days)
    header: list[str] = []
    for name in options.only:
        result: dict[str, Any] = measure(CANDIDATES[name](events_table()), data, options.repeats)
        if not header:
            header = list(result)
            sys.stdout.write("| candidate | " + " | ".join(header) + " |\n|---|" + "---:|" * len(header) + "\n")
        cells = [
            f"{value:,.0f}" if "rows" in key or key == "with merges" else f"{value:.1f}"
            for key, value in result.items()
        ]
        sys.stdout.write(f"| {name} | " + " | ".join(cells) + " |\n")
        sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
