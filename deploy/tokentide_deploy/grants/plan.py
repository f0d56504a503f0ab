"""From the options of `tokentide deploy grants` to what is printed or run."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from tokentide_deploy.config.settings import Addresses
from tokentide_deploy.errors import DeployError
from tokentide_deploy.grants import clickhouse_sql, kafka_acls
from tokentide_deploy.grants.apply import apply_acls, apply_scram_users, apply_sql
from tokentide_deploy.grants.rights import Rights, rights
from tokentide_deploy.grants.users import KAFKA_PASSWORD, STORE_PASSWORD, passwords
from tokentide_schemas.clickhouse import statements as schema_statements
from tokentide_schemas.cube_file import CubeFileError, load_cubes
from tokentide_schemas.grants import readable
from tokentide_schemas.kafka_settings import KafkaSecurity
from tokentide_schemas.settings import read_settings

DEFAULT_SERVERS: Final = "localhost:9092"


@dataclass(frozen=True)
class Choice:
    """The command's options. principals: `PART=User:NAME` each."""

    parts: tuple[str, ...] = ()
    principals: tuple[str, ...] = ()
    secrets: Path | None = None
    database: str = "tokentide"
    cluster: str = ""
    cubes: Path | None = None
    command_config: str = ""


@dataclass(frozen=True)
class Plan:
    """What to do at one system, and the lines that say it."""

    system: Literal["kafka", "clickhouse"]
    lines: tuple[str, ...]
    acls: tuple[kafka_acls.Acl, ...] = ()
    sql: tuple[str, ...] = ()
    scram: dict[str, str] = field(default_factory=dict, repr=False)


def plan(system: Literal["kafka", "clickhouse"], chosen: Choice) -> Plan:
    """Raises DeployError for a part, principal, database or file that cannot be."""
    try:
        cubes = load_cubes(chosen.cubes)
    except CubeFileError as error:
        raise DeployError(str(error)) from error
    every = rights(cubes)
    unknown = sorted(set(chosen.parts) - set(every))
    if unknown:
        raise DeployError(f"There is no part {', '.join(unknown)}; there are: {', '.join(every)}.")
    parts = {name: one for name, one in every.items() if not chosen.parts or name in chosen.parts}
    if system == "kafka":
        return _kafka(parts, chosen)
    known = passwords(chosen.secrets, parts, STORE_PASSWORD) if chosen.secrets else {}
    names = readable(schema_statements(cubes))
    try:
        sql = clickhouse_sql.statements(parts, chosen.database, names, known, chosen.cluster)
    except ValueError as error:
        raise DeployError(f"--database: {error}") from error
    return Plan("clickhouse", tuple(f"{one};" for one in sql), sql=tuple(sql))


def _kafka(parts: dict[str, Rights], chosen: Choice) -> Plan:
    acls = kafka_acls.acls(parts, _principals(chosen.principals, parts))
    servers = read_settings(Addresses).kafka_bootstrap_servers or DEFAULT_SERVERS
    users = passwords(chosen.secrets, parts, KAFKA_PASSWORD) if chosen.secrets else {}
    lines = []
    if chosen.secrets:
        mechanism = scram_mechanism()
        config = f" --command-config {shlex.quote(chosen.command_config)}" if chosen.command_config else ""
        for part in users:
            file = shlex.quote(str(chosen.secrets / part / KAFKA_PASSWORD))
            lines.append(
                f"kafka-configs.sh --bootstrap-server {shlex.quote(servers)}{config} --alter --entity-type users "
                f'--entity-name {kafka_acls.user_of(part)} --add-config "{mechanism}=[password=$(cat {file})]"'
            )
    lines += kafka_acls.shell_lines(acls, servers, chosen.command_config)
    return Plan("kafka", tuple(lines), acls=tuple(acls), scram=users)


def scram_mechanism() -> str:
    """That of the settings, where it is one of SCRAM's."""
    mechanism = read_settings(KafkaSecurity).sasl_mechanism
    return mechanism if mechanism.startswith("SCRAM") else "SCRAM-SHA-512"


def _principals(given: tuple[str, ...], parts: dict[str, Rights]) -> dict[str, str]:
    found = {}
    for one in given:
        part, _, principal = one.partition("=")
        if part not in parts or not re.fullmatch(r"\w+:.+", principal):
            raise DeployError(f"--principal {one!r}: write PART=User:NAME, with one of {', '.join(parts)}.")
        found[part] = principal
    return found


def apply_plan(found: Plan) -> str:
    """Run it; what was done, in a line. Raises DeployError."""
    addresses = read_settings(Addresses)
    if found.system == "kafka":
        servers = addresses.kafka_bootstrap_servers
        if not servers:
            raise DeployError("Set TOKENTIDE_KAFKA_BOOTSTRAP_SERVERS, and the administrator's login there.")
        if found.scram:
            apply_scram_users(servers, found.scram, scram_mechanism())
        apply_acls(servers, found.acls)
        return f"{len(found.acls)} ACLs and {len(found.scram)} users are in place at {servers}"
    url = addresses.clickhouse_url.get_secret_value()
    if not url:
        raise DeployError("Set TOKENTIDE_CLICKHOUSE_URL to ClickHouse's address with an administrator's login.")
    apply_sql(url, found.sql)
    return f"{len(found.sql)} statements are in place at ClickHouse"
