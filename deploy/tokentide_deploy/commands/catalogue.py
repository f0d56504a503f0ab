"""`tokentide catalogue`: which models and prices the platform knows, and which models in the traffic it does not."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from tokentide_deploy.store_access import configured_paths, load_or_exit, opened_store, show_rows

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
    show_rows([{name: row[name] for name in columns} for row in rows], format_, Console())


@app.command()
def load(paths: Paths = None, data_dir: DataDir = None, clickhouse: ClickHouse = None) -> None:
    """Bring the catalogue into the running store: views and dashboards know new models at once.

    Costs of new events follow when the sinks and the worker are started again; stored costs by `tokentide prices`.
    """
    from tokentide_sinks.catalogue_loader import learn_names, load_into_store

    files = configured_paths(paths)
    catalogue = load_or_exit(files)
    with opened_store(data_dir, clickhouse) as store:
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
    with opened_store(data_dir, clickhouse) as store:
        rows = store.rows(UNKNOWN_SQL)
    if not rows and format_ == "table":
        typer.echo("every model in the traffic is in the catalogue")
        return
    show_rows([dict(zip(names, row, strict=True)) for row in rows], format_, Console())


def _files(paths: tuple[Path, ...]) -> str:
    return "shipped files" + "".join(f" + {path}" for path in paths)
