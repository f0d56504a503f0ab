"""`tokentide run`: one process of the platform, as a container or a service manager starts it."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer


def command(
    part: Annotated[str, typer.Argument(help="worker, events-sink, rollups-sink, shares, ...; --list shows all.")] = "",
    arguments: Annotated[
        list[str] | None,
        typer.Argument(help="What follows goes to the part: for board and collector, after --, --host and --port."),
    ] = None,
    list_parts: Annotated[bool, typer.Option("--list", help="Show the parts and what each does.")] = False,
) -> None:
    """Run one part in the foreground until SIGTERM, configured by TOKENTIDE_* variables.

    With TOKENTIDE_SECRETS_DIR each file of that folder is such a variable, so that no password stands in an environment
    that others can list. The process is replaced: signals and the exit status are the part's own.
    """
    from tokentide_deploy.errors import DeployError
    from tokentide_deploy.parts import PARTS

    if list_parts:
        width = max(map(len, PARTS))
        for name, entry in PARTS.items():
            typer.echo(f"{name:<{width}}  {entry.help}")
        return
    if part not in PARTS:
        raise DeployError(f"There is no part {part!r}; there are: {', '.join(PARTS)}.")
    found = PARTS[part]
    environment = {"PYTHONUNBUFFERED": "1", **os.environ}
    sys.stdout.flush()
    os.execve(sys.executable, [sys.executable, "-m", found.module, *found.arguments, *(arguments or [])], environment)
