"""The cluster's statements: rendered from the shipped migrations, read by ClickHouse's own parser, held to rules.

No cluster runs here, so what Keeper and several nodes do with them is not shown by these tests.
"""

from __future__ import annotations

import re
from typing import Any

import pytest

from tokentide_schemas.cluster_ddl import (
    EVERYWHERE,
    Cluster,
    Table,
    UnsupportedStatementError,
    parts_table,
    render,
    system_table,
)
from tokentide_sinks.lease import LEASES
from tokentide_sinks.migrate import HISTORY, migrations

CLUSTER = Cluster("{cluster}", "tokentide")
SINGLE = [HISTORY, LEASES, *(s for m in migrations() for s in m.statements)]
RENDERED = [rendered for statement in SINGLE for rendered in render(statement, CLUSTER)]
TABLES = [Table.parse(statement) for statement in SINGLE if statement.startswith("CREATE TABLE")]


def parameter(sql: str) -> str:
    """As a parameter's value in a URL, where ClickHouse reads it with escapes."""
    return sql.replace("\\", "\\\\").replace("\n", "\\n")


@pytest.mark.parametrize("sql", RENDERED, ids=lambda sql: " ".join(sql.split()[:7]))
def test_clickhouse_can_read_every_statement_for_a_cluster(store: Any, sql: str) -> None:
    formatted = store.execute("SELECT formatQuery({q:String}) FORMAT TSVRaw", param_q=parameter(sql))
    assert "ON CLUSTER `{cluster}`" in formatted or "ON CLUSTER '{cluster}'" in formatted


def test_the_parser_check_can_fail(store: Any) -> None:
    broken = RENDERED[0].replace("ENGINE", "ENGIN")
    assert store.post("SELECT formatQuery({q:String})", param_q=parameter(broken)).status_code != 200


def test_every_statement_runs_on_the_whole_cluster() -> None:
    assert all(" ON CLUSTER '{cluster}'" in sql for sql in RENDERED)


def test_every_stored_table_is_replicated_under_a_path_of_its_own() -> None:
    stored = [sql for sql in RENDERED if sql.startswith("CREATE TABLE") and "Distributed(" not in sql]
    assert len(stored) == len(TABLES)
    paths = [re.findall(r"^ENGINE = Replicated\w*MergeTree\('([^']+)', '([^']+)'", sql, re.MULTILINE) for sql in stored]
    assert all(len(found) == 1 for found in paths)
    assert len({found[0][0] for found in paths}) == len(stored)


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_a_sharded_table_has_a_distributed_twin_and_a_small_one_is_whole_on_every_node(table: Table) -> None:
    rendered = table.cluster(CLUSTER)
    if table.name in EVERYWHERE:
        assert len(rendered) == 1
        assert f"/{table.name}/all', '{{shard}}-{{replica}}'" in rendered[0]
        return
    local, front = rendered
    assert local.startswith(f"CREATE TABLE IF NOT EXISTS {table.name}_local ON CLUSTER")
    assert f"/{table.name}_local/{{shard}}', '{{replica}}'" in local
    assert front.startswith(f"CREATE TABLE IF NOT EXISTS {table.name} ON CLUSTER '{{cluster}}' AS {table.name}_local\n")


@pytest.mark.parametrize("table", [t for t in TABLES if t.is_sharded], ids=lambda table: table.name)
def test_rows_that_replace_each_other_are_hashed_by_their_sorting_key_alone(table: Table) -> None:
    order = table.clauses["ORDER BY"]
    assert table.sharding_key == f"cityHash64({order.removeprefix('(').removesuffix(')')})"


def test_every_table_that_remembers_insert_tokens_remembers_them_in_keeper() -> None:
    for table in TABLES:
        local = table.cluster(CLUSTER)[0]
        assert "non_replicated_deduplication_window" not in local
        if window := re.search(r"non_replicated_deduplication_window = (\d+)", table.single()):
            assert f"replicated_deduplication_window = {window[1]}, " in local
            assert "replicated_deduplication_window_seconds = 604800" in local
    assert any("non_replicated_deduplication_window" in table.single() for table in TABLES)


def test_version_columns_of_replacing_tables_survive() -> None:
    table = next(table for table in TABLES if table.name == "rollup_model_partials")
    assert re.search(r"ENGINE = ReplicatedReplacingMergeTree\('[^']+', '[^']+', version\)", table.cluster(CLUSTER)[0])


@pytest.mark.parametrize("statement", SINGLE, ids=lambda sql: " ".join(sql.split()[:7]))
def test_without_a_cluster_a_statement_stays_as_it_is(statement: str) -> None:
    assert render(statement, None) == [statement]


def test_a_column_is_added_on_the_nodes_and_in_front_but_a_ttl_only_on_the_nodes() -> None:
    assert render("ALTER TABLE events ADD COLUMN x UInt8", CLUSTER) == [
        "ALTER TABLE events_local ON CLUSTER '{cluster}' ADD COLUMN x UInt8",
        "ALTER TABLE events ON CLUSTER '{cluster}' ADD COLUMN x UInt8",
    ]
    assert render("ALTER TABLE events MODIFY TTL occurred_at + INTERVAL 1 DAY", CLUSTER) == [
        "ALTER TABLE events_local ON CLUSTER '{cluster}' MODIFY TTL occurred_at + INTERVAL 1 DAY"
    ]
    assert render("ALTER TABLE schema_migrations ADD COLUMN x UInt8", CLUSTER) == [
        "ALTER TABLE schema_migrations ON CLUSTER '{cluster}' ADD COLUMN x UInt8"
    ]


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE events (x UInt8) ENGINE = MergeTree ORDER BY x",
        "CREATE TABLE IF NOT EXISTS t\n(\n    x UInt8\n)\nENGINE = Memory",
        "CREATE TABLE IF NOT EXISTS t\n(\n    x UInt8\n)\nORDER BY x\nENGINE = MergeTree",
        "CREATE TABLE IF NOT EXISTS t\n(\n    x UInt8\n)\nENGINE = MergeTree\nORDER BY x\nSAMPLE BY x",
        "TRUNCATE TABLE events",
    ],
)
def test_a_statement_that_cannot_be_rendered_whole_is_refused(statement: str) -> None:
    with pytest.raises(UnsupportedStatementError):
        render(statement, CLUSTER)


@pytest.mark.parametrize(("name", "database"), [("a'b", "d"), ("", "d"), ("c", "d b"), ("c", "")])
def test_a_cluster_has_plain_names(name: str, database: str) -> None:
    with pytest.raises(ValueError, match="name"):
        Cluster(name, database)


def test_sizes_are_asked_of_every_shard() -> None:
    assert (parts_table("events", None), system_table("parts", None)) == ("events", "system.parts")
    assert parts_table("events", CLUSTER) == "events_local"
    assert system_table("parts", CLUSTER) == "cluster('{cluster}', 'system', 'parts')"
