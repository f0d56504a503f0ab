"""What several tests of the installation ask: the checkout, the variables of settings, whether a command parses."""

from __future__ import annotations

import functools
from pathlib import Path

import click

ROOT = Path(__file__).resolve().parents[3]


def parse_command(arguments: list[str]) -> None:
    """Take the arguments of `tokentide` apart as the command line would, and run nothing. Raises click.UsageError."""
    from tokentide_deploy.cli import COMMANDS, _load

    command = _load(arguments[0])
    assert arguments[0] in COMMANDS
    rest = list(arguments[1:])
    context = click.Context(command, info_name=arguments[0])
    if isinstance(command, click.Group):
        name, found, rest = command.resolve_command(context, rest)
        assert found is not None
        command, context = found, click.Context(found, info_name=name, parent=context)
    command.parse_args(context, rest)
    if arguments[0] == "run" and not arguments[1].startswith("-"):
        from tokentide_deploy.parts import PARTS

        assert arguments[1] in PARTS, f"there is no part {arguments[1]}"


@functools.cache
def known_variables() -> frozenset[str]:
    """Every TOKENTIDE_* variable that some process reads."""
    from tokentide_deploy.secret_files import DIRECTORY_VARIABLE

    return frozenset({DIRECTORY_VARIABLE}) | _settings_variables()


def _settings_variables() -> frozenset[str]:
    from tokentide_deploy.config.variables import all_variables

    return frozenset(all_variables())
