"""The benchmark of the panels works at a small size: it fills a store, times what is asked for, says what is slow."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
SMALL = ("--events", "4000", "--months", "1", "--minute-days", "1", "--hour-days", "2", "--repeats", "2")


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.benchmarks.panels", *SMALL, *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=900)


def test_every_asked_panel_is_timed_and_the_limit_decides_the_status(tmp_path: Path) -> None:
    folder, written = tmp_path / "store", tmp_path / "timings.json"
    asked = ("--folder", str(folder), "--json", str(written), "--only", "Models: ", "Retention: ")
    done = run(*asked, "--keep", "--limit-ms", "60000")
    assert done.returncode == 0, done.stderr[-3000:]
    timings = json.loads(written.read_text())
    panels = {(one["dashboard"], one["query"], one["span"]) for one in timings}
    assert len(panels) == len(timings)
    assert {dashboard for dashboard, _, _ in panels} == {"Models", "Retention"}
    assert {span for _, _, span in panels} == {"default", "long"}
    assert ("Models", "$provider", "long") in panels
    assert all(0 < one["p50_ms"] <= one["p95_ms"] and one["read_rows"] > 0 for one in timings)
    assert "| events | 4,000 |" in done.stdout
    again = run(*asked, "--limit-ms", "0.001")
    assert again.returncode == 1, again.stderr[-3000:]
    assert f"0 of {len(timings)} within 0.001 ms" in again.stdout
    assert not folder.exists(), "a folder that is not to be kept stays"
