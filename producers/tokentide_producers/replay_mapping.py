"""Rows of a trace file to usage events: which columns mean what, and what is wrong with a row. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tokentide_producers.event_columns import event_batch
from tokentide_producers.event_ids import EventIds
from tokentide_producers.replay_times import UNREADABLE, TimestampUnit, parse_times
from tokentide_schemas.catalogue import NO_PRICE, Catalogue, cost_nanousd_columns, match_prices
from tokentide_schemas.event import MAX_COUNT32, CategorySource, CostSource, Outcome, Source

GATEWAY: Final = "replay"
_SHOWN: Final = re.compile(r"[\w.:+\-/ ,]{1,32}")

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class TraceColumns:
    """Names of the file's columns. cached_tokens: a part of input_tokens, None when the file has none."""

    timestamp: str
    input_tokens: str
    output_tokens: str
    cached_tokens: str | None = None
    timestamp_unit: TimestampUnit = TimestampUnit.ISO

    @property
    def names(self) -> tuple[str, ...]:
        """All columns that are read."""
        return tuple(n for n in (self.timestamp, self.input_tokens, self.output_tokens, self.cached_tokens) if n)


@dataclass(frozen=True, slots=True)
class RawRows:
    """Some rows as text. lines: their numbers in the file, from 1. columns: by name, null where there is no value."""

    lines: Ints
    columns: dict[str, pa.Array]


@dataclass(frozen=True, slots=True)
class BadLine:
    """What is wrong with one row and what to do."""

    line: int
    column: str
    problem: str

    def __str__(self) -> str:
        return f"line {self.line}, column {self.column}: {self.problem}"


@dataclass(frozen=True, slots=True)
class TraceRows:
    """The usable rows. times_ms: milliseconds since 1970 UTC. Input is uncached + cached."""

    times_ms: Ints
    uncached: Ints
    cached: Ints
    output: Ints

    def __len__(self) -> int:
        return len(self.times_ms)


@dataclass(frozen=True, slots=True)
class Labels:
    """What the file does not say: the same for all its requests."""

    request_model: str
    provider: str
    category: str


def read_rows(raw: RawRows, columns: TraceColumns) -> tuple[TraceRows, list[BadLine]]:
    """The usable rows of a block in their order, and the first problem of each of the others."""
    n = len(raw.lines)
    problems: dict[int, BadLine] = {}

    def bad(rows: Any, column: str, describe: Callable[[str | None], str]) -> None:
        for row in np.flatnonzero(rows):
            if int(row) not in problems:
                problems[int(row)] = BadLine(
                    int(raw.lines[row]), column, describe(raw.columns[column][int(row)].as_py())
                )

    times = parse_times(raw.columns[columns.timestamp], columns.timestamp_unit)
    bad(times == UNREADABLE, columns.timestamp, lambda value: _no_time(value, columns.timestamp_unit))
    counts = {}
    for name in columns.names[1:]:
        counts[name], wrong = _counts(raw.columns[name])
        bad(wrong, name, _no_count)
    cached = counts[columns.cached_tokens] if columns.cached_tokens else np.zeros(n, np.int64)
    whole = counts[columns.input_tokens]
    if columns.cached_tokens:
        bad(
            cached > whole,
            columns.cached_tokens,
            lambda value: (
                f"{_shown(value)} is more than the input tokens, of which it is a part; is it the right column?"
            ),
        )
    keep = np.ones(n, np.bool_)
    keep[list(problems)] = False
    rows = TraceRows(times[keep], (whole - cached)[keep], cached[keep], counts[columns.output_tokens][keep])
    return rows, [problems[row] for row in sorted(problems)]


def _counts(values: pa.Array) -> tuple[Ints, npt.NDArray[np.bool_]]:
    text = pc.utf8_trim_whitespace(values)
    right = pc.fill_null(pc.match_substring_regex(text, r"^\d{1,10}(\.0*)?$"), False)
    whole = pc.replace_substring_regex(pc.if_else(right, text, "0"), r"\.0*$", "")
    numbers = whole.cast(pa.int64()).to_numpy(zero_copy_only=False)
    return numbers, ~right.to_numpy(zero_copy_only=False) | (numbers > MAX_COUNT32)


def _shown(value: str | None) -> str:
    """A value that may stand in a message: short and plain, since a wrong column may hold anything."""
    return repr(value) if value is not None and _SHOWN.fullmatch(value) else "the value"


def _no_count(value: str | None) -> str:
    if value is None or not value.strip():
        return "is empty; give a number of tokens, or leave the row out with --skip-bad-rows"
    if value.strip().startswith("-"):
        return f"{_shown(value)} is negative; token counts start at 0"
    return f"{_shown(value)} is not a whole number from 0 to {MAX_COUNT32}; is it the right column?"


def _no_time(value: str | None, unit: TimestampUnit) -> str:
    if value is None or not value.strip():
        return "is empty; give a time, or leave the row out with --skip-bad-rows"
    if unit is TimestampUnit.ISO:
        hint = "use --timestamp-unit s or ms for numbers" if value.strip()[:1].isdigit() else "is it the right column?"
        return f"{_shown(value)} is not a time such as 2026-01-31 12:00:00.123 or 2026-01-31T12:00:00Z; {hint}"
    return f"{_shown(value)} is not a number of {unit.value} since 1970; use --timestamp-unit iso for written dates"


def to_events(rows: TraceRows, times_ms: Ints, labels: Labels, catalogue: Catalogue, ids: EventIds) -> pa.RecordBatch:
    """Usage events of the rows with `times_ms` as `occurred_at`; costs by the catalogue's prices of those instants."""
    n = len(rows)
    model, provider = catalogue.resolve(labels.request_model), catalogue.resolve_provider(labels.provider)
    occurred_at = pa.array(times_ms).cast(pa.timestamp("ms", "UTC"))
    prices, places = match_prices(
        catalogue,
        provider=pa.repeat(provider, n),
        model=pa.repeat(model, n),
        occurred_at=occurred_at,
        request_model=pa.repeat(labels.request_model, n),
    )
    tokens = {
        "input_uncached_tokens": rows.uncached,
        "input_cache_read_tokens": rows.cached,
        "output_tokens": rows.output,
    }
    versions = ["", *(price.version for price in prices)]
    known = places != NO_PRICE
    return event_batch(
        n,
        {
            "event_id": ids.block(times_ms),
            "source": Source.REPLAY.value,
            "gateway": GATEWAY,
            "occurred_at": occurred_at,
            "request_model": labels.request_model,
            "model": model,
            "provider": provider,
            "category": labels.category,
            "category_source": (CategorySource.GATEWAY if labels.category else CategorySource.NONE).value,
            **tokens,
            "usage_reported": True,
            "cost_nanousd": cost_nanousd_columns(prices, places, tokens=tokens) if prices else None,
            "cost_source": _label(known.astype(np.int64), (CostSource.UNKNOWN.value, CostSource.COMPUTED.value)),
            "price_version": _label(np.where(known, places + 1, 0), versions),
            "outcome": Outcome.OK.value,
        },
    )


def _label(codes: Ints, values: Sequence[str]) -> pa.Array:
    return pa.array(values, pa.utf8()).take(pa.array(codes)).dictionary_encode()
