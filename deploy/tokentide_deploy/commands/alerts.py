"""`tokentide alerts`: which rules there are, what has fired and why, and what would have fired."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from tokentide_schemas.alerting import AlertConfig

app = typer.Typer(no_args_is_help=True, help="Rules, alerts and receivers.")

DATA_DIR = Annotated[
    Path | None, typer.Option(help="Folder of the running stack.", show_default="the user's data folder")
]
CLICKHOUSE = Annotated[
    str | None, typer.Option(help="http://user:password@host:port/database instead of a running stack's store.")
]
FILE = Annotated[
    Path | None, typer.Argument(help="The alerts file.", show_default="what TOKENTIDE_ALERTS_FILE names, else none")
]
RULES = Annotated[
    Path | None, typer.Option("--rules", help="The alerts file.", show_default="what TOKENTIDE_ALERTS_FILE names")
]


@app.command()
def check(file: FILE = None) -> None:
    """Read an alerts file and print its rules, or everything that is wrong with it, by line (exit status 1)."""
    from tokentide_deploy.alerts_view import config_tables, new_console

    config = _load(file)
    console = new_console()
    for part in config_tables(config):
        console.print(part)


@app.command("list")
def list_alerts(
    all_alerts: Annotated[bool, typer.Option("--all", help="Pending, silenced and old ones as well.")] = False,
    firing: Annotated[bool, typer.Option("--firing", help="Only what is not over.")] = False,
    since: Annotated[
        str, typer.Option(help="Alerts of so long ago at most, such as 30m, 24h or 7d; or an ISO 8601 time.")
    ] = "24h",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON array with every field.")] = False,
    data_dir: DATA_DIR = None,
    clickhouse: CLICKHOUSE = None,
) -> None:
    """Alerts, newest first. Exit status 5 when no stack runs, 6 when its store does not answer."""
    from tokentide_deploy.alerts_store import alerts_since
    from tokentide_deploy.alerts_view import alerts_table, new_console

    from_time = None if all_alerts else _since(since)
    found = alerts_since(data_dir, clickhouse, from_time)
    if not all_alerts:
        found = [one for one in found if one["firing_at"] is not None and not one["is_silenced"]]
    if firing:
        found = [one for one in found if one["state"] == "firing"]
    if as_json:
        typer.echo(json.dumps(found, default=_plain))
        return
    console = new_console()
    if not found:
        what = "firing now" if firing else "in the store" if all_alerts else f"in the last {since}"
        console.print(f"No alerts {what}." + ("" if all_alerts else " See pending and silenced ones with --all."))
        return
    console.print(alerts_table(found))


@app.command()
def show(
    alert: Annotated[str, typer.Argument(help="The alert's id, or its beginning.")],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object with every field.")] = False,
    data_dir: DATA_DIR = None,
    clickhouse: CLICKHOUSE = None,
) -> None:
    """One alert: its states, and who gained and who lost, split into mix and volume."""
    from tokentide_deploy.alerts_store import one_alert
    from tokentide_deploy.alerts_view import alert_page, new_console

    found = one_alert(data_dir, clickhouse, alert)
    if as_json:
        typer.echo(json.dumps(found, default=_plain))
        return
    console = new_console()
    for part in alert_page(found):
        console.print(part)


@app.command()
def test(
    receiver: Annotated[
        list[str] | None, typer.Option("--receiver", help="Only this receiver; may be given several times.")
    ] = None,
    rules: RULES = None,
) -> None:
    """Send a test alert to the receivers of the alerts file, once each. Exit status 1 when one did not take it."""
    from tokentide_deploy.alerts_view import new_console, trial_alert
    from tokentide_deploy.errors import DeployError
    from tokentide_schemas.cubes import unknown_name
    from tokentide_sinks.notify import deliver

    config = _load(rules)
    names = [one.name for one in config.receivers]
    unknown = [unknown_name(name, names) for name in receiver or () if name not in names]
    if unknown:
        raise DeployError(f"--receiver: {'; '.join(unknown)}. The file has: {', '.join(names)}.")
    console = new_console()
    failed = []
    now = dt.datetime.now(dt.UTC)
    for one in config.receivers:
        if receiver and one.name not in receiver:
            continue
        result = deliver(one, trial_alert(now), now=now)
        if not result.is_delivered:
            failed.append(one.name)
        outcome = "delivered" if result.is_delivered else f"NOT delivered: {result.error}"
        console.print(f"{one.name} ({one.type}): {outcome}", markup=False, highlight=False, soft_wrap=True)
    if failed:
        raise typer.Exit(1)


@app.command()
def backtest(
    begin: Annotated[
        str | None, typer.Option("--from", help="ISO 8601 time, or 24h, 7d ago.", show_default="24h")
    ] = None,
    end: Annotated[str | None, typer.Option("--to", help="The same.", show_default="now")] = None,
    rules: RULES = None,
    learn: Annotated[str, typer.Option(help="History before --from that references are learned from.")] = "2d",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON array instead of tables.")] = False,
    data_dir: DATA_DIR = None,
    clickhouse: CLICKHOUSE = None,
) -> None:
    """Run the rules over stored history and print what would have fired: how to tune before trusting."""
    from tokentide_deploy.alerts_backtest import run_backtest
    from tokentide_deploy.alerts_view import backtest_tables, new_console

    first = _since(begin or "24h")
    last = _since(end) if end else dt.datetime.now(dt.UTC)
    if first >= last:
        raise typer.BadParameter("--from is not before --to", param_hint="--from")
    config = _load(rules)
    result = run_backtest(config, data_dir, clickhouse, first, last, _duration(learn), show_progress=not as_json)
    if as_json:
        typer.echo(json.dumps([one.model_dump(mode="json") for one in result.fired]))
        return
    console = new_console()
    for part in backtest_tables(result):
        console.print(part)


def _load(file: Path | None) -> AlertConfig:
    from tokentide_schemas.alerting import AlertSettings, AlertsFileError, load_alert_config
    from tokentide_schemas.settings import load_settings

    try:
        return load_alert_config(file or load_settings(AlertSettings).alerts_file)
    except AlertsFileError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None


def _duration(text: str) -> dt.timedelta:
    from tokentide_schemas.alerting.values import parse_duration_s

    try:
        return dt.timedelta(seconds=parse_duration_s(text))
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def _since(text: str) -> dt.datetime:
    try:
        parsed = dt.datetime.fromisoformat(text)
    except ValueError:
        return dt.datetime.now(dt.UTC) - _duration(text)
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=dt.UTC)


def _plain(value: Any) -> str:
    return value.isoformat() if isinstance(value, dt.datetime) else str(value)
