"""The process that `tokentide up` runs: ready file, log without content, and events acknowledged before it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from producers.collector.serving import EVENT, counted


def test_the_process_is_ready_takes_events_and_stops_in_good_order(kafka: Any, tmp_path: Path, wait_until: Any) -> None:
    ready = tmp_path / "ready.json"
    environment = {
        **os.environ,
        "TOKENTIDE_KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
        "TOKENTIDE_READY_FILE": str(ready),
    }
    argv = [sys.executable, "-m", "tokentide_deploy.collector_process", "--port", "0"]
    process = subprocess.Popen(argv, env=environment, stderr=subprocess.PIPE, text=True)
    try:
        wait_until(lambda: ready.exists() or process.poll() is not None, 60)
        address = json.loads(ready.read_text())
        url = f"http://{address['host']}:{address['port']}"
        assert httpx.get(f"{url}/readyz").status_code == 200
        marked = {**EVENT, "prompt": "MARKER", "MARKER": 1}
        assert httpx.post(f"{url}/v1/events?q=MARKER", json=[EVENT, marked]).json()["accepted"] == 1
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0
    assert "serving on" in log and "MARKER" not in log
    assert len(counted(kafka.records())) == 1


@pytest.mark.parametrize(
    ("arguments", "environment", "said", "status"),
    [
        (["--host", "0.0.0.0"], {}, "needs bearer tokens", 1),
        ([], {"TOKENTIDE_COLLECTOR_MAX_EVENTS": "0"}, "TOKENTIDE_COLLECTOR_MAX_EVENTS", 2),
        ([], {"TOKENTIDE_COLLECTOR_HASH_KEYS": "[]"}, "hash key", 1),
    ],
)
def test_what_must_not_be_served_is_told_at_the_start(
    arguments: list[str], environment: dict[str, str], said: str, status: int
) -> None:
    argv = [sys.executable, "-m", "tokentide_deploy.collector_process", *arguments]
    ran = subprocess.run(
        argv,
        env={**os.environ, "TOKENTIDE_KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1", **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ran.returncode == status
    assert said in ran.stderr and "Traceback" not in ran.stderr
