"""Blocks: envelopes joined, rows checked in columns exactly as the model checks events."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from tokentide_schemas.arrow import EVENT_SCHEMA, NAMES, column_array, table_from_events
from tokentide_schemas.block import MAX_CLOCK_SKEW_MS, assemble, concatenate
from tokentide_schemas.envelope import decode, encode_arrow
from tokentide_schemas.event import CLOSED_LABELS, EARLIEST_OCCURRED_AT, UsageEvent, default_of

from .builders import APPENDED_AT_MS, block_of, event, fields, ndjson_record, record, stream, table

APPENDED_AT = dt.datetime.fromtimestamp(APPENDED_AT_MS / 1000, dt.UTC)
_CHARACTERS = st.characters(codec="utf-8")
_EDGES = [
    "",
    "x" * 256,
    "x" * 257,
    "é" * 256,
    "é" * 257,
    "\U0001f600" * 256,
    "\x1f",
    "\x00",
    " ",
    "\x7f",
    "a\nb",
    "\x85",
]


def _text(*others: str) -> st.SearchStrategy[str]:
    return st.one_of(st.sampled_from(["gpt-5", "openai", *_EDGES, *others]), st.text(_CHARACTERS, max_size=5))


def _count(bits: int) -> st.SearchStrategy[int]:
    return st.one_of(st.sampled_from([0, 1, 2**bits - 1]), st.integers(0, 2**bits - 1))


_RATIO_EDGES = [
    0.0,
    -0.0,
    1.0,
    1e9,
    1.0000001192092896,
    1000000064.0,
    -1.401298464324817e-45,
    *map(float, ("nan", "inf")),
]
_CODE_EDGES = ["DE", "de", "DEU", "D", "DE\n", "ÄÖ", "D1", "\u0661\u0662", ""]
_TIME_EDGES = [
    EARLIEST_OCCURRED_AT,
    EARLIEST_OCCURRED_AT - dt.timedelta(milliseconds=1),
    APPENDED_AT + dt.timedelta(milliseconds=MAX_CLOCK_SKEW_MS),
    APPENDED_AT + dt.timedelta(milliseconds=MAX_CLOCK_SKEW_MS + 1),
]
_RATIOS = st.one_of(
    st.sampled_from(_RATIO_EDGES),
    st.floats(width=32, allow_nan=True),
)
_MONEY = st.one_of(st.sampled_from([2**62, 2**62 + 1, -(2**62), -(2**62) - 1, 2**63 - 1, 0]), st.integers(-5, 5))
_BYTES16 = st.one_of(st.just(bytes(16)), st.binary(min_size=16, max_size=16))
_TIMES = st.one_of(
    st.sampled_from(_TIME_EDGES),
    st.datetimes(dt.datetime(2014, 1, 1), dt.datetime(2027, 1, 1), timezones=st.just(dt.UTC)).map(  # noqa: DTZ001
        lambda time: time.replace(microsecond=time.microsecond // 1000 * 1000)
    ),
)


def _values(name: str) -> st.SearchStrategy[Any]:
    """Any value that the column's Arrow type can hold, with the edges of what is allowed among them."""
    kind = EVENT_SCHEMA.field(name).type
    if name in CLOSED_LABELS:
        return st.sampled_from([*sorted(CLOSED_LABELS[name]), "", "OK", "other"])
    if name in ("country", "language"):
        return _text(*_CODE_EDGES)
    if pa.types.is_dictionary(kind) or pa.types.is_string(kind):
        return _text()
    if pa.types.is_unsigned_integer(kind):
        counts = _count(kind.bit_width)
        return st.one_of(st.none(), counts) if EVENT_SCHEMA.field(name).nullable else counts
    by_name = {
        "event_id": _BYTES16,
        "occurred_at": _TIMES,
        "cost_nanousd": st.one_of(st.none(), _MONEY),
        "category_confidence": st.one_of(st.none(), _RATIOS),
        "category_weight": _RATIOS,
    }
    if name in by_name:
        return by_name[name]
    return st.booleans() if pa.types.is_boolean(kind) else _BYTES16


