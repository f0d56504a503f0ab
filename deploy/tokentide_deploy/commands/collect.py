"""`tokentide collect`: usage events over HTTP, and the tokens of those who send them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(add_completion=False)
token_app = typer.Typer(add_completion=False, no_args_is_help=True, help="Bearer tokens of gateways.")
app.add_typer(token_app, name="token")

DataDirOption = Annotated[Path | None, typer.Option(help="Folder of the stack.", show_default="the user's data folder")]
TokenFileOption = Annotated[
    Path | None, typer.Option(help="Hashed tokens.", show_default="collector-tokens.json in the stack's folder")
]


def _token_file(token_file: Path | None, data_dir: Path | None) -> Path:
    from tokentide_deploy.collector_process import collector_settings
    from tokentide_deploy.data_dir import DataDir, default_data_dir
    from tokentide_producers.collector.settings import TOKEN_FILE_NAME

    given = token_file or collector_settings().token_file
    return given or DataDir(data_dir or default_data_dir()).root / TOKEN_FILE_NAME


@app.callback(invoke_without_command=True)
def collect(
    context: typer.Context,
    kafka: Annotated[str | None, typer.Option(help="host:port of Kafka.", show_default="the running stack's")] = None,
    host: Annotated[
        str | None, typer.Option(help="Address to listen on; beyond loopback senders need a token.")
    ] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="Port; 0 picks a free one.")] = None,
    token_file: TokenFileOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Take usage events over HTTP until Ctrl-C: JSON, NDJSON, CloudEvents, Arrow, OTLP traces, OpenRouter Broadcast.

    `tokentide up` runs a collector already; this one is for another machine, another address, or a Kafka of your own.
    Further settings are TOKENTIDE_COLLECTOR_... variables.
    """
    if context.invoked_subcommand is not None:
        return
    import logging
    import sys

    from tokentide_deploy.clickhouse_client import find_kafka
    from tokentide_deploy.collector_process import collector_settings, serve

    servers = find_kafka(data_dir, kafka)
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s")
    settings = collector_settings(host=host, port=port, token_file=_token_file(token_file, data_dir))
    raise typer.Exit(
        serve(servers, settings, lambda url: typer.echo(f"Collector: {url}  (docs: {url}/docs, Ctrl-C stops it)"))
    )


@token_app.command("create")
def create_token(
    gateway: Annotated[str, typer.Option(help="Name of the gateway; stamped on events that name none.")],
    token_file: TokenFileOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Make a token for a gateway and print it: it is shown this once, only its hash is kept.

    A gateway may have several tokens: to rotate, create the new one, change the gateway over, revoke the old one.
    """
    import datetime as dt

    from tokentide_deploy.errors import DeployError
    from tokentide_producers.collector.tokens import TokenFileError, create

    try:
        token, entry = create(_token_file(token_file, data_dir), gateway, dt.datetime.now(dt.UTC))
    except TokenFileError as error:
        raise DeployError(str(error)) from error
    typer.echo(f"Token {entry.id} of gateway {entry.gateway}; send it as Authorization: Bearer ...", err=True)
    typer.echo(token)


@token_app.command("list")
def list_tokens(token_file: TokenFileOption = None, data_dir: DataDirOption = None) -> None:
    """Show each token's id, gateway and age, never the token."""
    from tokentide_deploy.errors import DeployError
    from tokentide_producers.collector.tokens import TokenFileError, load

    path = _token_file(token_file, data_dir)
    try:
        entries = load(path)
    except TokenFileError as error:
        raise DeployError(str(error)) from error
    if not entries:
        typer.echo(f"{path} has no tokens. Make one with: tokentide collect token create --gateway NAME")
    for entry in entries:
        typer.echo(f"{entry.id}  {entry.created_at:%Y-%m-%d %H:%M} UTC  {entry.gateway}")


@token_app.command("revoke")
def revoke_token(
    token_id: Annotated[str, typer.Argument(help="Its id, as `list` shows it.")],
    token_file: TokenFileOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Make a token invalid; running collectors refuse it within two seconds."""
    from tokentide_deploy.errors import DeployError
    from tokentide_producers.collector.tokens import TokenFileError, revoke

    try:
        entry = revoke(_token_file(token_file, data_dir), token_id)
    except TokenFileError as error:
        raise DeployError(str(error)) from error
    typer.echo(f"Token {entry.id} of gateway {entry.gateway} is revoked.")
