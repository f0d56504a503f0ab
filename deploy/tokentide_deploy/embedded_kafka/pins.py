"""The jars that make up the embedded broker, pinned by coordinate, size and SHA-256 in `pinned_jars.json`."""

import hashlib
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

PINS_FILE = Path(__file__).with_name("pinned_jars.json")
_READ_BYTES = 1 << 20


class JarPin(BaseModel):
    """One jar: Maven coordinate, size in bytes and SHA-256 in hex."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    group: str
    artifact: str
    version: str
    size_bytes: int = Field(gt=0)
    sha256: str = Field(pattern="^[0-9a-f]{64}$")

    @property
    def file_name(self) -> str:
        """The jar's name in a Maven repository and in our cache."""
        return f"{self.artifact}-{self.version}.jar"

    @property
    def coordinate(self) -> str:
        """group:artifact:version."""
        return f"{self.group}:{self.artifact}:{self.version}"


class PinnedJars(BaseModel):
    """The whole class path, in order."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kafka_version: str
    jars: tuple[JarPin, ...] = Field(min_length=1)

    @property
    def total_bytes(self) -> int:
        """Bytes of all jars together."""
        return sum(jar.size_bytes for jar in self.jars)

    @property
    def digest(self) -> str:
        """Twelve hex digits that change when any pinned file changes; names the cache folder."""
        lines = "\n".join(f"{jar.file_name} {jar.sha256}" for jar in self.jars)
        return hashlib.sha256(lines.encode()).hexdigest()[:12]


def load_pins(path: Path = PINS_FILE) -> PinnedJars:
    """Read the committed pins."""
    return PinnedJars.model_validate_json(path.read_bytes())


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's bytes, in hex."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_READ_BYTES):
            digest.update(chunk)
    return digest.hexdigest()
