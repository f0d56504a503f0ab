"""Secrets of a new installation: made once with the system's random source, never replaced, never printed.

Each reader gets a folder with what it may know and nothing else: `writer` (sinks, migrations), `reader` (alert engine,
board), `collector`, `clickhouse` (its users, passwords as SHA-256), `grafana`.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from xml.sax.saxutils import escape

from tokentide_deploy.errors import DeployError
from tokentide_deploy.stack_state import ClickHouseAccount
from tokentide_producers.collector.tokens import create
from tokentide_schemas.grants import OWNER_RIGHTS, Limits

TOKEN_FILE: Final = "tokens.json"
FIRST_TOKEN_FILE: Final = "FIRST_GATEWAY_TOKEN"
_MASTER: Final = "passwords"
_BYTES: Final = 32
# ClickHouse and Grafana run under users of their own; nobody else mounts these two.
_READ_BY_OTHERS: Final = ("clickhouse", "grafana")


@dataclass(frozen=True, slots=True)
class Target:
    """Where ClickHouse will be found. host, port: of its HTTP interface."""

    host: str
    port: int
    database: str = "tokentide"


def make(directory: Path, target: Target, gateway: str, now: dt.datetime) -> list[Path]:
    """Write what is missing below `directory`; the new files. What exists stays as it is, so this is safe to repeat.

    gateway: whose first collector token is made. Raises DeployError when the folder cannot be written.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        writer, reader = (_password(directory, name) for name in ("writer", "reader"))
        accounts = {
            name: ClickHouseAccount(
                host=target.host, port=target.port, user=user, password=password, database=target.database
            ).url
            for name, user, password in (("writer", "tokentide", writer), ("reader", "reader", reader))
        }
        found = _write_new(
            directory,
            {
                "writer/TOKENTIDE_CLICKHOUSE_URL": accounts["writer"],
                "reader/TOKENTIDE_CLICKHOUSE_URL": accounts["reader"],
                "reader/TOKENTIDE_BOARD_CLICKHOUSE_URL": accounts["reader"],
                "reader/TOKENTIDE_BOARD_TOKEN": secrets.token_urlsafe(_BYTES),
                "collector/TOKENTIDE_COLLECTOR_HASH_KEY": secrets.token_hex(_BYTES),
                "clickhouse/tokentide.xml": clickhouse_users(writer, reader, target.database),
                "grafana/admin-password": secrets.token_urlsafe(_BYTES),
                "grafana/clickhouse-password": reader,
            },
        )
        if not (directory / "collector" / TOKEN_FILE).exists():
            token, _ = create(directory / "collector" / TOKEN_FILE, gateway, now)
            found += _write_new(directory, {f"collector/{FIRST_TOKEN_FILE}": token})
    except OSError as error:
        raise DeployError(
            f"The secrets cannot be written below {directory} ({error.strerror}): mount a folder that this user may "
            "write to."
        ) from error
    return found


def _password(directory: Path, name: str) -> str:
    path = directory / _MASTER / name
    _write_new(directory, {f"{_MASTER}/{name}": secrets.token_urlsafe(_BYTES)})
    return path.read_text(encoding="utf-8")


def _write_new(directory: Path, files: Mapping[str, str]) -> list[Path]:
    """Files that do not exist yet, each whole or not at all."""
    written = []
    for name, content in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if write_once(path, content, 0o644 if path.parent.name in _READ_BY_OTHERS else 0o600):
            written.append(path)
    return written


def write_once(path: Path, content: str, mode: int = 0o600) -> bool:
    """The file, whole or not at all; False where there is one, which stays. Raises OSError."""
    if path.exists():
        return False
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        os.fchmod(descriptor, mode)  # whatever the umask
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    return True


def clickhouse_users(writer: str, reader: str, database: str, limits: Limits | None = None) -> str:
    """A `users.d` file of ClickHouse: the platform's two accounts, and no `default` user.

    Passwords stand in it as SHA-256. The writer owns the platform's database and nothing else; the reader may select
    there, within the limits of `tokentide_schemas.grants`.
    """
    most = limits or Limits()
    return f"""<clickhouse>
  <profiles>
    <tokentide_reader>
      <readonly>2</readonly>
      <allow_ddl>0</allow_ddl>
      <max_execution_time>{most.max_execution_time_s}</max_execution_time>
      <max_memory_usage>{most.max_memory_bytes}</max_memory_usage>
      <max_result_rows>{most.max_result_rows}</max_result_rows>
      <max_threads>{most.max_threads}</max_threads>
      <max_concurrent_queries_for_user>{most.max_concurrent_queries}</max_concurrent_queries_for_user>
      <constraints>
        <max_execution_time><const/></max_execution_time>
        <max_memory_usage><const/></max_memory_usage>
        <max_result_rows><const/></max_result_rows>
        <max_threads><const/></max_threads>
        <allow_ddl><const/></allow_ddl>
        <readonly><const/></readonly>
      </constraints>
    </tokentide_reader>
  </profiles>
  <users>
    <default remove="remove"/>
    <tokentide>
      <password_sha256_hex>{_sha256(writer)}</password_sha256_hex>
      <networks><ip>::/0</ip></networks>
      <profile>default</profile>
      <quota>default</quota>
      <grants>
        <query>GRANT {OWNER_RIGHTS} ON {escape(database)}.*</query>
        <query>GRANT SELECT ON system.*</query>
        <query>GRANT REMOTE ON *.*</query>
        <query>GRANT SYSTEM RELOAD DICTIONARY, KILL QUERY ON *.*</query>
      </grants>
    </tokentide>
    <reader>
      <password_sha256_hex>{_sha256(reader)}</password_sha256_hex>
      <networks><ip>::/0</ip></networks>
      <profile>tokentide_reader</profile>
      <quota>default</quota>
      <grants>
        <query>GRANT SELECT, SHOW, dictGet ON {escape(database)}.*</query>
      </grants>
    </reader>
  </users>
</clickhouse>
"""


def _sha256(password: str) -> str:
    # Of 256 random bits: neither turned back nor guessed, so that a plain hash is enough.
    return hashlib.sha256(password.encode()).hexdigest()
