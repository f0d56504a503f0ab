"""`tokentide replay`: the requests of a trace file as usage events."""

import sys
import time
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Speed(StrEnum):
    """How fast a trace is replayed."""

    MAX = "max"
    REAL = "1"
    MINUTE = "60"


class Unit(StrEnum):
    """How the times are written."""

    ISO = "iso"
    S = "s"
    MS = "ms"


class Format(StrEnum):
    """How the file is written."""

    CSV = "csv"
    JSONL = "jsonl"


def command(
    file: Annotated[Path, typer.Argument(help="CSV (with a header) or JSON lines; .gz is allowed.")],
    timestamp_column: Annotated[str, typer.Option(help="Column with the request's time.")],
    input_tokens_column: Annotated[str, typer.Option(help="Column with all prompt tokens, cached ones included.")],
    output_tokens_column: Annotated[str, typer.Option(help="Column with the completion tokens.")],
    model: Annotated[str, typer.Option(help="Model of all requests; any name that the catalogue knows, or another.")],
    provider: Annotated[str, typer.Option(help="Who served them.")],
    category: Annotated[str, typer.Option(help="Category of all requests, such as programming.")],
    timestamp_unit: Annotated[
        Unit, typer.Option(help="iso: written dates, UTC where no zone is written; s, ms: numbers since 1970.")
    ] = Unit.ISO,
    cached_tokens_column: Annotated[
        str | None, typer.Option(help="Column with the prompt tokens that a cache served; a part of the input tokens.")
    ] = None,
    speed: Annotated[
        Speed, typer.Option(help="max: at once; 1: in real time; 60: a minute of the trace in a second.")
    ] = Speed.MAX,
    keep_time: Annotated[
        bool, typer.Option("--keep-time", help="Keep the file's times. Without it the last event is now.")
    ] = False,
    limit: Annotated[int | None, typer.Option(min=1, help="Replay only the first rows.")] = None,
    skip_bad_rows: Annotated[
        bool, typer.Option("--skip-bad-rows", help="Leave out rows that cannot be read, and count them.")
    ] = False,
    file_format: Annotated[
        Format | None, typer.Option("--format", help="The file's format.", show_default="by its ending")
    ] = None,
    data_dir: Annotated[
        Path | None, typer.Option(help="Folder of the running stack.", show_default="the user's data folder")
    ] = None,
    kafka: Annotated[str | None, typer.Option(help="host:port of Kafka, instead of a running stack's.")] = None,
) -> None:
    """Send the requests of a trace file as usage events, exactly once, and count them.

    Exit status: 0 when Kafka has acknowledged every request, 1 when not, 2 when the file cannot be replayed.
    """
    # Imported here: help must not wait for Arrow and the Kafka client.
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
    from rich.table import Table

    from tokentide_deploy.clickhouse_client import find_kafka
    from tokentide_producers.catalogue_names import configured_catalogue
    from tokentide_producers.replay import BadRowsError, TraceFile, plan_times, send, survey
    from tokentide_producers.replay_mapping import Labels, TraceColumns
    from tokentide_producers.replay_reading import TraceFileError, TraceFormat, format_of
    from tokentide_producers.replay_times import TimestampUnit
    from tokentide_producers.sender import EnvelopeSender
    from tokentide_producers.settings import SenderSettings

    servers = find_kafka(data_dir, kafka)
    progress = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    )
    try:
        columns = TraceColumns(
            timestamp_column,
            input_tokens_column,
            output_tokens_column,
            cached_tokens_column,
            TimestampUnit(timestamp_unit.value),
        )
        trace = TraceFile(file, TraceFormat(file_format.value) if file_format else format_of(file), columns, limit)
        labels = Labels(model, provider, category)
        with progress:
            checking = progress.add_task("checking", total=None)
            found = survey(trace, lambda rows: progress.advance(checking, rows))
            progress.update(checking, total=found.requests)
            if found.bad_rows and not skip_bad_rows:
                raise BadRowsError(found.bad_examples, found.bad_rows)
            schedule = plan_times(
                found,
                now_ms=time.time_ns() // 1_000_000,
                speed=None if speed is Speed.MAX else float(speed.value),
                keep_time=keep_time,
            )
            sending = progress.add_task("sending", total=found.requests)
            result = send(
                trace,
                found,
                schedule,
                labels,
                configured_catalogue(),
                EnvelopeSender(servers, settings=SenderSettings()),
                on_acknowledged=lambda requests: progress.advance(sending, requests),
            )
    except (TraceFileError, BadRowsError) as error:
        sys.stderr.write(f"tokentide replay: {file}: {error}\n")
        raise typer.Exit(2) from None

    table = Table("", "count")
    table.add_row("requests", f"{result.requests:,}")
    table.add_row("input tokens", f"{result.input_tokens:,}")
    table.add_row("output tokens", f"{result.output_tokens:,}")
    table.add_row("acknowledged by Kafka", f"{result.acknowledged_requests:,}")
    if result.skipped_rows:
        table.add_row("bad rows left out", f"{result.skipped_rows:,}")
    Console().print(table)
    if not result.is_complete:
        missing = result.requests - result.acknowledged_requests
        sys.stderr.write(
            f"tokentide replay: {missing:,} requests were not acknowledged by Kafka at {servers} "
            f"({result.last_error or 'no answer in time'}). Look at Kafka, then replay again.\n"
        )
        raise typer.Exit(1)
