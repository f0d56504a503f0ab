from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tokentide_producers.pacing import Pacer, plan
from tokentide_schemas.block import assemble
from tokentide_schemas.catalogue import TOKEN_COLUMNS
from tokentide_schemas.envelope import decode

MockKafka = Any  # the class of conftest.py, which tests cannot import
Wait = Callable[[Callable[[], bool]], None]


def start(tmp_path: Path, servers: str, *arguments: str) -> subprocess.Popen[str]:
    environment = {
        **os.environ,
        "TOKENTIDE_KAFKA_BOOTSTRAP_SERVERS": servers,
        "TOKENTIDE_READY_FILE": str(tmp_path / "ready.json"),
        "TOKENTIDE_STATUS_FILE": str(tmp_path / "status.json"),
    }
    command = [sys.executable, "-m", "tokentide_producers.simulator", *arguments]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_what_the_simulator_says_was_acknowledged_is_what_is_stored(kafka: MockKafka, tmp_path: Path) -> None:
    process = start(tmp_path, kafka.bootstrap_servers, "--rate", "20000", "--gateways", "3", "--events", "30000")
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    report = json.loads(out)
    envelopes = [decode(record) for record in kafka.records()]
    block = assemble(envelopes)
    assert not any(block.rejections)
    rows = block.table
    tokens = sum(sum(rows.column(name).to_pylist()) for name in TOKEN_COLUMNS)
    assert report["acknowledged_events"] == rows.num_rows == report["sent_events"] == 30_000
    assert report["acknowledged_tokens"] == tokens == report["sent_tokens"]
    assert set(rows.column("gateway").to_pylist()) == {"gw-sim-0", "gw-sim-1", "gw-sim-2"}
    identities = [e.identity for e in envelopes if e.identity]
    assert len({identity.producer_id for identity in identities}) == 3
    assert len({(e.record.partition, e.identity) for e in envelopes}) == len(envelopes)
    assert (tmp_path / "ready.json").exists()
    assert json.loads((tmp_path / "status.json").read_text())["acknowledged_events"] == 30_000


def test_a_stopped_simulator_flushes_and_reports(kafka: MockKafka, tmp_path: Path, wait_until: Wait) -> None:
    process = start(tmp_path, kafka.bootstrap_servers, "--rate", "500")
    try:
        wait_until((tmp_path / "ready.json").exists)
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 0, err
    report = json.loads(out)
    stored = sum(decode(record).events for record in kafka.records())
    assert 0 < report["acknowledged_events"] == report["sent_events"] == stored


@pytest.mark.parametrize("arguments", [("--rate", "0"), ("--gateways", "0"), ("--rate", "nan")])
def test_unusable_options_end_with_status_2(arguments: tuple[str, ...], tmp_path: Path) -> None:
    process = start(tmp_path, "127.0.0.1:9", *arguments)
    _out, err = process.communicate(timeout=60)
    assert process.returncode == 2 and arguments[0] in err


@pytest.mark.parametrize(
    ("rate", "envelope", "block"),
    [(0.1, 1, 1), (10, 2, 10), (2_000, 400, 2_000), (50_000, 2_000, 50_000), (1_000_000, 2_000, 100_000)],
)
def test_envelopes_hold_200_ms_and_are_generated_a_second_ahead(rate: float, envelope: int, block: int) -> None:
    assert (plan(rate).envelope_events, plan(rate).block_events) == (envelope, block)


def test_a_late_sender_catches_up_but_only_so_far() -> None:
    pacer = Pacer(100.0, 0.0, max_behind_s=2.0)
    assert pacer.advance(100, 0.0) == 0.0
    assert pacer.advance(100, 2.5) == 1.0
    assert pacer.skipped_events == 0
    assert pacer.advance(100, 10.0) == 8.0
    assert pacer.skipped_events == 600
