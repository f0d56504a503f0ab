"""The table at the end of a campaign."""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.table import Table

from chaos.campaign import Outcome


def show(outcome: Outcome, console: Console) -> None:
    """Print what happened, by kind of fault."""
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("fault", no_wrap=True)
    for name in ("count", "lost", "doubled", "recovery p50 s", "max s"):
        table.add_column(name, justify="right", no_wrap=True)
    for kind, tally in sorted(outcome.tallies.items()):
        row = (tally.count, tally.lost, tally.doubled, f"{tally.p50_s:.1f}", f"{tally.max_s:.1f}")
        table.add_row(kind, *map(str, row))
    every = [value for tally in outcome.tallies.values() for value in tally.recoveries_s]
    table.add_section()
    lost = max((tally.lost for tally in outcome.tallies.values()), default=0)
    doubled = max((tally.doubled for tally in outcome.tallies.values()), default=0)
    table.add_row("all", str(outcome.faults), str(lost), str(doubled), "", f"{max(every, default=0):.1f}", style="bold")
    console.print(table)
    ends = ", ".join(f"{count} x {what}" for what, count in sorted(outcome.unexpected_ends.items())) or "none"
    console.print(f"seed {outcome.seed}: {outcome.rounds} rounds, {outcome.stored:,} events, {outcome.seconds:.0f} s")
    console.print(f"processes that ended by themselves and were started again: {ends}")
    for problem in outcome.problems[:40]:
        console.print(f"[red]✗[/] {problem}", highlight=False)
    if outcome.holds:
        console.print("[green]✓[/] nothing lost, nothing doubled, in raw and in rollups")
