"""Reading records: what is accepted, what is refused and how, and that a refusal is whole and explained."""

from __future__ import annotations

import datetime as dt
import json
import struct
from typing import Any

import pyarrow as pa
import pytest

from tokentide_schemas import topics
from tokentide_schemas.arrow import EVENT_SCHEMA
from tokentide_schemas.arrow_framing import END_OF_STREAM, MAX_BATCHES
from tokentide_schemas.envelope import (
    CONTENT_TYPE_ARROW,
    MAX_EVENT_JSON_BYTES,
    MAX_EVENTS,
    Identity,
    decode,
    derived_event_id,
    encode_arrow,
    headers_for,
)
from tokentide_schemas.event import CONTENT_FIELDS

from .builders import (
    APPENDED_AT_MS,
    arrow_record,
    block_of,
    details,
    fields,
    json_record,
    ndjson_record,
    reasons,
    record,
    stream,
    table,
    with_column,
)

GOOD = fields()


def times(unit: str, zone: str | None, value: int) -> pa.Array:
    return pa.array([value] * 3, pa.timestamp(unit, zone))


# -- formats


def test_an_arrow_envelope_gives_back_the_rows_that_went_in() -> None:
    rows = table(5, app="chat")
    envelope = decode(record(encode_arrow(rows), dict(headers_for(CONTENT_TYPE_ARROW, 5, "emitter-1", 9))))
    assert envelope.table is not None and envelope.table.equals(rows)
    assert (envelope.events, envelope.identity, envelope.rejections) == (5, Identity("emitter-1", 9), ())


def test_only_the_events_own_columns_can_be_encoded() -> None:
    with pytest.raises(ValueError, match="EVENT_SCHEMA"):
        encode_arrow(table().drop_columns(["app"]))


def test_the_format_is_recognised_without_a_content_type() -> None:
    line = json.dumps(GOOD).encode()
    pretty = json.dumps(GOOD, indent=2).encode()
    for value, events in ((encode_arrow(table()), 3), (line, 1), (pretty, 1), (line + b"\n \r\n" + line, 2)):
        assert block_of(record(value)).stored == (events,)


@pytest.mark.parametrize("header", [b"text/csv", b"application/jsonl", b"\xff"])
def test_another_content_type_is_refused(header: bytes) -> None:
    assert reasons(record(b"{}", {topics.HEADER_CONTENT_TYPE: header})) == ["unsupported_content_type"]


def test_content_type_parameters_and_case_do_not_matter() -> None:
    value = json.dumps(GOOD).encode()
    assert reasons(record(value, {topics.HEADER_CONTENT_TYPE: b"Application/JSON; charset=utf-8"})) == []


def test_blank_lines_between_events_are_no_events() -> None:
    assert decode(ndjson_record([GOOD, b"", b"  \r", GOOD, b""])).events == 2


def test_several_record_batches_in_one_stream_are_one_envelope() -> None:
    envelope = decode(arrow_record(table(10), batch_rows=3))
    assert envelope.table is not None and envelope.table.equals(table(10))


def test_batches_with_replaced_dictionaries_keep_their_own_values() -> None:
    both = pa.concat_tables([table(2, app="chat"), table(2, app="agent")])
    assert block_of(arrow_record(both)).table.column("app").to_pylist() == ["chat", "chat", "agent", "agent"]


@pytest.mark.parametrize("text", [pa.utf8(), pa.large_utf8(), pa.dictionary(pa.int64(), pa.large_utf8())])
def test_labels_may_come_as_plain_text_or_under_another_dictionary_index(text: pa.DataType) -> None:
    rows = with_column(table(), "app", pa.array(["a", "b", "a"]).cast(text))
    assert block_of(arrow_record(rows)).table.column("app").to_pylist() == ["a", "b", "a"]


@pytest.mark.parametrize(
    ("unit", "value"), [("s", 1_769_860_000), ("us", 1_769_860_000_123_456), ("ns", 1_769_860_000_123_456_789)]
)
def test_times_of_other_units_and_zones_are_read_rounded_down(unit: str, value: int) -> None:
    read = block_of(arrow_record(with_column(table(), "occurred_at", times(unit, "Europe/Berlin", value)))).table
    expected = dt.datetime(2026, 1, 31, 11, 46, 40, 0 if unit == "s" else 123_000, tzinfo=dt.UTC)
    assert read.column("occurred_at").to_pylist() == [expected] * 3


