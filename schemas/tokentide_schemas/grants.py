"""Read-only accounts of a real ClickHouse server, as SQL for its administrator. Pure text.

The embedded store has its `reader` built in, with the same limits.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from tokentide_schemas.published import PUBLISHED

READER_ROLE: Final = "tokentide_reader"
PUBLIC_ROLE: Final = "tokentide_public"
READER_PROFILE: Final = "tokentide_reader_limits"
DICTIONARIES: Final = ("models", "countries")
OWNER_RIGHTS: Final = "SELECT, INSERT, ALTER, CREATE, DROP, TRUNCATE, OPTIMIZE, SHOW, dictGet"
"""What one who makes, fills and repairs the platform's tables needs on its database."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one query of a reader may cost."""

    max_execution_time_s: int = 30
    max_memory_bytes: int = 4_000_000_000
    max_result_rows: int = 1_000_000
    max_threads: int = 2
    max_concurrent_queries: int = 16


def readable(statements: Iterable[str]) -> list[str]:
    """Names of the tables and views that schema statements make, in their order."""
    pattern = re.compile(r"CREATE (?:TABLE IF NOT EXISTS|OR REPLACE VIEW) ([a-z][a-z0-9_]*)\s")
    found = (pattern.match(statement) for statement in statements)
    return list(dict.fromkeys(match[1] for match in found if match))


def grants(database: str, names: Sequence[str], limits: Limits | None = None, cluster: str = "") -> list[str]:
    """Statements for a server's administrator, each safe to run again.

    names: tables and views that readers may select from. The role `tokentide_public` sees the published views alone;
    they read on behalf of whoever runs these statements. Give a person a role with `GRANT tokentide_reader TO name`.
    """
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", database):
        raise ValueError(f"database name {database!r}: use letters, digits and _, a letter first")
    most = limits or Limits()
    on = f" ON CLUSTER '{cluster}'" if cluster else ""
    settings = (
        # 2, not 1: clients such as Grafana's send settings of their own; the limits below are CONST all the same.
        "readonly = 2 CONST",
        "allow_ddl = 0 CONST",
        "allow_introspection_functions = 0 CONST",
        f"max_execution_time = {most.max_execution_time_s} CONST",
        f"max_memory_usage = {most.max_memory_bytes} CONST",
        f"max_result_rows = {most.max_result_rows} CONST",
        "result_overflow_mode = 'throw' CONST",
        f"max_threads = {most.max_threads} CONST",
        f"max_concurrent_queries_for_user = {most.max_concurrent_queries} CONST",
    )
    found = [f"CREATE SETTINGS PROFILE IF NOT EXISTS {READER_PROFILE}{on} SETTINGS {', '.join(settings)}"]
    for role in (READER_ROLE, PUBLIC_ROLE):
        found.append(f"CREATE ROLE IF NOT EXISTS {role}{on} SETTINGS PROFILE '{READER_PROFILE}'")
    found += [f"GRANT{on} SELECT ON {database}.{name} TO {READER_ROLE}" for name in names]
    found += [f"GRANT{on} dictGet ON {database}.{name} TO {READER_ROLE}" for name in DICTIONARIES]
    for name in PUBLISHED:
        if name in names:
            found.append(f"ALTER TABLE {database}.{name}{on} MODIFY SQL SECURITY DEFINER DEFINER = CURRENT_USER")
            found.append(f"GRANT{on} SELECT ON {database}.{name} TO {PUBLIC_ROLE}")
    return found
