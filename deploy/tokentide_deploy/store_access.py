"""What the commands that read the catalogue and correct the store have in common: files, connection, tables."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from tokentide_deploy.errors import DeployError

if TYPE_CHECKING:
    from rich import console as rich_console

    from tokentide_schemas.catalogue import Catalogue
    from tokentide_sinks.store import Store


@contextmanager
def opened_store(data_dir: Path | None, clickhouse: str | None) -> Iterator[Store]:
    """The store of `clickhouse` (a URL), else of the stack on `data_dir`, as the one who may write.

    Its errors come out as DeployError, with what to do.
    """
    from tokentide_deploy.clickhouse_client import find_account
    from tokentide_sinks.store import Store, StoreError

    account = find_account(data_dir, clickhouse, "writer")
    store = Store(account.url)
    try:
        yield store
    except StoreError as error:
        raise DeployError(
            f"The store at {account.host}:{account.port} did not do it: {error}. Check that it runs and is of this "
            "version (tokentide up prepares its tables), then run the command again: it goes on where it was."
        ) from error
    finally:
        store.close()


def configured_paths(paths: list[Path] | None) -> tuple[Path, ...]:
    """`paths`, else those of the setting TOKENTIDE_CATALOGUE_PATHS."""
    from tokentide_schemas.settings import CatalogueSettings, load_settings

    return tuple(paths) if paths else load_settings(CatalogueSettings).catalogue_paths


def load_or_exit(paths: tuple[Path, ...]) -> Catalogue:
    """The catalogue; with wrong files every problem is printed and the command ends with status 1."""
    from tokentide_schemas.catalogue import CatalogueError, load_catalogue

    try:
        return load_catalogue(paths)
    except CatalogueError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None


def show_rows(rows: list[dict[str, Any]], format_: str, console: rich_console.Console) -> None:
    """Print rows as a table, or as one JSON array. Raises typer.BadParameter for another format."""
    from rich.console import Console
    from rich.table import Table

    if format_ == "json":
        typer.echo(json.dumps(rows, default=str))
        return
    if format_ != "table":
        raise typer.BadParameter("give table or json", param_hint="--format")
    table = Table()
    for name, value in rows[0].items() if rows else ():
        number = isinstance(value, int) and not isinstance(value, bool)
        table.add_column(name, justify="right" if number else "left", no_wrap=number)
    for row in rows:
        table.add_row(*map(_text, row.values()))
    if not console.is_terminal:
        # In a pipe nothing is cut.
        console.width = max(console.width, Console(width=1_000_000).measure(table).maximum)
    console.print(table)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int) else str(value)
