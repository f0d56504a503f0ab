"""Doctor on a running stack: nothing to complain about; then with one thing wrong at a time."""

from __future__ import annotations

import json
from typing import Any

import pytest

from end_to_end.harness import Stack, wait_until
from tokentide_deploy.doctor import kafka, store
from tokentide_deploy.doctor.finding import Level
from tokentide_deploy.stack_state import load_stack
from tokentide_schemas import topics

pytestmark = [pytest.mark.embedded]


def doctor(stack: Stack, *arguments: str) -> tuple[int, dict[str, dict[str, Any]]]:
    ran = stack.run("doctor", "--json", "--timeout-s", "90", *arguments, check=False)
    report = json.loads(ran.stdout)
    assert report["healthy"] == (ran.returncode == 0)
    return ran.returncode, {one["check"]: one for one in report["findings"]}


def test_a_running_stack_is_healthy(stack: Stack) -> None:
    def is_healthy() -> bool:
        status, found = doctor(stack)
        seen.update(found)
        return status == 0

    seen: dict[str, dict[str, Any]] = {}
    # The session's other tests have sent refused events and unknown models: these are rightly told.
    wait_until(
        lambda: is_healthy() or {n for n, one in seen.items() if one["level"] == "failure"} <= {"dead-letters"},
        "a healthy stack",
        180,
        2.0,
    )
    for name in ("kafka-reachable", "topics", "partitions", "topic-settings", "consumer-groups", "schema", "processes"):
        assert seen[name]["level"] == "ok", seen[name]


def test_a_wrong_password_of_the_store_is_told_as_such(stack: Stack) -> None:
    account = load_stack(stack.data_dir).clickhouse_writer.model_copy(update={"password": "wrong-word"})
    found = {one.check: one for one in store.judge(store.gather(account, timeout_s=30))}
    assert found["clickhouse-credentials"].level is Level.FAILURE
    assert found["clickhouse-reachable"].level is Level.OK
    assert "wrong-word" not in str(found)


def test_an_https_address_of_a_plain_store_is_told_as_tls(stack: Stack) -> None:
    account = load_stack(stack.data_dir).clickhouse_writer.model_copy(update={"scheme": "https"})
    found = {one.check: one for one in store.judge(store.gather(account, timeout_s=30))}
    assert found["clickhouse-tls"].level is Level.FAILURE


def test_a_database_without_tables_is_told_as_pending_migrations(stack: Stack) -> None:
    account = load_stack(stack.data_dir).clickhouse_writer.model_copy(update={"database": "system"})
    found = {one.check: one for one in store.judge(store.gather(account, timeout_s=30))}
    assert found["schema"].level is Level.FAILURE and "pending" in found["schema"].what


def test_a_group_that_nobody_is_in_is_told(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(kafka.GROUPS, "nobody-is-in-this-group", "python -m nobody")
    found = {one.check: one for one in kafka.judge(kafka.gather(stack.kafka, timeout_s=30))}
    assert found["consumer-groups"].level is Level.FAILURE
    assert "nobody-is-in-this-group" in found["consumer-groups"].what


def test_a_missing_topic_is_told(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = (*topics.topics(), topics.Topic("tokentide.not-there.v1", 1))
    monkeypatch.setattr(topics, "topics", lambda: wanted)
    found = {one.check: one for one in kafka.judge(kafka.gather(stack.kafka, timeout_s=30))}
    assert found["topics"].level is Level.FAILURE and found["topics"].what == "missing: tokentide.not-there.v1"
