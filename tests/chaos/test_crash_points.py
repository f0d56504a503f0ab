"""A crash point kills exactly the process that is armed, at exactly the named place, and once."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tokentide_schemas import crash_points

PROGRAM = """
from tokentide_schemas.crash_points import reach
for number in range(1, 4):
    reach("worker:after-rows")
    print(number, flush=True)
"""


def run(file: Path | None) -> subprocess.CompletedProcess[str]:
    env = {"PYTHONPATH": ":".join(sys.path)} | ({crash_points.VARIABLE: str(file)} if file else {})
    return subprocess.run([sys.executable, "-c", PROGRAM], env=env, capture_output=True, text=True, timeout=60)


def test_nothing_happens_without_the_variable_or_without_the_file(tmp_path: Path) -> None:
    assert run(None).stdout.split() == ["1", "2", "3"]
    assert run(tmp_path / "crash").stdout.split() == ["1", "2", "3"]


def test_an_armed_process_dies_at_the_named_time_and_its_successor_lives(tmp_path: Path) -> None:
    crash_points.arm(tmp_path / "crash", "worker:after-rows", times=2)
    died = run(tmp_path / "crash")
    assert (died.returncode, died.stdout.split()) == (-signal.SIGKILL, ["1"])
    assert run(tmp_path / "crash").stdout.split() == ["1", "2", "3"]


def test_another_point_does_not_kill(tmp_path: Path) -> None:
    crash_points.arm(tmp_path / "crash", "worker:after-checkpoint")
    assert run(tmp_path / "crash").returncode == 0


def test_a_point_that_does_not_exist_cannot_be_armed(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no crash point"):
        crash_points.arm(tmp_path / "crash", "worker:after-lunch")
