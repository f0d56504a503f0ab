"""What goes onto the rollup topic, and what is refused when it is read back."""

from __future__ import annotations

import pyarrow as pa
import pytest
from pydantic import ValidationError
from tests.stream.builders import T0_MS, at, new_state
from tests.stream.worlds import CUBES

from tokentide_schemas import rollups
from tokentide_schemas.cubes import MEASURE_NAMES, MODEL_CUBE
from tokentide_schemas.rollups import (
    HEADER_CUBE,
    Progress,
    RollupRecordError,
    decode_partials,
    encode_partials,
    partials_schema,
)
from tokentide_stream.publish import partials

BY_NAME = {cube.name: cube for cube in CUBES}


def table(*seconds: float) -> pa.Table:
    state = new_state()
    state.apply([at(i, s) for i, s in enumerate(seconds)])
    changes = state.flush()
    return partials(
        MODEL_CUBE, changes.rows["model"], epoch="e", partition=5, version=changes.version, emitted_at_ms=T0_MS
    )


def test_partials_have_the_columns_of_the_cubes_table_in_their_order() -> None:
    assert table(0).schema.equals(partials_schema(MODEL_CUBE))
    assert table(0).schema.names == [
        *("window_start", *MODEL_CUBE.dimensions, "source_epoch", "source_partition", "segment", "version"),
        *MEASURE_NAMES,
        "emitted_at",
    ]


def test_partials_say_where_they_come_from() -> None:
    (row,) = table(0, 1).to_pylist()
    assert (row["source_epoch"], row["source_partition"], row["version"], row["segment"]) == ("e", 5, 1, 0)
    assert int(row["window_start"].timestamp() * 1000) == int(row["emitted_at"].timestamp() * 1000) == T0_MS
    assert row["requests"] == 2


def test_no_rows_are_an_empty_table_of_the_same_schema() -> None:
    state = new_state()
    empty = partials(MODEL_CUBE, state.open_rows()["model"], epoch="e", partition=0, version=0, emitted_at_ms=0)
    assert empty.num_rows == 0
    assert empty.schema.equals(partials_schema(MODEL_CUBE))
    assert encode_partials(empty) == []


def test_encoded_partials_are_decoded_to_the_same_rows_in_records_of_bounded_size(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(rollups, "ROWS_PER_RECORD", 2)
    whole = table(0, 60, 120, 180, 240)
    records = encode_partials(whole)
    assert len(records) == 3
    decoded = [decode_partials(BY_NAME, {HEADER_CUBE: b"model"}, value) for value in records]
    assert {cube.name for cube, _ in decoded} == {"model"}
    assert [t.num_rows for _, t in decoded] == [2, 2, 1]
    assert pa.concat_tables([t for _, t in decoded]).to_pylist() == whole.to_pylist()


def test_a_cube_that_is_not_configured_is_refused_by_name() -> None:
    with pytest.raises(RollupRecordError, match="cube 'tenants' is not configured here; run the same configuration"):
        decode_partials(BY_NAME, {HEADER_CUBE: b"tenants"}, encode_partials(table(0))[0])


def test_a_record_without_its_cube_is_refused() -> None:
    with pytest.raises(RollupRecordError, match="cube '' is not configured"):
        decode_partials(BY_NAME, {}, encode_partials(table(0))[0])


@pytest.mark.parametrize("value", [b"", b"garbage", encode_partials(table(0))[0][:100]])
def test_bytes_that_are_no_arrow_stream_are_refused(value: bytes) -> None:
    with pytest.raises(RollupRecordError, match="cube model: unreadable Arrow stream"):
        decode_partials(BY_NAME, {HEADER_CUBE: b"model"}, value)


def test_the_columns_of_another_cube_are_refused() -> None:
    with pytest.raises(RollupRecordError, match="cube places: the record's columns are not those of this version"):
        decode_partials(BY_NAME, {HEADER_CUBE: b"places"}, encode_partials(table(0))[0])


def test_a_progress_report_has_all_its_numbers_and_no_others() -> None:
    numbers = dict.fromkeys(Progress.model_fields, 1)
    numbers |= {"topic": "t", "epoch": "e", "counted_from_s": {"places": 60}}
    report = Progress.model_validate(numbers)
    assert Progress.model_validate_json(report.model_dump_json()) == report
    for name in Progress.model_fields:
        with pytest.raises(ValidationError):
            Progress.model_validate({key: value for key, value in numbers.items() if key != name})
    with pytest.raises(ValidationError):
        Progress.model_validate(numbers | {"surprise": 1})
