"""`tokentide grafana`: the dashboards in a Grafana of one's own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from tokentide_deploy.grafana_api import Grafana

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)

Url = Annotated[
    str,
    typer.Option(
        help="Grafana's address: http://host:3000, with its path if it has one.", envvar="TOKENTIDE_GRAFANA_URL"
    ),
]
ClickHouse = Annotated[
    str | None,
    typer.Option(
        help="http://user:password@host:port/database, as Grafana itself reaches the store: sets up the data source, "
        "too. Give it the reader's account.",
        envvar="TOKENTIDE_GRAFANA_CLICKHOUSE",
        show_default="the data source is left alone",
    ),
]
Token = Annotated[
    str, typer.Option(envvar="TOKENTIDE_GRAFANA_TOKEN", hidden=True, help="Better set in the environment.")
]


@app.callback()
def _grafana() -> None:
    """Put the dashboards into a Grafana of your own."""


@app.command()
def push(
    url: Url = "http://127.0.0.1:3000",
    clickhouse: ClickHouse = None,
    folder: Annotated[str, typer.Option(help="Title of the folder; its uid stays the same.")] = "tokentide",
    token: Token = "",
) -> None:
    """Create or update every dashboard in Grafana, and with --clickhouse the data source.

    The token of a Grafana service account comes from the environment variable TOKENTIDE_GRAFANA_TOKEN: role Editor, or
    Admin with --clickhouse. What somebody changed in these dashboards by hand is replaced; Grafana keeps the old
    version.
    """
    from tokentide_dashboards.clickhouse_query import DATASOURCE_TYPE
    from tokentide_deploy.grafana_api import Grafana, GrafanaError

    grafana = Grafana(url, token)
    try:
        if not grafana.has_plugin(DATASOURCE_TYPE):
            raise GrafanaError(
                f"Grafana at {grafana.url} does not have the ClickHouse plugin: install {DATASOURCE_TYPE} "
                "(grafana cli plugins install, or GF_PLUGINS_PREINSTALL), and run the command again."
            )
        if clickhouse is not None:
            _push_datasource(grafana, clickhouse)
        _push_dashboards(grafana, folder)
    finally:
        grafana.close()


def _push_datasource(grafana: Grafana, clickhouse: str) -> None:
    from tokentide_dashboards.build import datasource_model
    from tokentide_deploy.stack_state import ClickHouseAccount

    account = ClickHouseAccount.from_url(clickhouse)
    is_new = grafana.put_datasource(
        datasource_model(
            account.host, account.port, account.user, account.password, account.database,
            secure=account.scheme == "https",
        )
    )  # fmt: skip
    typer.echo(f"data source {'created' if is_new else 'updated'}: {account.host}:{account.port} as {account.user}")


def _push_dashboards(grafana: Grafana, folder: str) -> None:
    from importlib.metadata import version

    from tokentide_dashboards.build import DASHBOARDS, FOLDER, dashboard_model

    if grafana.put_folder(FOLDER, folder):
        typer.echo(f"folder created: {folder}")
    for make in DASHBOARDS.values():
        model = dashboard_model(make())
        address, is_new = grafana.put_dashboard(model, FOLDER, f"tokentide {version('tokentide')}")
        typer.echo(f"dashboard {'created' if is_new else 'updated'}: {model['title']}  {address}")
