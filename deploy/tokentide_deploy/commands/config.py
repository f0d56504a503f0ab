"""`tokentide config`: the settings of every process, and whether they can be used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from tokentide_deploy.config.processes import Process

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Settings: what they are, and what is wrong.")

ProcessOption = Annotated[
    list[str] | None,
    typer.Option("--process", help="Only this process, e.g. stream; may be repeated.", show_default="all"),
]
FormatOption = Annotated[str, typer.Option("--format", help="table or json.")]


@app.command()
def show(
    process: ProcessOption = None,
    every: Annotated[bool, typer.Option("--all", help="Defaults as well, not only what is set.")] = False,
    format_: FormatOption = "table",
) -> None:
    """Every process's settings with their values and where each came from: default, file or environment.

    As a process that is started from here would read them. Secrets are masked. Exit status 1 when the file cannot be
    read.
    """
    from dataclasses import asdict

    from rich.console import Console

    from tokentide_deploy.config.report import settings_of
    from tokentide_deploy.errors import DeployError
    from tokentide_deploy.store_access import show_rows
    from tokentide_schemas.settings_sources import ConfigFileError, load_config_file

    try:
        file = load_config_file()
    except ConfigFileError as error:
        raise DeployError(str(error)) from error
    shown = [one for chosen in _chosen(process) for one in settings_of(chosen, file)]
    shown = [one for one in shown if every or process or one.origin != "default"]
    if format_ == "json":
        show_rows([asdict(one) for one in shown], format_, Console())
        return
    if not shown:
        typer.echo("Everything is at its default. All settings: tokentide config show --all")
        return
    readers: dict[tuple[str, str, str], list[str]] = {}
    for one in shown:
        value = f"{one.value}  ✗ (tokentide config check says why)".strip() if one.is_wrong else one.value
        readers.setdefault((one.variable, value, one.origin), []).append(one.process)
    rows = [
        {"variable": variable, "value": value, "from": origin, "processes": ", ".join(names)}
        for (variable, value, origin), names in readers.items()
    ]
    show_rows(rows, format_, Console())


@app.command()
def check(process: ProcessOption = None, format_: FormatOption = "table") -> None:
    """Read the settings as every process would, and say everything that is wrong.

    Settings that a process needs and that are not set are wrong only when the process is named with --process: the
    embedded stack (tokentide up) sets them itself. Exit status 1 when something is wrong; warnings do not count.
    """
    import json

    from tokentide_deploy.config.report import problems
    from tokentide_schemas.settings_sources import ConfigFileError, load_config_file, unknown_variables

    if format_ not in ("table", "json"):
        raise typer.BadParameter("give table or json", param_hint="--format")
    found: dict[str, list[str]] = {}
    try:
        for problem in load_config_file().problems:
            found[problem] = []
    except ConfigFileError as error:
        found[str(error)] = []
    for chosen in _chosen(process):
        for problem in problems(chosen):
            if process or " is not set: " not in problem:
                found.setdefault(problem, []).append(chosen.name)
    warnings = unknown_variables()
    if format_ == "json":
        typer.echo(json.dumps({"problems": list(found), "warnings": warnings}))
    else:
        for warning in warnings:
            typer.echo(f"! {warning}")
        for problem, names in found.items():
            typer.echo(f"✗ {problem}" + (f"  [{', '.join(names)}]" if names else ""))
        if not found:
            typer.echo("✓ the settings can be used")
    if found:
        raise typer.Exit(1)


def _chosen(names: list[str] | None) -> list[Process]:
    from tokentide_deploy.config.processes import PROCESSES, process_of

    if not names:
        return [process for process in PROCESSES if process.is_ours]
    chosen = []
    for name in names:
        process = process_of(name)
        if process is None:
            known = ", ".join(one.name for one in PROCESSES)
            raise typer.BadParameter(f"there is no process {name!r}; use one of {known}", param_hint="--process")
        chosen.append(process)
    return chosen
