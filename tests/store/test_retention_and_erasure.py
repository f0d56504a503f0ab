"""Retention, erasure and publication on a real store, and that verification accounts for what is gone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from pydantic import ValidationError
from tests.store.seeded_store import EPOCH, fill, prepare, record, usage_event

from tokentide_deploy.verify import run as verify_run
from tokentide_producers.hash_keys import HashKeyRing
from tokentide_schemas.clickhouse import statements as schema_statements
from tokentide_schemas.cluster_ddl import Cluster
from tokentide_schemas.cubes import CUBES, MODEL_CUBE
from tokentide_schemas.grants import grants, readable
from tokentide_schemas.retention import DAY_MS, RetentionSettings, Tier, Usage, statements, tiers, ttl_days
from tokentide_sinks.store import Store

KEYS = json.dumps(
    [
        {"id": "old", "secret": "0123456789abcdef-old"},
        {"id": "new", "secret": "0123456789abcdef-new", "valid_from": "2026-06-01T00:00:00Z"},
    ]
)


@pytest.fixture
def database(store: Any, table: str) -> Iterator[str]:
    """URL of an empty database."""
    store.execute(f"CREATE DATABASE {table}")
    yield f"http://tokentide@127.0.0.1:{store.port}/{table}"
    store.execute(f"DROP DATABASE {table}")


def iso(at_ms: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at_ms / 1000))


def tokentide(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tokentide_deploy.cli", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "COLUMNS": "160", "NO_COLOR": "1", **variables},
    )


class FakeTopic(verify_run.Verifier):
    """The verifier with the topic's offsets given, for stores that were filled without Kafka."""

    ends: dict[int, tuple[int, int]]

    def _offsets(self) -> dict[int, tuple[int, int]]:
        return self.ends

    def _read_positions(self, ends: Mapping[int, tuple[int, int]]) -> dict[int, tuple[int, int]]:
        return {number: (low, end) for number, (low, end) in ends.items()}


