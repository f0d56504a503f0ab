"""Fetch single jars through jgo, in plain Python: no Maven, no Java, and nothing of jgo's that looks for a JDK."""

import os
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

import requests
from jgo.maven import MavenContext, PythonResolver

from tokentide_deploy.errors import KafkaInstallError

MIRROR_VARIABLE = "TOKENTIDE_MAVEN_MIRROR"
KAFKA_DIR_VARIABLE = "TOKENTIDE_KAFKA_DIR"
# Connection and read timeout of one request; a silent registry is reported after this long.
_REQUEST_TIMEOUT_S = 10
_RETRY_DELAYS_S = (0.3, 1.0)

ByteProgress = Callable[[str, int], AbstractContextManager[Callable[[int], None]]]


def what_helps() -> str:
    """The settings that help when the registry cannot be used, for the end of an error message."""
    return (
        f"Settings that help: {MIRROR_VARIABLE}=<URL or folder of a Maven repository> to use a mirror, or "
        f"{KAFKA_DIR_VARIABLE}=<folder> to use an unpacked Apache Kafka 4 (the folder that contains libs/). "
        "A proxy is taken from HTTPS_PROXY. Or run against a broker of your own: tokentide up --kafka host:port."
    )


@dataclass(frozen=True)
class JarSource:
    """Where jars come from: the registry that jgo knows, or the mirror named in the environment."""

    context: MavenContext
    description: str

    @classmethod
    def from_environment(cls, download_dir: Path, progress: ByteProgress | None = None) -> "JarSource":
        """A source that downloads into `download_dir`; `progress(file_name, total_bytes)` is told about every chunk."""
        mirror = os.environ.get(MIRROR_VARIABLE, "").strip()
        local_repos: list[Path] = []
        # None means jgo's own default registry.
        remote_repos: dict[str, str] | None = None
        description = "the public Maven registry (jgo's default)"
        if mirror:
            description = f"{mirror} (from {MIRROR_VARIABLE})"
            url = urlsplit(mirror)
            if url.scheme in ("http", "https"):
                remote_repos = {"mirror": mirror.rstrip("/")}
            else:
                local_repos = [Path(unquote(url.path) if url.scheme == "file" else mirror).expanduser()]
                remote_repos = {}
                if not local_repos[0].is_dir():
                    raise KafkaInstallError(
                        f"{MIRROR_VARIABLE}={mirror} is neither an http(s) URL nor a folder that exists here. "
                        + what_helps()
                    )
        return cls(
            MavenContext(
                resolver=PythonResolver(progress_callback=progress),
                repo_cache=download_dir,
                local_repos=local_repos,
                remote_repos=remote_repos,
                timeout=_REQUEST_TIMEOUT_S,
            ),
            description,
        )

    def fetch(self, group: str, artifact: str, version: str) -> Path:
        """Download one jar and return its path. Raises KafkaInstallError with what was tried."""
        wanted = self.context.project(group, artifact).at_version(version).artifact()
        for delay_s in (*_RETRY_DELAYS_S, None):
            try:
                return Path(wanted.resolve())
            except (requests.ConnectionError, requests.exceptions.ChunkedEncodingError) as error:
                self._forget(wanted.cached_path)
                # A host that does not answer at all will not answer a second later either.
                if delay_s is None or isinstance(error, requests.exceptions.ConnectTimeout):
                    raise self._unreachable(f"{group}:{artifact}:{version}", error) from error
                time.sleep(delay_s)
            except (requests.RequestException, OSError) as error:
                self._forget(wanted.cached_path)
                raise self._unreachable(f"{group}:{artifact}:{version}", error) from error
            except RuntimeError as error:
                raise KafkaInstallError(
                    f"Apache Kafka could not be fetched: {group}:{artifact}:{version} does not exist in "
                    f"{self.description}. {what_helps()}"
                ) from error
        raise AssertionError("the last attempt returns or raises")

    def _unreachable(self, coordinate: str, error: Exception) -> KafkaInstallError:
        return KafkaInstallError(
            f"Apache Kafka could not be fetched: tried {coordinate} from {self.description}, "
            f"got {type(error).__name__}: {error}. {what_helps()}"
        )

    @staticmethod
    def _forget(partial: Path | None) -> None:
        # jgo writes straight to the final name; what a broken connection left there must not be taken for the jar.
        if partial is not None:
            partial.unlink(missing_ok=True)
