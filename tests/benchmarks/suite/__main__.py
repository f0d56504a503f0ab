"""`make bench`: emitter, end to end, growth and peers in one run on one machine; one JSON and one table.

    python -m tests.benchmarks.suite [--quick] [--only end-to-end --only peers] [--out build/bench]

A part that fails is reported as failed and the rest goes on; the exit status is then 1. Progress goes to stderr, the
table to stdout, everything to `bench.json` in the output folder.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import platform
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console
from tests.benchmarks.suite import costs, peers, sections, tables

PROJECT = Path(__file__).resolve().parents[3]


def machine() -> dict[str, Any]:
    """Where this ran, and how busy it was otherwise."""
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, cwd=PROJECT)
    return {
        "at": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "commit": commit.stdout.strip() or "unknown",
        "cores": os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "python": platform.python_version(),
        "system": platform.platform(),
        "load_average_before": os.getloadavg(),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="smaller and shorter: about 4 minutes")
    parser.add_argument("--only", action="append", help="a part by its name; may be repeated")
    parser.add_argument("--out", type=Path, default=PROJECT / "build" / "bench", help="folder for bench.json")
    parser.add_argument("--write-costs", action="store_true", help="renew the costs that `tokentide plan` rests on")
    args = parser.parse_args(arguments)
    scale = sections.QUICK if args.quick else sections.Scale()
    console = Console(stderr=True)
    began = time.monotonic()

    def say(line: str) -> None:
        console.print(f"[dim]{time.monotonic() - began:6.0f} s[/]  {line}", highlight=False, soft_wrap=True)

    parts: dict[str, Callable[[], Any]] = {
        "emitter": lambda: sections.emitter(scale, say),
        "end to end": lambda: sections.end_to_end_and_stored(scale, say),
        "partitions": lambda: sections.by_partitions(scale, say),
        "models": lambda: sections.by_models(scale, say),
        "peers": lambda: peers.compare(scale.peer_events, scale.peer_seconds, say),
    }
    wanted = [name.replace("-", " ") for name in args.only or parts]
    if unknown := set(wanted) - set(parts):
        parser.error(f"there is no part {', '.join(sorted(unknown))}; there are: {', '.join(parts)}")
    result: dict[str, Any] = {"machine": machine(), "quick": args.quick, "sections": {}}
    args.out.mkdir(parents=True, exist_ok=True)
    file = args.out / "bench.json"
    for name in wanted:
        say(f"[bold]{name}[/]")
        part_began = time.monotonic()
        try:
            section: dict[str, Any] = {"found": parts[name]()}
        except Exception as error:  # noqa: BLE001 - the other parts are still worth measuring
            say(f"[red]{name} failed[/]: {error}")
            section = {"failed": f"{type(error).__name__}: {error}", "traceback": traceback.format_exc()}
        result["sections"][name] = section | {"took_s": round(time.monotonic() - part_began, 1)}
        file.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    tables.show(result, Console(width=None if sys.stdout.isatty() else 150))
    end_to_end = result["sections"].get("end to end", {}).get("found", {}).get("end_to_end")
    if args.write_costs and end_to_end:
        say(f"wrote {costs.write(result['machine'], end_to_end).relative_to(PROJECT)}")
    say(f"everything is in {file}")
    return 1 if _failures(result["sections"]) else 0


def _failures(found: Mapping[str, Any]) -> list[str]:
    """Parts that failed, peers within theirs, and a load that was not counted exactly."""
    failed = [name for name, section in found.items() if "failed" in section]
    load = found.get("end to end", {}).get("found", {}).get("end_to_end")
    if load and not (load["stored_exactly"] and load["verified"]["holds"]):
        failed.append("verify")
    peers_found = found.get("peers", {}).get("found", {})
    return failed + [name for name, one in peers_found.items() if isinstance(one, Mapping) and "failed" in one]


if __name__ == "__main__":
    sys.exit(main())
