"""`stack.json`: how every other command finds a running stack."""

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal
from urllib.parse import quote, unquote, urlsplit

import psutil
from pydantic import BaseModel, ConfigDict, ValidationError

from tokentide_deploy.data_dir import DataDir, write_private
from tokentide_deploy.errors import DeployError, NoStackRunningError
from tokentide_schemas.clickhouse_settings import login_of

DATABASE = "tokentide"
# Process start times are floats of limited precision; two processes with one pid differ by far more.
_SAME_PROCESS_S = 2.0


class ClickHouseAccount(BaseModel):
    """One user of a ClickHouse HTTP interface."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    scheme: Literal["http", "https"] = "http"
    host: str
    port: int
    user: str
    password: str
    database: str = DATABASE
    settings: str = ""

    @property
    def url(self) -> str:
        """With the user and password in it: scheme://user:password@host:port/database[?setting=value&...]."""
        login = f"{quote(self.user, safe='')}:{quote(self.password, safe='')}@" if self.user else ""
        host = f"[{self.host}]" if ":" in self.host else self.host
        settings = f"?{self.settings}" if self.settings else ""
        return f"{self.scheme}://{login}{host}:{self.port}/{quote(self.database, safe='')}{settings}"

    @classmethod
    def from_url(cls, url: str) -> "ClickHouseAccount":
        """Parse such a URL. Raises DeployError."""
        parts = urlsplit(url)
        try:
            port = parts.port
        except ValueError:
            port = -1
        if parts.scheme not in ("http", "https") or not parts.hostname or port == -1:
            raise DeployError(
                "The ClickHouse URL is not of the form http://user:password@host:port/database (https works too); "
                "check --clickhouse."
            )
        user, password = login_of(parts.username, parts.password)
        return cls(
            scheme="https" if parts.scheme == "https" else "http",
            host=parts.hostname,
            port=port or (8443 if parts.scheme == "https" else 8123),
            user=user,
            password=password,
            database=unquote(parts.path.strip("/")) or DATABASE,
            settings=parts.query,
        )


class ComponentInfo(BaseModel):
    """A child of the running stack."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    pid: int | None
    log_file: Path
    health_url: str | None = None


class StackAddresses(BaseModel):
    """Everything that another process needs to use a stack. Holds passwords."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    data_dir: Path
    kafka_bootstrap_servers: str
    clickhouse_writer: ClickHouseAccount
    clickhouse_reader: ClickHouseAccount
    board_url: str | None = None
    collector_url: str | None = None
    pid: int
    pid_started_s: float
    started_at: datetime
    components: dict[str, ComponentInfo] = {}

    def environment(self) -> dict[str, str]:
        """The environment variables by which components and tools are given the addresses."""
        return {
            "TOKENTIDE_KAFKA_BOOTSTRAP_SERVERS": self.kafka_bootstrap_servers,
            "TOKENTIDE_CLICKHOUSE_URL": self.clickhouse_writer.url,
            "TOKENTIDE_DATA_DIR": str(self.data_dir),
        }


class StackState(BaseModel):
    """The content of stack.json."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    state: Literal["running", "stopped"]
    changed_at: datetime
    addresses: StackAddresses | None


def own_process_started_s() -> float:
    """This process's start time, which together with its pid names it for ever."""
    return psutil.Process(os.getpid()).create_time()


def save_running(addresses: StackAddresses) -> None:
    """Publish a running stack."""
    _save(DataDir(addresses.data_dir), StackState(state="running", changed_at=datetime.now(UTC), addresses=addresses))


def save_stopped(data_dir: DataDir) -> None:
    """Mark the stack stopped; no address of a stopped stack stays behind."""
    _save(data_dir, StackState(state="stopped", changed_at=datetime.now(UTC), addresses=None))


def load_stack(data_dir: Path) -> StackAddresses:
    """The addresses of the stack that runs on `data_dir`. Raises NoStackRunningError."""
    folder = DataDir(data_dir)
    advice = "Start one with: tokentide up. If it runs on another folder, name that with --data-dir."
    try:
        state = StackState.model_validate_json(folder.stack_file.read_bytes())
    except FileNotFoundError:
        raise NoStackRunningError(f"No stack runs on {folder.root}: there is no stack.json. {advice}") from None
    except ValidationError as error:
        raise NoStackRunningError(
            f"{folder.stack_file} was written by another version of tokentide or is damaged "
            f"({error.error_count()} fields). Restart the stack to write it anew."
        ) from error
    if state.addresses is None:
        raise NoStackRunningError(
            f"No stack runs on {folder.root}: it was stopped at {state.changed_at:%Y-%m-%d %H:%M:%S} UTC. {advice}"
        )
    if not _is_alive(state.addresses):
        raise NoStackRunningError(
            f"No stack runs on {folder.root}: the one that was started at "
            f"{state.addresses.started_at:%Y-%m-%d %H:%M:%S} UTC (pid {state.addresses.pid}) has died. {advice}"
        )
    return state.addresses


def _is_alive(addresses: StackAddresses) -> bool:
    try:
        return abs(psutil.Process(addresses.pid).create_time() - addresses.pid_started_s) < _SAME_PROCESS_S
    except psutil.NoSuchProcess:
        return False


def _save(data_dir: DataDir, state: StackState) -> None:
    write_private(data_dir.stack_file, state.model_dump_json(indent=1) + "\n")