def test_hashes_may_come_as_hexadecimal_text_in_arrow() -> None:
    rows = with_column(table(), "user_hash", pa.array(["0f" * 16, "", None]))
    assert block_of(arrow_record(rows)).table.column("user_hash").to_pylist() == [b"\x0f" * 16, bytes(16), bytes(16)]


def test_event_ids_may_come_as_text_in_arrow() -> None:
    rows = with_column(table(1), "event_id", pa.array(["01990000-0000-7000-8000-00000000000a"]))
    assert block_of(arrow_record(rows)).table.column("event_id")[0].as_py().hex().endswith("00a")


def test_columns_may_be_in_any_order_and_optional_ones_left_out() -> None:
    required = table().select(["outcome", "usage_reported", "output_tokens", "input_uncached_tokens", "provider"])
    rows = required.append_column("request_model", table().column("request_model")).append_column(
        "occurred_at", table().column("occurred_at")
    )
    block = block_of(arrow_record(rows))
    assert block.stored == (3,) and block.table.schema.names == EVENT_SCHEMA.names
    assert len(set(block.table.column("event_id").to_pylist())) == 3


def test_an_unresolved_model_is_the_one_that_was_asked_for_in_every_format() -> None:
    for one in (json_record(GOOD), arrow_record(table(1)), ndjson_record([GOOD])):
        assert block_of(one).table.column("model").to_pylist() == ["gpt-5"]


# -- refused as a whole


def test_an_arrow_stream_that_is_cut_anywhere_is_refused_whole() -> None:
    value = stream(table(4), batch_rows=2)
    for size in range(1, len(value)):
        envelope = decode(record(value[:size], dict(headers_for(CONTENT_TYPE_ARROW))))
        assert envelope.table is None and envelope.rejections[0].row is None, size
        assert envelope.rejections[0].reason == "invalid_arrow", size


def test_a_cut_that_ends_like_an_end_marker_is_refused() -> None:
    # The last bytes of the cut stream are a value that looks like the end of a stream.
    lookalike = struct.unpack("<q", END_OF_STREAM)[0]
    rows = table(2).set_column(
        EVENT_SCHEMA.names.index("cost_nanousd"), EVENT_SCHEMA.field("cost_nanousd"), pa.array([lookalike] * 2)
    )
    value = encode_arrow(rows)
    cut = value[: value.index(END_OF_STREAM) + 8]
    assert len(cut) < len(value)
    assert reasons(record(cut)) == ["invalid_arrow"]


def test_bytes_after_the_end_marker_are_refused_not_dropped() -> None:
    value = encode_arrow(table())
    assert "one stream in a record" in details(record(value + value))


def test_a_compressed_stream_is_refused_before_anything_is_unpacked() -> None:
    assert "compress the Kafka record instead" in details(arrow_record(table(200), compression="zstd"))


def test_delta_dictionaries_are_refused() -> None:
    growing = pa.concat_tables([table(2, app="a"), table(2, app="a")]).unify_dictionaries()
    more = pa.DictionaryArray.from_arrays(pa.array([1, 1], pa.int32()), pa.array(["a", "b"]))
    first = growing.slice(0, 2).combine_chunks()
    second = first.set_column(EVENT_SCHEMA.names.index("app"), EVENT_SCHEMA.field("app"), more)
    assert "delta" in details(arrow_record(pa.concat_tables([first, second]), emit_dictionary_deltas=True))


def test_an_extension_type_is_refused_with_advice() -> None:
    rows = with_column(table(1), "event_id", pa.array([bytes(range(16))], pa.uuid()))
    assert "extension type" in details(arrow_record(rows))


