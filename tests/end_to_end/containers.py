"""Kafka and ClickHouse in containers, as the compose file has them, for the tests that else use the embedded ones."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from end_to_end.harness import wait_until
from tokentide_deploy.commands.up_components import clickhouse_answers
from tokentide_deploy.embedded_kafka import broker_is_ready
from tokentide_deploy.ports import free_ports
from tokentide_deploy.stack_state import ClickHouseAccount

COMPOSE: Final = Path(__file__).parents[2] / "deploy/compose"
NO_ENGINE: Final = "#### NO DOCKER ENGINE ANSWERS: nothing is tested against containers in this run ####"
_KAFKA_PORT: Final = 29092
_CLICKHOUSE_PORT: Final = 8123


@dataclass(frozen=True)
class Service:
    """One container: what `docker run` gets."""

    image: str
    environment: dict[str, str]


def engine_answers() -> bool:
    """Whether there is a Docker engine."""
    # Imported here: it looks for an engine's address at once.
    from docker import from_env
    from docker.errors import DockerException

    try:
        client = from_env(timeout=5)
    except DockerException:
        return False
    try:
        return bool(client.ping())
    except (DockerException, OSError):
        return False
    finally:
        client.close()


def kafka_service(host_port: int) -> Service:
    """The compose file's broker with one listener for this machine."""
    service = _service("kafka")
    environment = {
        **service.environment,
        "KAFKA_LISTENERS": f"HOST://:{_KAFKA_PORT},INSIDE://:9092,CONTROLLER://:9093",
        "KAFKA_ADVERTISED_LISTENERS": f"HOST://127.0.0.1:{host_port},INSIDE://127.0.0.1:9092",
        "KAFKA_CONTROLLER_QUORUM_VOTERS": "1@127.0.0.1:9093",
        "KAFKA_HEAP_OPTS": "-Xms512m -Xmx512m",
    }
    return Service(service.image, environment)


def clickhouse_service(user: str, password: str) -> Service:
    """The compose file's server with one account that may do everything."""
    image = _service("clickhouse").image
    return Service(
        image,
        {
            "CLICKHOUSE_DB": "tokentide",
            "CLICKHOUSE_USER": user,
            "CLICKHOUSE_PASSWORD": password,
            "CLICKHOUSE_DEFAULT_ACCESS_MANAGEMENT": "1",
        },
    )


def _service(name: str) -> Service:
    found: dict[str, Any] = yaml.safe_load((COMPOSE / "compose.yaml").read_text())["services"][name]
    environment = {key: str(value) for key, value in found["environment"].items()}
    return Service(found["image"], {key: value for key, value in environment.items() if "${" not in value})


@contextmanager
def services() -> Iterator[tuple[str, ...]]:
    """The arguments of `tokentide up` for a Kafka and a ClickHouse in containers, which end with the block."""
    from testcontainers.core.container import DockerContainer

    (port,) = free_ports(1)
    account = ClickHouseAccount(host="127.0.0.1", port=0, user="tokentide", password=secrets.token_hex(16))
    broker, server = kafka_service(port), clickhouse_service(account.user, account.password)
    kafka = DockerContainer(broker.image).with_bind_ports(_KAFKA_PORT, port)
    clickhouse = (
        DockerContainer(server.image)
        .with_exposed_ports(_CLICKHOUSE_PORT)
        .with_volume_mapping(str(COMPOSE / "clickhouse.xml"), "/etc/clickhouse-server/config.d/tokentide.xml", "ro")
    )
    for container, service in ((kafka, broker), (clickhouse, server)):
        for key, value in service.environment.items():
            container.with_env(key, value)
    with kafka, clickhouse:
        mapped = int(clickhouse.get_exposed_port(_CLICKHOUSE_PORT))
        account = account.model_copy(update={"port": mapped})
        servers = f"127.0.0.1:{port}"
        wait_until(lambda: broker_is_ready(servers), "Kafka in its container", 180, 1.0)
        wait_until(lambda: clickhouse_answers(account), "ClickHouse in its container", 180, 1.0)
        yield ("--kafka", servers, "--clickhouse", account.url)
