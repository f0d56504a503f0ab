"""Doctor's questions to the store, each asked of a real one in which that one thing is wrong."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from tokentide_deploy.doctor import store as doctor
from tokentide_deploy.doctor.finding import Finding, Level
from tokentide_deploy.stack_state import ClickHouseAccount
from tokentide_schemas.cubes import CUBES, stored_cubes
from tokentide_sinks.migrate import migrate
from tokentide_sinks.store import Store

SAMPLES = (
    "INSERT INTO pipeline_samples (sampled_at, component, topic, partition, position_offset, end_offset, lag_records) "
    "SELECT now() - {age}, '{component}', 'tokentide.usage.v1', 0, {end} - {lag}, {end}, {lag}"
)
EVENTS = (
    "INSERT INTO events (event_id, occurred_at, ingested_at, gateway, model, kafka_offset) "
    "SELECT generateUUIDv4(), now64(3) - INTERVAL {age} SECOND, now64(3), '{gateway}', 'gpt-4o', number "
    "FROM numbers({count})"
)
DEAD = (
    "INSERT INTO dead_letters (topic, epoch, partition, offset, row, reason, events, appended_at, rejected_at) "
    "SELECT 't', 'e', 0, number + {first}, -1, 'unreadable', 1, now64(3), now64(3) - INTERVAL {age} SECOND "
    "FROM numbers({count})"
)


class Sick:
    """A database of the platform's tables that a test makes sick, and doctor's word about it."""

    def __init__(self, account: ClickHouseAccount) -> None:
        self.account = account
        self.store = Store(account.url)
        self._tables: set[str] = set()

    def put(self, statement: str, **values: Any) -> None:
        """Insert rows; the test's end takes them out."""
        self._tables.add(statement.split()[2])
        self.store.command(statement.format(**values))

    def says(self, check: str) -> Finding:
        """Doctor's finding."""
        return next(one for one in doctor.judge(doctor.gather(self.account, timeout_s=30)) if one.check == check)

    def heal(self) -> None:
        """Take out what was put in."""
        for table in self._tables:
            self.store.command(f"TRUNCATE TABLE {table}")
        self._tables.clear()


@pytest.fixture(scope="module")
def prepared(store: Any) -> Iterator[Sick]:
    database = f"t_{uuid.uuid4().hex[:12]}"
    store.execute(f"CREATE DATABASE {database}")
    sick = Sick(ClickHouseAccount(host="127.0.0.1", port=store.port, user="tokentide", password="", database=database))
    migrate(sick.store)
    yield sick
    sick.store.close()
    store.execute(f"DROP DATABASE {database}")


@pytest.fixture
def sick(prepared: Sick) -> Iterator[Sick]:
    yield prepared
    prepared.heal()


def test_an_empty_store_of_this_version_has_no_complaint(sick: Sick) -> None:
    facts = doctor.gather(sick.account, timeout_s=30)
    assert facts.unasked == {}, "a question could not be asked"
    assert not [one for one in doctor.judge(facts) if one.level in (Level.FAILURE, Level.WARNING)]
    assert facts.skew_s is not None and abs(facts.skew_s) < doctor.MAX_SKEW_S
    assert facts.disks and all(0 < free <= total for _, free, total in facts.disks)


def test_a_schema_that_is_newer_than_the_code_is_told(sick: Sick) -> None:
    sick.store.command(f"INSERT INTO schema_migrations (number, name, sha256) VALUES (9999, 'later', '{'0' * 64}')")
    try:
        found = sick.says("schema")
    finally:
        sick.store.command("DELETE FROM schema_migrations WHERE number = 9999")
    assert found.level is Level.FAILURE and "9999, newer than this version" in found.what
    assert found.advice == "Upgrade tokentide on this machine."
    assert sick.says("schema").level is Level.OK


def test_a_consumer_that_falls_behind_is_told_and_one_that_catches_up_is_not(sick: Sick) -> None:
    sick.put(SAMPLES, age=240, component="events-sink", end=50_000, lag=2_000)
    sick.put(SAMPLES, age=5, component="events-sink", end=90_000, lag=9_000)
    sick.put(SAMPLES, age=240, component="rollups-sink", end=50_000, lag=20_000)
    sick.put(SAMPLES, age=5, component="rollups-sink", end=60_000, lag=1_500)
    found = sick.says("lag")
    assert found.level is Level.FAILURE and "events-sink: 2,000 to 9,000 records" in found.what
    assert "rollups-sink" not in found.what


@pytest.mark.parametrize(
    ("age_s", "counted", "level"), [(300, 400, Level.FAILURE), (300, 499, Level.OK), (5, 400, Level.OK)]
)
def test_a_worker_that_stopped_with_records_left_is_told(sick: Sick, age_s: int, counted: int, level: Level) -> None:
    sick.put(
        "INSERT INTO stream_watermarks (topic, epoch, partition, applied_offset, watermark, applied_events, "
        "emitted_at, published_watermark) SELECT 'tokentide.usage.v1', 'e', 0, {counted}, now64(3), 1, "
        "now64(3) - INTERVAL {age_s} SECOND, now64(3)",
        counted=counted,
        age_s=age_s,
    )
    sick.put(SAMPLES, age=5, component="events-sink", end=500, lag=0)
    found = sick.says("worker")
    assert found.level is level
    if level is Level.FAILURE:
        assert "99 records are not counted" in found.what


def test_a_gateway_that_sent_and_is_silent_is_told_and_one_that_sends_is_not(sick: Sick) -> None:
    sick.put(EVENTS, age=45 * 60, gateway="gw-silent", count=120)
    sick.put(EVENTS, age=10, gateway="gw-talking", count=120)
    sick.put(EVENTS, age=45 * 60, gateway="gw-rare", count=5)
    found = sick.says("gateways")
    assert found.level is Level.WARNING and "gw-silent for 45 min" in found.what
    assert "gw-talking" not in found.what and "gw-rare" not in found.what


def test_many_refused_events_are_told_and_a_few_are_not(sick: Sick) -> None:
    sick.put(EVENTS, age=10, gateway="gw", count=900)
    sick.put(DEAD, first=0, age=10, count=5)
    assert sick.says("dead-letters").level is Level.OK
    sick.put(DEAD, first=100, age=10, count=95)
    found = sick.says("dead-letters")
    assert found.level is Level.FAILURE and "100 of 1,000 events" in found.what


def test_models_without_a_name_in_the_catalogue_are_told(sick: Sick) -> None:
    partials = next(one.partials_table for one in stored_cubes(CUBES) if one.name == "model_1h")
    sick.put(
        f"INSERT INTO {partials} (window_start, model, provider, requests) "
        "SELECT toStartOfHour(now()), 'nobody/knows-it', 'acme', 50"
    )
    found = sick.says("unknown-models")
    assert found.level is Level.WARNING and "100 % of a day's requests" in found.what


def test_a_user_that_may_not_write_is_told_by_the_tables_names(sick: Sick) -> None:
    reader = sick.account.model_copy(update={"user": "reader", "database": "tokentide"})
    facts = doctor.gather(reader, timeout_s=30)
    found = next(one for one in doctor.judge(facts) if one.check == "grants")
    assert found.level is Level.FAILURE and "events" in found.what and "GRANT" in found.advice.upper()