@pytest.mark.parametrize(
    "column",
    [
        pa.array([[1]] * 3),
        pa.array([{"a": 1}] * 3),
        pa.array(["x"] * 3, pa.string_view()),
        pa.array([dt.date(2026, 1, 31)] * 3),
        pa.DictionaryArray.from_arrays(pa.array([0] * 3), pa.array([[1]])),
        pa.RunEndEncodedArray.from_arrays([3], ["x"]),
    ],
    ids=lambda column: str(column.type),
)
def test_types_that_no_event_column_has_are_refused(column: pa.Array) -> None:
    one = arrow_record(with_column(table(), "model", column))
    assert reasons(one) == ["invalid_arrow"] and "column model" in details(one)


def test_an_index_outside_of_its_dictionary_is_refused() -> None:
    wild = pa.DictionaryArray.from_arrays(pa.array([0, 9, 0], pa.int32()), pa.array(["a"]), safe=False)
    assert reasons(arrow_record(with_column(table(), "app", wild))) == ["invalid_arrow"]


def test_text_that_is_not_utf8_is_refused() -> None:
    broken = pa.array([b"\xff\xfe"] * 3, pa.binary()).view(pa.utf8())
    assert reasons(arrow_record(with_column(table(), "request_id", broken))) == ["invalid_arrow"]


def test_a_column_that_appears_twice_is_refused() -> None:
    assert "twice" in details(arrow_record(table().append_column("app", table().column("app"))))


def test_a_column_name_that_is_not_utf8_is_refused() -> None:
    value = stream(table().rename_columns([*EVENT_SCHEMA.names[:-1], "latency_mX"]))
    assert "not UTF-8" in details(record(value.replace(b"latency_mX", b"latency_m\xff")))


@pytest.mark.parametrize("version", [b"1.0", b"1.7"])
def test_rows_without_any_column_of_an_event_are_refused_once_and_counted(version: bytes) -> None:
    headers = {topics.HEADER_SCHEMA: version}
    foreign = pa.table({"future_field": [1, 2, 3]})
    nothing = pa.table({"streamed": [True] * 3}).drop_columns(["streamed"])
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, nothing.schema) as writer:
        writer.write_batch(pa.RecordBatch.from_struct_array(pa.array([{}] * 3, pa.struct([]))))
    for value in (stream(foreign), bytes(sink.getvalue())):
        envelope = decode(record(value, headers))
        assert (envelope.events, len(envelope.rejections), envelope.table) == (3, 1, None)


@pytest.mark.parametrize("rows", [table(0), pa.table({})], ids=["no rows", "no columns"])
def test_an_arrow_stream_without_rows_is_empty(rows: pa.Table) -> None:
    assert reasons(arrow_record(rows)) == ["empty"]


@pytest.mark.parametrize("value", [None, b""])
def test_a_record_without_a_value_is_empty(value: bytes | None) -> None:
    assert reasons(record(value, dict(headers_for(CONTENT_TYPE_ARROW)))) == ["empty"]


def test_lines_that_are_all_blank_are_empty() -> None:
    assert reasons(ndjson_record([b" ", b"", b"\r"])) == ["empty"]


def test_a_record_over_the_topics_limit_is_too_large() -> None:
    assert reasons(record(b" " * (topics.MAX_RECORD_BYTES + 1))) == ["too_large"]


def test_more_events_than_an_envelope_may_carry_are_too_large_in_every_format() -> None:
    flags = pa.table({"streamed": pa.nulls(MAX_EVENTS + 1, pa.bool_())})
    for one in (arrow_record(flags), ndjson_record([b"{}"] * (MAX_EVENTS + 1))):
        assert reasons(one) == ["too_large"]


def test_more_batches_than_an_envelope_may_carry_are_too_large() -> None:
    assert reasons(arrow_record(table(MAX_BATCHES), batch_rows=1)) == []
    assert reasons(arrow_record(table(MAX_BATCHES + 1), batch_rows=1)) == ["too_large"]


def test_one_json_event_over_its_limit_is_refused_and_its_neighbours_are_not() -> None:
    one = ndjson_record([GOOD, {"x": "y" * MAX_EVENT_JSON_BYTES}, GOOD])
    assert (block_of(one).stored, reasons(one)) == ((2,), ["too_large"])


def test_a_long_run_of_blank_lines_takes_linear_time() -> None:
    # Backtracking over two million blank lines would take days.
    assert reasons(record(b"{}" + b"\n" * 2_000_000)) == ["too_large"]


