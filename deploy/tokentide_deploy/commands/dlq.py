"""`tokentide dlq`: what was refused, why, and taking it back after a fix."""

from __future__ import annotations

import datetime as dt
import getpass
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from tokentide_sinks.dlq import Filter
    from tokentide_sinks.dlq_io import DeadLetters

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Dead letters: list, show, replay, discard.")

DataDirOption = Annotated[Path | None, typer.Option(help="Folder of the running stack.")]
KafkaOption = Annotated[str | None, typer.Option(help="Kafka, host:port, instead of the stack's.")]
ClickHouseOption = Annotated[str | None, typer.Option(help="ClickHouse URL instead of the stack's.")]
FormatOption = Annotated[str, typer.Option("--format", help="table or json.")]
ReasonOption = Annotated[str | None, typer.Option(help="Only letters with this reason.")]
PartitionOption = Annotated[int | None, typer.Option(min=0, help="Only letters of this partition.")]
SinceOption = Annotated[dt.datetime | None, typer.Option(help="Only records that came at or after this time, UTC.")]
UntilOption = Annotated[dt.datetime | None, typer.Option(help="Only records that came before this time, UTC.")]
WhyOption = Annotated[str, typer.Option(help="Kept with the decision.")]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Say what would happen, change nothing.")]
IdsArgument = Annotated[list[str] | None, typer.Argument(help="PARTITION/OFFSET or PARTITION/OFFSET/ROW.")]


@contextmanager
def _opened(data_dir: Path | None, kafka: str | None, clickhouse: str | None) -> Iterator[DeadLetters]:
    from tokentide_deploy.clickhouse_client import find_account, find_kafka
    from tokentide_deploy.errors import DeployError
    from tokentide_sinks.dlq_io import DeadLetterError, DeadLetters
    from tokentide_sinks.kafka import TopicError
    from tokentide_sinks.store import Store, StoreError

    kafka = find_kafka(data_dir, kafka)
    clickhouse = find_account(data_dir, clickhouse, "writer").url
    store = Store(clickhouse)
    try:
        yield DeadLetters(store, kafka)
    except (StoreError, TopicError, DeadLetterError, ValueError) as error:
        raise DeployError(str(error)) from error
    finally:
        store.close()


def _filter(
    reason: str | None,
    partition: int | None,
    since: dt.datetime | None,
    until: dt.datetime | None,
    letters: list[str] | None = None,
) -> Filter:
    from tokentide_sinks.dlq import Filter

    def utc(value: dt.datetime | None) -> dt.datetime | None:
        return value.replace(tzinfo=dt.UTC) if value is not None and value.tzinfo is None else value

    return Filter(reason, partition, utc(since), utc(until), tuple(letters or ()))


def _print(rows: list[dict[str, Any]], format_: str, title: str) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    if format_ not in ("table", "json"):
        raise typer.BadParameter("give table or json", param_hint="--format")
    if format_ == "json":
        typer.echo(json.dumps(rows, default=str))
        return
    console = Console(highlight=False)
    if not rows:
        console.print("No dead letters match.")
        return
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    for name in rows[0]:
        table.add_column(name.replace("_", " "), overflow="fold")
    for row in rows:
        table.add_row(*(_shown(value) for value in row.values()))
    console.print(table)


def _shown(value: Any) -> str:
    if isinstance(value, dt.datetime):
        return f"{value:%Y-%m-%d %H:%M:%S}"
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return "" if value is None else str(value)


@app.command("list")
def list_(
    status: Annotated[str, typer.Option(help="open, replayed, discarded or all.")] = "all",
    reason: ReasonOption = None,
    partition: PartitionOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    data_dir: DataDirOption = None,
    kafka: KafkaOption = None,
    clickhouse: ClickHouseOption = None,
    format_: FormatOption = "table",
) -> None:
    """Dead letters by reason and status: how many, since when, where, with a sample."""
    from tokentide_sinks.dlq import letter_id

    with _opened(data_dir, kafka, clickhouse) as dead:
        rows = dead.summary(_filter(reason, partition, since, until), status)
    _print([{**row, "newest": letter_id(*row["newest"])} for row in rows], format_, "Dead letters")


@app.command()
def show(
    letters: Annotated[list[str], typer.Argument(help="PARTITION/OFFSET or PARTITION/OFFSET/ROW; several are fine.")],
    data_dir: DataDirOption = None,
    kafka: KafkaOption = None,
    clickhouse: ClickHouseOption = None,
    format_: FormatOption = "table",
) -> None:
    """What is known of single dead letters, and what present code says about their records. Never content."""
    from tokentide_sinks.dlq import attempt

    rows: list[dict[str, Any]] = []
    with _opened(data_dir, kafka, clickhouse) as dead:
        found = dead.find(_filter(None, None, None, None, letters), None, 1_000, "all")
        for letter, record in dead.records(found):
            tried = attempt(letter, record)
            facts = asdict(letter)
            facts["id"] = letter.id
            facts["record_bytes"] = None if record is None else len(record.value or b"")
            # Values of headers are the sender's text; their names and sizes are enough to see what is wrong.
            facts["headers"] = [] if record is None else [f"{n} ({len(v)} bytes)" for n, v in record.headers.items()]
            facts["now"] = tried.problem or f"accepted: {tried.events} events"
            facts["still_refused_rows"] = len(tried.remaining)
            rows.append(facts)
    if format_ == "table":
        rows = [{"field": name, "value": value} for row in rows for name, value in row.items()]
    _print(rows, format_, "Dead letter")


@app.command()
def replay(
    letters: IdsArgument = None,
    reason: ReasonOption = None,
    partition: PartitionOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    why: WhyOption = "",
    dry_run: DryRunOption = False,
    data_dir: DataDirOption = None,
    kafka: KafkaOption = None,
    clickhouse: ClickHouseOption = None,
    format_: FormatOption = "table",
) -> None:
    """Read refused records again with this version, and send what it accepts back through the usage topic.

    Exact: a replay that is repeated is recognised. Works while the record is in the topic. Events that only the store
    had refused go back into the raw table alone, because the rollups have them.
    """
    with _opened(data_dir, kafka, clickhouse) as dead:
        outcome = dead.replay(_filter(reason, partition, since, until, letters), getpass.getuser(), why, dry_run)
    _print([asdict(outcome)], format_, "Replay" if not dry_run else "Replay (nothing was sent)")


@app.command()
def discard(
    letters: IdsArgument = None,
    reason: ReasonOption = None,
    partition: PartitionOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    why: WhyOption = "",
    everything: Annotated[bool, typer.Option("--all", help="Needed when no id and no filter is given.")] = False,
    dry_run: DryRunOption = False,
    data_dir: DataDirOption = None,
    kafka: KafkaOption = None,
    clickhouse: ClickHouseOption = None,
    format_: FormatOption = "table",
) -> None:
    """Mark open dead letters as not to be replayed. Nothing is deleted; list shows them as discarded."""
    from tokentide_deploy.errors import DeployError

    if not (letters or reason or since or until or everything) and partition is None:
        raise DeployError("Name dead letters by id, --reason, --partition, --since or --until, or say --all.")
    with _opened(data_dir, kafka, clickhouse) as dead:
        outcome = dead.discard(_filter(reason, partition, since, until, letters), getpass.getuser(), why, dry_run)
    _print([{"letters": outcome.letters, "dry_run": dry_run}], format_, "Discarded")
