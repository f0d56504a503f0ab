"""The present code on what the previous release has left: every row stays, and counting goes on exactly.

The quick test starts on the committed data directory of the previous release. The long ones run the previous release
itself, from the history, with the packages of its own lock (tests/data/previous_release/README.md).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from end_to_end import previous_release
from end_to_end.harness import Stack, wait_until
from end_to_end.plain_events import send, settled
from end_to_end.previous_release import EXPECTED, ROOT, UNREAD_EVENTS, PreviousStack
from tokentide_deploy.commands.up_components import clickhouse_answers
from tokentide_deploy.embedded_kafka import EmbeddedKafka
from tokentide_deploy.ports import free_ports
from tokentide_deploy.stack_state import ClickHouseAccount

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


@contextmanager
def kafka_and_store(folder: Path) -> Iterator[tuple[str, str]]:
    """A broker and a store that outlive the stacks on them: the arguments of `tokentide up`."""
    (port,) = free_ports(1)
    account = ClickHouseAccount(host="127.0.0.1", port=port, user="tokentide", password="of-this-test")
    variables = {f"TOKENTIDE_STORE_{who}_PASSWORD": account.password for who in ("WRITER", "READER")}
    argv = [sys.executable, "-m", "tokentide_deploy.store", "--data-dir", str(folder / "store"), "--port", str(port)]
    with EmbeddedKafka(folder / "kafka", heap_mib=384) as broker:
        process = subprocess.Popen(argv, env={**os.environ, **variables}, stderr=subprocess.DEVNULL)
        try:
            wait_until(lambda: clickhouse_answers(account), "the store", 120)
            yield broker.bootstrap_servers, account.url
        finally:
            process.terminate()
            process.wait(60)


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_events_sent_during_a_rolling_upgrade_are_counted_once(tmp_path: Path, previous_python: Path) -> None:
    with kafka_and_store(tmp_path) as (kafka, clickhouse):
        arguments = ("--kafka", kafka, "--clickhouse", clickhouse)
        previous = PreviousStack(tmp_path / "previous", previous_python, *arguments)
        present = Stack(tmp_path / "present", *arguments)
        with previous:
            sent, stop = [0], threading.Event()

            def keep_sending() -> None:
                while not stop.wait(0.2):
                    send(previous, 10)
                    sent[0] += 10

            def stored(stack: Stack) -> int:
                return int(stack.value("SELECT count() FROM usage"))

            sender = threading.Thread(target=keep_sending)
            sender.start()
            try:
                wait_until(lambda: stored(previous) >= 50, "events of the previous release", 120)
                # Both releases share the groups: each has some of the partitions while tables are of the new one.
                with present:
                    together = stored(present)
                    wait_until(lambda: stored(present) >= together + 50, "events while both run", 120)
                    assert previous.stop() == 0
                    alone = stored(present)
                    wait_until(lambda: stored(present) >= alone + 50, "events of the present release alone", 120)
                    stop.set()
                    sender.join()
                    raw, rollup = settled(present, sent[0])
                    assert raw[0][3] == sent[0] and rollup[0][0] == sent[0]  # type: ignore[index]
                    assert present.value("SELECT max(number) FROM schema_migrations") == NEWEST_MIGRATION
            finally:
                stop.set()
                sender.join()