def test_rows_that_share_one_long_label_do_not_unfold_it() -> None:
    # 50,000 rows times one megabyte: 50 GB if every row got its own copy.
    column = pa.DictionaryArray.from_arrays(pa.array([0] * 50_000, pa.int32()), pa.array(["x" * 1_000_000]))
    one = arrow_record(pa.table({"app": column}))
    assert set(reasons(one)) == {"missing_field"}
    canonical = pa.concat_tables([table(1)] * 1000).combine_chunks()
    wide = pa.DictionaryArray.from_arrays(pa.array([0] * 1000, pa.int32()), pa.array(["x" * 1_000_000]))
    many = canonical.set_column(EVENT_SCHEMA.names.index("app"), EVENT_SCHEMA.field("app"), wide)
    assert set(reasons(arrow_record(many))) == {"invalid_value"}


# -- headers


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (topics.HEADER_COUNT, b"-1"),
        (topics.HEADER_COUNT, b"three"),
        (topics.HEADER_COUNT, b""),
        (topics.HEADER_SCHEMA, b"1"),
        (topics.HEADER_SCHEMA, b"v1.0"),
        (topics.HEADER_SCHEMA, "\u0661.\u0660".encode()),
        (topics.HEADER_PRODUCER, b"a b"),
        (topics.HEADER_PRODUCER, b"x" * 65),
        (topics.HEADER_SEQUENCE, b"1.5"),
        (topics.HEADER_SEQUENCE, b"9" * 19),
    ],
)
def test_a_malformed_header_refuses_the_record(name: str, value: bytes) -> None:
    headers = dict(headers_for(CONTENT_TYPE_ARROW, 3, "p", 1)) | {name: value}
    assert reasons(record(encode_arrow(table()), headers)) == ["invalid_header"]


@pytest.mark.parametrize("missing", [topics.HEADER_PRODUCER, topics.HEADER_SEQUENCE])
def test_half_an_identity_is_refused(missing: str) -> None:
    headers = dict(headers_for(CONTENT_TYPE_ARROW, 3, "p", 1))
    del headers[missing]
    assert reasons(record(encode_arrow(table()), headers)) == ["invalid_header"]


def test_another_number_of_events_than_declared_refuses_the_record_and_accounts_for_the_declared_ones() -> None:
    envelope = decode(record(encode_arrow(table(3)), dict(headers_for(CONTENT_TYPE_ARROW, 4))))
    assert (envelope.table, envelope.events, envelope.rejections[0].reason) == (None, 4, "count_mismatch")


def test_a_declared_count_that_no_envelope_can_have_is_not_believed() -> None:
    envelope = decode(record(encode_arrow(table(3)), dict(headers_for(CONTENT_TYPE_ARROW, 999_999_999))))
    assert (envelope.table, envelope.events, envelope.rejections[0].reason) == (None, 1, "too_large")


def test_a_refused_record_keeps_its_identity_and_its_declared_count() -> None:
    envelope = decode(record(b"garbage", dict(headers_for(CONTENT_TYPE_ARROW, 8, "p", 1))))
    assert (envelope.identity, envelope.events) == (Identity("p", 1), 8)


def test_a_refused_arrow_record_counts_the_rows_that_its_metadata_tells_of() -> None:
    assert decode(arrow_record(table(6).append_column("other", pa.array([0] * 6)))).events == 6


def test_another_major_version_is_refused() -> None:
    assert reasons(record(json.dumps(GOOD).encode(), {topics.HEADER_SCHEMA: b"2.0"})) == ["unsupported_schema"]


# -- unknown fields and content


def test_an_unknown_field_or_column_is_refused() -> None:
    assert reasons(json_record(fields(future_field=1))) == ["unknown_field"]
    assert reasons(arrow_record(table().append_column("future_field", pa.array([1] * 3)))) == ["unknown_field"]


def test_an_unknown_field_or_column_of_a_newer_minor_version_is_ignored() -> None:
    newer = {topics.HEADER_SCHEMA: b"1.7"}
    rows = stream(table().append_column("future_field", pa.array([1] * 3)))
    assert block_of(record(rows, newer)).stored == (3,)
    assert block_of(record(json.dumps(fields(future_field=1)).encode(), newer)).stored == (1,)


