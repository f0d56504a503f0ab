"""Envelopes of every released schema version stay readable, and give the same rows for ever.

Each case in golden/vX.Y is a record's value (NAME.arrow, NAME.ndjson, NAME.json) and NAME.expected.json with its
headers, its place in the log, the rows that it must give and the refusals. Files of a released version never change; a
new minor version gets a folder of its own.
"""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from tokentide_schemas.block import assemble
from tokentide_schemas.envelope import Record, decode
from tokentide_schemas.event import SCHEMA_VERSION, UsageEvent

GOLDEN = Path(__file__).parent / "golden"
CASES = sorted(GOLDEN.glob("v*/*.expected.json"))
SUFFIXES = (".arrow", ".ndjson", ".json")


def value_file(case: Path) -> Path:
    """The one value file of a case."""
    stem = case.name.removesuffix(".expected.json")
    found = [path for suffix in SUFFIXES if (path := case.with_name(stem + suffix)).is_file()]
    assert len(found) == 1, f"{case.name} needs one file {stem}.arrow, .ndjson or .json; it has {len(found)}"
    return found[0]


def plain(name: str, value: Any) -> Any:
    """A stored value as JSON shows it."""
    if isinstance(value, dt.datetime):
        return value.astimezone(dt.UTC).isoformat(timespec="milliseconds")
    if isinstance(value, bytes):
        return str(UUID(bytes=value)) if name == "event_id" else value.hex()
    return value


def outcome(expected: dict[str, Any], value: bytes) -> dict[str, Any]:
    """Rows and refusals of a record, in the form of an expectation."""
    headers = {name: text.encode() for name, text in expected["headers"].items()}
    envelope = decode(Record(*(expected[key] for key in ("partition", "offset", "appended_at_ms")), value, headers))
    block = assemble([envelope])
    identity = envelope.identity
    return {
        "identity": [identity.producer_id, identity.sequence] if identity else None,
        "events": envelope.events,
        "rows": [{name: plain(name, cell) for name, cell in row.items()} for row in block.table.to_pylist()],
        "refused": [[rejection.row, str(rejection.reason)] for rejection in block.rejections[0]],
    }


@pytest.mark.parametrize(
    "case", CASES, ids=lambda case: f"{case.parent.name}/{case.name.removesuffix('.expected.json')}"
)
def test_a_golden_envelope_gives_its_rows(case: Path) -> None:
    expected = json.loads(case.read_text())
    read = outcome(expected, value_file(case).read_bytes())
    # Rows of an older version lack fields that were added since: what was promised is compared, the rest is defaults.
    promised = expected["rows"]
    read["rows"] = [{name: row[name] for name in old} for old, row in zip(promised, read["rows"], strict=True)]
    assert read == {key: expected[key] for key in read}


def test_no_golden_file_is_unreferenced() -> None:
    referenced = {path for case in CASES for path in (case, value_file(case))}
    assert {path for path in GOLDEN.rglob("*") if path.is_file()} == referenced


def test_the_present_version_has_a_golden_envelope_of_each_format_with_every_field() -> None:
    here = [case for case in CASES if case.parent.name == f"v{SCHEMA_VERSION}"]
    assert {value_file(case).suffix for case in here} == set(SUFFIXES)
    rows = [row for case in here for row in json.loads(case.read_text())["rows"]]
    assert all(list(row) == list(UsageEvent.model_fields) for row in rows)
    for name in UsageEvent.model_fields:
        assert len({json.dumps(row[name]) for row in rows}) > 1, f"no golden row has a {name} of its own"
