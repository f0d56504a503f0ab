"""`tokentide backup`: a stopped stack into one file, and back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    help="Back up a stopped stack with the embedded Kafka and store, and restore it.",
)

FileArgument = Annotated[Path, typer.Argument(help="The backup, as `tokentide backup create` wrote it.")]


@app.command()
def create(
    file: Annotated[Path, typer.Argument(help="File to write, or an existing folder, which gets one named by time.")],
    data_dir: Annotated[Path | None, typer.Option(help="Folder of the stack; it must be stopped.")] = None,
) -> None:
    """Copy Kafka's log, with the consumer groups' offsets, and the store into one tar file with a manifest.

    The file holds every usage event and the store's passwords; only its owner may read it.
    """
    import datetime as dt

    from tokentide_deploy.backup.create import create_backup
    from tokentide_deploy.data_dir import DataDir, default_data_dir

    now = dt.datetime.now(dt.UTC)
    if file.is_dir():
        file /= f"tokentide-{now:%Y%m%dT%H%M%SZ}.tar"
    with _progress("copied") as (begin, advance):
        manifest = create_backup(DataDir(data_dir or default_data_dir()), file, now, begin, advance)
    typer.echo(f"{file}: {manifest.files:,} files, {manifest.total_bytes / 1e6:,.1f} MB, {_parts(manifest.holds)}")
    typer.echo("It holds the store's passwords: keep it as you keep those.")


@app.command()
def check(file: FileArgument) -> None:
    """Read a backup and compare every checksum, without restoring it."""
    from tokentide_deploy.backup.restore import check_backup, open_backup

    with open_backup(file) as backup, _progress("read") as (begin, advance):
        begin(backup.manifest.total_bytes)
        check_backup(backup, advance)
    made = backup.manifest
    typer.echo(
        f"{file}: whole. Made {made.created_at:%Y-%m-%d %H:%M:%S} UTC by tokentide {made.versions.tokentide}, "
        f"{made.files:,} files, {made.total_bytes / 1e6:,.1f} MB, {_parts(made.holds)}"
    )


@app.command()
def restore(
    file: FileArgument,
    data_dir: Annotated[Path, typer.Option(help="Folder to restore into: empty, or not there yet.")],
) -> None:
    """Put a backup into an empty folder, comparing every checksum. After an error the folder is empty again."""
    from tokentide_deploy.backup.restore import open_backup, restore_backup
    from tokentide_deploy.data_dir import DataDir

    with open_backup(file) as backup, _progress("restored") as (begin, advance):
        begin(backup.manifest.total_bytes)
        restore_backup(backup, DataDir(data_dir), advance)
    typer.echo(f"{data_dir}: {backup.manifest.files:,} files restored, with the modes and passwords they had.")
    typer.echo(
        f"Start it with: tokentide up --data-dir {data_dir}   Then prove it: tokentide verify --data-dir {data_dir}"
    )


def _parts(holds: tuple[str, ...]) -> str:
    if holds == ("kafka", "store"):
        return "Kafka and store"
    return (
        "Kafka only: the ClickHouse of this stack is not in it"
        if "kafka" in holds
        else ("store only: the Kafka of this stack is not in it")
    )


@contextmanager
def _progress(verb: str) -> Iterator[tuple[Callable[[int], None], Callable[[int], None]]]:
    """A bar on a terminal's stderr, nothing elsewhere."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task(verb, total=None)
        yield (
            lambda total: progress.update(task, total=total),
            lambda count: progress.advance(task, count),
        )
