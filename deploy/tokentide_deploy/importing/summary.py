"""What an import has done, for people and as JSON."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

from rich.console import Console
from rich.table import Table

from tokentide_deploy.importing.session import Session
from tokentide_producers.importing.run import Result

_NANO = 1e9


def as_json(session: Session, result: Result, seconds: float, missing: tuple[str, ...]) -> dict[str, Any]:
    """Every count of the import."""
    refusals = result.refusals
    return {
        "dry_run": session.choices.dry_run,
        "rows": result.rows,
        "new_events": result.new_events,
        "acknowledged_events": session.delivery.acknowledged_events if session.delivery is not None else 0,
        "resumed_events": session.resumed_events,
        "repeated": result.repeated,
        "already_in_store": result.in_store,
        "not_requests": dict(refusals.not_requests),
        "bad_rows": refusals.bad_rows,
        "bad_rows_by_reason": dict(refusals.by_reason.most_common()),
        "bad_examples": [str(row) for row in refusals.examples],
        "tokens": result.tokens,
        "cost_nanousd": result.cost_nanousd,
        "without_usage": result.without_usage,
        "first_at": _time(result.first_ms),
        "last_at": _time(result.last_ms),
        "older_than_raw_retention": result.older,
        "identifiers_without_key": session.without_key,
        "columns_missing": list(missing),
        "notes": session.notes,
        "rows_per_second": round(result.rows / seconds) if seconds > 0 else None,
    }


def notes_of(session: Session, result: Result, missing: tuple[str, ...]) -> list[str]:
    """What the user should know besides the counts."""
    notes = list(session.notes)
    if result.older:
        notes.append(
            f"{result.older:,} events are older than the store keeps raw rows. They are counted in the hours and days "
            "for ever; their raw rows go with the next clean-up, and distinct users may lack them. To keep them set "
            "TOKENTIDE_RETENTION_RAW_DAYS and run tokentide retention apply before the import."
        )
    minutes_from = session.retention.minutes_from_ms if session.retention is not None else None
    if minutes_from is not None and result.first_ms is not None and result.first_ms < minutes_from:
        notes.append("Some events are older than the store keeps minutes: they are in the hours and days only.")
    if session.without_key:
        notes.append(
            f"{session.without_key:,} identifiers of users, sessions or keys stay unknown: without "
            "TOKENTIDE_EMITTER_HASH_KEY they cannot be hashed, and are never stored as they are."
        )
    if missing:
        notes.append(f"The source does not have: {', '.join(missing)}.")
    return notes


def show(session: Session, result: Result, seconds: float, missing: tuple[str, ...]) -> None:
    """The result on the terminal."""
    console = Console()
    for fields in result.samples:
        console.print_json(json.dumps({name: _shown(value) for name, value in fields.items()}))
    table = Table("", "count")
    for name, number in _counts(session, result):
        table.add_row(name, f"{number:,}")
    console.print(table)
    if result.first_ms is not None:
        console.print(
            f"{_time(result.first_ms)} to {_time(result.last_ms)}, ${result.cost_nanousd / _NANO:,.6f} reported"
        )
    if seconds > 0 and result.rows:
        console.print(f"{result.rows:,} rows in {seconds:.1f} s, {result.rows / seconds:,.0f} rows/s")
    refusals = result.refusals
    if refusals.bad_rows:
        console.print("\nRows that were left out, by reason:", markup=False)
        for reason, number in refusals.by_reason.most_common(20):
            console.print(f"  {number:,} x {reason}", markup=False, soft_wrap=True)
        console.print("The first of them:", markup=False)
        for row in refusals.examples:
            console.print(f"  {row}", markup=False, soft_wrap=True)
    for note in notes_of(session, result, missing):
        console.print(f"Note: {note}", markup=False, soft_wrap=True)


def _counts(session: Session, result: Result) -> list[tuple[str, int]]:
    counts = [
        ("rows read", result.rows),
        ("events that would be sent" if session.choices.dry_run else "new events", result.new_events),
        ("tokens in them", result.tokens),
    ]
    if session.delivery is not None:
        counts.append(("acknowledged by Kafka", session.delivery.acknowledged_events))
    optional = [
        ("of an earlier run, sent first", session.resumed_events),
        ("imported before, or twice in the source", result.repeated),
        ("in the store already, from elsewhere", result.in_store),
        ("without usage", result.without_usage),
        *((f"no request: {kind}", number) for kind, number in result.refusals.not_requests.items()),
        ("bad rows left out", result.refusals.bad_rows),
    ]
    return counts + [(name, number) for name, number in optional if number]


def _time(ms: int | None) -> str | None:
    return None if ms is None else dt.datetime.fromtimestamp(ms / 1000, dt.UTC).isoformat(timespec="milliseconds")


def _shown(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.hex() if any(value) else None
    if isinstance(value, dt.datetime):
        return value.isoformat(timespec="milliseconds")
    return value if isinstance(value, str | int | float | None) else str(value)
