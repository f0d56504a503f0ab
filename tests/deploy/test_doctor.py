"""Doctor's judgements, each by breaking what it looks at: pure ones on facts, the rest on files, sockets and ports."""

from __future__ import annotations

import dataclasses
import datetime as dt
import http.server
import json
import os
import re
import socket
import ssl
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from deploy.secure_kafka import make_authority, tls_front
from tokentide_deploy.doctor import kafka, local, store
from tokentide_deploy.doctor.connection import Connection, look
from tokentide_deploy.doctor.finding import CHECKS, Finding, Level
from tokentide_deploy.doctor.run import Patient, examine
from tokentide_deploy.ports import plan_ports
from tokentide_deploy.stack_state import ClickHouseAccount, ComponentInfo, StackAddresses
from tokentide_producers.settings import EmitterKeys
from tokentide_schemas import topics

ROOT = Path(__file__).parents[2]
BREAKING = ("deploy/test_doctor.py", "end_to_end/test_doctor.py", "store/test_doctor_facts.py")
HERE = Connection("127.0.0.1:9092", "")
KAFKA = kafka.KafkaFacts(
    HERE,
    brokers=1,
    topics={one.name: (one.partitions or 4, 1) for one in topics.topics()},
    settings={one.name: dict(one.config) for one in topics.topics()},
    groups=dict.fromkeys(kafka.GROUPS, 1),
    newest_ms=1_000_000,
)
STORE = store.StoreFacts(
    HERE,
    skew_s=0.1,
    migrations=0,
    disks=[("default", 50, 100)],
    lag={"worker": (10, 10, 3)},
    worker=(2, 0),
    missing_grants=[],
    silent=[],
    dead=(0, 0, 100),
    models=(100, 0),
    users=(100, 0),
)


def levels(found: list[Finding]) -> dict[str, Level]:
    return {one.check: one.level for one in found}


def only(found: list[Finding], check: str) -> Finding:
    return next(one for one in found if one.check == check)


def test_healthy_facts_give_no_complaint() -> None:
    found = [*kafka.judge(KAFKA), *store.judge(STORE)]
    assert set(levels(found).values()) == {Level.OK}


@pytest.mark.parametrize(
    ("broken", "check", "level", "says"),
    [
        ({"topics": {}}, "topics", Level.FAILURE, topics.USAGE),
        ({"topics": {**KAFKA.topics, topics.ROLLUPS: (3, 1)}}, "partitions", Level.FAILURE, "tokentide.rollups.v1: 3"),
        ({"groups": {**KAFKA.groups, topics.STREAM_APP_ID: 5}}, "partitions", Level.WARNING, "5 processes share 4"),
        (
            {"settings": {**KAFKA.settings, topics.USAGE: {"max.message.bytes": "1048588"}}},
            "topic-settings",
            Level.FAILURE,
            "takes records of 1,048,588 bytes",
        ),
        ({"brokers": 3}, "topic-settings", Level.WARNING, "one replica only, of 3 brokers"),
        ({"groups": {**KAFKA.groups, kafka.GROUP_EVENTS: 0}}, "consumer-groups", Level.FAILURE, kafka.GROUP_EVENTS),
        ({"groups": {}}, "consumer-groups", Level.UNKNOWN, "lacks Describe"),
    ],
)
def test_what_is_wrong_with_kafka_is_said(broken: dict[str, Any], check: str, level: Level, says: str) -> None:
    finding = only(kafka.judge(dataclasses.replace(KAFKA, **broken)), check)
    assert finding.level is level and says in finding.what
    assert finding.advice or level is Level.UNKNOWN


@pytest.mark.parametrize(
    ("broken", "check", "level", "says"),
    [
        ({"migrations": 2}, "schema", Level.FAILURE, "2 migrations are pending"),
        (
            {"migrations": "the database has migration 0009, newer than this version: upgrade tokentide"},
            "schema",
            Level.FAILURE,
            "newer than this version",
        ),
        ({"lag": {"worker": (9_000, 2_000, 3)}}, "lag", Level.FAILURE, "2,000 to 9,000"),
        ({"lag": {"worker": (9_000, 9_500, 3)}}, "lag", Level.OK, "not growing"),
        ({"lag": {}}, "lag", Level.UNKNOWN, "no consumer has reported"),
        ({"worker": (400, 7)}, "worker", Level.FAILURE, "400 s old, and 7 records"),
        ({"worker": (400, 0)}, "worker", Level.OK, "everything is counted"),
        ({"missing_grants": ["events"]}, "grants", Level.FAILURE, "may not write events"),
        ({"silent": [("gw-7", 44)]}, "gateways", Level.WARNING, "gw-7 for 44 min"),
        ({"dead": (50, 0, 100)}, "dead-letters", Level.FAILURE, "50 of 150 events"),
        ({"dead": (50, 6, 1_000_000)}, "dead-letters", Level.WARNING, "rising: 50 in ten minutes, 1 before"),
        ({"models": (100, 30)}, "unknown-models", Level.WARNING, "30 %"),
    ],
)
def test_what_is_wrong_with_the_store_is_said(broken: dict[str, Any], check: str, level: Level, says: str) -> None:
    finding = only(store.judge(dataclasses.replace(STORE, **broken)), check)
    assert finding.level is level and says in finding.what


