"""What the shared stack runs on with `--services containers`: the services of the compose file."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from end_to_end import containers

ROOT = Path(__file__).parents[2]
COMPOSE = yaml.safe_load((ROOT / "deploy/compose/compose.yaml").read_text())["services"]


def test_the_containers_are_those_of_the_compose_file_and_clients_reach_them_from_this_machine() -> None:
    kafka, clickhouse = containers.kafka_service(40_123), containers.clickhouse_service("someone", "pass")
    assert (kafka.image, clickhouse.image) == (COMPOSE["kafka"]["image"], COMPOSE["clickhouse"]["image"])
    assert "HOST://127.0.0.1:40123" in kafka.environment["KAFKA_ADVERTISED_LISTENERS"]
    protocols = dict(one.split(":") for one in kafka.environment["KAFKA_LISTENER_SECURITY_PROTOCOL_MAP"].split(","))
    listeners = {one.partition("://")[0] for one in kafka.environment["KAFKA_LISTENERS"].split(",")}
    assert listeners == set(protocols) and kafka.environment["KAFKA_AUTO_CREATE_TOPICS_ENABLE"] == "false"
    assert not any("${" in value for value in kafka.environment.values())
    assert clickhouse.environment["CLICKHOUSE_PASSWORD"] == "pass"


@pytest.mark.skipif(containers.engine_answers(), reason="a Docker engine answers: the other tests use it")
def test_without_an_engine_the_tests_are_skipped_loudly() -> None:
    argv = [sys.executable, "-m", "pytest", "-rs", "--services", "containers", "tests/end_to_end/test_health.py"]
    ran = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert "NO DOCKER ENGINE ANSWERS" in ran.stdout and "passed" not in ran.stdout, ran.stdout + ran.stderr
