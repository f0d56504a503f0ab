"""The compose file, checked as far as it can be without a Docker engine: parsed by Compose itself, and each part held
against the code that it starts."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from deploy.installation.reading import ROOT, known_variables, parse_command

COMPOSE_FILE = ROOT / "deploy" / "compose" / "compose.yaml"
BINARY = Path(sys.executable).parent / "docker-compose"
ONE_SHOT = {"secrets", "migrate"}


def parsed(*arguments: str, **environment: str) -> dict[str, Any]:
    run = subprocess.run(
        [BINARY, "-f", COMPOSE_FILE, "config", "--format", "json", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", **environment},
    )
    assert run.returncode == 0, run.stderr
    found: dict[str, Any] = json.loads(run.stdout)
    return found


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    found: dict[str, Any] = parsed()["services"]
    return found


def ours(services: dict[str, Any]) -> dict[str, Any]:
    return {name: entry for name, entry in services.items() if entry["image"].startswith("tokentide")}


def test_every_part_of_the_platform_is_a_service(services: dict[str, Any]) -> None:
    from tokentide_deploy.parts import PARTS

    assert set(ours(services)) == set(PARTS) | ONE_SHOT
    for name in PARTS:
        assert services[name]["command"][:2] == ["run", name]


def test_every_command_is_one_that_the_command_line_accepts(services: dict[str, Any]) -> None:
    for entry in ours(services).values():
        parse_command(entry["command"])


def test_every_variable_is_one_that_a_setting_reads(services: dict[str, Any]) -> None:
    for name, entry in ours(services).items():
        unknown = set(entry.get("environment", {})) - known_variables()
        assert not unknown, f"{name} sets {sorted(unknown)}, which nothing reads"


def test_images_are_pinned(services: dict[str, Any]) -> None:
    for name, entry in services.items():
        assert re.search(r":\d+\.\d+", entry["image"]), f"{name}: {entry['image']} names no version"


def test_what_runs_for_ever_has_a_health_check_and_comes_back(services: dict[str, Any]) -> None:
    for name, entry in services.items():
        if name in ONE_SHOT:
            assert entry["restart"] == "on-failure"
            continue
        assert entry["restart"] == "unless-stopped", name
        assert entry["healthcheck"].get("test"), f"{name} has no health check"


def test_nothing_is_published_beyond_this_machine(services: dict[str, Any]) -> None:
    published = {name: entry["ports"] for name, entry in services.items() if entry.get("ports")}
    assert set(published) == {"kafka", "collector", "board", "grafana"}
    for name, ports in published.items():
        assert all(port.get("host_ip") == "127.0.0.1" for port in ports), name


def test_our_processes_run_without_rights_on_a_read_only_file_system(services: dict[str, Any]) -> None:
    for name, entry in ours(services).items():
        assert entry["read_only"] is True, name
        assert entry["cap_drop"] == ["ALL"], name
        assert entry["user"] == "10001:10001", name
        assert entry["security_opt"] == ["no-new-privileges:true"], name


def test_no_password_stands_in_the_file_and_each_part_mounts_only_its_own(services: dict[str, Any]) -> None:
    text = COMPOSE_FILE.read_text()
    assert not re.search(r"(?i)password\w*:\s*[\"']?[A-Za-z0-9]{4,}[\"']?\s*$", text, re.MULTILINE)
    for name, entry in services.items():
        if name == "secrets":
            continue
        mounts = {v["source"] for v in entry.get("volumes", []) if str(v["source"]).startswith("secrets-")}
        assert len(mounts) <= 1, f"{name} mounts {mounts}"
        assert "secrets-passwords" not in mounts
    for name in ("alerts", "board"):
        assert {v["source"] for v in services[name]["volumes"]} == {"secrets-reader"}


def test_start_order_waits_for_what_each_part_needs(services: dict[str, Any]) -> None:
    for name, entry in ours(services).items():
        if name not in ONE_SHOT:
            assert entry["depends_on"]["migrate"]["condition"] == "service_completed_successfully", name
    assert {n: d["condition"] for n, d in services["migrate"]["depends_on"].items()} == {
        "kafka": "service_healthy",
        "clickhouse": "service_healthy",
        "secrets": "service_completed_successfully",
    }


def test_mounted_files_exist(services: dict[str, Any]) -> None:
    for name, entry in services.items():
        for volume in entry.get("volumes", []):
            if volume["type"] == "bind":
                assert Path(volume["source"]).exists(), f"{name} mounts {volume['source']}, which does not exist"


def test_what_the_operator_may_set_is_taken_up() -> None:
    found = parsed(TOKENTIDE_PARTITIONS="12", TOKENTIDE_BOARD_PORT="8080", TOKENTIDE_IMAGE="tokentide:9.9.9")[
        "services"
    ]
    assert found["migrate"]["command"] == ["migrate", "--partitions", "12"]
    assert found["board"]["ports"][0]["published"] == "8080"
    assert found["worker"]["image"] == "tokentide:9.9.9"