@pytest.mark.parametrize(
    ("trouble", "checks"),
    [
        ("tls", ("kafka-tls", "clickhouse-tls")),
        ("credentials", ("kafka-credentials", "clickhouse-credentials")),
        ("unreachable", ("kafka-reachable", "clickhouse-reachable")),
        ("other", ("kafka-reachable", "clickhouse-reachable")),
    ],
)
def test_one_cause_is_told_once_and_what_depends_on_it_is_not_guessed(trouble: Any, checks: tuple[str, str]) -> None:
    broken = Connection("h:1", trouble, "h:1: because")
    both = (kafka.judge(kafka.KafkaFacts(broken)), store.judge(store.StoreFacts(broken)))
    for found, check in zip(both, checks, strict=True):
        failed = [one for one in found if one.level is Level.FAILURE]
        assert failed[0].check == check
        assert len(failed) == 1 and failed[0].what == "h:1: because" and failed[0].advice
        assert not [one for one in found if one.level is Level.WARNING]


@pytest.mark.parametrize(
    ("skew_s", "newest_ms", "level"),
    [
        (0.2, 999_000, Level.OK),
        (-9.0, None, Level.FAILURE),
        (None, 1_020_000, Level.FAILURE),
        (None, None, Level.UNKNOWN),
    ],
)
def test_clocks_that_disagree_are_told(skew_s: float | None, newest_ms: int | None, level: Level) -> None:
    assert store.judge_clock(skew_s, newest_ms, now_s=1_000.0).level is level


@pytest.mark.parametrize(("free", "level"), [(50, Level.OK), (9, Level.WARNING), (2, Level.FAILURE)])
def test_a_disk_that_fills_is_told(free: int, level: Level) -> None:
    assert store.judge_disks([("spool", free, 100), ("other", 90, 100)]).level is level