def test_from_a_newer_minor_version_a_bad_value_is_named_not_the_unknown_field() -> None:
    value = json.dumps(fields(future_field=1, output_tokens=-1)).encode()
    assert "output_tokens" in details(record(value, {topics.HEADER_SCHEMA: b"1.7"}))


def test_a_familiar_foreign_name_is_answered_with_the_right_one() -> None:
    assert "give output_tokens" in details(json_record(fields(completion_tokens=1)))


@pytest.mark.parametrize("version", [b"1.0", b"1.7"])
@pytest.mark.parametrize("name", [*sorted(CONTENT_FIELDS)[::5], "Prompt"])
def test_content_is_refused_by_name_in_every_format_and_version(name: str, version: bytes) -> None:
    headers = {topics.HEADER_SCHEMA: version}
    line = json.dumps(fields(**{name: "x", "other": 1})).encode()
    assert reasons(record(line, headers)) == ["content_field"]
    rows = table().append_column(name, pa.array(["x"] * 3))
    assert reasons(record(stream(rows), headers)) == ["content_field"]


def test_a_prompt_among_good_lines_is_refused_alone() -> None:
    one = ndjson_record([GOOD, fields(prompt="x"), GOOD, b"{broken", GOOD])
    envelope = decode(one)
    assert block_of(one).stored == (3,)
    assert [(r.row, str(r.reason)) for r in envelope.rejections] == [(1, "content_field"), (3, "invalid_json")]
    assert envelope.rows == (0, 2, 4)


# -- values


@pytest.mark.parametrize("value", [b"{", b'{"a": }', b"[" * 10_000, b"\xff\xfe{}", b"nothing", b'{"a": "\\ud800"}'])
def test_invalid_json_is_refused(value: bytes) -> None:
    assert reasons(json_record(value)) == ["invalid_json"]


@pytest.mark.parametrize("value", [b"[]", b"3", b"null", b'"x"', b"[{}]"])
def test_json_that_is_no_object_is_refused(value: bytes) -> None:
    assert reasons(json_record(value)) == ["invalid_value"]


def test_an_empty_object_is_not_an_event() -> None:
    one = json_record({})
    assert reasons(one) == ["missing_field"]
    assert all(name in details(one) for name in ("occurred_at", "request_model", "output_tokens"))


@pytest.mark.parametrize("name", sorted(GOOD))
def test_a_missing_required_field_is_named(name: str) -> None:
    without = {key: value for key, value in GOOD.items() if key != name}
    for one in (json_record(without), arrow_record(table(1).drop_columns([name]))):
        assert reasons(one) == ["missing_field"] and name in details(one)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("output_tokens", -1),
        ("output_tokens", 2**32),
        ("output_tokens", 1.5),
        ("output_tokens", "many"),
        ("output_tokens", None),
        ("usage_reported", 7),
        ("outcome", "fine"),
        ("request_model", 5),
        ("request_model", ""),
        ("occurred_at", 1_769_860_800),
        ("occurred_at", "2026-01-31T12:00:00"),
        ("occurred_at", "yesterday"),
        ("event_id", "not-a-uuid"),
        ("event_id", "00000000-0000-0000-0000-000000000000"),
        ("user_hash", "alice"),
        ("app", {"name": "x"}),
        ("app", "a\nb"),
        ("country", "de"),
    ],
)
def test_a_wrong_value_is_refused_and_its_field_named(name: str, value: Any) -> None:
    one = json_record(fields(**{name: value}))
    assert reasons(one) == ["invalid_value"] and name in details(one)


def test_a_negative_token_count_in_arrow_is_refused_row_by_row() -> None:
    one = arrow_record(with_column(table(), "output_tokens", pa.array([5, -1, 6], pa.int64())))
    assert (block_of(one).stored, reasons(one)) == ((2,), ["invalid_value"])
    assert decode(one).rejections[0].row == 1


