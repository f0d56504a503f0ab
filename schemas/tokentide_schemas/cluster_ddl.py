"""The same schema for one node and for a cluster: migrations are written for one node, and rendered from there. Pure.

On a cluster every table is Replicated and every statement runs ON CLUSTER. A large table is sharded: its rows are in
`<name>_local`, and `<name>` is a Distributed table in front, so that sinks and readers use the same names everywhere.
Small tables that views join, or that hold the migrations' own state, are whole on every node.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from tokentide_schemas.alert_delivery_tables import ALERT_DELIVERIES_TABLE
from tokentide_schemas.alert_tables import ALERT_CHANGES_TABLE
from tokentide_schemas.catalogue_tables import CATALOGUE_TABLES, stored_in
from tokentide_schemas.cubes import CUBES, stored_cubes
from tokentide_schemas.kept_views import KEPT_VIEWS_TABLE, VIEWS
from tokentide_schemas.rollup_sums import SUMMED_WEEKS_TABLE, SUMS_SUFFIX, has_sums, sums_table_name

EVERYWHERE: Final = frozenset(
    {
        *("schema_migrations", "schema_leases", "stream_watermarks", "stream_coverage", "erasures"),
        *("catalogue_loads", *map(stored_in, CATALOGUE_TABLES)),
        # Each replica prices its own rows by a dictionary of its own.
        *("repricing_runs", "repricing_prices"),
        *(ALERT_CHANGES_TABLE, ALERT_DELIVERIES_TABLE),
        *(KEPT_VIEWS_TABLE, *(view.table for view in VIEWS)),
        SUMMED_WEEKS_TABLE,
        # Weeks are not added up on a cluster; the tables are there so that queries are the same.
        *(sums_table_name(cube) for cube in stored_cubes(CUBES) if has_sums(cube)),
    }
)
"""Tables that every node has whole; all others are sharded."""
LOCAL_SUFFIX: Final = "_local"
DEDUPLICATION_SECONDS: Final = 7 * 86_400
"""How long a replicated table remembers insert tokens: as long as the ledger knows its producers."""

_NAME: Final = r"[a-z][a-z0-9_]*"
_CREATE_TABLE: Final = re.compile(rf"CREATE TABLE IF NOT EXISTS ({_NAME})\n\(\n(.*?)\n\)\n(ENGINE = .*)\Z", re.DOTALL)
_CREATE_OTHER: Final = re.compile(
    rf"(CREATE OR REPLACE VIEW|CREATE DICTIONARY IF NOT EXISTS|CREATE TABLE IF NOT EXISTS) ({_NAME})(\s.*)\Z", re.DOTALL
)
_ALTER: Final = re.compile(rf"(ALTER TABLE|DELETE FROM) ({_NAME}) (.*)\Z", re.DOTALL)
_DROP: Final = re.compile(rf"DROP (VIEW|DICTIONARY) IF EXISTS ({_NAME})\Z")
_CLAUSES: Final = ("ENGINE =", "PARTITION BY", "PRIMARY KEY", "ORDER BY", "TTL", "SETTINGS")
_COLUMN_COMMANDS: Final = ("ADD COLUMN", "DROP COLUMN", "MODIFY COLUMN", "RENAME COLUMN", "COMMENT COLUMN")


class UnsupportedStatementError(ValueError):
    """A statement in a form that cannot be rendered for a cluster."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """Where statements run. name: of the cluster in the servers' configuration, or a macro such as `{cluster}`.

    The servers' macros `{shard}` and `{replica}` must be set. database: exists on every node already.
    """

    name: str
    database: str

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Za-z0-9_.{}-]+", self.name):
            raise ValueError(f"cluster name {self.name!r}: use letters, digits and _ . - or a macro like {{cluster}}")
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", self.database):
            raise ValueError(f"database name {self.database!r}: use letters, digits and _, a letter first")


@dataclass(frozen=True, slots=True)
class Table:
    """A MergeTree table. columns: the text between the parentheses. clauses: keyword -> text, ENGINE = first."""

    name: str
    columns: str
    clauses: Mapping[str, str]

    @classmethod
    def parse(cls, sql: str) -> Table:
        """Read a CREATE TABLE in the form that migrations have: each clause on a line of its own.

        Raises UnsupportedStatementError for anything else, so that nothing is rendered half.
        """
        match = _CREATE_TABLE.match(sql)
        if match is None:
            raise UnsupportedStatementError(f"not CREATE TABLE IF NOT EXISTS name, columns, ENGINE: {_shown(sql)}")
        clauses: dict[str, str] = {}
        for line in match[3].split("\n"):
            keyword = next((k for k in _CLAUSES if line.startswith(f"{k} ")), None)
            if keyword is None or keyword in clauses:
                raise UnsupportedStatementError(f"table {match[1]}: a line begins with no clause of its own: {line!r}")
            clauses[keyword] = line[len(keyword) + 1 :]
        table = cls(match[1], match[2], clauses)
        if table.single() != sql:
            raise UnsupportedStatementError(f"table {match[1]}: write the clauses in the order {', '.join(_CLAUSES)}")
        return table

    def single(self) -> str:
        """The statement for one node."""
        tail = "\n".join(f"{k} {self.clauses[k]}" for k in _CLAUSES if k in self.clauses)
        return f"CREATE TABLE IF NOT EXISTS {self.name}\n(\n{self.columns}\n)\n{tail}"

    @property
    def is_sharded(self) -> bool:
        """Whether a node holds only its shard's rows."""
        return not _is_everywhere(self.name)

    @property
    def sharding_key(self) -> str:
        """A hash of the whole sorting key: versions of one row meet on one shard, and a repeated insert falls into
        the same pieces, so that each shard recognises its own."""
        inner = self.clauses["ORDER BY"].strip()
        return f"cityHash64({inner[1:-1] if inner.startswith('(') else inner})"

    def cluster(self, cluster: Cluster) -> list[str]:
        """The statements for a cluster: the table on each node and, when sharded, the Distributed one in front."""
        local = self.name + LOCAL_SUFFIX if self.is_sharded else self.name
        clauses = dict(self.clauses)
        clauses["ENGINE ="] = _replicated(self.clauses["ENGINE ="], self.name, local, cluster, self.is_sharded)
        if "SETTINGS" in clauses:
            clauses["SETTINGS"] = _replicated_settings(clauses["SETTINGS"])
        tail = "\n".join(f"{k} {clauses[k]}" for k in _CLAUSES if k in clauses)
        on = f"ON CLUSTER '{cluster.name}'"
        found = [f"CREATE TABLE IF NOT EXISTS {local} {on}\n(\n{self.columns}\n)\n{tail}"]
        if self.is_sharded:
            found.append(
                f"CREATE TABLE IF NOT EXISTS {self.name} {on} AS {local}\n"
                f"ENGINE = Distributed('{cluster.name}', '{cluster.database}', '{local}', {self.sharding_key})"
            )
        return found


