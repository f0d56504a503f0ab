"""`tokentide deploy`: what an installation beyond this machine needs besides the platform itself."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


@app.callback()
def _deploy() -> None:
    """Secrets of a new installation, and what its accounts may do."""


@app.command()
def secrets(
    directory: Annotated[Path, typer.Argument(help="Folder that gets one folder of secrets for each reader.")],
    clickhouse_host: Annotated[str, typer.Option(help="Host of ClickHouse's HTTP interface.")] = "clickhouse",
    clickhouse_port: Annotated[int, typer.Option(min=1, max=65535, help="Its port.")] = 8123,
    gateway: Annotated[str, typer.Option(help="The gateway whose first collector token is made.")] = "gateway-1",
) -> None:
    """Make the passwords, keys and tokens that are missing. Existing ones stay, so this can run at every start.

    Prints names of files, never what is in them.
    """
    import datetime as dt

    from tokentide_deploy.secret_making import Target, make

    written = make(directory, Target(clickhouse_host, clickhouse_port), gateway, dt.datetime.now(dt.UTC))
    for path in written:
        typer.echo(f"made {path.relative_to(directory)}")
    if not written:
        typer.echo("every secret exists; nothing to do")
