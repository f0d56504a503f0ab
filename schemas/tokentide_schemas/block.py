"""Many envelopes as one block of columns, with the checks that a row must pass beyond its types.

The checks are vectorised over the whole block and agree with `UsageEvent`'s validators; a row that fails one is taken
out with its reason and the rest goes on.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tokentide_schemas.arrow import EVENT_SCHEMA
from tokentide_schemas.columns import NO_HASH
from tokentide_schemas.envelope import Envelope
from tokentide_schemas.event import CLOSED_LABELS, EARLIEST_OCCURRED_AT, MAX_LABEL_CHARS
from tokentide_schemas.rejections import Reason, Rejection

MAX_CLOCK_SKEW_MS: Final = 10 * 60_000
"""How far a gateway's clock may run ahead of the broker's before its events are refused as being from the future."""

_EARLIEST_MS: Final = int(EARLIEST_OCCURRED_AT.timestamp() * 1000)
_LABELS: Final = tuple(f.name for f in EVENT_SCHEMA if pa.types.is_dictionary(f.type))
_REQUIRED_LABELS: Final = ("operation", "request_model", "provider")
_PATTERNS: Final = {"country": re.compile(r"([A-Z]{2})?"), "language": re.compile(r"([a-z]{2})?")}
_CONTROL: Final = re.compile(r"[\x00-\x1f]")
_OPEN_LABELS: Final = frozenset(_LABELS) - CLOSED_LABELS.keys() - _PATTERNS.keys() - frozenset(_REQUIRED_LABELS)
_TOO_LONG: Final = f"String should have at most {MAX_LABEL_CHARS} characters"
_HAS_CONTROL: Final = "control characters are not allowed"

Mask = npt.NDArray[np.bool_]
_Refused = dict[str, list[int]]


@dataclass(frozen=True, slots=True)
class Block:
    """Accepted rows of several envelopes.

    table: one chunk a column, schema `EVENT_SCHEMA` (label indices may be wider). envelope_index: for each row the
    number of its envelope in the input. stored: accepted rows of each envelope. rejections: for each envelope all of
    its refusals, from decoding and from here. places: for each row its place in its envelope's table.
    """

    table: pa.Table
    envelope_index: npt.NDArray[np.int32]
    stored: tuple[int, ...]
    rejections: tuple[tuple[Rejection, ...], ...]
    places: npt.NDArray[np.int32] = field(default_factory=lambda: np.zeros(0, np.int32))


def concatenate(tables: Sequence[pa.Table]) -> pa.Table:
    """One table with one chunk a column and one dictionary a label column."""
    joined = pa.concat_tables(tables)
    try:
        joined = joined.unify_dictionaries()
    except pa.ArrowInvalid:
        # More distinct values together than an int16 index can number: widen the labels of this block.
        wide = pa.schema([_widened(f) for f in joined.schema])
        joined = joined.cast(wide).unify_dictionaries()
    return joined.combine_chunks()


def _widened(field: pa.Field) -> pa.Field:
    return field.with_type(pa.dictionary(pa.int32(), pa.utf8())) if pa.types.is_dictionary(field.type) else field


def assemble(envelopes: Sequence[Envelope]) -> Block:
    """Join the tables of decoded envelopes and take out rows that are not acceptable. Pure; keeps the order."""
    counts = np.array([e.table.num_rows if e.table is not None else 0 for e in envelopes], np.int64)
    index = np.repeat(np.arange(len(envelopes), dtype=np.int32), counts)
    tables = [e.table for e in envelopes if e.table is not None]
    rejections = [list(e.rejections) for e in envelopes]
    if not tables:
        return Block(EVENT_SCHEMA.empty_table(), index, tuple(0 for _ in envelopes), tuple(map(tuple, rejections)))
    table = concatenate(tables)
    appended = np.array([e.record.appended_at_ms for e in envelopes], np.int64)
    bad = np.zeros(table.num_rows, np.bool_)
    first_row = np.concatenate(([0], np.cumsum(counts)))
    places = (np.arange(table.num_rows) - first_row[index]).astype(np.int32)
    refused_values = _refused_values(table)
    for reason, detail, mask in _failures(table, appended[index], refused_values):
        for row in np.flatnonzero(mask & ~bad):
            number = int(index[row])
            place = int(places[row])
            rows = envelopes[number].rows
            rejections[number].append(Rejection(reason, detail, rows[place] if rows is not None else place))
        bad |= mask
    if bad.any():
        keep = ~bad
        table = table.filter(pa.array(keep)).combine_chunks()
        index, places = index[keep], places[keep]
    if table.num_rows:
        table = _with_models(_with_clean_dictionaries(table, refused_values))
    stored = np.bincount(index, minlength=len(envelopes))
    return Block(table, index, tuple(int(n) for n in stored), tuple(map(tuple, rejections)), places)


def _column(table: pa.Table, name: str) -> pa.Array:
    column = table.column(name)
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def _with_models(table: pa.Table) -> pa.Table:
    """An unresolved model is the one that was asked for."""
    model = _column(table, "model")
    if "" not in model.dictionary.to_pylist():
        return table
    asked = _column(table, "request_model").cast(pa.utf8())
    plain = model.cast(pa.utf8())
    filled = pc.if_else(pc.equal(plain, ""), asked, plain).dictionary_encode()
    return _replaced(table, "model", filled)


def _with_clean_dictionaries(table: pa.Table, refused_values: Mapping[str, _Refused]) -> pa.Table:
    """Encode labels again whose dictionary has what must not go on.

    ClickHouse refuses a block with a repeated value as a whole, and a refused value may be prompt text: no row has it
    any more, but the dictionary would still carry it to the store.
    """
    for name in _LABELS:
        column = _column(table, name)
        if name in refused_values or pc.count_distinct(column.dictionary).as_py() != len(column.dictionary):
            table = _replaced(table, name, column.cast(pa.utf8()).dictionary_encode())
    return table


def _replaced(table: pa.Table, name: str, column: pa.Array) -> pa.Table:
    i = table.schema.get_field_index(name)
    field = pa.field(name, pa.dictionary(pa.int32(), pa.utf8()), nullable=False)
    return table.set_column(i, field, column.cast(field.type))


def _refused_values(table: pa.Table) -> dict[str, _Refused]:
    """For each label column with unacceptable values: problem -> their dictionary indices. Rows are not touched."""
    found: dict[str, _Refused] = {}
    for name in _LABELS:
        values = _column(table, name).dictionary
        if name in _OPEN_LABELS and not _has_long_or_control(values):
            continue
        for code, value in enumerate(values.to_pylist()):
            problem = _label_problem(name, value)
            if problem:
                found.setdefault(name, {}).setdefault(problem, []).append(code)
    return found


def _has_long_or_control(texts: pa.StringArray) -> bool:
    """Some text may be over the limit (in bytes, so also in characters) or has a control character."""
    _, offsets, data = texts.buffers()
    if not len(texts) or data is None:
        return False
    bounds = np.frombuffer(offsets, np.int32)[texts.offset : texts.offset + len(texts) + 1]
    content = np.frombuffer(data, np.uint8)[bounds[0] : bounds[-1]]
    # In UTF-8 a byte below 32 is a control character and nothing else.
    return bool(np.diff(bounds).max() > MAX_LABEL_CHARS or (len(content) and content.min() < 32))


def _failures(
    table: pa.Table, appended_ms: npt.NDArray[np.int64], refused_values: Mapping[str, _Refused]
) -> list[tuple[Reason, str, Mask]]:
    occurred = _column(table, "occurred_at").cast(pa.int64()).to_numpy()
    found: list[tuple[Reason, str, Mask]] = []

    def check(reason: Reason, detail: str, mask: Mask) -> None:
        if mask.any():
            found.append((reason, detail, mask))

    check(
        Reason.TIMESTAMP_IN_FUTURE,
        f"occurred_at is more than {MAX_CLOCK_SKEW_MS // 60_000} minutes after the broker received it: set the clock",
        occurred > appended_ms + MAX_CLOCK_SKEW_MS,
    )
    check(
        Reason.TIMESTAMP_TOO_OLD,
        f"occurred_at is before {EARLIEST_OCCURRED_AT:%Y-%m-%d}: is it in seconds where milliseconds are meant?",
        occurred < _EARLIEST_MS,
    )
    weight = _column(table, "category_weight").to_numpy()
    check(Reason.INVALID_VALUE, "category_weight: must be 0 to 1e9", ~((weight >= 0) & (weight <= 1e9)))
    confidence = _column(table, "category_confidence")
    if confidence.null_count < len(confidence):
        value = confidence.fill_null(0).to_numpy(zero_copy_only=False)
        check(Reason.INVALID_VALUE, "category_confidence: must be 0 to 1", ~((value >= 0) & (value <= 1)))
    cost = _column(table, "cost_nanousd")
    if cost.null_count < len(cost):
        nanousd = cost.fill_null(0).to_numpy(zero_copy_only=False)
        check(Reason.INVALID_VALUE, "cost_nanousd: out of range", (nanousd > 2**62) | (nanousd < -(2**62)))
    nil = pc.equal(_column(table, "event_id"), pa.scalar(NO_HASH, pa.binary(16)))
    if pc.any(nil).as_py():
        check(Reason.INVALID_VALUE, "event_id: the nil UUID identifies nothing", nil.to_numpy(zero_copy_only=False))
    request_id = _column(table, "request_id")
    if _has_long_or_control(request_id):
        long = pc.greater(pc.utf8_length(request_id), MAX_LABEL_CHARS).to_numpy(zero_copy_only=False)
        check(Reason.INVALID_VALUE, f"request_id: {_TOO_LONG}", long)
        control = pc.match_substring_regex(request_id, _CONTROL.pattern).to_numpy(zero_copy_only=False)
        check(Reason.INVALID_VALUE, f"request_id: {_HAS_CONTROL}", control)
    for name, problems in refused_values.items():
        indices = _column(table, name).indices.to_numpy()
        for problem, codes in problems.items():
            check(Reason.INVALID_VALUE, f"{name}: {problem}", np.isin(indices, codes))
    return found


def _label_problem(name: str, value: str) -> str | None:
    allowed = CLOSED_LABELS.get(name)
    if allowed is not None and value not in allowed:
        return f"must be one of {', '.join(sorted(allowed))}"
    if len(value) > MAX_LABEL_CHARS:
        return _TOO_LONG
    if not value and name in _REQUIRED_LABELS:
        return "must not be empty"
    if _CONTROL.search(value):
        return _HAS_CONTROL
    pattern = _PATTERNS.get(name)
    if pattern is not None and not pattern.fullmatch(value):
        return f"must match {pattern.pattern}"
    return None
