"""The `tokentide` command. A command's module is imported only when that command runs, so that help stays fast."""

import importlib
import keyword
import os
import sys
from collections.abc import Callable
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from tokentide_deploy.errors import EXIT_SETTINGS, DeployError
from tokentide_deploy.secret_files import DIRECTORY_VARIABLE, apply_secrets
from tokentide_schemas.settings_error import SettingsError

# Name and one-line help; `commands/<name>.py` (dashes become underscores, a keyword gets one) has either a function
# `command` with typer's annotations, or, for a group of commands, a `typer.Typer` named `app`.
COMMANDS = {
    "up": "Run the whole platform in this terminal: Kafka, store, stream worker, sinks.",
    "run": "Run one part of the platform in the foreground, as containers do.",
    "top": "Watch models and categories by tokens, live.",
    "board": "Serve the dashboards to a browser, read-only.",
    "collect": "Take usage events over HTTP: JSON, CloudEvents, Arrow, OTLP traces, OpenRouter Broadcast.",
    "report": "Write the study State of AI over your own traffic, as one HTML file.",
    "sql": "Ask the store anything in SQL, read-only.",
    "alerts": "Rules, what has fired and why, and what would have fired.",
    "categories": "Rules that give requests their category: check them, try them.",
    "grafana": "Put the dashboards into a Grafana of your own.",
    "catalogue": "Which models and prices are known, and which models in the traffic are not.",
    "prices": "Compare stored costs with the catalogue's prices, and correct them.",
    "demo": "Load thirteen months of history as the study published them, and check it.",
    "spool": "Events that wait on this machine's disk for Kafka: show them, send them.",
    "import": "Bring in requests that OpenRouter, LiteLLM or others have recorded, each counted once.",
    "replay": "Send a trace file (CSV or JSON lines) as usage events.",
    "verify": "Prove that every event is accounted for and every rollup is right.",
    "dlq": "Dead letters: list, show, replay after a fix, discard.",
    "doctor": "Find the likely mistakes around a stack, and what to do about each.",
    "config": "Show and check every process's settings and where each came from.",
    "migrate": "Bring topics, tables and the configured cubes to this version.",
    "deploy": "Secrets of a new installation, and what each part may do at Kafka and ClickHouse.",
    "backup": "Back up a stopped stack into one file, check it, restore it.",
    "health": "Ask a process whether it is ready, as container health checks do.",
    "retention": "How long rows are kept, and what that comes to.",
    "plan": "What a volume of tokens needs: partitions, processes, cores, disk, network.",
    "forget": "Remove one user's rows from the raw tables.",
}

OPTION_VARIABLES = frozenset(
    {
        "TOKENTIDE_CLICKHOUSE_CLUSTER",
        "TOKENTIDE_CUBES_FILE",
        "TOKENTIDE_GRAFANA_CLICKHOUSE",
        "TOKENTIDE_GRAFANA_TOKEN",
        "TOKENTIDE_GRAFANA_URL",
        "TOKENTIDE_HEALTH_PORT",
        "TOKENTIDE_IMPORT_FROM",
        "TOKENTIDE_SPOOL_DIRECTORY",
    }
)
"""Variables that options of the commands name as their source; a test compares."""


def _load(name: str) -> Any:
    file = name.replace("-", "_") + "_" * keyword.iskeyword(name)
    module = importlib.import_module(f"tokentide_deploy.commands.{file}")
    app: typer.Typer | None = getattr(module, "app", None)
    if app is None:
        function: Callable[..., None] = module.command
        app = typer.Typer(add_completion=False)
        app.command(name)(function)
    loaded = typer.main.get_command(app)
    loaded.name = name
    return loaded


class _LazyCommands(TyperGroup):
    """Lists COMMANDS from the table above; loads one only to run it."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in COMMANDS:
            return None
        return TyperCommand(cmd_name, help=COMMANDS[cmd_name])

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args and args[0] in COMMANDS:
            return args[0], _load(args[0]), args[1:]
        return super().resolve_command(ctx, args)


app = typer.Typer(cls=_LazyCommands, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


@app.callback()
def _tokentide() -> None:
    """Event-streaming telemetry for LLM gateways: where every token went, seconds later and exactly."""


def _use_settings_file() -> None:
    """Options that may come from a variable may come from the settings file as well: for these, it sets the variable.

    Not for `config`, which tells the two apart.
    """
    if not os.environ.get("TOKENTIDE_CONFIG_FILE") or sys.argv[1:2] == ["config"]:
        return
    from tokentide_schemas.settings_sources import ConfigFileError, load_config_file

    try:
        file = load_config_file()
    except ConfigFileError as error:
        raise DeployError(str(error)) from error
    for name, value in file.values.items():
        if name in OPTION_VARIABLES:
            os.environ.setdefault(name, str(value))


def main() -> None:
    """The entry point: errors that a person can act on are printed without a traceback."""
    try:
        if os.environ.get(DIRECTORY_VARIABLE):
            apply_secrets()
        _use_settings_file()
        app()
    except (DeployError, SettingsError) as error:
        sys.stderr.write(f"tokentide: {error}\n")
        sys.exit(getattr(error, "exit_status", EXIT_SETTINGS))


if __name__ == "__main__":
    main()
