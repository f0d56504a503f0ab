"""`tokentide plan`: partitions, processes, cores, disk and network for a volume of tokens."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer


def _number(text: str) -> float:
    from tokentide_deploy.plan.planning import number

    try:
        return number(text)
    except ValueError as error:
        raise typer.BadParameter(f"give a number such as 100T, 2.5B or 40000; {text!r} is none") from error


def command(
    tokens_per_day: Annotated[
        str, typer.Option(help="Tokens a day, in and out together: 100T, 2.5B, 40000 (k, M, B, T, Q).")
    ],
    tokens_per_request: Annotated[float, typer.Option(min=1.0, help="Mean tokens of a request.")] = 6_400.0,
    peak_factor: Annotated[float, typer.Option(min=1.0, help="The busiest minute over the day's mean.")] = 2.0,
    use_at_most: Annotated[
        float, typer.Option(min=0.05, max=1.0, help="Share of a core or disk to plan with; the rest is headroom.")
    ] = 0.6,
    retention: Annotated[int, typer.Option(min=1, help="Days that raw events are kept.")] = 30,
    kafka_retention: Annotated[int, typer.Option(min=1, help="Days that the usage topic keeps events.")] = 7,
    kafka_replicas: Annotated[int, typer.Option(min=1, help="Copies of the topics.")] = 3,
    store_replicas: Annotated[int, typer.Option(min=1, help="Copies of the tables.")] = 2,
    costs_file: Annotated[
        Path | None, typer.Option(help="Costs that were measured elsewhere, in place of the shipped ones.")
    ] = None,
    format_: Annotated[str, typer.Option("--format", help="table or json.")] = "table",
) -> None:
    """Say what a volume of tokens needs, from costs that `make bench` has measured.

    It is arithmetic: one machine's costs, multiplied. docs/scaling.md says what of it was measured.
    """
    if format_ not in ("table", "json"):
        raise typer.BadParameter("give table or json", param_hint="--format")
    from tokentide_deploy.plan.costs import load_costs
    from tokentide_deploy.plan.planning import Demand, plan

    costs = load_costs(costs_file)
    demand = Demand(
        _number(tokens_per_day), tokens_per_request, peak_factor, use_at_most, retention, kafka_retention,
        kafka_replicas, store_replicas,
    )  # fmt: skip
    found = plan(demand, costs)
    if format_ == "json":
        document = {"demand": asdict(demand), "plan": asdict(found), "costs": costs.model_dump()}
        typer.echo(json.dumps(document, indent=1))
        return
    from rich import box
    from rich.console import Console
    from rich.table import Table

    console = Console()
    console.print(
        f"{found.events_per_day:,.0f} events a day, {found.events_per_s:,.0f} a second, "
        f"{found.peak_events_per_s:,.0f} at peak",
        highlight=False,
    )
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("needed")
    table.add_column("", justify="right", no_wrap=True)
    table.add_column("because")
    for line in found.lines:
        figure = f"{line.value:,.0f}" if line.value >= 100 or line.value == int(line.value) else f"{line.value:.2g}"
        table.add_row(line.what, f"{figure} {line.unit}".strip(), line.because)
    console.print(table)
    console.print(
        f"Costs: {costs.machine}, {costs.events_per_s:,.0f} events/s, {costs.measured_at}, commit {costs.commit}. "
        f"{costs.note}",
        highlight=False, soft_wrap=True,
    )  # fmt: skip
