"""How `tokentide top` looks: a frame as a terminal table or as JSON. No IO."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from tokentide_deploy.sql_view import printable
from tokentide_deploy.top_query import Dimension, Frame, Sums, Window

MINUTES_A_DAY = 1440
PLURALS: dict[Dimension, str] = {"model": "models", "category": "categories", "provider": "providers"}
_SUFFIXES = ((1e15, "Q"), (1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k"))


def compact(value: float) -> str:
    """Three digits and a suffix: 12.3 M. Whole numbers below a thousand stay whole."""
    for size, suffix in _SUFFIXES:
        # 999,950 would round to "1000 k".
        if abs(value) >= size * 0.9995:
            scaled = value / size
            digits = 2 if abs(scaled) < 9.995 else 1 if abs(scaled) < 99.95 else 0
            return f"{scaled:.{digits}f} {suffix}"
    return f"{value:.0f}" if float(value).is_integer() or abs(value) >= 100 else f"{value:.1f}"


def percent(part: float, whole: float) -> str:
    """A share; '-' when there is nothing to divide by."""
    return f"{100 * part / whole:.1f}%" if whole else "-"


def change(sums: Sums, window: Window) -> Text:
    """Tokens against the window before: an arrow, a sign and a number, so that it reads without colours."""
    if window.previous_from_s is None:
        return Text("-", style="dim")
    if sums.previous_tokens == 0:
        return Text("new", style="bold green") if sums.tokens else Text("-", style="dim")
    ratio = sums.tokens / sums.previous_tokens - 1
    if abs(ratio) < 0.0005:
        return Text("= 0.0%", style="dim")
    text = f"{100 * ratio:+,.1f}%" if abs(ratio) < 100 else f"x{ratio + 1:,.0f}"
    return Text(f"▲ {text}", style="green") if ratio > 0 else Text(f"▼ {text}", style="red")


def ordered(groups: dict[str, Sums], limit: int | None) -> list[tuple[str, Sums]]:
    """By tokens, then requests, then name; what is beyond `limit` is summed as one last row."""
    found = sorted(groups.items(), key=lambda item: (-item[1].tokens, -item[1].requests, item[0]))
    if limit is None or len(found) <= limit:
        return found
    shown, rest = found[: max(limit - 1, 0)], found[max(limit - 1, 0) :]
    return [*shown, (f"other ({len(rest)})", sum((sums for _, sums in rest), Sums()))]


def cost_per_hour(total: Sums, window: Window) -> str:
    """Known cost in US dollars an hour; 'unknown' when no request has a cost, '+' when some have none."""
    if total.requests and total.cost_unknown_requests >= total.requests:
        return "unknown"
    value = total.cost_nanousd / 1e9 / window.minutes * 60
    known = f"${value:,.2f}" if value >= 0.005 or value == 0 else f"${value:.2g}"
    return f"{known}+" if total.cost_unknown_requests else known


def _number(value: float, exact: bool) -> str:
    return f"{value:,.0f}" if exact else compact(value)


def _table(frame: Frame, window: Window, dimension: Dimension, limit: int | None, exact: bool) -> Table:
    groups = frame.groups[dimension]
    table = Table(box=None, expand=True, padding=(0, 1), pad_edge=False, header_style="bold dim")
    table.add_column(f"{PLURALS[dimension].upper()} ({len(groups)})", no_wrap=True, overflow="ellipsis", ratio=1)
    headers = ["REQUESTS", "TOKENS", "TOKENS/MIN", "SHARE", "CHANGE"]
    if not window.is_rolling:
        headers = ["REQUESTS", "INPUT", "OUTPUT", "TOKENS", "SHARE"]
    for header in headers:
        table.add_column(header, justify="right", no_wrap=True)
    all_tokens = frame.total.tokens
    for name, sums in ordered(groups, limit):
        share = percent(sums.tokens, all_tokens)
        cells: list[str | Text]
        if window.is_rolling:
            cells = [_number(sums.tokens, exact), compact(sums.tokens / window.minutes), share, change(sums, window)]
        else:
            cells = [*(_number(n, exact) for n in (sums.input_tokens, sums.output_tokens, sums.tokens)), share]
        table.add_row(Text(printable(name)), _number(sums.requests, exact), *cells)
    return table


def _totals(frame: Frame, window: Window, exact: bool) -> RenderableType:
    total = frame.total
    grid = Table(box=None, expand=False, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    values: list[tuple[str, str | Text]] = [
        ("requests", _number(total.requests, exact)),
        ("tokens", _number(total.tokens, exact)),
        *(
            []
            if window.is_rolling
            else [("input", _number(total.input_tokens, exact)), ("output", _number(total.output_tokens, exact))]
        ),
        (
            "tokens/day at this rate" if window.is_rolling else "mean tokens/day",
            compact(total.tokens / window.minutes * MINUTES_A_DAY),
        ),
        ("cost/h", cost_per_hour(total, window)),
        ("errors", percent(total.errors, total.requests)),
    ]
    if window.previous_from_s is not None:
        values.append(("change", change(total, window)))
    for header, _ in values:
        grid.add_column(header, no_wrap=True)
    grid.add_row(*(Text(v, style="bold") if isinstance(v, str) else v for _, v in values))
    notes = _notes(total)
    return Group(grid, Text(notes, style="yellow")) if notes else grid


def _notes(total: Sums) -> str:
    """What is missing from the sums, in one line."""
    notes = []
    if total.cost_unknown_requests and total.cost_unknown_requests < total.requests:
        notes.append(f"+ {total.cost_unknown_requests:,} requests of unknown cost")
    if total.usage_missing_requests:
        notes.append(f"{total.usage_missing_requests:,} requests without reported usage")
    return "; ".join(notes)


def nothing_text(frame: Frame) -> str:
    """What to say instead of an empty table."""
    if frame.extent is None:
        return (
            "Nothing is stored yet. Send events (the README says how), replay a trace with `tokentide replay`, or "
            "start `tokentide up --demo`."
        )
    first, end = (
        dt.datetime.fromtimestamp(at_s, dt.UTC).strftime("%Y-%m-%d %H:%M")
        for at_s in (frame.extent.first_s, frame.extent.end_s)
    )
    return (
        f"No requests in this window. The store holds {frame.extent.requests:,} requests from {first} to {end} UTC: "
        "show them with --all, or with a longer --window."
    )


def render(
    frame: Frame | None, *, limit: int | None, exact: bool, problem: str | None = None, live: bool = False
) -> RenderableType:
    """One picture. `problem` is shown above it, when the store does not answer and the picture is an old one."""
    parts: list[RenderableType] = []
    if problem:
        parts.append(Text(f"! {problem}", style="bold red"))
    if frame is None:
        return Group(*parts) if parts else Text("Waiting for the store ...", style="dim")
    title = frame.window.title if frame.window else "nothing stored"
    header = Text.assemble(("tokentide top", "bold"), f"  {title}")
    if live:
        header.append(f"  (read {frame.taken_at:%H:%M:%S})", style="dim")
    parts.append(header)
    if frame.window is None or not frame.total.requests:
        parts += [Text(), Text(nothing_text(frame), style="yellow")]
        return Group(*parts)
    for dimension in frame.groups:
        parts += [Text(), _table(frame, frame.window, dimension, limit, exact)]
    parts += [Text(), _totals(frame, frame.window, exact)]
    return Group(*parts)


def as_json(frame: Frame, limit: int | None) -> dict[str, Any]:
    """Everything exact, for scripts."""
    window, total = frame.window, frame.total
    document: dict[str, Any] = {
        "taken_at": frame.taken_at.isoformat(),
        "from": _iso(window.from_s) if window else None,
        "to": _iso(window.to_s) if window else None,
        "minutes": window.minutes if window else 0,
        "compared": bool(window and window.previous_from_s is not None),
        "totals": asdict(total),
        "tokens_per_day": total.tokens / window.minutes * MINUTES_A_DAY if window and total.requests else None,
    }
    for dimension, groups in frame.groups.items():
        document[PLURALS[dimension]] = [
            {"name": name, **asdict(sums), "share": sums.tokens / total.tokens if total.tokens else None}
            for name, sums in ordered(groups, limit)
        ]
    return document


def rows_that_fit(height: int, dimensions: Sequence[Dimension]) -> int:
    """Rows of each table on a screen of `height` lines: headers, blank lines and totals take the rest."""
    fixed = 5 + 2 * len(dimensions)
    return max((height - fixed) // max(len(dimensions), 1), 3)


def _iso(at_s: int) -> str:
    return dt.datetime.fromtimestamp(at_s, dt.UTC).isoformat()
