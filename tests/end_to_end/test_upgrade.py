"""The present code on the previous release's data directory: every row stays, and counting goes on exactly.

The previous release is the commit in previous_release.txt, with the packages of its own lock in its own environment.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from end_to_end.harness import Stack
from end_to_end.plain_events import send, settled

ROOT = Path(__file__).parents[2]
PREVIOUS = (Path(__file__).parent / "previous_release.txt").read_text().strip()

pytestmark = [pytest.mark.long, pytest.mark.embedded]


class PreviousStack(Stack):
    """A stack of the previous release: its commands run in its own environment."""

    def __init__(self, data_dir: Path, python: Path) -> None:
        super().__init__(data_dir)
        self.command = [str(python), "-m", "tokentide_deploy.cli"]


@pytest.fixture(scope="module")
def previous_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment with the previous release in it."""
    known = subprocess.run(
        ["git", "cat-file", "-e", f"{PREVIOUS}^{{commit}}"], cwd=ROOT, capture_output=True, check=False
    )
    if known.returncode:
        pytest.skip(f"THE UPGRADE IS NOT TESTED: this clone has no commit {PREVIOUS}; fetch the full history")
    folder = tmp_path_factory.mktemp("previous")
    source, environment = folder / "source", folder / "environment"
    source.mkdir()
    archive = folder / "source.tar"
    subprocess.run(["git", "archive", "--output", str(archive), PREVIOUS], cwd=ROOT, check=True)
    shutil.unpack_archive(archive, source)
    uv = [sys.executable, "-m", "uv"]
    subprocess.run([*uv, "venv", "--quiet", "--python", sys.executable, str(environment)], check=True)
    python = environment / "bin" / "python"
    install = [*uv, "pip", "install", "--quiet", "--python", str(python)]
    subprocess.run([*install, "--require-hashes", "-r", str(source / "requirements-dev.lock")], check=True)
    subprocess.run([*install, "--no-deps", "--no-build-isolation", "-e", str(source)], check=True)
    return python


def test_an_upgrade_keeps_every_row_and_counts_on_and_the_way_back_is_the_backup(
    tmp_path: Path, previous_python: Path
) -> None:
    data_dir, backup = tmp_path / "stack", tmp_path / "before-the-upgrade.tar"
    with PreviousStack(data_dir, previous_python) as previous:
        send(previous, 40)
        before = settled(previous, 40)
    present = Stack(data_dir)
    present.run("backup", "create", str(backup))

    with present:
        assert settled(present, 40) == before
        send(present, 15)
        settled(present, 55)
        migrations = present.value("SELECT max(number) FROM schema_migrations")
    numbers = [int(path.name[:4]) for path in (ROOT / "sinks/tokentide_sinks/migrations").glob("*.sql")]
    assert migrations == max(numbers)

    # The previous code refuses tables that it does not know, instead of writing into them.
    refused = subprocess.run(
        [*PreviousStack(data_dir, previous_python).command, "up", "--headless", "--data-dir", str(data_dir)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert refused.returncode == 1
    assert "migration" in refused.stderr

    restored = PreviousStack(tmp_path / "restored", previous_python)
    present = Stack(restored.data_dir)
    present.run("backup", "restore", str(backup))
    with restored:
        assert settled(restored, 40) == before
        send(restored, 15)
        settled(restored, 55)
