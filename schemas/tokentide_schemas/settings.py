"""Settings that several processes share. Each process has one settings object; these are the parts it is made of."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, SecretStr
from pydantic_settings import NoDecode

from tokentide_schemas.clickhouse_settings import ClickHouseSecurity
from tokentide_schemas.kafka_settings import KafkaSecurity
from tokentide_schemas.settings_base import Settings, load_settings, read_settings
from tokentide_schemas.settings_error import SettingsError

__all__ = [
    "CatalogueSettings",
    "ClickHouseSettings",
    "CubeSettings",
    "HealthSettings",
    "KafkaSettings",
    "PlatformSettings",
    "ProcessFiles",
    "Settings",
    "SettingsError",
    "load_settings",
    "read_settings",
    "write_json_atomically",
]


def _paths(value: object) -> object:
    return [part for part in value.split(os.pathsep) if part] if isinstance(value, str) else value


class CatalogueSettings(Settings):
    """Where the user's own models and prices are."""

    catalogue_paths: Annotated[tuple[Path, ...], NoDecode, BeforeValidator(_paths)] = Field(
        (), description="Files or folders with your own models and prices, later ones win, separated like PATH."
    )


class CubeSettings(Settings):
    """Where the user's own cubes are."""

    cubes_file: Path | None = Field(None, description="TOML file with cubes of your own, the same for every process.")


class ProcessFiles(Settings):
    """The files through which a supervisor watches a process."""

    ready_file: Path | None = Field(None, description="Written once the process does its work.")
    status_file: Path | None = Field(None, description="Rewritten about once a second with counters as JSON.")


class HealthSettings(Settings):
    """Where a process answers /healthz, /readyz and /metrics."""

    health_host: str = Field(
        "127.0.0.1", description="Address for /healthz, /readyz and /metrics; 0.0.0.0 lets other machines ask."
    )
    health_port: int = Field(0, ge=0, le=65535, description="Port for them; 0: they are not served.")


class KafkaSettings(Settings):
    """Which Kafka, and how."""

    kafka_bootstrap_servers: str = Field(description="host:port[,host:port] of the Kafka brokers.")
    kafka: KafkaSecurity = Field(default_factory=KafkaSecurity)


class ClickHouseSettings(Settings):
    """Which ClickHouse, and how."""

    clickhouse_url: SecretStr = Field(
        SecretStr(""),
        description="http[s]://user:password@host:port/database of ClickHouse; user and password may be left to "
        "TOKENTIDE_CLICKHOUSE_USER and _PASSWORD.",
    )
    clickhouse_cluster: str = Field("", description="Name of the ClickHouse cluster; empty for one node.")
    clickhouse: ClickHouseSecurity = Field(default_factory=ClickHouseSecurity)


class PlatformSettings(
    CatalogueSettings, CubeSettings, ProcessFiles, HealthSettings, KafkaSettings, ClickHouseSettings
):
    """What the stream and the sinks share."""

    data_dir: Path = Field(Path(), description="Where the process may keep files.")


def write_json_atomically(path: Path, data: Mapping[str, Any]) -> None:
    """Replace `path` by a JSON file in one step, so that a reader never sees half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    temporary.write_text(json.dumps(data) + "\n")
    temporary.replace(path)
