"""The real clickhouse-go, which Grafana's ClickHouse plugin is built on."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

SOURCE = Path(__file__).parent / "go_client"


@pytest.fixture(scope="session")
def go_client(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The client, built once; skipped loudly where the toolchain or its modules are out of reach."""
    if shutil.which("go") is None:
        pytest.skip("NO GO TOOLCHAIN: clickhouse-go was NOT tested against the store")
    binary = tmp_path_factory.mktemp("go") / "client"
    command = ["go", "build", "-C", str(SOURCE), "-o", str(binary), "."]
    fetched = subprocess.run(["go", "mod", "-C", str(SOURCE), "download"], capture_output=True, text=True)
    if fetched.returncode != 0:
        pytest.skip(f"GO MODULES OUT OF REACH: clickhouse-go was NOT tested against the store: {fetched.stderr[-300:]}")
    subprocess.run(command, check=True, timeout=300)
    return binary


@pytest.mark.slow
@pytest.mark.parametrize("user", ["tokentide", "reader"])
def test_clickhouse_go_reads_rows_and_errors(store: Any, go_client: Path, user: str) -> None:
    result = subprocess.run(
        [str(go_client), f"127.0.0.1:{store.port}", user], capture_output=True, text=True, timeout=120
    )
    assert result.returncode == 0, result.stderr
    readings = [json.loads(line) for line in result.stdout.splitlines()]
    assert [reading.pop("compression") for reading in readings] == ["none", "lz4"]
    expected = {"rows": 200_000, "last": 199_999, "at": "2026-01-02T03:04:05.678Z", "text": "ü", "error_code": 47}
    assert readings == [expected, expected]