@pytest.mark.parametrize(
    ("occurred_at", "reason"),
    [
        ("2100-01-01T00:00:00Z", "timestamp_in_future"),
        ("9999-12-31T23:59:59.999Z", "timestamp_in_future"),
        ("2026-01-31T12:10:00.001Z", "timestamp_in_future"),
        ("2014-12-31T23:59:59.999Z", "timestamp_too_old"),
        ("0001-01-01T00:00:00Z", "timestamp_too_old"),
        ("1970-01-21T11:37:40Z", "timestamp_too_old"),
    ],
)
def test_a_time_outside_of_the_possible_is_refused_in_every_format(occurred_at: str, reason: str) -> None:
    for one in (
        json_record(fields(occurred_at=occurred_at)),
        arrow_record(table(1, occurred_at=occurred_at)),
    ):
        assert reasons(one) == [reason]
    assert block_of(ndjson_record([fields(occurred_at=occurred_at), GOOD])).stored == (1,)


def test_a_clock_that_is_ten_minutes_fast_is_borne() -> None:
    assert reasons(json_record(fields(occurred_at="2026-01-31T12:10:00Z"))) == []


@pytest.mark.parametrize("value", [2**63 - 1, -(2**63), 10**15])
@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_times_that_no_calendar_has_are_refused_for_their_value(unit: str, value: int) -> None:
    one = arrow_record(with_column(table(), "occurred_at", times(unit, "UTC", value)))
    assert set(reasons(one)) <= {"timestamp_in_future", "timestamp_too_old"} and len(reasons(one)) == 3


def test_times_without_a_zone_are_refused_in_arrow() -> None:
    one = arrow_record(with_column(table(), "occurred_at", times("ms", None, APPENDED_AT_MS)))
    assert reasons(one) == ["invalid_value"] * 3 and "timezone" in details(one)


def test_a_null_in_a_required_arrow_column_is_a_missing_field_and_elsewhere_the_default() -> None:
    missing = arrow_record(with_column(table(), "output_tokens", pa.array([1, None, 2], pa.uint32())))
    assert (block_of(missing).stored, reasons(missing)) == ((2,), ["missing_field"])
    optional = with_column(table(), "attempt", pa.array([1, None, 2], pa.uint8()))
    assert block_of(arrow_record(optional)).table.column("attempt").to_pylist() == [1, 0, 2]


@pytest.mark.parametrize("name", ["output_tokens", "outcome", "request_model", "occurred_at"])
def test_a_null_in_a_column_that_is_declared_without_nulls_is_found(name: str) -> None:
    field = EVENT_SCHEMA.field(name)
    column = table(3).column(name).combine_chunks().take(pa.array([0, None, 2]))
    one = arrow_record(table(3).set_column(EVENT_SCHEMA.names.index(name), field, column))
    assert (block_of(one).stored, reasons(one)) == ((2,), ["missing_field"])


def test_a_null_inside_of_a_dictionary_is_a_missing_value() -> None:
    column = pa.DictionaryArray.from_arrays(pa.array([0, 1, 0], pa.int16()), pa.array(["ok", None]))
    field = EVENT_SCHEMA.field("outcome")
    rows = table().set_column(EVENT_SCHEMA.names.index("outcome"), field, column)
    assert (block_of(arrow_record(rows)).stored, reasons(arrow_record(rows))) == ((2,), ["missing_field"])


# -- derived ids


def test_derived_event_ids_are_the_same_at_every_replay_and_differ_by_place() -> None:
    lines = [GOOD] * 50
    ids = [block_of(ndjson_record(lines, offset)).table.column("event_id").to_pylist() for offset in (7, 8, 7)]
    assert ids[0] == ids[2]
    assert len({*ids[0], *ids[1]}) == 100


def test_a_derived_event_id_is_a_version_7_uuid_of_the_append_time() -> None:
    derived = derived_event_id(json_record(GOOD), 0)
    assert (derived.version, derived.variant) == (7, "specified in RFC 4122")
    assert derived.int >> 80 == APPENDED_AT_MS


def test_row_numbers_of_derived_ids_do_not_depend_on_neighbours_being_valid() -> None:
    with_bad = block_of(ndjson_record([b"{", GOOD])).table.column("event_id")[0]
    without = block_of(ndjson_record([GOOD, GOOD])).table.column("event_id")[1]
    assert with_bad == without
