"""`tokentide retention`: how long rows are kept, and what that comes to."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from tokentide_deploy.clickhouse_client import find_account
from tokentide_deploy.errors import DeployError
from tokentide_schemas.cluster_ddl import Cluster, parts_table, render, system_table
from tokentide_schemas.cube_file import load_cubes
from tokentide_schemas.retention import FOR_EVER, RetentionSettings, Tier, Usage, statements, tiers
from tokentide_schemas.settings import read_settings
from tokentide_sinks.store import Store, StoreError

app = typer.Typer(add_completion=False, no_args_is_help=True, help="How long rows are kept, and what that comes to.")

DataDirOption = Annotated[Path | None, typer.Option(help="Folder of the running stack.")]
ClickHouseOption = Annotated[str | None, typer.Option(help="ClickHouse URL instead of the stack's.")]
CubesOption = Annotated[
    Path | None, typer.Option("--cubes", envvar="TOKENTIDE_CUBES_FILE", help="TOML file with cubes of your own.")
]
ClusterOption = Annotated[
    str, typer.Option(envvar="TOKENTIDE_CLICKHOUSE_CLUSTER", help="Name of the ClickHouse cluster; empty: one node.")
]
_RECENT_MS = 86_400_000


def _store(data_dir: Path | None, clickhouse: str | None) -> Store:
    return Store(find_account(data_dir, clickhouse, "writer").url)


def definitions(store: Store, cluster: Cluster | None) -> dict[str, str]:
    """Table -> its engine, TTL and settings, for the tables that the database has."""
    rows = store.rows("SELECT name, engine_full FROM system.tables WHERE database = currentDatabase()")
    every = {str(name): str(text) for name, text in rows}
    return {name: every[parts_table(name, cluster)] for name in every if parts_table(name, cluster) in every}


@app.command()
def apply(
    data_dir: DataDirOption = None,
    clickhouse: ClickHouseOption = None,
    cubes: CubesOption = None,
    cluster: ClusterOption = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what would run, change nothing.")] = False,
) -> None:
    """Set every table's TTL to the TOKENTIDE_RETENTION_*_DAYS settings. Safe to run again."""
    settings = read_settings(RetentionSettings)
    try:
        store = _store(data_dir, clickhouse)
        where = Cluster(cluster, store.database) if cluster else None
        known = definitions(store, where)
        changes = 0
        for tier in tiers(settings, load_cubes(cubes)):
            for statement in statements(tier, known[tier.table]) if tier.table in known else ():
                for rendered in render(statement, where):
                    changes += 1
                    typer.echo(rendered)
                    if not dry_run:
                        store.command(rendered)
    except StoreError as error:
        raise DeployError(f"The retention could not be set: {error}") from error
    if not changes:
        typer.echo("Every table has the TTL of its tier already.")


def usage(store: Store, tier: Tier, cluster: Cluster | None) -> Usage:
    """What the table holds, asked of the store."""
    column = tier.time_column
    moment = f"toUnixTimestamp64Milli(toDateTime64({{}}({column}), 3, 'UTC'))"
    rows, oldest, newest = store.rows(
        f"SELECT count(), {moment.format('min')}, {moment.format('max')} FROM {tier.table}"
    )[0]
    size = store.rows(
        f"SELECT sum(bytes_on_disk) FROM {system_table('parts', cluster)} "
        f"WHERE database = {{database:String}} AND table = {{table:String}} AND active",
        {"database": store.database, "table": parts_table(tier.table, cluster)},
    )[0][0]
    if not rows:
        return Usage(0, int(size or 0), None, None, 0, 0)
    recent_ms = min(_RECENT_MS, int(newest) - int(oldest))
    recent = store.rows(
        f"SELECT count() FROM {tier.table} WHERE {column} > "
        f"toDateTime64(fromUnixTimestamp64Milli(toInt64({int(newest) - recent_ms})), 3, 'UTC')"
    )[0][0]
    return Usage(int(rows), int(size or 0), int(oldest), int(newest), int(recent), recent_ms)


@app.command()
def show(
    data_dir: DataDirOption = None,
    clickhouse: ClickHouseOption = None,
    cubes: CubesOption = None,
    cluster: ClusterOption = "",
    output_format: Annotated[str, typer.Option("--format", help="table or json.")] = "table",
) -> None:
    """What is kept, how long, how big it is, and how big it will be at the present rate."""
    if output_format not in ("table", "json"):
        raise typer.BadParameter("give table or json", param_hint="--format")
    settings = read_settings(RetentionSettings)
    try:
        store = _store(data_dir, clickhouse)
        where = Cluster(cluster, store.database) if cluster else None
        known = definitions(store, where)
        found = []
        for tier in tiers(settings, load_cubes(cubes)):
            if tier.table in known:
                found.append((tier, usage(store, tier, where), not statements(tier, known[tier.table])))
    except StoreError as error:
        raise DeployError(f"The store cannot be asked: {error}") from error
    if output_format == "json":
        typer.echo(json.dumps([_as_json(*item) for item in found]))
        return
    Console(highlight=False).print(_as_table(found))
    if any(not applied for _, _, applied in found):
        Console(stderr=True, highlight=False).print(
            "Tables marked * do not have this TTL yet: run tokentide retention apply."
        )


def _as_json(tier: Tier, held: Usage, applied: bool) -> dict[str, Any]:
    return {
        "table": tier.table,
        "days": tier.days or None,
        "applied": applied,
        "rows": held.rows,
        "bytes_on_disk": held.bytes_on_disk,
        "oldest_ms": held.oldest_ms,
        "newest_ms": held.newest_ms,
        "bytes_per_day": held.bytes_per_day,
        "steady_bytes": held.steady_bytes(tier),
    }


def _as_table(found: list[tuple[Tier, Usage, bool]]) -> Table:
    table = Table(box=box.SIMPLE_HEAD)
    for name in ("table", "kept", "oldest", "newest"):
        table.add_column(name, no_wrap=True)
    for name in ("rows", "on disk", "a day", "will be"):
        table.add_column(name, justify="right", no_wrap=True)
    for tier, held, applied in found:
        kept = "for ever" if tier.days == FOR_EVER else f"{tier.days} days"
        steady, rate = held.steady_bytes(tier), held.bytes_per_day
        grows = "?" if rate is None else f"+{_size(rate * 365)}/year"
        table.add_row(
            tier.table,
            kept if applied else f"{kept} *",
            _moment(held.oldest_ms),
            _moment(held.newest_ms),
            f"{held.rows:,}",
            _size(held.bytes_on_disk),
            "?" if rate is None else _size(rate),
            _size(steady) if steady is not None else grows,
        )
    return table


def _moment(at_ms: int | None) -> str:
    return "" if at_ms is None else f"{dt.datetime.fromtimestamp(at_ms / 1000, dt.UTC):%Y-%m-%d %H:%M}"


def _size(count: float) -> str:
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if count < 1000 or unit == "TB":
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    raise AssertionError("unreachable")
