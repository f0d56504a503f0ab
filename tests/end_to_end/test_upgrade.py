"""The present code on what the previous release has left: every row stays, and counting goes on exactly.

The quick test starts on the committed data directory of the previous release. The long ones run the previous release
itself, from the history, with the packages of its own lock (tests/data/previous_release/README.md).
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from end_to_end import previous_release
from end_to_end.harness import Stack
from end_to_end.plain_events import send, settled
from end_to_end.previous_release import EXPECTED, ROOT, UNREAD_EVENTS, PreviousStack

pytestmark = [pytest.mark.embedded]
NEWEST_MIGRATION = max(int(path.name[:4]) for path in (ROOT / "sinks/tokentide_sinks/migrations").glob("*.sql"))
STORED = previous_release.PLAIN_EVENTS + previous_release.EMITTED_EVENTS
UNREAD_TOKENS = sum(1000 + number for number in range(UNREAD_EVENTS))


def takes_over(stack: Stack, before: dict[str, list[list[int]]]) -> None:
    """What was stored is there, what lay unread in Kafka is read, and new events count on top."""
    (_, tokens, output, _), (rollup_requests, rollup_tokens, rollup_output) = before["raw"][0], before["rollup"][0]
    assert (tokens, output) == (rollup_tokens, rollup_output) and rollup_requests == STORED
    with_unread = STORED + UNREAD_EVENTS
    tokens, output = tokens + UNREAD_TOKENS, output + 7 * UNREAD_EVENTS
    assert settled(stack, with_unread) == (
        [(with_unread, tokens, output, with_unread)],
        [(with_unread, tokens, output)],
    )
    assert stack.value("SELECT max(number) FROM schema_migrations") == NEWEST_MIGRATION
    assert stack.value("SELECT count() FROM dead_letters") == 1
    send(stack, 15)
    tokens, output = tokens + sum(range(10, 25)), output + 5 * 15
    assert settled(stack, with_unread + 15)[1] == [(with_unread + 15, tokens, output)]


def test_the_previous_releases_folder_is_taken_over_with_every_row(tmp_path: Path) -> None:
    expected = json.loads(EXPECTED.read_text())
    assert expected["release"] == previous_release.RELEASE, "make the fixture anew, as its README says"
    stack = Stack(tmp_path / "stack")
    previous_release.restore(stack, tmp_path / "backup.tar")
    with stack:
        takes_over(stack, expected)


@pytest.fixture(scope="module")
def previous_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment with the previous release in it."""
    if not previous_release.history_has_it():
        pytest.skip(f"THE PREVIOUS RELEASE IS NOT RUN: this clone has no commit {previous_release.RELEASE}; fetch all")
    return previous_release.install(tmp_path_factory.mktemp("previous"))


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_an_upgrade_keeps_every_row_and_the_way_back_is_the_backup(tmp_path: Path, previous_python: Path) -> None:
    previous, backup = PreviousStack(tmp_path / "stack", previous_python), tmp_path / "before-the-upgrade.tar"
    with previous:
        before = previous_release.fill(previous)
    present = Stack(previous.data_dir)
    present.run("backup", "create", str(backup))
    with present:
        takes_over(present, before)

    # The previous code refuses tables that it does not know, instead of writing into them.
    refused = subprocess.run(
        [*previous.command, "up", "--headless", "--port-base", "0", "--data-dir", str(previous.data_dir)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert refused.returncode == 1
    assert "migration" in refused.stderr

    restored = PreviousStack(tmp_path / "restored", previous_python)
    Stack(restored.data_dir).run("backup", "restore", str(backup))
    with restored:
        settled(restored, STORED + UNREAD_EVENTS)
        send(restored, 15)
        settled(restored, STORED + UNREAD_EVENTS + 15)