GOOD: dict[str, Any] = {name: default_of(name) for name in NAMES} | {
    "event_id": bytes(range(16)),
    "occurred_at": APPENDED_AT,
    "request_model": "gpt-5",
    "provider": "openai",
    "input_uncached_tokens": 1,
    "output_tokens": 2,
    "usage_reported": True,
    "outcome": "ok",
}


@st.composite
def _rows(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Rows that are good but for at most three drawn fields each, so that both verdicts are common."""
    rows = []
    for _ in range(draw(st.integers(1, 5))):
        row = dict(GOOD)
        for name in draw(st.lists(st.sampled_from(NAMES), max_size=3, unique=True)):
            row[name] = draw(_values(name))
        rows.append(row)
    return rows


def _by_the_model(rows: list[dict[str, Any]]) -> dict[int, UsageEvent]:
    accepted = {}
    for number, row in enumerate(rows):
        try:
            read = UsageEvent.model_validate(row)
        except ValidationError:
            continue
        latest = APPENDED_AT + dt.timedelta(milliseconds=MAX_CLOCK_SKEW_MS)
        if EARLIEST_OCCURRED_AT <= read.occurred_at <= latest:
            accepted[number] = read if read.model else read.model_copy(update={"model": read.request_model})
    return accepted


def _as_columns(rows: list[dict[str, Any]]) -> pa.Table:
    arrays = [column_array([row[field.name] for row in rows], field.type) for field in EVENT_SCHEMA]
    return pa.Table.from_arrays(arrays, schema=EVENT_SCHEMA)


@settings(max_examples=400, deadline=None)
@given(_rows())
@example([{**GOOD, name: value} for name in ("operation", "model", "app", "request_id") for value in _EDGES])
@example([{**GOOD, name: value} for name in ("category_weight", "category_confidence") for value in _RATIO_EDGES])
@example([{**GOOD, "cost_nanousd": value} for value in (2**62, 2**62 + 1, -(2**62), -(2**62) - 1)])
@example([{**GOOD, name: value} for name in ("country", "language") for value in _CODE_EDGES])
@example([{**GOOD, name: value} for name in CLOSED_LABELS for value in ("", "OK", "other")])
@example([{**GOOD, "event_id": bytes(16)}, {**GOOD, "request_model": "", "model": "m"}, {**GOOD, "provider": ""}])
@example([{**GOOD, "occurred_at": value} for value in _TIME_EDGES])
def test_columns_are_accepted_exactly_when_the_model_accepts_the_rows(rows: list[dict[str, Any]]) -> None:
    expected = _by_the_model(rows)
    block = block_of(record(encode_arrow(_as_columns(rows))))
    refused = {rejection.row for rejection in block.rejections[0]}
    assert refused == set(range(len(rows))) - set(expected)
    assert len(block.rejections[0]) == len(refused)
    if expected:
        assert block.table.to_pylist() == table_from_events(expected.values()).to_pylist()


def test_the_row_that_the_property_test_spoils_is_good() -> None:
    assert list(_by_the_model([GOOD])) == [0]


# -- joining


def test_rows_keep_their_order_and_know_their_envelope() -> None:
    block = block_of(
        ndjson_record([fields(app="a"), fields(app="b")], 1),
        record(b"garbage", offset=2),
        ndjson_record([fields(app="c"), fields(output_tokens=-1), fields(app="d")], 3),
    )
    assert block.table.column("app").to_pylist() == ["a", "b", "c", "d"]
    assert block.envelope_index.tolist() == [0, 0, 2, 2]
    assert block.stored == (2, 0, 2)
    assert [len(refused) for refused in block.rejections] == [0, 1, 1]


def test_a_row_refused_in_the_block_is_named_by_its_number_in_the_envelope() -> None:
    late = fields(occurred_at="2100-01-01T00:00:00Z")
    block = block_of(ndjson_record([b"{", fields(), late, fields()]))
    assert [(r.row, str(r.reason)) for r in block.rejections[0]] == [(0, "invalid_json"), (2, "timestamp_in_future")]


def test_a_row_with_several_faults_is_refused_once() -> None:
    both = {**GOOD, "country": "xx", "language": "XX", "occurred_at": EARLIEST_OCCURRED_AT - dt.timedelta(days=1)}
    block = block_of(record(encode_arrow(_as_columns([both, GOOD]))))
    assert (block.stored, len(block.rejections[0])) == ((1,), 1)


def test_nothing_to_join_is_an_empty_block() -> None:
    block = assemble([])
    assert (block.table.num_rows, block.stored, block.rejections) == (0, (), ())
    assert block_of(record(b"garbage")).table.schema == EVENT_SCHEMA


def test_a_block_of_refused_rows_only_is_empty_and_accounted_for() -> None:
    block = block_of(record(encode_arrow(_as_columns([{**GOOD, "country": "x"}] * 3))))
    assert (block.table.num_rows, block.stored, len(block.rejections[0])) == (0, (0,), 3)


def test_every_column_is_one_chunk_with_one_dictionary() -> None:
    block = block_of(*(record(encode_arrow(table(2, app=app))) for app in ("a", "b", "a")))
    assert {block.table.column(name).num_chunks for name in NAMES} == {1}
    assert block.table.column("app").chunk(0).dictionary.to_pylist() == ["a", "b"]


@pytest.mark.parametrize("batches", [1, 2])
def test_a_dictionary_with_repeated_values_becomes_one_that_clickhouse_accepts(batches: int) -> None:
    field = EVENT_SCHEMA.field("provider")
    column = pa.DictionaryArray.from_arrays(pa.array([0, 1, 2], pa.int16()), pa.array(["a", "b", "a"]))
    rows = table(3).set_column(NAMES.index("provider"), field, column)
    block = block_of(*[record(stream(rows))] * batches)
    assert block.table.column("provider").chunk(0).dictionary.to_pylist() == ["a", "b"]
    assert block.table.column("provider").to_pylist() == ["a", "b", "a"] * batches


def test_more_distinct_labels_together_than_an_int16_can_number_widen_the_block() -> None:
    halves = []
    for start in (0, 20_000):
        names = pa.array([f"model-{start + i}" for i in range(20_000)])
        column = pa.DictionaryArray.from_arrays(pa.array(range(20_000), pa.int16()), names)
        rows = pa.concat_tables([table(1)] * 20_000).combine_chunks()
        rows = rows.set_column(NAMES.index("model"), EVENT_SCHEMA.field("model"), column)
        ids = pa.array([(start + i + 1).to_bytes(16, "big") for i in range(20_000)], pa.binary(16))
        halves.append(rows.set_column(0, EVENT_SCHEMA.field(0), ids))
    block = block_of(*(record(encode_arrow(half)) for half in halves))
    assert block.stored == (20_000, 20_000)
    assert block.table.column("model").to_pylist() == [f"model-{i}" for i in range(40_000)]
    assert concatenate(halves).column("model").num_chunks == 1


def test_an_envelope_alone_and_among_others_gives_the_same_rows() -> None:
    envelopes = [decode(record(encode_arrow(table(n + 1, app=f"app-{n}")))) for n in range(4)]
    together = assemble(envelopes).table
    alone = [row for envelope in envelopes for row in assemble([envelope]).table.to_pylist()]
    assert together.to_pylist() == alone


def test_an_unresolved_model_is_filled_next_to_resolved_ones() -> None:
    rows = table_from_events([event(0, model="a"), event(1), event(2, request_model="c")])
    assert block_of(record(encode_arrow(rows))).table.column("model").to_pylist() == ["a", "gpt-5", "c"]
