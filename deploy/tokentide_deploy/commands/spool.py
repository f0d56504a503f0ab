"""`tokentide spool`: what gateways have left on disk while Kafka was away."""

from __future__ import annotations

import datetime as dt
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from tokentide_producers.spool.directory import SpoolDirectory

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Events that wait on disk for Kafka.")

FolderArgument = Annotated[
    Path, typer.Argument(envvar="TOKENTIDE_SPOOL_DIRECTORY", help="The spool's folder, as the gateways have it.")
]


def _is_there(folder: Path) -> None:
    from tokentide_deploy.errors import DeployError

    if not folder.is_dir():
        raise DeployError(
            f"There is no spool in {folder}. Give the folder that TOKENTIDE_SPOOL_DIRECTORY names for this machine's "
            "gateways."
        )


@app.command()
def status(
    folder: FolderArgument, output: Annotated[str, typer.Option("--format", help="table or json.")] = "table"
) -> None:
    """Show the segments in the spool, oldest first, and who may send them."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    from tokentide_producers.spool.directory import SpoolDirectory

    _is_there(folder)
    spool = SpoolDirectory(folder)
    free = {}
    for segment in spool.take_over():
        content = segment.read()
        free[segment.path] = (sum(one.events for one in content.envelopes), len(content.envelopes))
        segment.close()
    rows = []
    for path in spool.segments():
        facts = path.stat()
        events, envelopes = free.get(path, (None, None))
        last_written = dt.datetime.fromtimestamp(facts.st_mtime, dt.UTC).isoformat(timespec="seconds")
        rows.append(
            {
                "segment": path.name,
                "last_written": last_written,
                "bytes": facts.st_size,
                "envelopes": envelopes,
                "events": events,
                "held_by_a_gateway": path not in free,
            }
        )
    if output == "json":
        sys.stdout.write(json.dumps(rows, indent=2) + "\n")
        return
    table = Table(box=box.SIMPLE)
    for name in ("last written (UTC)", "bytes", "envelopes", "events", ""):
        table.add_column(name, justify="right" if name in ("bytes", "envelopes", "events") else "left")
    for row in rows:
        counts = ["" if row[name] is None else f"{row[name]:,}" for name in ("envelopes", "events")]
        whose = "a gateway writes or sends it" if row["held_by_a_gateway"] else "to be sent"
        table.add_row(str(row["last_written"]).removesuffix("+00:00"), f"{row['bytes']:,}", *counts, whose)
    Console().print(table if rows else f"Nothing waits in {folder}.")


@app.command()
def drain(
    folder: FolderArgument,
    data_dir: Annotated[Path | None, typer.Option(help="Folder of the running stack.")] = None,
    kafka: Annotated[str | None, typer.Option(help="Kafka, host:port, instead of the stack's.")] = None,
    timeout_s: Annotated[float, typer.Option(help="Give up when nothing is acknowledged for so long.")] = 30.0,
) -> None:
    """Send what no living gateway holds, with its identity, and delete it once Kafka has it.

    Safe to repeat and to break off: what was sent twice is counted once. Exit status 1 when something is left.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from tokentide_deploy.clickhouse_client import find_kafka
    from tokentide_deploy.errors import DeployError
    from tokentide_producers.sender import EnvelopeSender
    from tokentide_producers.settings import SenderSettings
    from tokentide_producers.spool import draining
    from tokentide_producers.spool.directory import SpoolDirectory, SpoolError

    _is_there(folder)
    servers = find_kafka(data_dir, kafka)
    spool = SpoolDirectory(folder)
    progress = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    )
    try:
        with progress:
            task = progress.add_task("events sent", total=_waiting_events(spool))
            report, error = draining.drain(
                spool,
                lambda settled: EnvelopeSender(servers, settings=SenderSettings(), on_settled=settled),
                timeout_s=timeout_s,
                on_progress=lambda done: progress.update(task, completed=done.events),
            )
            progress.update(task, completed=report.events)
    except SpoolError as problem:
        raise DeployError(str(problem)) from problem
    sys.stdout.write(f"{report.events:,} events in {report.envelopes:,} envelopes were sent, and Kafka has them.\n")
    if report.refused_events:
        sys.stderr.write(f"tokentide spool: {report.refused_events:,} events were refused by the broker for good.\n")
    if report.damaged_bytes:
        sys.stderr.write(f"tokentide spool: {report.damaged_bytes:,} bytes are damaged and kept as *.damaged.\n")
    if error:
        sys.stderr.write(
            f"tokentide spool: not everything was sent to {servers}: {error}. Look at Kafka, then repeat.\n"
        )
    if error or report.refused_events or report.damaged_bytes:
        raise typer.Exit(1)


def _waiting_events(spool: SpoolDirectory) -> int:
    events = 0
    for segment in spool.take_over():
        events += sum(one.events for one in segment.read().envelopes)
        segment.close()
    return events
