"""How a running stack looks in a terminal of 80 columns. Pure: figures in, something to print out."""

from collections.abc import Iterable, Mapping

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from tokentide_deploy.component import ComponentState
from tokentide_deploy.component_status import StackStatus
from tokentide_deploy.supervisor import Component

UNKNOWN = "–"  # noqa: RUF001 - a dash, as typeset
_SCALES = ((1e15, "Qd"), (1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "K"))
_MARKS = {
    ComponentState.PENDING: ("·", "dim"),
    ComponentState.STARTING: ("◌", "yellow"),
    ComponentState.READY: ("●", "green"),
    ComponentState.WAITING_TO_RESTART: ("◌", "red"),
    ComponentState.FAILED: ("✗", "bold red"),
    ComponentState.STOPPED: ("○", "dim"),
}


def short_number(value: float | None) -> str:
    """1234567.0 as 1.23M; None as a dash."""
    if value is None:
        return UNKNOWN
    for scale, letter in _SCALES:
        if abs(value) >= scale:
            return f"{value / scale:.3g}{letter}"
    return f"{value:.3g}"


def grouped(value: float | None) -> str:
    """1234567 as 1,234,567; None as a dash."""
    return UNKNOWN if value is None else f"{value:,.0f}"


def duration(seconds: float) -> str:
    """3725 as 1:02:05."""
    whole = int(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"


def lag(status: StackStatus) -> str:
    """Records and seconds behind."""
    time_part = f" ({status.lag_s:.1f} s)" if status.lag_s is not None else ""
    return f"{grouped(status.lag_records)}{time_part}"


def status_line(status: StackStatus, restarts: Mapping[str, int], uptime_s: float) -> str:
    """One plain line, for output that is not a terminal."""
    restarted = ", ".join(f"{name} {count}" for name, count in restarts.items() if count) or "none"
    return (
        f"up {duration(uptime_s)} | {grouped(status.events_per_s)} events/s | "
        f"{short_number(status.tokens_per_day)} tokens/day | lag {lag(status)} | "
        f"{grouped(status.stored_events_total)} stored | restarts: {restarted}"
    )


def running_panel(status: StackStatus, components: Iterable[Component], uptime_s: float) -> RenderableType:
    """The live panel."""
    figures = Table.grid(expand=True, padding=(0, 1))
    for _ in range(4):
        figures.add_column(ratio=1, no_wrap=True)
    figures.add_row(*(Text(title, style="dim") for title in ("events/s", "tokens/day", "lag", "stored events")))
    figures.add_row(
        Text(grouped(status.events_per_s), style="bold"),
        Text(short_number(status.tokens_per_day), style="bold"),
        lag(status),
        grouped(status.stored_events_total),
    )
    states = Text()
    for component in components:
        mark, style = _MARKS[component.state]
        # Unbreakable spaces keep a mark, its name and its restarts on one line.
        states.append(f"{mark}\N{NO-BREAK SPACE}", style=style).append(component.spec.name)
        if component.restarts:
            count = f"\N{NO-BREAK SPACE}({component.restarts}\N{NO-BREAK SPACE}restart"
            states.append(f"{count}{'s' if component.restarts > 1 else ''})", style="yellow")
        states.append("  ")
    return Panel(
        Group(figures, Text(), states),
        title=f"tokentide · up {duration(uptime_s)}",
        title_align="left",
        subtitle="tokentide top · tokentide sql · Ctrl-C stops",
        subtitle_align="left",
    )


def checklist(names: Iterable[str], components: Mapping[str, Component], steps: Mapping[str, float]) -> RenderableType:
    """The start's parts in order, with the seconds that each took."""
    table = Table.grid(padding=(0, 1))
    for name in names:
        component = components.get(name)
        if component is None:
            done = name in steps
            mark, style = ("●", "green") if done else ("·", "dim")
            note = f"{steps[name]:.1f} s" if done else ""
        else:
            mark, style = _MARKS[component.state]
            ready = component.ready_after_s
            note = f"{ready:.1f} s" if ready is not None else component.state.value
        table.add_row(Text(mark, style=style), name, Text(note, style="dim"))
    return table
