"""`tokentide demo`: thirteen months of history as the study published them, and whether it comes back the same."""

from __future__ import annotations

import json
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from tokentide_deploy.demo_state import LoadedHistory
    from tokentide_producers.history.checks import Measured

app = typer.Typer(add_completion=False, no_args_is_help=True, help="A history to look at, and how true it is.")

DataDirOption = Annotated[
    Path | None, typer.Option(help="Folder of the running stack.", show_default="the user's data folder")
]
FormatOption = Annotated[Literal["table", "json"], typer.Option("--format", help="table or json.")]

DEFAULT_EVENTS = 1_000_000
MIN_EVENTS = 20_000


@app.command("load")
def load_history(
    events: Annotated[
        int, typer.Option(min=MIN_EVENTS, max=50_000_000, help="Requests in the sample; fewer scatter more.")
    ] = DEFAULT_EVENTS,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same events.")] = 1,
    end: Annotated[
        Literal["auto", "study", "now"],
        typer.Option(
            help="study: 2024-11-03 to 2025-11-30; now: shifted, so that it ends in this hour; auto: the study's dates "
            "where the store keeps raw events that long, else now; with --again where the last one lies."
        ),
    ] = "auto",
    again: Annotated[bool, typer.Option("--again", help="Load although a history is there: volumes add up.")] = False,
    data_dir: DataDirOption = None,
    output_format: FormatOption = "table",
) -> None:
    """Load the scenario of the study's thirteen months through Kafka, worker and sinks, then check it.

    Exit status: 0 when all of it is counted and every published figure comes back within its tolerance, 1 when not, 5
    when no stack runs.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from tokentide_deploy import demo_history, demo_state
    from tokentide_deploy.clickhouse_client import connect
    from tokentide_deploy.errors import DeployError
    from tokentide_deploy.stack_state import load_stack
    from tokentide_producers.history.scenario import Scenario
    from tokentide_producers.history.sending import send
    from tokentide_producers.history.traffic import HistoryTraffic, Span
    from tokentide_producers.sender import EnvelopeSender
    from tokentide_producers.settings import SenderSettings
    from tokentide_schemas.catalogue import load_catalogue

    stack = load_stack(_folder(data_dir))
    state = demo_state.load(stack.data_dir)
    if state.histories and not again:
        raise DeployError(_already_loaded(state.histories[-1]))
    client = connect(stack.clickhouse_writer)
    catalogue = load_catalogue()
    scenario = Scenario(catalogue)
    now_ms = time.time_ns() // 1_000_000
    if state.histories and end == "auto":
        # Two histories at different dates would mix where they overlap, and no table of either would hold.
        last = state.histories[-1]
        span = Span(last.start_ms, last.end_ms, last.shift_ms)
    else:
        span = demo_history.choose_span(scenario, end, demo_history.raw_days(client), now_ms)
    history = demo_state.LoadedHistory(
        events=events,
        seed=seed,
        start_ms=span.start_ms,
        end_ms=span.end_ms,
        shift_ms=span.shift_ms,
        state="sending",
        changed_at=datetime.now(UTC),
    )
    progress = Progress(
        TextColumn("{task.description:<14}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=Console(stderr=True),
    )
    with progress, demo_history.expired_rows_kept(client):
        preparing = progress.add_task("preparing", total=1)
        traffic = HistoryTraffic(scenario, catalogue, events, span, seed)
        sender = EnvelopeSender(stack.kafka_bootstrap_servers, settings=SenderSettings())
        watch = demo_history.Watch(client, span, sender.producer_ids)
        progress.advance(preparing)
        # Written before the first event: a load that breaks off must not be repeated unnoticed.
        state = state.with_last(history, replace=False)
        demo_state.save(stack.data_dir, state)
        tasks = {name: progress.add_task(name, total=events) for name in ("sent", "stored", "rolled up", "users")}
        sent = send(traffic.blocks(), sender, on_acknowledged=lambda number: progress.advance(tasks["sent"], number))
        if sent.acknowledged_events < events:
            raise DeployError(
                f"Kafka at {stack.kafka_bootstrap_servers} acknowledged {sent.acknowledged_events:,} of {events:,} "
                f"events ({sent.last_error or 'no answer in time'}). Look at Kafka's log; then load into a new data "
                "directory, or with --again on top of what has come."
            )

        def show(now: demo_history.Progress) -> None:
            progress.update(tasks["stored"], completed=now.stored)
            progress.update(tasks["rolled up"], completed=min(now.rolled_up, events))
            progress.update(tasks["users"], completed=now.users_counted)

        watch.wait(events, show)
    loaded = history.model_copy(update={"state": "loaded"})
    demo_state.save(stack.data_dir, state.with_last(loaded, replace=True))
    _check(stack.data_dir, client, output_format)


@app.command("check")
def check_history(data_dir: DataDirOption = None, output_format: FormatOption = "table") -> None:
    """Measure every published figure over the loaded history, from the stored rollups.

    Exit status: 0 when each is within its tolerance, 1 when one is not or nothing is loaded, 5 when no stack runs.
    """
    from tokentide_deploy.clickhouse_client import connect
    from tokentide_deploy.stack_state import load_stack

    stack = load_stack(_folder(data_dir))
    _check(stack.data_dir, connect(stack.clickhouse_reader), output_format)


def _folder(data_dir: Path | None) -> Path:
    from tokentide_deploy.data_dir import default_data_dir

    return data_dir or default_data_dir()


def _already_loaded(last: LoadedHistory) -> str:
    what = f"{last.events:,} events, {_day(last.start_ms)} to {_day(last.end_ms)}, seed {last.seed}"
    if last.state == "sending":
        return (
            f"A load of a history broke off here ({what}); a part of it may be counted. Start a stack on another data "
            "directory (tokentide up --data-dir), or add --again to load a whole one on top."
        )
    return (
        f"A history is loaded already ({what}). See how true it is: tokentide demo check. Add --again to load another "
        "on top: shares stay, volumes add up."
    )


def _check(data_dir: Path, client: object, output_format: str) -> None:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    from tokentide_deploy import demo_history, demo_state
    from tokentide_deploy.errors import DeployError
    from tokentide_producers.history.checks import Published
    from tokentide_producers.history.scenario import Scenario
    from tokentide_producers.history.traffic import Span
    from tokentide_schemas.catalogue import load_catalogue

    histories = demo_state.load(data_dir).histories
    if not histories:
        raise DeployError(f"No history is loaded into {data_dir}: run tokentide demo load.")
    last = histories[-1]
    if last.state != "loaded":
        raise DeployError(_already_loaded(last))
    published = Published()
    with Progress(
        TextColumn("{task.description:<14}"), BarColumn(), MofNCompleteColumn(), console=Console(stderr=True)
    ) as progress:
        measuring = progress.add_task("measuring", total=len(published.checks))
        found = demo_history.measure(
            client,
            published,
            Span(last.start_ms, last.end_ms, last.shift_ms),
            Scenario(load_catalogue()).launches,
            last.events,
            time.time_ns() // 1_000_000,
            on_measured=lambda: progress.advance(measuring),
        )
    if output_format == "json":
        document = {"history": last.model_dump(mode="json"), "checks": [outcome.row() for outcome in found]}
        sys.stdout.write(json.dumps(document, indent=1) + "\n")
    else:
        _print(found, last)
    if not all(outcome.holds for outcome in found):
        raise typer.Exit(1)


def _print(found: list[Measured], last: LoadedHistory) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(
        title=f"Published and measured: {last.events:,} events, {_day(last.start_ms)} to {_day(last.end_ms)}",
        box=box.SIMPLE_HEAD,
        caption="F and T are the study's figures and tables. Measured from the stored rollups.",
    )
    for name in ("", "figure"):
        table.add_column(name, no_wrap=not name)
    for name in ("published", "measured", "from", "to"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("")
    for outcome in found:
        row, unit = outcome.row(), outcome.check.unit
        verdict = "[dim]left out[/dim]" if outcome.skipped else "ok" if outcome.holds else "[red]OUT[/red]"
        table.add_row(
            outcome.check.figure,
            f"{outcome.check.name} [dim]{unit}[/dim]",
            outcome.check.published,
            _number(outcome.measured),
            _number(row["low"]),
            _number(row["high"]),
            verdict,
        )
    console = Console()
    console.print(table)
    for outcome in found:
        if outcome.skipped or not outcome.holds:
            reason = outcome.skipped or outcome.check.why or "out of tolerance"
            console.print(f"{outcome.check.figure} {outcome.check.name}: {reason}", soft_wrap=True, highlight=False)
    missed = sum(not outcome.holds for outcome in found)
    left_out = sum(bool(outcome.skipped) for outcome in found)
    console.print(f"{len(found) - missed - left_out} within tolerance, {missed} out, {left_out} left out")


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:.2f}"


def _day(ms: int) -> str:
    return f"{datetime.fromtimestamp(ms / 1000, UTC):%Y-%m-%d}"
