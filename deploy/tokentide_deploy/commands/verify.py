"""`tokentide verify`: is everything accounted for, and is every rollup right?"""

from __future__ import annotations

import json
from dataclasses import asdict
from itertools import zip_longest
from pathlib import Path
from typing import Annotated

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from tokentide_deploy.clickhouse_client import find_account, find_kafka
from tokentide_deploy.errors import DeployError
from tokentide_deploy.verify.accounts import Report
from tokentide_deploy.verify.run import Verifier
from tokentide_schemas.cube_file import CubeFileError, load_cubes
from tokentide_sinks.kafka import TopicError
from tokentide_sinks.store import Store, StoreError


def command(
    data_dir: Annotated[Path | None, typer.Option(help="Folder of the running stack.")] = None,
    kafka: Annotated[str | None, typer.Option(help="Kafka, host:port, instead of the stack's.")] = None,
    clickhouse: Annotated[str | None, typer.Option(help="ClickHouse URL instead of the stack's.")] = None,
    wait_s: Annotated[float, typer.Option(help="Longest wait for the pipeline to catch up, seconds.")] = 60.0,
    cubes_file: Annotated[
        Path | None, typer.Option(envvar="TOKENTIDE_CUBES_FILE", help="TOML file with cubes of your own.")
    ] = None,
    format_: Annotated[str, typer.Option("--format", help="table or json.")] = "table",
) -> None:
    """Prove that every record of the usage topic is accounted for and that rollups equal their raw events.

    Exit status 0 when both hold, 1 with the differences when not, 2 when Kafka or the store cannot be asked.
    """
    kafka = find_kafka(data_dir, kafka)
    clickhouse = find_account(data_dir, clickhouse, "writer").url
    if format_ not in ("table", "json"):
        raise typer.BadParameter("give table or json", param_hint="--format")
    messages = Console(stderr=True)
    try:
        cubes = load_cubes(cubes_file)
    except CubeFileError as error:
        raise DeployError(str(error)) from error
    try:
        report = Verifier(
            kafka, Store(clickhouse), wait_s=wait_s, cubes=cubes, say=lambda line: messages.print(f"[dim]{line} ...[/]")
        ).run()
    except (TopicError, StoreError) as error:
        messages.print(f"[red]verify cannot ask:[/] {error}")
        raise typer.Exit(2) from error
    if format_ == "json":
        typer.echo(json.dumps({**asdict(report), "holds": report.holds}))
    else:
        show(report, Console())
    if not report.holds:
        raise typer.Exit(1)


def show(report: Report, console: Console) -> None:
    """Print the report for people."""
    table = Table(
        title="Usage topic: what became of every event", title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0)
    )
    for name in ("partition", "records", "events", "stored", "repeats", "refused", "raw rows"):
        table.add_column(name, justify="right", no_wrap=True)
    rows = [
        (
            account.ledger_records,
            account.ledger_events,
            account.ledger_stored,
            account.ledger_duplicates,
            account.ledger_rejected,
            account.raw_events,
        )
        for account in report.accounts
    ]
    for account, values in zip(report.accounts, rows, strict=True):
        table.add_row(str(account.partition), *(f"{value:,}" for value in values))
    table.add_section()
    table.add_row("all", *(f"{sum(values):,}" for values in zip(*rows, strict=True)), style="bold")
    console.print(table)
    if report.cubes:
        which = "windows" if report.settled else "closed windows, as events are flowing"
        console.print(f"Rollups compared with the raw events ({which})", style="italic")
        cubes = Table(box=box.SIMPLE_HEAD, show_header=False, padding=(0, 1, 0, 0))
        names = list(report.cubes.items())
        half = -(-len(names) // 2)
        for left, right in zip_longest(names[:half], names[half:], fillvalue=("", None)):
            cubes.add_row(*_cell(*left), "   ", *_cell(*right))
        console.print(cubes)
    for finding in report.findings:
        console.print(f"[red]✗[/] {finding.where}: {finding.what}", highlight=False)
    if report.holds:
        console.print("[green]✓[/] everything is accounted for")


def _cell(name: str, windows: int | None) -> tuple[str, str]:
    return name, "" if windows is None else f"{windows:,}"
