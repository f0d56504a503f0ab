"""The alerts topic on a real broker: a window's changes are there as a whole or not at all, and one engine speaks."""

from __future__ import annotations

import datetime as dt
import os
import signal
import subprocess
import sys
import uuid
from collections import Counter
from pathlib import Path

import pytest

from end_to_end.harness import Stack, wait_until
from tokentide_schemas import crash_points
from tokentide_schemas.alerts import AlertChange, AlertKind, AlertState, EngineProgress, Severity
from tokentide_stream.alerting.topic import AlertsPublisher, AlertsTopicError, Topics

pytestmark = [pytest.mark.embedded, pytest.mark.slow]

NOW = dt.datetime.now(dt.UTC).replace(microsecond=0)
PROGRESS = EngineProgress(evaluated_until=NOW, emitted_at=NOW)
PROGRAM = """
import sys
from tokentide_schemas.alerts import AlertChange, EngineProgress
from tokentide_stream.alerting.topic import AlertsPublisher
servers, name, progress, *changes = sys.argv[1:]
publisher = AlertsPublisher(servers, name)
publisher.begin()
publisher.publish([AlertChange.model_validate_json(one) for one in changes],
                  EngineProgress.model_validate_json(progress))
"""


def change(key: str) -> AlertChange:
    return AlertChange(
        alert_id=uuid.uuid4(),
        state=AlertState.FIRING,
        rule="topic-test",
        kind=AlertKind.LAUNCH,
        severity=Severity.INFO,
        measure="tokens",
        dimension="model",
        keys=(key,),
        direction="up",
        value=1.0,
        reference=0.0,
        change=1.0,
        unit="pp",
        window_s=60,
        started_at=NOW,
        detected_at=NOW,
        changed_at=NOW,
        emitted_at=NOW,
        summary="a test of the topic",
    )


def counts(stack: Stack, changes: list[AlertChange]) -> list[int]:
    """How often each of these changes is in the topic."""
    topics = Topics(stack.kafka)
    try:
        found = Counter(one.alert_id for one in topics.read().changes)
    finally:
        topics.close()
    return [found[one.alert_id] for one in changes]


@pytest.mark.parametrize(
    ("point", "expected"),
    [("alerts:before-publish", 0), ("alerts:after-changes", 0), ("alerts:after-commit", 1)],
)
def test_a_window_that_was_cut_off_anywhere_is_there_as_a_whole_or_not_at_all(
    stack: Stack, tmp_path: Path, point: str, expected: int
) -> None:
    name = f"topic-test-{uuid.uuid4().hex}"
    changes = [change("acme/one"), change("acme/two")]
    crash_points.arm(tmp_path / "crash", point)
    arguments = [stack.kafka, name, PROGRESS.model_dump_json(), *(one.model_dump_json() for one in changes)]
    died = subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments],
        env={**os.environ, crash_points.VARIABLE: str(tmp_path / "crash")},
        timeout=120,
    )
    assert died.returncode == -signal.SIGKILL
    successor = AlertsPublisher(stack.kafka, name)
    successor.begin()
    assert counts(stack, changes) == [expected, expected]
    if not expected:
        successor.publish(changes, PROGRESS)
    assert counts(stack, changes) == [1, 1]


def test_an_engine_that_was_believed_dead_cannot_speak_any_more(stack: Stack) -> None:
    name = f"topic-test-{uuid.uuid4().hex}"
    first, second = AlertsPublisher(stack.kafka, name), AlertsPublisher(stack.kafka, name)
    first.begin()
    said, unsaid = change("acme/one"), change("acme/two")
    first.publish([said], PROGRESS)
    second.begin()
    with pytest.raises(AlertsTopicError):
        first.publish([unsaid], PROGRESS)
    assert counts(stack, [said, unsaid]) == [1, 0]


def test_what_is_in_the_topic_is_in_the_table_once(stack: Stack) -> None:
    publisher = AlertsPublisher(stack.kafka, f"topic-test-{uuid.uuid4().hex}")
    publisher.begin()
    one = change("acme/stored")
    for _ in range(2):
        publisher.publish([one], PROGRESS)
    rows = f"SELECT count() FROM alert_changes FINAL WHERE alert_id = '{one.alert_id}'"
    wait_until(lambda: stack.value(rows) == 1, "the change in alert_changes")
    assert stack.value(f"SELECT count() FROM alerts WHERE alert_id = '{one.alert_id}'") == 1
