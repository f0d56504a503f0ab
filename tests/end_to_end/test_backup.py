"""A stopped stack's backup, restored into an empty folder, passes `verify` and goes on counting exactly.

Two stacks take minutes. In the suite a restored backup is started as well: the previous release's (test_upgrade.py).
"""

from __future__ import annotations

from pathlib import Path

import pytest

from end_to_end.harness import Stack
from end_to_end.plain_events import send, settled


@pytest.mark.embedded
@pytest.mark.long
def test_a_restored_backup_passes_verify_and_counts_on_exactly(tmp_path: Path) -> None:
    file, restored = tmp_path / "backup.tar", tmp_path / "elsewhere" / "restored"
    with Stack(tmp_path / "first") as first:
        send(first, 40)
        before = settled(first, 40)
        refused = first.run("backup", "create", str(file), check=False)
        assert refused.returncode == 3 and "Stop that one" in refused.stderr
    made = first.run("backup", "create", str(file))
    assert "Kafka and store" in made.stdout

    second = Stack(restored)
    second.run("backup", "restore", str(file))
    with second:
        assert settled(second, 40) == before
        send(second, 15)
        after = settled(second, 55)
        assert after[0] == [(55, before[0][0][1] + sum(range(10, 25)), 55 * 5, 55)]  # type: ignore[index]
