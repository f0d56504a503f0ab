"""The tables as ClickHouse itself understands them, against the definitions that they come from."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from tokentide_schemas.clickhouse import ORIGIN_COLUMNS, statements
from tokentide_schemas.cubes import CUBES, MEASURE_NAMES, MODEL_CUBE, Cube
from tokentide_schemas.event import COLUMNS
from tokentide_schemas.rollups import partials_schema
from tokentide_sinks import migrate

# A process of its own: the embedded ClickHouse opens one directory in the life of a process.
RUN = """
import json, sys
from chdb.session import Session
session = Session(sys.argv[1])
answers = []
for statement in json.load(sys.stdin):
    answers.append([json.loads(line) for line in str(session.query(statement, "JSONEachRow")).splitlines()])
session.close()
print(json.dumps(answers))
"""


def run(directory: Path, queries: list[str]) -> list[list[dict[str, Any]]]:
    done = subprocess.run(
        [sys.executable, "-c", RUN, str(directory)], input=json.dumps(queries), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
    answers: list[list[dict[str, Any]]] = json.loads(done.stdout.splitlines()[-1])
    return answers


@pytest.fixture(scope="module")
def columns(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, dict[str, Any]]]:
    """table -> column -> its row in system.columns, after every statement ran twice."""
    asked = (
        "SELECT table, name, type, compression_codec FROM system.columns "
        "WHERE database = currentDatabase() ORDER BY table, position"
    )
    every = statements(CUBES)
    database = ["CREATE DATABASE IF NOT EXISTS tokentide", "USE tokentide"]
    rows = run(tmp_path_factory.mktemp("chdb"), [*database, *every, *every, asked])[-1]
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for row in rows:
        found.setdefault(row["table"], {})[row["name"]] = row
    return found


def test_the_raw_table_has_the_events_fields_in_order_and_then_the_origin(
    columns: dict[str, dict[str, dict[str, Any]]],
) -> None:
    assert list(columns["events"]) == [*COLUMNS, *ORIGIN_COLUMNS]


@pytest.mark.parametrize("name", COLUMNS)
def test_a_field_is_stored_in_its_declared_type_and_codec(
    columns: dict[str, dict[str, dict[str, Any]]], name: str
) -> None:
    stored = columns["events"][name]
    assert stored["type"] == COLUMNS[name].clickhouse
    declared = [codec.split("(")[0] for codec in COLUMNS[name].codec.split(", ")]
    assert [codec.split("(")[0] for codec in stored["compression_codec"][6:-1].split(", ")] == declared


def test_the_partials_table_has_the_columns_of_the_rollup_topics_arrow_schema(
    columns: dict[str, dict[str, dict[str, Any]]],
) -> None:
    assert list(columns[MODEL_CUBE.partials_table]) == partials_schema(MODEL_CUBE).names


def test_the_rollup_view_has_the_cubes_dimensions_and_measures(columns: dict[str, dict[str, dict[str, Any]]]) -> None:
    view = list(columns["rollup_1m"])
    assert view[: len(MODEL_CUBE.dimensions) + 1] == ["window_start", *MODEL_CUBE.dimensions]
    assert set(MEASURE_NAMES) < set(view)


def test_a_hash_is_text_in_the_view_for_analysts_and_null_when_unknown(
    columns: dict[str, dict[str, dict[str, Any]]],
) -> None:
    for name in ("session_hash", "user_hash", "api_key_hash"):
        assert columns["usage"][name]["type"] == "Nullable(String)"


def test_a_cube_of_ones_own_gets_a_table_and_a_view_that_clickhouse_accepts(tmp_path: Path) -> None:
    own = Cube("geography", ("country", "language"), 3_600)
    asked = "SELECT name FROM system.tables WHERE database = currentDatabase() ORDER BY name"
    names = [row["name"] for row in run(tmp_path, [*statements((MODEL_CUBE, own)), asked])[-1]]
    assert {own.partials_table, MODEL_CUBE.partials_table} <= set(names)
    assert any(name.startswith("rollup_geography_") and name != own.partials_table for name in names)


def test_the_first_migration_is_what_the_schemas_render() -> None:
    committed = (files("tokentide_sinks") / "migrations" / migrate.FIRST_FILE).read_text()
    assert committed == migrate.render_first(), "run python -m tokentide_sinks.migrate --write"
    assert migrate.main([]) == 0
