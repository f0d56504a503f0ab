"""`tokentide deploy`: what an installation beyond this machine needs besides the platform itself."""

from __future__ import annotations

from enum import StrEnum
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


class System(StrEnum):
    """Whose permissions."""

    KAFKA = "kafka"
    CLICKHOUSE = "clickhouse"


@app.command()
def grants(
    system: Annotated[System, typer.Argument(help="kafka: lines for kafka-acls.sh; clickhouse: SQL.")],
    part: Annotated[
        list[str] | None, typer.Option("--part", help="Only this part; may be repeated.", show_default="all")
    ] = None,
    secrets_dir: Annotated[
        Path | None,
        typer.Option(
            "--secrets",
            help="Folder with a user and password for each part; missing ones are made. Each part's own folder is its "
            "TOKENTIDE_SECRETS_DIR. Without it: rights only, no users.",
        ),
    ] = None,
    principal: Annotated[
        list[str] | None,
        typer.Option(
            help="PART=User:NAME, for a part that Kafka knows by another name, as with certificates; repeatable.",
            show_default="User:tokentide-PART",
        ),
    ] = None,
    command_config: Annotated[
        str, typer.Option(help="kafka: properties file with the administrator's login, for the printed lines.")
    ] = "admin.properties",
    database: Annotated[str, typer.Option(help="clickhouse: the platform's database.")] = "tokentide",
    cluster: Annotated[
        str,
        typer.Option(envvar="TOKENTIDE_CLICKHOUSE_CLUSTER", help="clickhouse: name of the cluster; empty: one node."),
    ] = "",
    cubes: Annotated[
        Path | None,
        typer.Option("--cubes", envvar="TOKENTIDE_CUBES_FILE", help="TOML file with cubes of your own."),
    ] = None,
    apply: Annotated[
        bool,
        typer.Option("--apply", help="Run it, as the administrator of TOKENTIDE_KAFKA_* or TOKENTIDE_CLICKHOUSE_URL."),
    ] = False,
) -> None:
    """What each part may do, with least privilege: Kafka's ACLs, or ClickHouse's roles, users and grants.

    Prints what an administrator runs; --apply runs it. Both are safe to repeat. No password is printed: SQL has its
    SHA-256, shell lines read it from its file.
    """
    from tokentide_deploy.grants.plan import Choice, apply_plan, plan

    chosen = Choice(
        parts=tuple(part or ()),
        principals=tuple(principal or ()),
        secrets=secrets_dir,
        database=database,
        cluster=cluster,
        cubes=cubes,
        command_config=command_config,
    )
    found = plan(system.value, chosen)
    if apply:
        typer.echo(apply_plan(found))
        return
    for line in found.lines:
        typer.echo(line)
