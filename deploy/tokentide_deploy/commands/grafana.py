"""`tokentide grafana`: the dashboards and alert rules in a Grafana of one's own."""

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
    """Put the dashboards and alert rules into a Grafana of your own."""


@app.command()
def push(
    url: Url = "http://127.0.0.1:3000",
    clickhouse: ClickHouse = None,
    folder: Annotated[str, typer.Option(help="Title of the folder; its uid stays the same.")] = "tokentide",
    alerts: Annotated[bool, typer.Option(help="Whether to push the alert rules, too.")] = True,
    token: Token = "",
) -> None:
    """Create or update every dashboard and alert rule in Grafana, and with --clickhouse the data source.

    The token of a Grafana service account comes from the environment variable TOKENTIDE_GRAFANA_TOKEN: role Editor, or
    Admin with --clickhouse. What somebody changed by hand in these dashboards, and in the alert rules of the group
    tokentide, is replaced; Grafana keeps the old versions.
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
        if alerts:
            _push_alert_rules(grafana)
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


def _push_alert_rules(grafana: Grafana) -> None:
    from tokentide_dashboards.build import FOLDER, alert_group

    count = grafana.put_rule_group(alert_group(FOLDER))
    typer.echo(f"alert rules: {count} in the group tokentide")
