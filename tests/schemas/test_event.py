"""The usage event: what it accepts, and that everything derived from it says the same."""

from __future__ import annotations

import datetime as dt
import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pyarrow as pa
import pytest
from pydantic import ValidationError

from tokentide_schemas import generate
from tokentide_schemas.arrow import EVENT_SCHEMA, table_from_events
from tokentide_schemas.columns import NO_HASH
from tokentide_schemas.envelope import decode
from tokentide_schemas.event import COLUMNS, REQUIRED, TOKEN_BUCKETS, UsageEvent
from tokentide_schemas.rejections import REASON_MEANINGS, Reason

from .builders import MINIMAL, event, fields, json_record

ROOT = Path(__file__).parents[2]


def refusal(**changes: Any) -> str:
    with pytest.raises(ValidationError) as caught:
        UsageEvent.model_validate(fields(**changes))
    return str(caught.value.errors(include_input=False)[0]["msg"])


def test_the_minimal_event_has_exactly_the_required_fields() -> None:
    assert frozenset(MINIMAL) == REQUIRED == frozenset(generate.EXAMPLE)


@pytest.mark.parametrize("name", sorted(REQUIRED))
def test_no_required_field_has_a_default(name: str) -> None:
    with pytest.raises(ValidationError, match=name):
        UsageEvent.model_validate({key: value for key, value in MINIMAL.items() if key != name})


@pytest.mark.parametrize("value", [1_769_860_800, 1_769_860_800_000, 1.7e9, True, "1769860800", "1.7e9", "1700000000."])
def test_a_time_given_as_a_number_is_refused_because_its_unit_would_be_a_guess(value: object) -> None:
    assert "not a number" in refusal(occurred_at=value)


@pytest.mark.parametrize("value", ["2026-01-31T12:00:00", "2026-01-31", dt.datetime(2026, 1, 31)])  # noqa: DTZ001
def test_a_time_without_its_zone_is_refused(value: object) -> None:
    assert "zone" in refusal(occurred_at=value)


