"""What a backup says about itself, and whether this installation can take it."""

from __future__ import annotations

import importlib.metadata
import re
from datetime import datetime
from pathlib import PurePosixPath
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from tokentide_deploy.embedded_kafka.pins import load_pins
from tokentide_deploy.errors import DeployError

FORMAT: Final = "tokentide-backup"
FORMAT_VERSION: Final = 1
MANIFEST_NAME: Final = "manifest.json"
DIGEST_NAME: Final = "manifest.sha256"
DATA_PREFIX: Final = "data/"


class BackupError(DeployError):
    """A backup that cannot be made, read or restored."""


class Versions(BaseModel):
    """The software whose formats are in a backup."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tokentide: str
    kafka: str
    clickhouse_engine: str


class Entry(BaseModel):
    """A file, folder or symbolic link. mode: permission bits. bytes, sha256: of a file. target: of a link."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str = Field(min_length=1)
    kind: Literal["file", "folder", "link"]
    mode: int = Field(ge=0, le=0o7777)
    bytes: int = Field(default=0, ge=0)
    sha256: str = Field(default="", pattern="^([0-9a-f]{64})?$")
    target: str = ""

    @field_validator("path")
    @classmethod
    def _stays_inside(cls, path: str) -> str:
        if PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts:
            raise ValueError("leads out of the data directory")
        return path

    @model_validator(mode="after")
    def _target_stays_inside(self) -> Entry:
        if self.kind == "link":
            if PurePosixPath(self.target).is_absolute() or not self.target:
                raise ValueError("is a link that leads out of the data directory")
            depth = len(PurePosixPath(self.path).parts) - 1
            for part in PurePosixPath(self.target).parts:
                depth += -1 if part == ".." else 1
                if depth < 0:
                    raise ValueError("is a link that leads out of the data directory")
        return self


class Manifest(BaseModel):
    """The content of `manifest.json`, the last but one member of the archive."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal["tokentide-backup"] = FORMAT
    format_version: int = FORMAT_VERSION
    created_at: datetime
    data_dir: str
    versions: Versions
    holds: tuple[Literal["kafka", "store"], ...]
    entries: tuple[Entry, ...]

    @property
    def total_bytes(self) -> int:
        """Bytes of all files."""
        return sum(one.bytes for one in self.entries)

    @property
    def files(self) -> int:
        """How many files."""
        return sum(one.kind == "file" for one in self.entries)


class _Head(BaseModel):
    """What every version of the format says first."""

    model_config = ConfigDict(extra="ignore")

    format: str
    format_version: int


def versions_here() -> Versions:
    """Those of this installation. Raises BackupError where it has no embedded store."""
    try:
        engine = importlib.metadata.version("chdb-core")
    except importlib.metadata.PackageNotFoundError:
        raise BackupError(
            "This installation has no embedded store, so it has no data directory to back up or restore. "
            "For a Kafka and ClickHouse of your own see docs/operations/backup.md."
        ) from None
    return Versions(
        tokentide=importlib.metadata.version("tokentide"),
        kafka=load_pins().kafka_version,
        clickhouse_engine=engine,
    )


def _release(version: str, source: str) -> tuple[int, ...]:
    """The numbers of a version; what follows them (rc1, .dev3) does not change formats."""
    numbers = re.match(r"\d+(\.\d+)*", version)
    if numbers is None:
        raise BackupError(f"{source} is damaged: {version!r} is no version.")
    return tuple(int(part) for part in numbers.group().split("."))


def parse_manifest(text: bytes, source: str) -> Manifest:
    """Raises BackupError for a manifest that is another program's, newer than this one, or damaged."""
    try:
        head = _Head.model_validate_json(text)
    except ValidationError:
        raise BackupError(f"{source} is damaged, or no backup of tokentide: its manifest cannot be read.") from None
    if head.format != FORMAT:
        raise BackupError(f"{source} is no backup of tokentide: its manifest says {head.format!r}.")
    if head.format_version > FORMAT_VERSION:
        raise BackupError(
            f"{source} has format {head.format_version}; this tokentide reads up to {FORMAT_VERSION}. "
            "Restore it with the version that wrote it, or a newer one."
        )
    try:
        return Manifest.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise BackupError(f"{source} is damaged: {where} in its manifest: {first['msg']}.") from None


def check_versions(manifest: Manifest, here: Versions, source: str) -> None:
    """Older software does not read what newer wrote. Raises BackupError that names each newer part."""
    newer = []
    for name, title in (("tokentide", "tokentide"), ("kafka", "Kafka"), ("clickhouse_engine", "the ClickHouse engine")):
        theirs, ours = getattr(manifest.versions, name), getattr(here, name)
        if _release(theirs, source) > _release(ours, "this installation"):
            newer.append(f"{title} {theirs} (here: {ours})")
    if newer:
        raise BackupError(
            f"{source} was written by a newer installation: {', '.join(newer)}. "
            f"Restore it with tokentide {manifest.versions.tokentide} or newer."
        )
