"""Invariant 3 on the way in: whatever text a sender puts anywhere, no message and no stored dictionary repeats it."""

from __future__ import annotations

import json
import logging
import re
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokentide_schemas import topics
from tokentide_schemas.arrow import EVENT_SCHEMA, NAMES
from tokentide_schemas.envelope import CONTENT_TYPE_ARROW, Record, headers_for

from .builders import arrow_record, block_of, fields, json_record, ndjson_record, record, stream, table, with_column

MARKER = "Zebra7Quilt"
MARKED = st.sampled_from([MARKER, f"tell me about {MARKER}", f"{MARKER}\n", f"01990000-{MARKER}", MARKER * 40])


def said(one: Record) -> str:
    block = block_of(one)
    assert block.rejections[0] or block.stored[0]
    return repr(block.rejections)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("wrap", [lambda text: text, lambda text: [text], lambda text: {text: text}, json.dumps])
def test_no_refusal_repeats_a_value(name: str, wrap: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    for text in (MARKER, f"{MARKER} \x01", MARKER * 40):
        changed = fields(**{name: wrap(text)})
        assert MARKER not in said(json_record(changed))
        assert MARKER not in said(ndjson_record([changed, fields()]))
        column = pa.array([json.dumps(wrap(text))] * 3)
        assert MARKER not in said(arrow_record(with_column(table(), name, column)))
    assert MARKER not in caplog.text


@given(st.dictionaries(MARKED, st.one_of(MARKED, st.integers(), st.none(), st.lists(MARKED)), min_size=1))
def test_no_refusal_repeats_a_name(extra: dict[str, Any]) -> None:
    for data in (extra, fields(**extra)):
        assert MARKER not in said(json_record(data))
    columns = table(1)
    for name in extra:
        columns = columns.append_column(name, pa.array(["x"]))
    assert MARKER not in said(arrow_record(columns))
    broken = json.dumps(fields(**extra)).encode()
    assert MARKER not in said(json_record(broken[:-1]))


def test_no_refusal_repeats_a_header() -> None:
    for name in headers_for(CONTENT_TYPE_ARROW, 1, "p", 1):
        assert MARKER not in said(record(b"x", {name[0]: MARKER.encode(), topics.HEADER_SEQUENCE: b"x y"}))


def test_no_refusal_repeats_a_character_of_a_bad_uuid() -> None:
    assert not re.search(r"[`']Z", said(json_record(fields(event_id="Z"))))


@pytest.mark.parametrize("name", [f.name for f in EVENT_SCHEMA if pa.types.is_dictionary(f.type)])
@pytest.mark.parametrize("used", [True, False], ids=["in a row", "in no row"])
def test_a_refused_label_value_does_not_stay_in_the_blocks_dictionary(name: str, used: bool) -> None:
    good = str(table(1).column(name)[0].as_py())
    bad = f"{MARKER} \x01" * 40
    field = EVENT_SCHEMA.field(name)
    codes = pa.array([0, 1 if used else 0, 0], field.type.index_type)
    column = pa.DictionaryArray.from_arrays(codes, pa.array([good, bad]))
    block = block_of(record(stream(table().set_column(NAMES.index(name), field, column))))
    assert block.stored == (2 if used else 3,)
    assert MARKER not in repr(block.rejections)
    assert MARKER not in repr([block.table.column(i).chunk(0).dictionary for i in _labels()])


def _labels() -> list[int]:
    return [i for i, f in enumerate(EVENT_SCHEMA) if pa.types.is_dictionary(f.type)]
