"""`tokentide doctor`: what is likely wrong, and what to do about it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from tokentide_deploy.doctor.finding import Finding


def command(
    data_dir: Annotated[
        Path | None, typer.Option(help="Folder of the running stack.", show_default="the user's data folder")
    ] = None,
    kafka: Annotated[
        str | None, typer.Option(help="host:port of Kafka.", show_default="the setting's, else the running stack's")
    ] = None,
    clickhouse: Annotated[
        str | None,
        typer.Option(help="ClickHouse's URL; better by TOKENTIDE_CLICKHOUSE_URL, which no process list shows."),
    ] = None,
    timeout_s: Annotated[float, typer.Option(min=1, help="Longest time for all checks, seconds.")] = 20.0,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object instead of the table.")] = False,
) -> None:
    """Look for the likely mistakes: addresses, credentials, TLS, topics, tables, lag, disks, files, ports.

    Only reads. ✓ is fine, ! works but not well, ✗ does not work, ? could not be looked at. Exit status 0 without ✗,
    1 with one. Each finding says what to do and where to read on.
    """
    import json

    from tokentide_deploy.clickhouse_client import find_account, find_kafka
    from tokentide_deploy.data_dir import DataDir, default_data_dir
    from tokentide_deploy.doctor.finding import CHECKS, Level
    from tokentide_deploy.doctor.run import Patient, examine
    from tokentide_deploy.errors import DeployError, NoStackRunningError
    from tokentide_deploy.stack_state import load_stack

    folder = DataDir(data_dir or default_data_dir()).root
    try:
        stack = load_stack(folder)
    except NoStackRunningError:
        stack = None
    servers = account = None
    try:
        servers = find_kafka(data_dir, kafka)
    except (NoStackRunningError, ValueError):
        servers = None
    try:
        account = find_account(data_dir, clickhouse, "writer")
    except NoStackRunningError:
        account = None
    except DeployError as error:
        raise typer.BadParameter(str(error), param_hint="--clickhouse") from error
    except ValueError:
        account = None  # settings that are wrong are a finding of their own
    findings = examine(Patient(folder, stack, servers, account), timeout_s)
    has_failed = any(one.level is Level.FAILURE for one in findings)
    if as_json:
        rows = [
            {
                "check": one.check,
                "title": CHECKS[one.check],
                "level": one.level.value,
                "what": one.what,
                "advice": one.advice,
                "runbook": one.runbook if one.level in (Level.FAILURE, Level.WARNING) else "",
            }
            for one in findings
        ]
        typer.echo(json.dumps({"healthy": not has_failed, "findings": rows}, ensure_ascii=False))
    else:
        _show(findings)
    if has_failed:
        raise typer.Exit(1)


def _show(findings: list[Finding]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from tokentide_deploy.doctor.finding import CHECKS, Level

    marks = {
        Level.OK: Text("✓", style="green"),
        Level.WARNING: Text("!", style="yellow"),
        Level.FAILURE: Text("✗", style="bold red"),
        Level.UNKNOWN: Text("?", style="dim"),
    }
    table = Table.grid(padding=(0, 1))
    for _ in range(3):
        table.add_column()
    for one in findings:
        body = Text(one.what)
        if one.advice:
            body.append(f"\n→ {one.advice}", style="bold")
            body.append(f"\n  {one.runbook}", style="dim")
        table.add_row(marks[one.level], CHECKS[one.check], body)
    Console().print(table)
