from __future__ import annotations

import json
from pathlib import Path

from confluent_kafka import Producer
from typer.testing import CliRunner

from tokentide_deploy.commands.spool import app
from tokentide_producers.emitter import Emitter
from tokentide_producers.settings import EmitterSettings, SenderSettings, SpoolSettings
from tokentide_schemas.topics import USAGE

UNREACHABLE = "127.0.0.1:1"


def fill(folder: Path, events: int) -> None:
    settings = EmitterSettings(
        sender=SenderSettings(retry_backoff_s=0.1), spool=SpoolSettings(directory=folder, after_s=0.1)
    )
    with Emitter(UNREACHABLE, settings=settings) as emitter:
        for _ in range(events):
            assert emitter.emit(request_model="m", provider="p", usage_reported=False, outcome="ok",
                                input_uncached_tokens=0, output_tokens=0)  # fmt: skip
        assert emitter.flush(20)


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, list(arguments))
    return result.exit_code, result.output


def test_status_and_drain_show_and_send_what_waits(tmp_path: Path) -> None:
    fill(tmp_path, 30)
    code, output = run("status", str(tmp_path), "--format", "json")
    assert code == 0
    (row,) = json.loads(output)
    assert (row["events"], row["held_by_a_gateway"]) == (30, False)
    owner = Producer({"bootstrap.servers": "unused", "test.mock.num.brokers": 1, "log_level": 0})
    broker = next(iter(owner.list_topics(USAGE, timeout=10).brokers.values()))
    code, output = run("drain", str(tmp_path), "--kafka", f"{broker.host}:{broker.port}")
    assert code == 0
    assert "30 events in 1 envelopes were sent" in output
    assert "Nothing waits" in run("status", str(tmp_path))[1]


def test_a_drain_without_kafka_leaves_everything_and_says_why(tmp_path: Path) -> None:
    fill(tmp_path, 5)
    code, output = run("drain", str(tmp_path), "--kafka", UNREACHABLE, "--timeout-s", "1")
    assert code == 1
    assert f"not everything was sent to {UNREACHABLE}" in output
    assert "refused" in output
    assert len(list(tmp_path.glob("*.spool"))) == 1


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["status", str(tmp_path / "none")])
    assert "There is no spool in" in str(result.exception)
