"""How long every panel of every dashboard takes with months of rollups and many raw events in the store.

    python -m tests.benchmarks.panels --events 100000000 --months 13 [--folder F] [--keep] [--only WORD ...]

Starts an embedded store with the product's defaults, fills it (with --keep the folder stays, and a later run uses what
is there), lets maintenance finish, and runs every panel and every variable as the board does: its macros, the reader's
account and limits, at the dashboard's own range and at all months. Prints a table, slowest first; status 1 when a
p95 is over --limit-ms. Needs about 12 GB of disk and half an hour of two cores for 100 million events.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import psutil
from rich.console import Console
from rich.progress import Progress, TaskID
from tests.benchmarks.panels_fill import HOUR_MS, Load, fill, wait_for_merges
from tests.benchmarks.panels_measure import DEFAULT, PanelFailedError, Timing, measure

from tokentide_schemas.clickhouse import statements
from tokentide_schemas.cubes import CUBES, stored_cubes
from tokentide_sinks.kept_views import KeptViews
from tokentide_sinks.store import Store
from tokentide_sinks.summed_weeks import add_up, announced, due, resting

MANIFEST = "manifest.json"


@contextmanager
def store_process(folder: Path) -> Iterator[tuple[int, psutil.Process]]:
    """A store with the product's defaults on `folder`: its port and process. Stopped at the end."""
    ready, log_file = folder / "ready.json", folder / "store.log"
    ready.unlink(missing_ok=True)
    command = [sys.executable, "-m", "tokentide_deploy.store", "--data-dir", str(folder / "data"), "--port", "0"]
    with log_file.open("ab") as log:
        process = subprocess.Popen([*command, "--ready-file", str(ready)], stdout=log, stderr=log)
        try:
            deadline = time.monotonic() + 120
            while not ready.exists():
                if process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"the store did not start; its log: {log_file.read_text()[-2000:]}")
                time.sleep(0.1)
            yield int(json.loads(ready.read_text())["port"]), psutil.Process(process.pid)
        finally:
            process.terminate()
            process.wait(120)


def loaded(folder: Path, port: int, options: argparse.Namespace) -> Load:
    """The folder's load, made now when it is not there yet."""
    manifest = folder / MANIFEST
    store = Store(f"http://tokentide@127.0.0.1:{port}/tokentide", 3600)
    try:
        done: set[str] = set()
        if manifest.exists():
            known = json.loads(manifest.read_text())
            done, load = set(known["done"]), Load(**known["load"])
            if (load.events, load.months) != (options.events, options.months):
                raise SystemExit(f"{folder} holds {load.events} events of {load.months} months: use another --folder")
            # The schema may be newer than the load.
            for statement in statements(CUBES):
                store.command(statement)
        else:
            load = Load(
                options.events,
                options.months,
                int(time.time() * 1000) // HOUR_MS * HOUR_MS,
                minute_days=options.minute_days,
                hour_days=options.hour_days,
            )
        with Progress(console=Console(stderr=True)) as progress:
            tasks: dict[str, TaskID] = {}

            def report(what: str, part: float) -> None:
                if what not in tasks:
                    tasks[what] = progress.add_task(what, total=1.0)
                progress.update(tasks[what], completed=part)

            def finished(step: str) -> None:
                done.add(step)
                manifest.write_text(json.dumps({"load": asdict(load), "done": sorted(done)}))

            fill(store, load, report, done, finished)
        return load
    finally:
        store.close()


def table(timings: Sequence[Timing]) -> str:
    """Markdown, slowest first."""
    lines = [
        "| dashboard | panel | range | rows | read rows | read MB | p50 ms | p95 ms | CPU ms |",
        "|---|---|---|---:|---:|---:|---:|---:|---:|",
    ]
    for one in sorted(timings, key=lambda timing: -timing.p95_ms):
        lines.append(
            f"| {one.dashboard} | {one.query} | {one.span} | {one.rows:,} | {one.read_rows:,} | "
            f"{one.read_bytes / 1e6:.1f} | {one.p50_ms:.0f} | {one.p95_ms:.0f} | {one.cpu_ms:.0f} |"
        )
    return "\n".join(lines)