def _is_everywhere(table: str) -> bool:
    # The second of cubes that a configuration adds.
    return table in EVERYWHERE or table.endswith(SUMS_SUFFIX)


def _replicated(engine: str, table: str, local: str, cluster: Cluster, is_sharded: bool) -> str:
    match = re.fullmatch(r"((?:Replacing|Summing|Aggregating)?MergeTree)(?:\((.*)\))?", engine)
    if match is None:
        raise UnsupportedStatementError(f"table {table}: the engine {engine} has no Replicated form here")
    shard, replica = ("{shard}", "{replica}") if is_sharded else ("all", "{shard}-{replica}")
    arguments = [f"'/clickhouse/tables/{cluster.database}/{local}/{shard}'", f"'{replica}'"]
    if match[2]:
        arguments.append(match[2])
    return f"Replicated{match[1]}({', '.join(arguments)})"


def _replicated_settings(text: str) -> str:
    found = []
    for setting in text.split(", "):
        name, _, value = setting.partition(" = ")
        if name == "non_replicated_deduplication_window":
            found.append(f"replicated_deduplication_window = {value}")
            found.append(f"replicated_deduplication_window_seconds = {DEDUPLICATION_SECONDS}")
        else:
            found.append(setting)
    return ", ".join(found)


def render(sql: str, cluster: Cluster | None) -> list[str]:
    """The statements that do on this installation what `sql` does on one node; `sql` itself without a cluster.

    Reads CREATE TABLE, VIEW and DICTIONARY, ALTER TABLE with one command, DELETE FROM, DROP VIEW and DICTIONARY, and
    INSERT. Raises UnsupportedStatementError for others.
    """
    if cluster is None:
        return [sql]
    on = f"ON CLUSTER '{cluster.name}'"
    if sql.startswith("CREATE TABLE"):
        return Table.parse(sql).cluster(cluster)
    if match := _CREATE_OTHER.match(sql):
        return [f"{match[1]} {match[2]} {on}{match[3]}"]
    if match := _ALTER.match(sql):
        return list(_altered(match[1], match[2], match[3], on))
    if match := _DROP.match(sql):
        return [f"{sql} {on}"]
    if sql.startswith("INSERT INTO "):
        return [sql]
    raise UnsupportedStatementError(f"there is no form of this statement for a cluster: {_shown(sql)}")


def _altered(verb: str, table: str, command: str, on: str) -> Iterator[str]:
    is_sharded = not _is_everywhere(table)
    yield f"{verb} {table}{LOCAL_SUFFIX if is_sharded else ''} {on} {command}"
    # The table in front has columns, but neither rows nor a TTL of its own.
    if verb == "ALTER TABLE" and is_sharded and command.startswith(_COLUMN_COMMANDS):
        yield f"{verb} {table} {on} {command}"


def parts_table(table: str, cluster: Cluster | None) -> str:
    """The table that `system.parts` names."""
    return table if cluster is None or _is_everywhere(table) else table + LOCAL_SUFFIX


def system_table(name: str, cluster: Cluster | None) -> str:
    """FROM clause of a table such as `system.parts`: of this node, or of one replica of every shard."""
    return f"system.{name}" if cluster is None else f"cluster('{cluster.name}', 'system', '{name}')"


def _shown(sql: str) -> str:
    return sql if len(sql) <= 100 else f"{sql[:100]}..."
