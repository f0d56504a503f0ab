"""Migrations against a real store: once each, one process at a time, never with a changed history."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tokentide_sinks.lease import LEASES, LeaseHeldError, LeaseLostError, held, try_acquire
from tokentide_sinks.migrate import MigrationError, migrate, migrations, planned
from tokentide_sinks.store import Store


@pytest.fixture
def database(store: Any, table: str) -> Iterator[str]:
    """URL of an empty database."""
    store.execute(f"CREATE DATABASE {table}")
    yield f"http://tokentide@127.0.0.1:{store.port}/{table}"
    store.execute(f"DROP DATABASE {table}")


def test_an_empty_database_gets_everything_once(database: str) -> None:
    store = Store(database)
    numbers = [migration.number for migration in migrations()]
    assert [migration.number for migration in planned(store)] == numbers
    assert store.rows("SELECT count() FROM system.tables WHERE database = currentDatabase()")[0][0] == 0
    assert [migration.number for migration in migrate(store)] == numbers
    assert planned(store) == []
    assert migrate(store) == []
    assert store.rows("SELECT count() FROM schema_migrations")[0][0] == len(numbers)


def test_two_at_once_apply_each_migration_once(database: str) -> None:
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda _: len(migrate(Store(database))), range(4)))
    assert sorted(results) == [0, 0, 0, len(migrations())]
    assert Store(database).rows("SELECT count() FROM schema_migrations")[0][0] == len(migrations())


def test_a_changed_migration_and_one_from_a_newer_version_stop_everything(database: str) -> None:
    store = Store(database)
    migrate(store)
    store.command(f"INSERT INTO schema_migrations (number, name, sha256) VALUES (9999, 'later', '{'0' * 64}')")
    with pytest.raises(MigrationError, match="newer than this version"):
        migrate(store)
    store.command("TRUNCATE TABLE schema_migrations")
    store.command(f"INSERT INTO schema_migrations (number, name, sha256) VALUES (1, 'first', '{'0' * 64}')")
    with pytest.raises(MigrationError, match="was changed after it was applied"):
        migrate(store)


def test_a_lease_excludes_others_until_it_is_given_back(database: str) -> None:
    first, second = Store(database), Store(database)
    with held(first):
        assert try_acquire(second) is None
        with pytest.raises(LeaseHeldError, match="another process"), held(second, wait_s=0.3):
            pytest.fail("two hold the lease")
    with held(second, wait_s=0.0):
        assert try_acquire(first) is None


def test_of_many_contenders_for_one_generation_the_store_lets_one_win(database: str) -> None:
    Store(database).command(LEASES)
    barrier = threading.Barrier(8)

    def contend(_: int) -> object:
        store = Store(database)
        store.rows("SELECT 1")
        barrier.wait(30)
        return try_acquire(store)

    with ThreadPoolExecutor(8) as pool:
        won = [lease for lease in pool.map(contend, range(8)) if lease is not None]
    assert len(won) == 1


def test_a_dead_holders_lease_runs_out_and_its_late_return_is_noticed(database: str, eventually: Any) -> None:
    store = Store(database)
    store.command(LEASES)
    dead = try_acquire(store, lease_ms=200)
    assert dead is not None
    heir = eventually(lambda: try_acquire(Store(database)), "the lease to run out")
    with pytest.raises(LeaseLostError):
        dead.renew()
    heir.renew()
    assert try_acquire(store) is None


def test_a_dry_run_prints_the_statements_for_one_node_and_for_a_cluster_and_changes_nothing(database: str) -> None:
    command = [sys.executable, "-m", "tokentide_deploy.cli", "migrate", "--dry-run", "--clickhouse", database]
    for cluster, says in (([], "CREATE TABLE IF NOT EXISTS events\n"), (["--cluster", "{cluster}"], "events_local ON")):
        done = subprocess.run(
            [*command, "--kafka", "unused:1", *cluster], capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == 0, done.stderr
        assert says in done.stdout
    assert Store(database).rows("SELECT count() FROM system.tables WHERE database = currentDatabase()")[0][0] == 0