def sizes(port: int) -> str:
    """Rows, parts and bytes of each table, as Markdown."""
    store = Store(f"http://tokentide@127.0.0.1:{port}/tokentide")
    rows = store.rows(
        "SELECT table, sum(rows), count(), sum(bytes_on_disk) FROM system.parts WHERE active "
        "AND database = currentDatabase() GROUP BY table HAVING sum(rows) > 1000 ORDER BY sum(bytes_on_disk) DESC"
    )
    store.close()
    lines = ["| table | rows | parts | MB |", "|---|---:|---:|---:|"]
    lines += [f"| {name} | {int(count):,} | {parts} | {int(size) / 1e6:,.1f} |" for name, count, parts, size in rows]
    return "\n".join(lines)


def run(options: argparse.Namespace, folder: Path) -> int:
    """Load, measure, print. Returns the exit status."""
    with store_process(folder) as (port, process):
        load = loaded(folder, port, options)
        store = Store(f"http://tokentide@127.0.0.1:{port}/tokentide", 3600)
        kept = KeptViews(store)
        if not options.no_maintenance:
            settle(store, kept)
        wait_for_merges(store)
        sys.stdout.write(sizes(port) + "\n\n")
        sys.stdout.flush()
        timings = []
        for timing in measure(port, process, load.start_ms, load.end_ms, options.repeats, options.only):
            timings.append(timing)
            if not options.no_maintenance:
                kept.step()
            sys.stderr.write(f"{timing.p95_ms:7.0f} ms  {timing.dashboard}: {timing.query} ({timing.span})\n")
    sys.stdout.write(table(timings) + "\n")
    if options.json:
        options.json.write_text(json.dumps([timing.row() for timing in timings], indent=1))
    over = [one for one in timings if one.p95_ms > options.limit_ms]
    own = [one for one in over if one.span == DEFAULT]
    sys.stdout.write(
        f"\n{len(timings) - len(over)} of {len(timings)} within {options.limit_ms:g} ms; "
        f"{len(own)} of those over it at the dashboard's own range.\n"
    )
    return 1 if over else 0


def settle(store: Store, kept: KeptViews) -> None:
    """Do what maintenance has done in a stack that has run for a while: every week but the running one is added up."""
    running = store.rows("SELECT toString(toMonday(max(window_start))) FROM rollup_model_1d_partials")[0][0]
    tables = {cube.partials_table: cube for cube in stored_cubes(CUBES)}
    for table, monday in due(resting(store, CUBES), announced(store), 0.0):
        if monday != running:
            add_up(store, tables[table], monday)
    kept.step()


def main(arguments: Sequence[str]) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--months", type=int, default=13)
    parser.add_argument("--minute-days", type=int, default=90, help="days of minute rollups; 90 is what is kept")
    parser.add_argument("--hour-days", type=int, default=100_000, help="days of hourly rollups; all when left out")
    parser.add_argument("--folder", type=Path, help="where the store is; a temporary folder when left out")
    parser.add_argument("--keep", action="store_true", help="leave the folder for the next run")
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--limit-ms", type=float, default=200)
    parser.add_argument("--only", nargs="*", default=[], help="words: only queries whose name has one of them")
    parser.add_argument("--no-maintenance", action="store_true", help="measure what has not been settled")
    parser.add_argument("--json", type=Path, help="write the timings there as well")
    options = parser.parse_args(list(arguments))
    if options.folder is None:
        with tempfile.TemporaryDirectory(prefix="panels-") as folder:
            return run(options, Path(folder))
    options.folder.mkdir(parents=True, exist_ok=True)
    try:
        return run(options, options.folder)
    except PanelFailedError as failed:
        sys.stderr.write(f"{failed}\n")
        return 2
    finally:
        if not options.keep:
            shutil.rmtree(options.folder)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
