"""The real JDBC driver, which Java tools, DBeaver and Metabase are built on."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

PROJECT = Path(__file__).parent / "jdbc_client"
SOURCE = PROJECT / "src" / "main" / "java" / "client" / "Client.java"
MAIN_JAR = "clickhouse-jdbc"


@pytest.fixture(scope="session")
def jdbc_client(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The command of the client, compiled once; skipped loudly where toolchain or driver are out of reach."""
    if shutil.which("mvn") is None or shutil.which("javac") is None:
        pytest.skip("NO JAVA TOOLCHAIN (mvn, javac): the JDBC driver was NOT tested against the store")
    target = tmp_path_factory.mktemp("jdbc")
    fetch = ["mvn", "-q", "-B", "-f", str(PROJECT / "pom.xml"), f"-DoutputDirectory={target}"]
    try:
        fetched = subprocess.run(
            [*fetch, "dependency:copy-dependencies"], capture_output=True, text=True, timeout=240, cwd=target
        )
    except subprocess.TimeoutExpired:
        pytest.skip("THE JDBC DRIVER DID NOT COME WITHIN 240 s: it was NOT tested against the store")
    jars = sorted(target.glob("*.jar"))
    if fetched.returncode != 0 or not any(jar.name.startswith(MAIN_JAR) for jar in jars):
        pytest.skip(f"JDBC DRIVER OUT OF REACH: it was NOT tested against the store: {fetched.stdout[-300:]}")
    path = os.pathsep.join(map(str, [target, *jars]))
    subprocess.run(["javac", "-cp", path, "-d", str(target), str(SOURCE)], check=True, timeout=120)
    return ["java", "-XX:+UseSerialGC", "-Xmx256m", "-Dfile.encoding=UTF-8", "-cp", path, "client.Client"]


@pytest.mark.slow
@pytest.mark.parametrize("user", ["tokentide", "reader"])
def test_jdbc_reads_rows_parameters_and_errors(store: Any, jdbc_client: list[str], user: str) -> None:
    result = subprocess.run(
        [*jdbc_client, f"127.0.0.1:{store.port}", user], capture_output=True, encoding="utf-8", timeout=120
    )
    assert result.returncode == 0, result.stderr
    readings = [json.loads(line) for line in result.stdout.splitlines()]
    assert [reading.pop("compress") for reading in readings] == [False, True]
    expected = {"rows": 200_000, "last": 199_999, "at": "2026-01-02 03:04:05.678", "text": "it's ü", "error_code": 47}
    assert readings == [expected, expected]