@pytest.fixture
def verify(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(verify_run, "topic_id", lambda *_: EPOCH)

    def check(store: Store, ends: dict[int, tuple[int, int]]) -> Any:
        verifier = FakeTopic("unused", store, wait_s=0, cubes=(MODEL_CUBE,))
        verifier.ends = ends
        return verifier.run()

    return check


@pytest.mark.parametrize(
    ("variables", "says"),
    [
        ({"ledger_days": 6, "raw_days": 5, "dead_letters_days": 90}, "at least 8 days"),
        ({"raw_days": 91}, "at least as long as the raw"),
        ({"raw_days": 0}, "at least as long as the raw"),
        ({"dead_letters_days": 30}, "at least as long as the ledger"),
    ],
)
def test_the_ledger_outlives_everything_that_it_explains(variables: dict[str, int], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        RetentionSettings(**variables)
    RetentionSettings(raw_days=0, ledger_days=0, dead_letters_days=0)


def test_long_rollups_are_kept_for_ever_and_minutes_are_not() -> None:
    days = {tier.table: tier.days for tier in tiers(RetentionSettings(), CUBES)}
    assert days["rollup_model_partials"] == 90
    assert days["rollup_model_1h_partials"] == days["rollup_model_1d_partials"] == 0
    assert days["events"] == 30
    assert days["user_months"] == 760


def test_a_size_grows_until_as_much_expires_as_comes_in() -> None:
    daily = Tier("events", "occurred_at", 30, 1)
    held = Usage(
        rows=1_000, bytes_on_disk=50_000, oldest_ms=0, newest_ms=DAY_MS, recent_rows=500, recent_ms=DAY_MS // 2
    )
    assert held.bytes_per_day == 50_000
    assert held.steady_bytes(daily) == 31 * 50_000
    assert held.steady_bytes(Tier("t", "c", 0, 31)) is None
    assert Usage(10, 500, 0, 10, 10, 10).bytes_per_day is None


def test_retention_is_applied_once_shown_and_can_be_taken_back(database: str) -> None:
    store = Store(database)
    prepare(store, int(time.time() * 1000))
    planned = tokentide("retention", "apply", "--dry-run", "--clickhouse", database)
    assert planned.returncode == 0, planned.stderr
    assert "ALTER TABLE events MODIFY TTL toDateTime(occurred_at) + toIntervalDay(30)" in planned.stdout
    definition = "SELECT engine_full FROM system.tables WHERE database = currentDatabase() AND name = 'events'"
    assert ttl_days(str(store.rows(definition)[0][0])) == 0
    assert tokentide("retention", "apply", "--clickhouse", database).returncode == 0
    text = str(store.rows(definition)[0][0])
    assert ttl_days(text) == 30
    assert "ttl_only_drop_parts = 1" in text
    again = tokentide("retention", "apply", "--clickhouse", database)
    assert again.stdout == "Every table has the TTL of its tier already.\n"
    shown = tokentide("retention", "show", "--format", "json", "--clickhouse", database)
    assert all(row["applied"] for row in json.loads(shown.stdout))
    forever = dict.fromkeys(
        (f"TOKENTIDE_RETENTION_{name}_DAYS" for name in ("RAW", "MINUTES", "LEDGER", "DEAD_LETTERS", "SAMPLES")), "0"
    )
    assert tokentide("retention", "apply", "--clickhouse", database, **forever).returncode == 0
    assert ttl_days(str(store.rows(definition)[0][0])) == 0
    wrong = tokentide("retention", "show", "--clickhouse", database, TOKENTIDE_RETENTION_RAW_DAYS="400")
    assert wrong.returncode == 2
    assert "keep the ledger at least as long" in wrong.stderr


def test_a_table_in_its_tier_needs_no_statement() -> None:
    tier = Tier("events", "occurred_at", 30, 1)
    assert statements(tier, f"MergeTree TTL {tier.ttl} SETTINGS ttl_only_drop_parts = 1") == []
    assert len(statements(tier, "MergeTree SETTINGS index_granularity = 8192")) == 2


def seeded(store: Store) -> dict[int, tuple[int, int]]:
    """Two records: one with an event that is 60 days old beside a new one, one with new events only."""
    now_ms = int(time.time() * 1000)
    prepare(store, now_ms)
    old, new = now_ms - 60 * DAY_MS, now_ms - 3_600_000
    ring = HashKeyRing.parse(KEYS)
    hashes = ring.every_hash("alice")
    users = {"user_hash": hashes["old"]}, {"user_hash": hashes["new"]}, {"user_hash": ring.every_hash("bob")["new"]}
    mixed = [usage_event(0, occurred_at=iso(old), **users[0]), usage_event(1, occurred_at=iso(new), **users[2])]
    fresh = [usage_event(2 + i, occurred_at=iso(new), output_tokens=5, **users[1 + i % 2]) for i in range(6)]
    fill(store, [record(0, 0, mixed, new), record(0, 1, fresh, new)], now_ms)
    return {0: (0, 2)}


def test_verify_holds_after_raw_events_have_expired_and_still_sees_a_lost_one(database: str, verify: Any) -> None:
    store = Store(database)
    ends = seeded(store)
    assert verify(store, ends).findings == ()
    assert tokentide("retention", "apply", "--clickhouse", database).returncode == 0
    store.command("OPTIMIZE TABLE events FINAL")
    assert store.rows("SELECT count() FROM events")[0][0] == 7
    report = verify(store, ends)
    assert report.findings == ()
    assert report.accounts[0].ledger_stored == 8
    assert report.accounts[0].ledger_retained == 6
    store.command("ALTER TABLE events DELETE WHERE kafka_offset = 1 AND output_tokens = 5", {"mutations_sync": 2})
    found = [finding.what for finding in verify(store, ends).findings]
    assert "the ledger says 6 events were stored, the raw table has 0" in found
    assert any(what.startswith("rollup 7 requests") for what in found)


def test_a_user_is_forgotten_under_every_key_and_verify_still_holds(database: str, verify: Any) -> None:
    store = Store(database)
    ends = seeded(store)
    arguments = ("forget", "--user", "alice", "--clickhouse", database)
    variables = {"TOKENTIDE_EMITTER_HASH_KEYS": KEYS}
    dry = tokentide(*arguments, "--dry-run", **variables)
    assert dry.returncode == 0, dry.stderr
    assert "events: 4 rows would be removed" in dry.stdout
    assert store.rows("SELECT count() FROM events")[0][0] == 8
    assert store.rows("SELECT count() FROM erasures")[0][0] == 0
    done = tokentide(*arguments, **variables)
    assert done.returncode == 0, done.stderr
    assert "keys: old, new" in done.stdout
    assert "events: 4 rows removed" in done.stdout
    assert "Kafka keeps the sent records" in done.stdout
    assert "alice" not in done.stdout + done.stderr
    hashes = [value.hex() for value in HashKeyRing.parse(KEYS).every_hash("alice").values()]
    assert store.rows(
        "SELECT count(), countIf(lower(hex(user_hash)) IN {h:Array(String)}) FROM events", {"h": hashes}
    ) == [(4, 0)]
    assert store.rows("SELECT sum(events) FROM erasures FINAL")[0][0] == 4
    report = verify(store, ends)
    assert report.findings == ()
    assert report.accounts[0].erased_events == 4
    assert "events: 0 rows removed" in tokentide(*arguments, **variables).stdout
    assert verify(store, ends).findings == ()
    store.command("ALTER TABLE events DELETE WHERE kafka_offset = 1", {"mutations_sync": 2})
    found = [finding.what for finding in verify(store, ends).findings]
    assert "the ledger says 8 events were stored, the raw table has 1 and 4 were erased" in found
    assert "rollup 7 requests; raw 1, erased or refused by the store 3" in found


def test_forget_says_what_is_wrong_before_it_touches_anything(database: str) -> None:
    for arguments, variables, says in (
        (("--user", "a", "--user-hash", "ab" * 16), {}, "either --user or --user-hash"),
        (("--user-hash", "xyz"), {}, "32 hexadecimal digits"),
        (("--user-hash", "0" * 32), {}, "not all zero"),
        (("--user", "a"), {}, "TOKENTIDE_EMITTER_HASH_KEYS"),
        (("--user", "a"), {"TOKENTIDE_EMITTER_HASH_KEYS": '[{"id": "a", "secret": "short"}]'}, "under 16 characters"),
    ):
        result = tokentide("forget", *arguments, "--clickhouse", database, **variables)
        assert result.returncode != 0
        assert says in result.stderr


def test_no_published_group_has_fewer_users_than_the_limit_or_can_be_worked_out(database: str) -> None:
    store = Store(database)
    now_ms = int(time.time() * 1000)
    prepare(store, now_ms)
    # day -> model -> users; each user makes two requests of one token.
    worlds = {
        "2026-11-02": {"a": 12, "b": 11},
        "2026-11-03": {"a": 30, "b": 12, "c": 3},
        "2026-11-04": {"a": 30, "b": 6, "c": 5, "d": 1},
        "2026-11-05": {"a": 30, "b": 2, "c": 2},
        "2026-11-06": {"a": 4, "b": 3},
        "2026-11-07": {"a": 9},
        "2026-11-08": {"a": 6, "b": 5},
    }
    events, number = [], 0
    for day, models in worlds.items():
        for model, users in models.items():
            for user in range(users):
                for _ in range(2):
                    identity = f"{day}{model}{user}".encode().rjust(16, b"-")
                    events.append(
                        usage_event(
                            number, occurred_at=f"{day}T12:00:00Z", model=model, output_tokens=1, user_hash=identity
                        )
                    )
                    number += 1
        events.append(usage_event(number, occurred_at=f"{day}T12:00:00Z", model="nobody", output_tokens=1_000))
        number += 1
    # The requests without a user are a group of no users: they may only appear within __other__.
    fill(store, [record(0, 0, events, now_ms)], now_ms)
    rows = store.rows(
        "SELECT toString(day), model, users, requests, total_tokens FROM published_models_by_day ORDER BY 1, 2"
    )
    assert [tuple(row) for row in rows] == [
        # nobody alone would be the total minus the rest: the smallest group above the limit goes with it.
        ("2026-11-02", "__other__", 11, 23, 1_022),
        ("2026-11-02", "a", 12, 24, 24),
        ("2026-11-03", "__other__", 15, 31, 1_030),
        ("2026-11-03", "a", 30, 60, 60),
        ("2026-11-04", "__other__", 12, 25, 1_024),
        ("2026-11-04", "a", 30, 60, 60),
        # nobody, b and c are 4 users together: a has to go in as well.
        ("2026-11-05", "__other__", 34, 69, 1_068),
        # 2026-11-06 and 2026-11-07 are under ten users as a whole.
        ("2026-11-08", "__other__", 11, 23, 1_022),
    ]


def test_grants_can_be_read_by_clickhouse_and_name_every_table_and_view(store: Any) -> None:
    names = readable(schema_statements(CUBES))
    assert {"events", "usage", "rollup_1m", "published_models_by_day", "dead_letters", "ingest_ledger"} <= set(names)
    for cluster in ("", "{cluster}"):
        written = grants("tokentide", names, cluster=cluster)
        for statement in written:
            response = store.post("SELECT formatQuery({q:String})", param_q=statement)
            assert response.status_code == 200, (statement, response.text)
        selects = [s for s in written if " SELECT ON " in s and s.endswith("TO tokentide_reader")]
        assert len(selects) == len(names)
        public = [s.split(" ON ")[-1] for s in written if s.endswith("TO tokentide_public") and "SELECT" in s]
        assert all("published_" in item for item in public)
        assert len(public) == 3
        assert not any(word in s for s in written for word in ("INSERT", "ALTER ON", "*.*", "SOURCES"))
    assert Cluster("{cluster}", "tokentide").name == "{cluster}"
    with pytest.raises(ValueError, match="database name"):
        grants("a; DROP", names)