@pytest.mark.parametrize(
    ("keys", "users", "level"),
    [
        ({"hash_key": "short"}, None, Level.FAILURE),
        ({"hash_key": "long enough to be hard to guess"}, None, Level.OK),
        ({"hash_keys": "not json"}, None, Level.FAILURE),
        ({}, (100, 100), Level.WARNING),
        ({}, (100, 3), Level.OK),
        ({}, None, Level.OK),
    ],
)
def test_a_missing_or_short_hash_key_is_told_and_never_shown(
    keys: Mapping[str, Any], users: tuple[int, int] | None, level: Level, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TOKENTIDE_EMITTER_HASH_KEY", raising=False)
    finding = local.check_hash_key(EmitterKeys(**keys), users)
    assert finding.level is level
    assert not any(value in finding.what for value in keys.values())


def test_wrong_files_are_told_with_their_names(tmp_path: Path) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text("models: 3\n")
    found = local.check_catalogue((bad,), None)
    assert found.level is Level.FAILURE and "bad.yaml" in found.what
    rules, receivers = local.check_alerts(bad)
    assert rules.level is Level.FAILURE and receivers.level is Level.UNKNOWN


def test_a_receiver_that_does_not_answer_is_told_without_its_address(tmp_path: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    file = tmp_path / "alerts.yaml"
    file.write_text(f"receivers:\n  - name: ops\n    type: webhook\n    url: http://127.0.0.1:{port}/hook-path\n")
    rules, receivers = local.check_alerts(file)
    assert rules.level is Level.OK and receivers.check == "receivers"
    assert receivers.level is Level.FAILURE and "receiver ops" in receivers.what and "hook-path" not in receivers.what


def test_events_that_wait_in_a_spool_are_told(tmp_path: Path) -> None:
    assert local.check_spool(tmp_path).level is Level.OK
    (tmp_path / f"one{local.SEGMENT_SUFFIX}").write_bytes(b"12345")
    found = local.check_spool(tmp_path)
    assert found.level is Level.WARNING and "5 bytes" in found.what


def test_two_stores_on_one_folder_are_told(tmp_path: Path) -> None:
    assert local.check_stack(tmp_path, None, []).level is Level.OK
    orphan = local.check_stack(tmp_path, None, [11])
    assert orphan.level is Level.FAILURE and "without a stack" in orphan.what
    both = local.check_stack(tmp_path, None, [11, 12])
    assert both.level is Level.FAILURE and "kill 12" in both.advice


def test_taken_ports_are_told_with_who_wants_them() -> None:
    plan = plan_ports(0)
    assert local.check_ports(None, plan).level is Level.OK
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", plan.kafka))
        taken.listen()
        found = local.check_ports(None, plan)
    assert found.level is Level.WARNING and f"{plan.kafka} (kafka)" in found.what


def test_a_process_that_is_not_ready_is_told_with_its_reason() -> None:
    assert local.judge_processes({}, 10).level is Level.OK
    found = local.judge_processes({"stream": "does not run"}, 10)
    assert found.level is Level.FAILURE and found.what == "stream: does not run"


class _Waits(http.server.BaseHTTPRequestHandler):
    """A process that is alive and waits for Kafka."""

    def do_GET(self) -> None:
        body = json.dumps({"ready": False, "problems": ["it waits for Kafka"]}).encode()
        self.send_response(503)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Quiet."""


def test_processes_of_a_stack_that_are_dead_mute_or_waiting_are_told_each_with_its_own_word(tmp_path: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        mute = closed.getsockname()[1]
    server = http.server.HTTPServer(("127.0.0.1", 0), _Waits)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    account = ClickHouseAccount(host="127.0.0.1", port=1, user="u", password="p")
    log = tmp_path / "log"
    stack = StackAddresses(
        data_dir=tmp_path,
        kafka_bootstrap_servers="127.0.0.1:1",
        clickhouse_writer=account,
        clickhouse_reader=account,
        pid=1,
        pid_started_s=0.0,
        started_at=dt.datetime(2026, 1, 1, tzinfo=dt.UTC),
        components={
            "alerts": ComponentInfo(pid=None, log_file=log),
            "board": ComponentInfo(pid=11, log_file=log, health_url=f"http://127.0.0.1:{mute}"),
            "stream": ComponentInfo(pid=12, log_file=log, health_url=f"http://127.0.0.1:{server.server_port}"),
        },
    )
    try:
        found = local.check_processes(stack)
    finally:
        server.shutdown()
        server.server_close()
    assert found.level is Level.FAILURE
    told = dict(one.split(": ", 1) for one in found.what.split("; "))
    assert told["alerts"] == "does not run"
    assert told["board"].startswith("does not answer")
    assert told["stream"] == "it waits for Kafka"


def test_a_file_system_is_looked_at_once_and_a_folder_that_is_not_there_not_at_all(tmp_path: Path) -> None:
    (tmp_path / "spool").mkdir()
    found = local.disks_of([tmp_path, tmp_path / "spool", tmp_path / "nowhere"])
    assert [what for what, _, _ in found] == [str(tmp_path)]
    assert found[0][1] <= found[0][2]


def test_every_check_is_broken_by_a_test() -> None:
    told = "".join((ROOT / "tests" / name).read_text() for name in BREAKING)
    unbroken = [name for name in CHECKS if not re.search(rf'"{name}"|(?:check|judge)_{name.split("-")[0]}', told)]
    assert unbroken == []


@pytest.fixture
def plain_server() -> Iterator[int]:
    # A thread for each connection: one that is left open must not keep the server from stopping.
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler)
    server.daemon_threads = True
    server.block_on_close = False
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield int(server.server_address[1])
    server.shutdown()
    server.server_close()


def test_tls_on_one_side_only_is_recognised_as_what_it_is(tmp_path: Path, plain_server: int) -> None:
    authority, ca_file = make_authority(tmp_path)
    trusted = ssl.create_default_context(cafile=str(ca_file))
    with tls_front(authority, plain_server) as port:
        assert look("127.0.0.1", port, True, trusted, 10).trouble == ""
        stranger = look("127.0.0.1", port, True, None, 10)
        assert stranger.trouble == "tls" and "certificate is not accepted" in stranger.detail
        plain = look("127.0.0.1", port, False, None, 10)
        assert plain.trouble == "tls" and "speaks TLS, we do not" in plain.detail
    assert look("127.0.0.1", plain_server, False, None, 10).trouble == ""
    assert look("127.0.0.1", plain_server, True, trusted, 10).trouble == "tls"


def test_nobody_at_the_addresses_is_said_in_time_and_without_a_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in os.environ if name.startswith("TOKENTIDE_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("TOKENTIDE_SINK_MAX_ROWS", "many")
    account = ClickHouseAccount.from_url("http://u:s3cret-word@127.0.0.1:1/db")
    found = examine(Patient(tmp_path, None, "127.0.0.1:1", account), timeout_s=60)
    assert [one.check for one in found] == list(CHECKS)
    failed = {one.check for one in found if one.level is Level.FAILURE}
    assert failed == {"settings", "kafka-reachable", "clickhouse-reachable"}
    assert "s3cret-word" not in json.dumps([one.what + one.advice for one in found])


def test_a_check_that_hangs_is_given_up_and_holds_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    never = threading.Event()
    monkeypatch.setattr(kafka, "gather", lambda _servers: never.wait())
    found = examine(Patient(tmp_path, None, "127.0.0.1:1", None), timeout_s=3)
    never.set()
    reachable = only(found, "kafka-reachable")
    assert reachable.level is Level.WARNING and "too long" in reachable.what


def test_every_check_has_its_section_in_the_documentation() -> None:
    page = (ROOT / "docs/doctor.md").read_text()
    assert [name for name in CHECKS if f"\n## {name}\n" not in page] == []
