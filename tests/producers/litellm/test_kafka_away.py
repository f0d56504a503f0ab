"""Kafka does not answer while LiteLLM works: requests are as ever, events wait in the spool and come once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from producers.litellm import environment, upstream

pytestmark = pytest.mark.long


def test_requests_are_answered_and_their_events_spooled_and_sent_later(broker: Any, tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    more = {"TOKENTIDE_SPOOL_DIRECTORY": str(spool), "TOKENTIDE_SPOOL_AFTER_S": "0.5"}
    os.kill(broker.pid, signal.SIGSTOP)
    try:
        with upstream.Upstream() as provider:
            script = Path(__file__).with_name("sdk_calls.py")
            command = [
                environment.litellm_environment() / "python",
                script,
                provider.url,
                "chat",
                "streamed",
                "error_429",
            ]
            variables = environment.variables(broker.servers, **more)
            done = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=300)
    finally:
        os.kill(broker.pid, signal.SIGCONT)
    assert done.returncode == 0 and "faults 0" in done.stdout, done.stderr[-3000:]
    assert broker.records() == []
    segments = list(spool.glob("*.spool"))
    assert segments and upstream.MARKER.encode() not in b"".join(path.read_bytes() for path in segments)
    drain = [sys.executable, "-m", "tokentide_deploy.cli", "spool", "drain", str(spool), "--kafka", broker.servers]
    subprocess.run(drain, check=True, capture_output=True, timeout=120)
    rows = environment.rows_by_app(broker.records())
    assert {app: [row["outcome"] for row in found] for app, found in rows.items()} == {
        "chat": ["ok"],
        "streamed": ["ok"],
        "error_429": ["error"],
    }
    assert rows["chat"][0]["input_uncached_tokens"] == 123
    assert list(spool.glob("*.spool")) == []


def test_without_kafka_and_without_a_spool_requests_are_still_answered_and_the_loss_is_said(tmp_path: Path) -> None:
    with upstream.Upstream() as provider:
        script = Path(__file__).with_name("sdk_calls.py")
        command = [environment.litellm_environment() / "python", script, provider.url, "chat"]
        variables = environment.variables("127.0.0.1:1", TOKENTIDE_EMITTER_CLOSE_TIMEOUT_S="0.5")
        done = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0 and "faults 0" in done.stdout
    assert "1 usage events will not be stored (unacknowledged_at_close)" in done.stderr
