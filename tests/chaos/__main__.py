"""`make chaos`, or `PYTHONPATH=tests python -m chaos --faults 500 --seed 1`: faults under load, and the proof after."""

from __future__ import annotations

import argparse
import logging
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console

from chaos.campaign import Campaign
from chaos.report import show


def main() -> int:
    """Status 0 when nothing was lost or doubled, 1 when something was."""
    parser = argparse.ArgumentParser(prog="chaos", description="Faults under load; then everything must be counted.")
    parser.add_argument("--faults", type=int, default=500)
    parser.add_argument("--seed", type=int, default=None, help="default: from the clock; it is printed")
    parser.add_argument("--events-per-s", type=float, default=2_000)
    parser.add_argument("--per-round", type=int, default=10, help="faults between two proofs")
    parser.add_argument("--only", default=None, help="only faults whose name has this in it")
    parser.add_argument("--without-dedup", action="store_true", help="sinks that forget what they did: it must fail")
    parser.add_argument("--folder", type=Path, default=None, help="keep logs and data here")
    given = parser.parse_args()
    # So that a polite kill takes all children and the small disk away as well.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    seed = given.seed if given.seed is not None else int(time.time())
    folder = given.folder or Path(tempfile.mkdtemp(prefix="tokentide-chaos-"))
    # A store that is away is what this is about, not news.
    logging.getLogger("clickhouse_connect").setLevel(logging.CRITICAL)
    console = Console(width=110)
    began = time.monotonic()

    def say(line: str) -> None:
        console.print(f"[dim]{time.monotonic() - began:6.0f} s[/] {line}", highlight=False)

    say(f"seed {seed}, logs in {folder}")
    campaign = Campaign(
        folder,
        seed,
        events_per_s=given.events_per_s,
        per_round=given.per_round,
        sink_module="chaos.sink_without_dedup" if given.without_dedup else None,
        only=given.only,
        say=say,
    )
    outcome = campaign.run(given.faults)
    show(outcome, console)
    if outcome.holds and given.folder is None:
        shutil.rmtree(folder, ignore_errors=True)
    return 0 if outcome.holds else 1


if __name__ == "__main__":
    sys.exit(main())
