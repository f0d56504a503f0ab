"""A whole deployment that sends what cannot be read: the sink stops with status 78, stays down, and says so."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from end_to_end.harness import Stack, wait_until
from tokentide_deploy.data_dir import DataDir
from tokentide_deploy.stack_state import load_stack

pytestmark = pytest.mark.long

LIMIT = {"TOKENTIDE_SINK_MAX_CONSECUTIVE_REFUSED": "20", "TOKENTIDE_SINK_REFUSED_MIN_RECORDS": "20"}


@pytest.fixture
def strict(tmp_path: Path) -> Iterator[Stack]:
    """A stack whose sinks stop after few refusals."""
    before = {name: os.environ.get(name) for name in LIMIT}
    os.environ.update(LIMIT)
    try:
        with Stack(tmp_path / "strict") as running:
            yield running
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@pytest.mark.embedded
def test_a_sink_that_a_limit_stopped_is_reported_and_not_started_again(strict: Stack) -> None:
    for _ in range(40):
        strict.send(b"<xml/>", [("content-type", b"application/xml")], 1)

    wait_until(lambda: load_stack(strict.data_dir).components["events-sink"].pid is None, "the sink to end", 30)
    log = DataDir(strict.data_dir).log_file("events-sink").read_text()
    assert log.count("events sink stops: ") == 1, "it was started again"
    for part in ("partition 1 from offset", "were refused (limit", "unsupported_content_type", "nothing is lost"):
        assert part in log
    assert "<xml/>" not in log
    end = time.monotonic() + 5
    while time.monotonic() < end:
        assert load_stack(strict.data_dir).components["events-sink"].pid is None
        time.sleep(0.2)
    # Nothing of the batch was settled: neither ledger nor dead letters say more than before it.
    settled = strict.value("SELECT count() FROM ingest_ledger FINAL WHERE partition = 1")
    letters = strict.value("SELECT count() FROM dead_letters FINAL WHERE partition = 1")
    assert settled == letters < 40
    result = strict.run("verify", "--format", "json", "--wait-s", "1", check=False)
    assert result.returncode == 1, result.stderr
    assert "not caught up" in json.dumps(json.loads(result.stdout)["findings"])
