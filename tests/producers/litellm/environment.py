"""LiteLLM's own virtual environment: made once for a lock, kept in the user's cache, never in ours."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from platformdirs import user_cache_path

from tokentide_schemas.block import assemble
from tokentide_schemas.envelope import Record, decode

LOCK = Path(__file__).with_name("requirements.lock")
REPOSITORY = Path(__file__).parents[3]
SOURCES = os.pathsep.join(str(REPOSITORY / folder) for folder in ("schemas", "producers"))
UV = Path(sys.executable).with_name("uv")


def litellm_environment() -> Path:
    """The folder with its executables. The first call for a lock installs it: a minute."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    digest = hashlib.sha256(LOCK.read_bytes()).hexdigest()[:16]
    home = user_cache_path("tokentide") / "litellm-tests"
    home.mkdir(parents=True, exist_ok=True)
    venv = home / f"{digest}-{version}"
    with (home / "lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        if not (venv / "complete").exists():
            shutil.rmtree(venv, ignore_errors=True)
            python = str(venv / "bin" / "python")
            subprocess.run([UV, "venv", "--quiet", "--python", sys.executable, venv], check=True)
            install = [UV, "pip", "install", "--quiet", "--require-hashes", "--python", python, "-r", LOCK]
            subprocess.run(install, check=True)
            (venv / "complete").touch()
    return venv / "bin"


def variables(kafka: str, **more: str) -> dict[str, str]:
    """The environment of a LiteLLM process: ours, without what belongs to our own virtual environment."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(("TOKENTIDE_", "VIRTUAL_ENV"))}
    return {
        **own,
        "PYTHONPATH": SOURCES,
        "TOKENTIDE_KAFKA_BOOTSTRAP_SERVERS": kafka,
        "TOKENTIDE_EMITTER_HASH_KEY": "a-secret-of-the-tests",
        # The prices that the package ships; it would ask the internet otherwise.
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        **more,
    }


def rows_by_app(records: list[Record]) -> dict[str, list[dict[str, Any]]]:
    """The rows that a reader accepts, by `app`, each app's in the order of their attempts."""
    rows: dict[str, list[dict[str, Any]]] = {}
    for row in assemble([decode(record) for record in records]).table.to_pylist():
        rows.setdefault(row["app"], []).append(row)
    for attempts in rows.values():
        attempts.sort(key=lambda row: (row["occurred_at"], row["attempt"]))
    return rows
