"""`tokentide forget`: remove one user's rows."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from tokentide_deploy.clickhouse_client import find_account
from tokentide_deploy.errors import DeployError
from tokentide_deploy.forget import KEPT, USER_TABLES_SQL, delete_statement, is_erasable, is_user, record_statement
from tokentide_producers.hash_keys import HashKeyRing, HashKeysError, is_user_hash
from tokentide_schemas.cluster_ddl import Cluster, render
from tokentide_sinks.store import Store, StoreError

KEYS_VARIABLE = "TOKENTIDE_EMITTER_HASH_KEYS"
KEY_VARIABLE = "TOKENTIDE_EMITTER_HASH_KEY"
_WAIT = {"mutations_sync": 2}
_TIMEOUT_S = 3_600


def command(
    user: Annotated[str | None, typer.Option(help="The identifier as gateways know it; - reads it from stdin.")] = None,
    user_hash: Annotated[str | None, typer.Option(help="The hash instead, 32 hexadecimal digits.")] = None,
    data_dir: Annotated[Path | None, typer.Option(help="Folder of the running stack.")] = None,
    clickhouse: Annotated[str | None, typer.Option(help="ClickHouse URL instead of the stack's.")] = None,
    cluster: Annotated[
        str,
        typer.Option(envvar="TOKENTIDE_CLICKHOUSE_CLUSTER", help="Name of the ClickHouse cluster; empty: one node."),
    ] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count the rows, remove nothing.")] = False,
) -> None:
    """Remove a user's rows from the raw events and every other table with one row for each user.

    Hashes the identifier with every key of TOKENTIDE_EMITTER_HASH_KEYS (or TOKENTIDE_EMITTER_HASH_KEY), old ones too.
    Waits until the rows are off the disk, and says what aggregates keep.
    """
    hashes = _hashes(user, user_hash)
    try:
        store = Store(find_account(data_dir, clickhouse, "writer").url, _TIMEOUT_S)
        _forget(store, Cluster(cluster, store.database) if cluster else None, hashes, dry_run)
    except StoreError as error:
        raise DeployError(f"The user's rows are not all removed, run the same command again: {error}") from error


def _hashes(user: str | None, user_hash: str | None) -> list[bytes]:
    if (user is None) == (user_hash is None):
        raise typer.BadParameter("give either --user or --user-hash")
    if user_hash is not None:
        if not is_user_hash(user_hash) or not int(user_hash, 16):
            raise typer.BadParameter("give 32 hexadecimal digits, not all zero", param_hint="--user-hash")
        return [bytes.fromhex(user_hash)]
    identifier = sys.stdin.read().strip() if user == "-" else str(user)
    if not identifier:
        raise typer.BadParameter("the identifier is empty", param_hint="--user")
    try:
        if text := os.environ.get(KEYS_VARIABLE):
            ring = HashKeyRing.parse(text)
        elif secret := os.environ.get(KEY_VARIABLE):
            ring = HashKeyRing.single(secret)
        else:
            raise DeployError(f"Set {KEYS_VARIABLE} or {KEY_VARIABLE} to the gateways' keys, or give --user-hash.")
    except HashKeysError as error:
        raise DeployError(str(error)) from None
    found = ring.every_hash(identifier)
    typer.echo("keys: " + ", ".join(found))
    return list(found.values())


def _forget(store: Store, cluster: Cluster | None, hashes: list[bytes], dry_run: bool) -> None:
    now_ms = int(store.rows("SELECT toUnixTimestamp64Milli(now64(3))")[0][0])
    conditions = {"events": is_erasable(hashes, now_ms)}
    conditions |= {str(row[0]): is_user(hashes) for row in store.rows(USER_TABLES_SQL)}
    if not dry_run:
        store.command(record_statement(conditions["events"], now_ms))
    verb = "would be removed" if dry_run else "removed"
    for table, condition in conditions.items():
        rows = int(store.rows(f"SELECT count() FROM {table} WHERE {condition}")[0][0])
        if rows and not dry_run:
            for statement in render(delete_statement(table, condition), cluster):
                store.command(statement, _WAIT)
            left = int(store.rows(f"SELECT count() FROM {table} WHERE {condition}")[0][0])
            if left:
                raise DeployError(f"{left} rows are still in {table}; run the same command again.")
        typer.echo(f"{table}: {rows:,} rows {verb}")
    typer.echo("What stays:")
    for line in KEPT:
        typer.echo(f"- {line}")
