"""Tables and views of the configured cubes: created when they are missing, after the numbered migrations."""

from __future__ import annotations

from collections.abc import Sequence

from tokentide_schemas.clickhouse import cube_statements
from tokentide_schemas.cluster_ddl import Cluster, render
from tokentide_schemas.cubes import Cube, stored_cubes
from tokentide_schemas.dimensions import dimension_type
from tokentide_schemas.rollup_sums import SUMMED_WEEKS_TABLE, has_sums
from tokentide_sinks.migrate import MigrationError
from tokentide_sinks.store import Store

_COLUMNS_SQL = """
SELECT table, name, type FROM system.columns
WHERE database = currentDatabase() AND table IN {tables:Array(String)} ORDER BY table, position
"""


def missing_cubes(store: Store, cubes: Sequence[Cube]) -> list[str]:
    """Names of cubes and tiers without a table. Changes nothing. Raises MigrationError when a table is there and has
    other dimensions or measures than its cube: its rows mean something else."""
    stored = stored_cubes(cubes)
    columns: dict[str, dict[str, str]] = {}
    for table, name, kind in store.rows(_COLUMNS_SQL, {"tables": [cube.partials_table for cube in stored]}):
        columns.setdefault(str(table), {})[str(name)] = str(kind)
    wrong = [
        f"cube {cube.name}: table {cube.partials_table} has the columns {_words(columns[cube.partials_table])}, "
        f"the configuration {_words(_columns(cube))}"
        for cube in stored
        if cube.partials_table in columns and columns[cube.partials_table] != _columns(cube)
    ]
    if wrong:
        raise MigrationError("; ".join(wrong) + ". Give the changed cube another name, or drop its table.")
    return [cube.name for cube in stored if cube.partials_table not in columns]


def _columns(cube: Cube) -> dict[str, str]:
    return {
        "window_start": "DateTime('UTC')",
        **{name: dimension_type(name) for name in cube.dimensions},
        "source_epoch": "LowCardinality(String)",
        "source_partition": "UInt16",
        "segment": "UInt32",
        "version": "UInt64",
        **dict.fromkeys(cube.measures, "Int64"),
        "emitted_at": "DateTime64(3, 'UTC')",
    }


def _words(columns: dict[str, str]) -> str:
    return ", ".join(columns)


def create_cubes(store: Store, cubes: Sequence[Cube], cluster: Cluster | None = None) -> list[str]:
    """Create what is missing, bring the views up to date, and return the names of the new cubes and tiers.

    Safe to run again and by several processes. Raises StoreError and MigrationError.
    """
    new = missing_cubes(store, cubes)
    for statement in cube_statements(tuple(cubes)):
        for rendered in render(statement, cluster):
            store.command(rendered)
    for cube in stored_cubes(cubes):
        if cube.name in new and has_sums(cube):
            # A table that was dropped and made again begins its parts' names anew.
            for rendered in render(
                f"DELETE FROM {SUMMED_WEEKS_TABLE} WHERE partials = '{cube.partials_table}'", cluster
            ):
                store.command(rendered)
    return new
