"""Does anything grow? The demo under a steady load with killed parts; memory, files, disk and lag every ten seconds.

    python -m tests.benchmarks.soak # 20,000 events/s for an hour
    python -m tests.benchmarks.soak --rate 5000 --minutes 240 --output soak.json

Parts are killed during the warm-up, once each. The slope is a least-squares line through the samples after it, of the
process that runs at the end. Resident memory of a process that fills caches grows for minutes before it stands still,
so a short run says little. Exit status 1 when a bound is exceeded, a process was started again that nobody killed, or
`tokentide verify` does not hold at the end.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil
from rich.console import Console
from rich.table import Table

from tokentide_deploy.component_status import read_status
from tokentide_deploy.data_dir import DataDir
from tokentide_deploy.stack_state import load_stack

SAMPLE_S = 10.0
KILLED = ("stream", "events-sink", "rollups-sink", "shares")
"""Parts that are killed (SIGKILL) one after the other while the load goes on."""
_TOKENTIDE = [sys.executable, "-m", "tokentide_deploy.cli"]


@dataclass(frozen=True)
class Sample:
    """One process at one time. at_s: since the stack was ready. rss_mb: resident memory, 10^6 bytes."""

    at_s: float
    pid: int
    rss_mb: float
    open_files: int
    lag_records: int | None


@dataclass(frozen=True)
class Bounds:
    """What may grow by how much, in one hour."""

    rss_mb_per_h: float
    open_files_per_h: float
    lag_records: int


@dataclass(frozen=True)
class Growth:
    """One process after the warm-up. The lags are medians of the first and the last third."""

    component: str
    rss_mb: float
    rss_mb_per_h: float
    open_files: int
    open_files_per_h: float
    lag_first: float | None
    lag_last: float | None
    restarts: int
    exceeded: tuple[str, ...]


def slope_per_h(points: Sequence[tuple[float, float]]) -> float:
    """Slope of the least-squares line through (seconds, value), per hour; 0 for fewer than two times."""
    mean_x = sum(x for x, _ in points) / len(points)
    mean_y = sum(y for _, y in points) / len(points)
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    if not spread:
        return 0.0
    return 3600 * sum((x - mean_x) * (y - mean_y) for x, y in points) / spread


def growth(component: str, samples: Sequence[Sample], warm_up_s: float, bounds: Bounds, kills: int = 0) -> Growth:
    """What one process's samples after the warm-up come to. kills: restarts that were to be.

    Raises ValueError when there is no such sample.
    """
    steady = [one for one in samples if one.at_s >= warm_up_s and one.pid == samples[-1].pid]
    if not steady:
        raise ValueError(f"{component} has no sample after the warm-up of {warm_up_s:g} s")
    rss = slope_per_h([(one.at_s, one.rss_mb) for one in steady])
    files = slope_per_h([(one.at_s, float(one.open_files)) for one in steady])
    lags = [float(one.lag_records) for one in steady if one.lag_records is not None]
    third = max(1, len(lags) // 3)
    first, last = (_median(lags[:third]), _median(lags[-third:])) if lags else (None, None)
    restarts = len({one.pid for one in samples}) - 1
    exceeded = []
    if rss > bounds.rss_mb_per_h:
        exceeded.append("memory")
    if files > bounds.open_files_per_h:
        exceeded.append("open files")
    if first is not None and last is not None and last - first > bounds.lag_records:
        exceeded.append("lag")
    if restarts > kills:
        exceeded.append("restarted")
    end = steady[-1]
    return Growth(component, end.rss_mb, rss, end.open_files, files, first, last, restarts, tuple(exceeded))


def _median(values: Sequence[float]) -> float:
    return sorted(values)[len(values) // 2]


def sample(data_dir: DataDir, at_s: float) -> dict[str, Sample]:
    """Every process of the running stack. One that ends meanwhile has no sample this time."""
    found = {}
    for name, info in load_stack(data_dir.root).components.items():
        if info.pid is None:
            continue
        try:
            process = psutil.Process(info.pid)
            status = read_status(data_dir.status_file(name))
            found[name] = Sample(
                round(at_s, 1),
                info.pid,
                process.memory_info().rss / 1e6,
                process.num_fds(),
                status.lag_records if status else None,
            )
        except psutil.NoSuchProcess:
            continue
    return found


def disk_mb(data_dir: DataDir) -> dict[str, float]:
    """Folder -> what its files take, 10^6 bytes. Files that go meanwhile are left out."""
    found = {}
    for name, folder in (("kafka", data_dir.kafka), ("store", data_dir.store)):
        total = 0
        # os.walk passes over folders that go meanwhile, as those of parts that are merged away do.
        for root, _, files in os.walk(folder):
            for file in files:
                try:
                    # Blocks, not lengths: Kafka makes its index files longer than they are.
                    total += (Path(root) / file).lstat().st_blocks * 512
                except FileNotFoundError:
                    continue
        found[name] = total / 1e6
    return found


@dataclass(frozen=True)
class Run:
    """What was seen. disks: (at_s, folder -> 10^6 bytes). kills: of each component that was killed."""

    samples: dict[str, list[Sample]]
    disks: list[tuple[float, dict[str, float]]]
    kills: dict[str, int]
    verify_exit_status: int


def soak(folder: Path, rate: float, minutes: float, warm_up_s: float) -> Run:
    """Run the demo, look at it, kill on the way, and verify after the load."""
    data_dir = DataDir(folder)
    command = [*_TOKENTIDE, "up", "--headless", "--demo", "--rate", str(rate), "--port-base", "0"]
    process = subprocess.Popen([*command, "--data-dir", str(folder)], stdout=subprocess.PIPE, text=True)
    samples: dict[str, list[Sample]] = defaultdict(list)
    disks: list[tuple[float, dict[str, float]]] = []
    kills: dict[str, int] = defaultdict(int)
    due = {name: warm_up_s * (0.2 + 0.1 * number) for number, name in enumerate(KILLED)}
    try:
        assert process.stdout is not None
        if not process.stdout.readline():
            raise SystemExit(f"tokentide up ended with status {process.wait()}; its reason is above")
        begin_s = time.monotonic()
        while (at_s := time.monotonic() - begin_s) < minutes * 60 and process.poll() is None:
            for name, one in sample(data_dir, at_s).items():
                samples[name].append(one)
                if at_s >= due.get(name, float("inf")):
                    del due[name]
                    os.kill(one.pid, signal.SIGKILL)
                    kills[name] += 1
                    sys.stderr.write(f"{at_s:.0f} s: killed {name}\n")
            disks.append((at_s, disk_mb(data_dir)))
            time.sleep(max(0.0, SAMPLE_S - (time.monotonic() - begin_s - at_s)))
        verify = [*_TOKENTIDE, "verify", "--wait-s", "120", "--data-dir", str(folder)]
        status = subprocess.run(verify, stdout=sys.stderr, check=False).returncode
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(timeout=120)
    return Run(samples, disks, kills, status)


def show(rows: Sequence[Growth], console: Console) -> None:
    """The table that a person reads."""
    table = Table(
        "process", "RSS MB", "MB/h", "open files", "files/h", "lag, first", "lag, last", "restarts", "exceeded"
    )
    for row in rows:
        lags = ["" if lag is None else f"{lag:,.0f}" for lag in (row.lag_first, row.lag_last)]
        table.add_row(
            row.component,
            f"{row.rss_mb:,.0f}",
            f"{row.rss_mb_per_h:+,.1f}",
            str(row.open_files),
            f"{row.open_files_per_h:+,.1f}",
            *lags,
            str(row.restarts),
            ", ".join(row.exceeded),
        )
    console.print(table)


def main() -> int:
    """Parse, run, print, judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=float, default=20_000, help="events per second")
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--warm-up-s", type=float, default=300, help="left out of the slopes; at most half of the run")
    parser.add_argument("--max-rss-mb-per-h", type=float, default=100)
    parser.add_argument("--max-open-files-per-h", type=float, default=20)
    parser.add_argument("--max-lag-growth", type=int, default=1_000, help="records")
    parser.add_argument("--output", type=Path, help="samples and result as JSON")
    chosen = parser.parse_args()
    bounds = Bounds(chosen.max_rss_mb_per_h, chosen.max_open_files_per_h, chosen.max_lag_growth)
    warm_up_s = min(chosen.warm_up_s, chosen.minutes * 30)
    with tempfile.TemporaryDirectory(prefix="tokentide-soak-") as folder:
        run = soak(Path(folder) / "stack", chosen.rate, chosen.minutes, warm_up_s)
    rows = [
        growth(name, found, warm_up_s, bounds, run.kills.get(name, 0)) for name, found in sorted(run.samples.items())
    ]
    show(rows, Console(width=None if sys.stdout.isatty() else 120))
    for name, size_mb in run.disks[-1][1].items():
        slope = slope_per_h([(at_s, sizes[name]) for at_s, sizes in run.disks if at_s >= warm_up_s])
        sys.stdout.write(f"disk of {name}: {size_mb:,.0f} MB at the end, {slope:+,.0f} MB/h after the warm-up\n")
    exceeded = [f"{row.component}: {', '.join(row.exceeded)}" for row in rows if row.exceeded]
    if run.verify_exit_status:
        exceeded.append(f"verify: exit status {run.verify_exit_status}")
    killed = ", ".join(run.kills) or "nothing"
    sys.stdout.write(f"{chosen.minutes:g} minutes at {chosen.rate:,g} events/s, killed: {killed}\n")
    sys.stdout.write(f"verdict: {'; '.join(exceeded) if exceeded else 'nothing grows, and verify holds'}\n")
    if chosen.output:
        content = {
            "events_per_s": chosen.rate,
            "minutes": chosen.minutes,
            "warm_up_s": warm_up_s,
            "bounds": asdict(bounds),
            "verify_exit_status": run.verify_exit_status,
            "kills": run.kills,
            "disks_mb": run.disks,
            "processes": [asdict(row) for row in rows],
            "samples": {name: [asdict(one) for one in found] for name, found in run.samples.items()},
        }
        chosen.output.write_text(json.dumps(content, indent=1) + "\n")
    return 1 if exceeded or not rows else 0


if __name__ == "__main__":
    raise SystemExit(main())
