"""`tokentide catalogue`: which models and prices the platform knows, and which models in the traffic it does not."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from tokentide_schemas.catalogue import Catalogue

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)

Paths = Annotated[
    list[Path] | None,
    typer.Argument(
        help="Your own files or folders, later ones win.", show_default="the setting TOKENTIDE_CATALOGUE_PATHS"
    ),
]
DataDir = Annotated[
    Path | None, typer.Option(help="Folder of the running stack.", show_default="the user's data folder")
]
ClickHouse = Annotated[
    str | None, typer.Option(help="http://user:password@host:port/database instead of a running stack's store.")
]
Format = Annotated[str, typer.Option("--format", help="table or json.")]

UNKNOWN_SQL = """
SELECT toString(model) AS name, sum(requests) AS requests, sum(total_tokens) AS tokens,
    toString(min(window_start)) AS first_day, toString(max(window_start)) AS last_day
FROM rollup_1d
WHERE NOT dictHas('models', tuple(lower(model)))
GROUP BY name
ORDER BY tokens DESC, requests DESC, name
"""


@app.callback()
def _catalogue() -> None:
    """Models, their names and their prices: the shipped files with your own on top."""


@app.command()
def check(paths: Paths = None) -> None:
    """Read the catalogue files and say everything that is wrong with them. Exit status 1 when something is."""
    files = configured_paths(paths)
    found = load_or_exit(files)
    typer.echo(
        f"catalogue {found.version}: {len(found.models)} models, {len(found.providers)} providers, "
        f"{len(found.price_rows())} prices; {_files(files)}"
    )


@app.command("list")
def list_models(paths: Paths = None, format_: Format = "table") -> None:
    """The models that the files define, with what is known of each."""
    from rich.console import Console

    rows = load_or_exit(configured_paths(paths)).model_rows()
    columns = ("id", "author", "open_weights", "origin_group", "size_class", "reasoning", "release_date")
    show([{name: row[name] for name in columns} for row in rows], format_, Console())


@app.command()
def load(paths: Paths = None, data_dir: DataDir = None, clickhouse: ClickHouse = None) -> None:
    """Bring the catalogue into the running store: views and dashboards know new models at once.

    Costs of new events follow when the sinks and the worker are started again; stored costs by `tokentide prices`.
    """
    from tokentide_sinks.catalogue_loader import learn_names, load_into_store

    files = configured_paths(paths)
    catalogue = load_or_exit(files)
    store = open_store(data_dir, clickhouse)
    done = load_into_store(store, catalogue, files, int(time.time() * 1000))
    learnt = learn_names(store, catalogue)
    state = "loaded" if done.is_new else "is already in the store"
    typer.echo(f"catalogue {done.version} {state}: {done.models} models, {done.prices} prices; {_files(files)}")
    if learnt:
        typer.echo(f"{len(learnt)} further spellings in the traffic resolved by rule")


@app.command()
def unknown(data_dir: DataDir = None, clickhouse: ClickHouse = None, format_: Format = "table") -> None:
    """Models in the traffic that the catalogue does not know, with what they amount to, largest first."""
    from rich.console import Console

    names = ("model", "requests", "tokens", "first_day", "last_day")
    rows = open_store(data_dir, clickhouse).rows(UNKNOWN_SQL)
    if not rows and format_ == "table":
        typer.echo("every model in the traffic is in the catalogue")
        return
    show([dict(zip(names, row, strict=True)) for row in rows], format_, Console())


def open_store(data_dir: Path | None, clickhouse: str | None) -> Any:
    """The store of `clickhouse` (a URL), else of the stack on `data_dir`, as the one who may write."""
    from tokentide_deploy.clickhouse_client import find_account
    from tokentide_sinks.store import Store

    return Store(find_account(data_dir, clickhouse, "writer").url)


def configured_paths(paths: list[Path] | None) -> tuple[Path, ...]:
    """`paths`, else those of the setting."""
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


def _files(paths: tuple[Path, ...]) -> str:
    return "shipped files" + "".join(f" + {path}" for path in paths)


def show(rows: list[dict[str, Any]], format_: str, console: Any) -> None:
    """Print rows as a table, or as one JSON array. Raises typer.BadParameter for another format."""
    from rich.table import Table

    if format_ == "json":
        typer.echo(json.dumps(rows, default=str))
        return
    if format_ != "table":
        raise typer.BadParameter("give table or json", param_hint="--format")
    table = Table()
    for name, value in rows[0].items() if rows else ():
        table.add_column(name, justify="right" if isinstance(value, int) and not isinstance(value, bool) else "left")
    for row in rows:
        table.add_row(*(_text(value) for value in row.values()))
    if not console.is_terminal:
        console.width = max(console.width, 200)
    console.print(table)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return str(value)
