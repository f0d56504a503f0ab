"""`tokentide board`: the dashboards in a browser, over a running stack or any ClickHouse."""

from pathlib import Path
from typing import Annotated

import typer


def command(
    data_dir: Annotated[
        Path | None, typer.Option(help="Folder of the running stack.", show_default="the user's data folder")
    ] = None,
    clickhouse: Annotated[
        str | None, typer.Option(help="http://user:password@host:port/database instead of a running stack's store.")
    ] = None,
    host: Annotated[
        str, typer.Option(help="Address to listen on; beyond loopback readers need the token that is printed.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 picks a free one.")] = 0,
    allowed_host: Annotated[
        list[str] | None, typer.Option(help="A further name that leads to the board, as behind a proxy.")
    ] = None,
    dashboards: Annotated[
        Path | None, typer.Option(help="Folder of Grafana dashboards.", show_default="tokentide's own")
    ] = None,
) -> None:
    """Serve the dashboards to a browser, read-only, until Ctrl-C.

    `tokentide up` serves a board already; this one is for a store elsewhere, another address, or dashboards of your
    own. TOKENTIDE_BOARD_TOKEN sets the token, else one is made.
    """
    import os

    from tokentide_deploy.board.address import TOKEN_VARIABLE, board_token
    from tokentide_deploy.board.server import BoardSettings, serve
    from tokentide_deploy.clickhouse_client import find_account
    from tokentide_schemas.network import is_loopback

    token = "" if is_loopback(host) and TOKEN_VARIABLE not in os.environ else board_token()
    settings = BoardSettings(
        account=find_account(data_dir, clickhouse),
        host=host,
        port=port,
        token=token,
        allowed_hosts=frozenset(name.lower() for name in allowed_host or ()),
        dashboards=dashboards,
    )
    raise typer.Exit(serve(settings, lambda url: typer.echo(f"Board: {url}  (Ctrl-C stops it)")))
