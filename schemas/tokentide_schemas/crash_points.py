"""Named places between two durable writes, where the fault harness (tests/chaos) makes a process die.

In production `TOKENTIDE_CRASH_POINT_FILE` is not set, and `reach` does nothing. The harness names a file by it for each
process; `arm` writes a point and a count into it, which arms a running process. The
file is removed before the process kills itself, so its successor lives.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Final

VARIABLE: Final = "TOKENTIDE_CRASH_POINT_FILE"

EVENTS_SINK: Final = (
    "events-sink:after-pending-commit",
    "events-sink:after-raw-insert",
    "events-sink:after-dead-letters",
    "events-sink:after-ledger",
    "events-sink:after-final-commit",
)
EVENTS_SINK_REFUSED: Final = ("events-sink:after-chunk-commit", "events-sink:after-chunk-insert")
"""Reached only while the store refuses rows."""
ROLLUPS_SINK: Final = ("rollups-sink:after-rows", "rollups-sink:after-progress", "rollups-sink:after-commit")
WORKER: Final = ("worker:after-rows", "worker:after-checkpoint", "worker:after-acknowledgement")
ALERTS: Final = ("alerts:before-publish", "alerts:after-changes", "alerts:after-commit")
MAINTENANCE: Final = ("maintenance:after-sums",)
NOTIFY: Final = ("notify:after-delivery", "notify:after-record")

_armed_by: Final = os.environ.get(VARIABLE, "")


def reach(point: str) -> None:
    """Die here by SIGKILL when the harness has armed this point; otherwise nothing."""
    if _armed_by:
        _die_if_armed(Path(_armed_by), point)


def _die_if_armed(file: Path, point: str) -> None:
    try:
        name, _, times = file.read_text().strip().rpartition("@")
    except FileNotFoundError:
        return
    if name != point:
        return
    if int(times) > 1:
        partial = file.with_name(file.name + ".partial")
        partial.write_text(f"{name}@{int(times) - 1}")
        partial.replace(file)
        return
    file.unlink()
    os.kill(os.getpid(), signal.SIGKILL)


def arm(file: Path, point: str, times: int = 1) -> None:
    """Make the process whose variable names `file` die when it reaches `point` for the n-th time from now."""
    if point not in (*EVENTS_SINK, *EVENTS_SINK_REFUSED, *ROLLUPS_SINK, *WORKER, *ALERTS, *NOTIFY):
        raise ValueError(f"no crash point {point!r}; see tokentide_schemas/crash_points.py")
    partial = file.with_name(file.name + ".arming")
    partial.write_text(f"{point}@{times}")
    partial.replace(file)
