"""Bringing a ClickHouse database to this version's schema: numbered SQL files, applied once each, checked by hash."""

from __future__ import annotations

import argparse
import hashlib
import re
import sys
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Final

from tokentide_schemas.catalogue_tables import DICTIONARY_ACCOUNT
from tokentide_schemas.clickhouse import statements
from tokentide_schemas.cluster_ddl import Cluster, render
from tokentide_schemas.cubes import CUBES
from tokentide_sinks.lease import held
from tokentide_sinks.store import Store

HISTORY: Final = """CREATE TABLE IF NOT EXISTS schema_migrations
(
    number UInt32,
    name String,
    sha256 FixedString(64),
    applied_at DateTime64(3, 'UTC') DEFAULT now64(3)
)
ENGINE = ReplacingMergeTree
ORDER BY number"""

FIRST_FILE: Final = "0001_first_light.sql"


class MigrationError(Exception):
    """The database's history does not fit these files."""


@dataclass(frozen=True, slots=True)
class Migration:
    """One numbered file of statements, separated by lines that hold only a semicolon."""

    number: int
    name: str
    sql: str

    @property
    def sha256(self) -> str:
        """Hash of the file's text, 64 hexadecimal digits."""
        return hashlib.sha256(self.sql.encode()).hexdigest()

    @property
    def statements(self) -> list[str]:
        """The statements in order."""
        return [part.strip() for part in re.split(r"^;$", self.sql, flags=re.MULTILINE) if part.strip()]


def render_first() -> str:
    """Text of the first migration, derived from the schemas: the committed file must equal it until it is released."""
    return "\n;\n".join(statements(CUBES)) + "\n;\n"


def migrations() -> list[Migration]:
    """The shipped migrations, by number. Raises MigrationError for a wrong name or a gap."""
    found = []
    for entry in sorted((files("tokentide_sinks") / "migrations").iterdir(), key=lambda item: item.name):
        match = re.fullmatch(r"(\d{4})_([a-z0-9_]+)\.sql", entry.name)
        if match is None:
            raise MigrationError(f"migrations/{entry.name}: name it NNNN_words.sql")
        found.append(Migration(int(match[1]), match[2], entry.read_text()))
    for expected, migration in enumerate(found, start=1):
        if migration.number != expected:
            raise MigrationError(f"migration {expected:04d} is missing; {migration.number:04d} follows")
    return found


def pending(known: list[Migration], applied: dict[int, str]) -> list[Migration]:
    """Migrations still to run. `applied`: number -> hash from the database. Raises MigrationError for a changed or
    unknown one."""
    for number, sha256 in applied.items():
        if number > len(known):
            raise MigrationError(f"the database has migration {number:04d}, newer than this version: upgrade tokentide")
        if known[number - 1].sha256 != sha256:
            raise MigrationError(f"migration {number:04d} was changed after it was applied; restore the released file")
    return [migration for migration in known if migration.number not in applied]


def planned(store: Store) -> list[Migration]:
    """What `migrate` would apply, without changing anything. Raises StoreError and MigrationError."""
    has_history = store.rows(
        "SELECT count() FROM system.tables WHERE database = currentDatabase() AND name = {name:String}",
        {"name": "schema_migrations"},
    )
    return pending(migrations(), _applied(store) if has_history[0][0] else {})


def planned_statements(todo: list[Migration], cluster: Cluster | None) -> list[str]:
    """The statements of these migrations as `migrate` runs them, without any password."""
    return [text for migration in todo for sql in migration.statements for text in render(sql, cluster)]


def _applied(store: Store) -> dict[int, str]:
    rows = store.rows("SELECT number, sha256 FROM schema_migrations FINAL ORDER BY number")
    return {int(number): (sha.decode() if isinstance(sha, bytes) else str(sha)) for number, sha in rows}


def migrate(store: Store, cluster: Cluster | None = None, *, wait_s: float = 120.0) -> list[Migration]:
    """Apply what is pending and return it; on all nodes of `cluster` when one is given.

    One process at a time does this, others wait up to `wait_s`. Statements are safe to repeat, so a migration that a
    crash interrupted is run again as a whole. Raises StoreError, MigrationError, LeaseHeldError and LeaseLostError.
    """
    if not planned(store):
        return []
    with held(store, cluster, wait_s=wait_s) as lease:
        for statement in render(HISTORY, cluster):
            store.command(statement)
        todo = pending(migrations(), _applied(store))
        account = store.dictionary_account() if todo else ""
        for migration in todo:
            for statement in migration.statements:
                for rendered in render(statement, cluster):
                    lease.renew()
                    store.command(rendered.replace(DICTIONARY_ACCOUNT, account))
            lease.renew()
            store.command(
                f"INSERT INTO schema_migrations (number, name, sha256) VALUES "
                f"({migration.number}, '{migration.name}', '{migration.sha256}')"
            )
    return todo


def main(arguments: list[str]) -> int:
    """`--write` renders the first migration into its file; without it, status 1 says that the file is stale."""
    parser = argparse.ArgumentParser(prog="python -m tokentide_sinks.migrate", description=main.__doc__)
    parser.add_argument("--write", action="store_true", help="write the file; only until the first release")
    path = Path(__file__).parent / "migrations" / FIRST_FILE
    if parser.parse_args(arguments).write:
        path.write_text(render_first())
        return 0
    if path.read_text() != render_first():
        sys.stderr.write(f"migrations/{FIRST_FILE} is stale: run python -m tokentide_sinks.migrate --write\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