@pytest.mark.parametrize("value", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
def test_a_time_that_utc_cannot_hold_is_refused(value: str) -> None:
    assert "calendar" in refusal(occurred_at=value)


def test_times_are_rounded_down_to_milliseconds_in_utc() -> None:
    read = event(occurred_at="2026-01-31T13:00:00.123999+01:00").occurred_at
    assert read == dt.datetime(2026, 1, 31, 12, 0, 0, 123_000, tzinfo=dt.UTC)


def test_a_hash_is_32_hexadecimal_digits_or_unknown() -> None:
    assert event(user_hash="0F" * 16).user_hash == b"\x0f" * 16
    assert event(user_hash="").user_hash == event(user_hash=None).user_hash == event().user_hash == NO_HASH
    assert "never the identifier itself" in refusal(user_hash="alice@example.com")


def test_an_event_cannot_be_changed() -> None:
    with pytest.raises(ValidationError):
        event().app = "other"  # type: ignore[misc]


def test_the_arrow_schema_has_every_field_in_order_and_nulls_only_where_unknown_is_null() -> None:
    assert tuple(EVENT_SCHEMA.names) == tuple(UsageEvent.model_fields)
    for field in EVENT_SCHEMA:
        info = UsageEvent.model_fields[field.name]
        # event_id is the exception: it may be left out on the wire, but columns have it always.
        optional = info.default is None and not info.is_required() and field.name != "event_id"
        assert field.nullable == optional, field.name


ARROW_TO_CLICKHOUSE = {
    pa.utf8(): "String",
    pa.binary(16): ("UUID", "FixedString(16)"),
    pa.bool_(): "Bool",
    pa.uint8(): "UInt8",
    pa.uint16(): "UInt16",
    pa.uint32(): "UInt32",
    pa.int64(): "Int64",
    pa.float32(): "Float32",
    pa.timestamp("ms", "UTC"): "DateTime64(3, 'UTC')",
    pa.dictionary(pa.int16(), pa.utf8()): "LowCardinality(String)",
    pa.dictionary(pa.int32(), pa.utf8()): "LowCardinality(String)",
}


@pytest.mark.parametrize("name", COLUMNS)
def test_arrow_type_and_clickhouse_type_of_a_field_are_the_same_kind(name: str) -> None:
    kind = COLUMNS[name].clickhouse.removeprefix("Nullable(")
    kind = kind.removesuffix(")") if COLUMNS[name].clickhouse.startswith("Nullable(") else kind
    assert kind in ARROW_TO_CLICKHOUSE[COLUMNS[name].arrow]


def test_columns_hold_what_the_events_held() -> None:
    whole = event(
        1, attempt=2, user_hash="ab" * 16, category="programming", cost_nanousd=-5, latency_ms=900, outcome="cancelled"
    )
    row = table_from_events([whole]).to_pylist()[0]
    for name, value in whole.model_dump(mode="python").items():
        assert row[name] == (value.bytes if name == "event_id" else value), name


def test_events_without_an_id_cannot_be_put_into_columns() -> None:
    with pytest.raises(ValueError, match="event_id"):
        table_from_events([UsageEvent.model_validate(MINIMAL)])


def test_token_buckets_are_all_token_fields() -> None:
    assert tuple(name for name in UsageEvent.model_fields if name.endswith("_tokens")) == TOKEN_BUCKETS


# -- generated files


def test_the_committed_generated_files_are_fresh(capsys: pytest.CaptureFixture[str]) -> None:
    assert generate.main(["--check"]) == 0, capsys.readouterr().out


def test_a_stale_generated_file_is_shown_as_a_diff_and_mended(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "pyproject.toml").touch()
    assert generate.main([], tmp_path) == 0
    page = tmp_path / generate.DOCS_FILE
    page.write_text(page.read_text().replace("`latency_ms`", "`latency_s`"))
    assert generate.main(["--check"], tmp_path) == 1
    assert re.search(r"^-\| `latency_s`.*\n\+\| `latency_ms`", capsys.readouterr().out, re.MULTILINE)
    assert generate.main([], tmp_path) == 0
    assert generate.main(["--check"], tmp_path) == 0


def test_outside_of_a_checkout_nothing_is_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert generate.main([], tmp_path) == 2
    assert "not a checkout" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_the_docs_table_has_a_row_for_every_field_with_its_column_type_and_default() -> None:
    rows = {
        match[1]: match[0]
        for match in re.finditer(r"^\| `(\w+)` \|.*$", (ROOT / generate.DOCS_FILE).read_text(), re.MULTILINE)
    }
    for name, column in COLUMNS.items():
        assert f"`{column.clickhouse}`" in rows[name]
        assert ("**required**" in rows[name]) == (name in REQUIRED)
        assert UsageEvent.model_fields[name].description in rows[name]


def test_every_reason_is_explained_in_the_docs() -> None:
    page = (ROOT / generate.DOCS_FILE).read_text()
    assert frozenset(REASON_MEANINGS) == frozenset(Reason)
    assert all(f"| `{reason}` | {meaning} |" in page for reason, meaning in REASON_MEANINGS.items())


def test_the_event_in_the_docs_is_accepted_as_it_stands() -> None:
    page = (ROOT / generate.DOCS_FILE).read_text()
    command = re.search(r"^printf '({.*})' ", page, re.MULTILINE)
    assert command is not None
    envelope = decode(json_record((command[1] % "2026-01-31T11:00:00Z").encode()))
    assert (envelope.events, envelope.rejections) == (1, ())


SCHEMA: dict[str, Any] = json.loads((ROOT / generate.JSON_SCHEMA_FILE).read_text())
VALID = [
    {},
    {"event_id": "01990000-0000-7000-8000-000000000001", "user_hash": "0f" * 16, "country": "DE"},
    {"cost_nanousd": None, "latency_ms": 0, "category_confidence": 1, "category_weight": 1e9, "session_hash": ""},
]
INVALID = [
    {"output_tokens": -1},
    {"output_tokens": 2**32},
    {"prompt": "x"},
    {"country": "deu"},
    {"outcome": "fine"},
    {"request_model": ""},
    {"request_model": "x" * 257},
    {"user_hash": "alice"},
    {"category_confidence": 1.01},
    {"cost_nanousd": 2**62 + 1},
    {"attempt": 256},
]


@pytest.mark.parametrize("changes", VALID + INVALID, ids=str)
def test_the_json_schema_and_the_model_agree(changes: dict[str, Any]) -> None:
    validator = jsonschema.Draft202012Validator(SCHEMA)
    assert validator.is_valid(fields(**changes)) == (changes in VALID)
    if changes in VALID:
        UsageEvent.model_validate(fields(**changes))
    else:
        refusal(**changes)


def test_the_json_schema_is_valid_and_has_the_models_fields_and_required_fields() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    assert list(SCHEMA["properties"]) == list(UsageEvent.model_fields)
    assert frozenset(SCHEMA["required"]) == REQUIRED
    for name, described in SCHEMA["properties"].items():
        if name not in REQUIRED:
            UsageEvent.model_validate(fields(**{name: described["default"]}))
