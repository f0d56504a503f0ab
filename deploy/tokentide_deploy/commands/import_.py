"""`tokentide import`: requests that others have recorded, counted once however often they are imported."""

from __future__ import annotations

import json
import sys
import time
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from tokentide_deploy.importing.session import Choices, Session
    from tokentide_producers.importing.events import Format
    from tokentide_producers.importing.run import Result

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    help="Bring recorded requests in; the same rows again are not counted again.\n\nExit status: 0 when all is in, 1 "
    "when Kafka or the store did not do it, 2 when the source cannot be imported, 3 when bad rows were left out.",
)

Files = Annotated[list[Path], typer.Argument(help="Files: .csv, .json, .jsonl, .parquet; .gz after it is allowed.")]
DataDir = Annotated[
    Path | None, typer.Option(help="Folder of the running stack.", show_default="the user's data folder")
]
Kafka = Annotated[str | None, typer.Option(help="host:port of Kafka, instead of a running stack's; needs --ledger.")]
Clickhouse = Annotated[
    str | None, typer.Option(help="URL of the platform's store, to leave out requests that it has from elsewhere.")
]
LedgerFile = Annotated[
    Path | None,
    typer.Option(help="File that knows what was imported.", show_default="import-ledger.sqlite in the data folder"),
]
Gateway = Annotated[str, typer.Option(help="Name of the gateway that the rows come from.", show_default="the format's")]
TimeZone = Annotated[
    str, typer.Option(help="Of times that are written without one, such as Europe/Berlin.", show_default="UTC")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Send nothing: show the first events and what would be sent.")]
Reject = Annotated[Path | None, typer.Option(help="Write the place and the fault of each bad row here, as NDJSON.")]
Output = Annotated[Literal["table", "json"], typer.Option("--format", help="How the result is shown.")]
Timeout = Annotated[float, typer.Option(min=1, help="Give up when Kafka acknowledges nothing for so many seconds.")]


@app.command("openrouter")
def openrouter_files(
    files: Files,
    gateway: Gateway = "",
    time_zone: TimeZone = "",
    dry_run: DryRun = False,
    reject: Reject = None,
    data_dir: DataDir = None,
    kafka: Kafka = None,
    clickhouse: Clickhouse = None,
    ledger: LedgerFile = None,
    timeout_s: Timeout = 30.0,
    output: Output = "table",
) -> None:
    """OpenRouter's log export (CSV, one row a generation) and answers of GET /api/v1/generation (JSON)."""
    from tokentide_deploy.importing.session import Choices
    from tokentide_producers.importing.openrouter import Activity, Generation

    choices = Choices(data_dir, kafka, clickhouse, ledger, gateway, time_zone, dry_run, reject, timeout_s)
    _import_files(files, [Activity(), Generation()], choices, output)


@app.command("litellm")
def litellm_files(
    files: Files,
    gateway: Gateway = "",
    time_zone: TimeZone = "",
    dry_run: DryRun = False,
    reject: Reject = None,
    data_dir: DataDir = None,
    kafka: Kafka = None,
    clickhouse: Clickhouse = None,
    ledger: LedgerFile = None,
    timeout_s: Timeout = 30.0,
    output: Output = "table",
) -> None:
    """LiteLLM's spend logs: answers of /spend/logs as JSON, or LiteLLM_SpendLogs as CSV, Parquet or pg_dump (.sql)."""
    from tokentide_deploy.importing.session import Choices
    from tokentide_producers.importing.litellm import SpendLogs

    choices = Choices(data_dir, kafka, clickhouse, ledger, gateway, time_zone, dry_run, reject, timeout_s)
    _import_files(files, [SpendLogs()], choices, output)


@app.command("mapped")
def mapped_files(
    files: Files,
    mapping: Annotated[Path, typer.Option(help="TOML file that says what the columns mean: docs/import.md.")],
    gateway: Gateway = "",
    time_zone: TimeZone = "",
    dry_run: DryRun = False,
    reject: Reject = None,
    data_dir: DataDir = None,
    kafka: Kafka = None,
    clickhouse: Clickhouse = None,
    ledger: LedgerFile = None,
    timeout_s: Timeout = 30.0,
    output: Output = "table",
) -> None:
    """Any other CSV, JSON or Parquet file with one row a request, by a mapping file."""
    from tokentide_deploy.importing.session import Choices, NothingImportedError
    from tokentide_producers.importing.mapped import Mapped
    from tokentide_producers.importing.mapping_file import load_mapping
    from tokentide_producers.importing.problems import ImportSourceError

    choices = Choices(data_dir, kafka, clickhouse, ledger, gateway, time_zone, dry_run, reject, timeout_s)
    try:
        kind = Mapped(load_mapping(mapping))
    except ImportSourceError as error:
        raise NothingImportedError(f"{error}") from None
    _import_files(files, [kind], choices, output, is_utc=False)


@app.command("traces")
def traces_table(
    source: Annotated[
        str,
        typer.Option("--from", help="URL of the ClickHouse that OpenRouter writes to.", envvar="TOKENTIDE_IMPORT_FROM"),
    ],
    table: Annotated[
        str, typer.Option(help="The table, with its database before it where needed.")
    ] = "OPENROUTER_TRACES",
    since: Annotated[
        str, typer.Option(help="Only rows from this time on, such as 2026-01-31 or 2026-01-31T12:00Z.")
    ] = "",
    follow: Annotated[bool, typer.Option("--follow", help="Go on: look for new rows until stopped.")] = False,
    poll_s: Annotated[float, typer.Option(min=0.1, help="Seconds between two looks.")] = 10.0,
    overlap_s: Annotated[
        float, typer.Option(min=0, help="How late a row may come: each look begins so far back of the newest row.")
    ] = 3600.0,
    gateway: Gateway = "",
    dry_run: DryRun = False,
    reject: Reject = None,
    data_dir: DataDir = None,
    kafka: Kafka = None,
    clickhouse: Clickhouse = None,
    ledger: LedgerFile = None,
    timeout_s: Timeout = 30.0,
    output: Output = "table",
) -> None:
    """The table that OpenRouter Broadcast writes into a ClickHouse of yours; prompts and answers in it are not read."""
    # Imported here: help must not wait for Arrow and the Kafka client.
    import datetime as dt
    import math

    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from tokentide_deploy.clickhouse_client import connect
    from tokentide_deploy.importing.following import Following
    from tokentide_deploy.importing.session import Choices, NothingImportedError, opened, source_account
    from tokentide_deploy.importing.traces_table import TracesTable
    from tokentide_producers.importing.cells import instant_ms
    from tokentide_producers.importing.problems import RowError
    from tokentide_producers.importing.run import Result

    try:
        since_ms = instant_ms({"since": since + "T00:00" * (len(since) == 10)}, "since", dt.UTC)
    except RowError as error:
        raise NothingImportedError(f"--since {error}") from None
    choices = Choices(
        *(data_dir, kafka, clickhouse, ledger, gateway, "", dry_run, reject), math.inf if follow else timeout_s
    )
    result = Result()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    spans = TracesTable(connect(source_account(source)), table)
    with Progress(*columns, console=Console(stderr=True), disable=follow) as bar:
        task = bar.add_task("importing", total=spans.count(since_ms))
        with opened(choices, dt.UTC, on_rows=lambda rows: bar.advance(task, rows)) as session:
            started_s = time.monotonic()
            following = Following(session, spans, result, int(overlap_s * 1000))
            if follow and not dry_run:
                following.follow(since_ms, poll_s)
            else:
                following.read(since_ms)
        bar.update(task, completed=result.rows)
    _finish(session, result, time.monotonic() - started_s, spans.missing, output, is_unreadable=False)


@app.command()
def resume(
    data_dir: DataDir = None,
    kafka: Kafka = None,
    clickhouse: Clickhouse = None,
    ledger: LedgerFile = None,
    timeout_s: Timeout = 30.0,
) -> None:
    """Send what a broken-off import has left in the ledger; every other import does so first as well."""
    from tokentide_deploy.importing.session import Choices, opened

    with opened(Choices(data_dir, kafka, clickhouse, ledger, timeout_s=timeout_s), None) as session:
        pass
    typer.echo(f"{session.resumed_events:,} events of earlier imports were sent and acknowledged.")


@app.command()
def status(data_dir: DataDir = None, ledger: LedgerFile = None, output: Output = "table") -> None:
    """What the import ledger holds: rows imported so far, and events that are still to be sent."""
    from tokentide_deploy.errors import DeployError
    from tokentide_deploy.importing.session import Choices, ledger_path
    from tokentide_producers.importing.ledger import Ledger, LedgerError

    path = ledger_path(Choices(data_dir, ledger=ledger))
    if not path.exists():
        raise DeployError(f"There is no import ledger {path}: nothing was imported with it yet.")
    try:
        with Ledger(path, "") as opened_ledger:
            totals = opened_ledger.totals()
    except LedgerError as error:
        raise DeployError(str(error)) from error
    found = {
        "ledger": str(path),
        "rows": totals.rows,
        "envelopes": totals.envelopes,
        "pending_events": totals.pending_events,
    }
    if output == "json":
        typer.echo(json.dumps(found))
        return
    typer.echo(f"{path}: {totals.rows:,} rows imported in {totals.envelopes:,} envelopes")
    if totals.pending_events:
        typer.echo(
            f"{totals.pending_events:,} events are not known to be acknowledged: tokentide import resume sends them"
        )


def _import_files(
    files: list[Path], formats: list[Format], choices: Choices, output: str, *, is_utc: bool = True
) -> None:
    # Imported here: help must not wait for Arrow and the Kafka client.
    import datetime as dt

    from tokentide_deploy.importing.progress import FileProgress
    from tokentide_deploy.importing.session import NothingImportedError, opened, warn
    from tokentide_producers.importing.detecting import Detected
    from tokentide_producers.importing.problems import ImportSourceError
    from tokentide_producers.importing.reading import read_rows
    from tokentide_producers.importing.run import Result

    absent = [str(path) for path in files if not path.is_file()]
    if absent:
        raise NothingImportedError(f"There is no file {', '.join(absent)}.")
    missing: tuple[str, ...] = ()
    unreadable = []
    total = Result()
    own_zone = dt.UTC if is_utc else None
    with (
        FileProgress(files) as progress,
        opened(choices, own_zone, on_acknowledged=progress.acknowledged) as session,
    ):
        started_s = time.monotonic()
        for path in files:
            chosen = Detected(formats)
            rows = read_rows(path, chosen.wanted, progress.reading(path))
            try:
                # The format is known with the first row that can be read.
                begin = []
                for item in rows:
                    begin.append(item)
                    if chosen.format is not None:
                        break
                if chosen.format is None:
                    raise ImportSourceError(f"{path}: has no row that can be read")
                session.importing(chosen.format, total).take(chain(begin, rows))
            except ImportSourceError as error:
                # The other files are imported all the same.
                unreadable.append(str(error) if str(path) in str(error) else f"{path}: {error}")
            missing = tuple(dict.fromkeys((*missing, *chosen.missing)))
    for problem in unreadable:
        warn(problem)
    _finish(session, total, time.monotonic() - started_s, missing, output, is_unreadable=bool(unreadable))


def _finish(
    session: Session, result: Result, seconds: float, missing: tuple[str, ...], output: str, *, is_unreadable: bool
) -> None:
    from tokentide_deploy.importing.summary import as_json, show

    if output == "json":
        sys.stdout.write(json.dumps(as_json(session, result, seconds, missing)) + "\n")
    else:
        show(session, result, seconds, missing)
    if is_unreadable:
        raise typer.Exit(2)
    if result.refusals.bad_rows:
        raise typer.Exit(3)
