"""Settings that every process shares, read once from TOKENTIDE_* environment variables; all errors come together."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BeforeValidator, Field, ValidationError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

SettingsT = TypeVar("SettingsT", bound=BaseSettings)


def _paths(value: object) -> object:
    return [part for part in value.split(os.pathsep) if part] if isinstance(value, str) else value


class CatalogueSettings(BaseSettings):
    """Where the user's own models and prices are."""

    model_config = SettingsConfigDict(env_prefix="TOKENTIDE_", extra="ignore", frozen=True)

    catalogue_paths: Annotated[tuple[Path, ...], NoDecode, BeforeValidator(_paths)] = Field(
        (), description="Files or folders with your own models and prices, later ones win, separated like PATH."
    )


class CubeSettings(BaseSettings):
    """Where the user's own cubes are."""

    model_config = SettingsConfigDict(env_prefix="TOKENTIDE_", extra="ignore", frozen=True)

    cubes_file: Path | None = Field(None, description="TOML file with cubes of your own, the same for every process.")


class PlatformSettings(CatalogueSettings, CubeSettings):
    """Addresses and the files through which a supervisor watches the process."""

    kafka_bootstrap_servers: str = Field(description="host:port[,host:port] of the Kafka brokers.")
    clickhouse_url: str = Field("", description="http[s]://user:password@host:port/database of ClickHouse.")
    clickhouse_cluster: str = Field("", description="Name of the ClickHouse cluster; empty for one node.")
    data_dir: Path = Field(Path(), description="Where the process may keep files.")
    ready_file: Path | None = Field(None, description="Written once the process does its work.")
    status_file: Path | None = Field(None, description="Rewritten about once a second with counters as JSON.")


def load_settings(kind: type[SettingsT]) -> SettingsT:
    """Settings from the environment. On errors prints all of them, by variable name, and exits with status 2."""
    try:
        return kind()
    except ValidationError as error:
        lines = [
            f"  TOKENTIDE_{'_'.join(map(str, item['loc'])).upper()}: {item['msg']}"
            for item in error.errors(include_input=False)
        ]
        sys.stderr.write("tokentide: these settings are missing or wrong:\n" + "\n".join(lines) + "\n")
        raise SystemExit(2) from None


def write_json_atomically(path: Path, data: Mapping[str, Any]) -> None:
    """Replace `path` by a JSON file in one step, so that a reader never sees half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    temporary.write_text(json.dumps(data) + "\n")
    temporary.replace(path)
