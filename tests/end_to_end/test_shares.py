"""Global shares through the whole stack: live within seconds, final rows equal to the events, whatever is killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from end_to_end.harness import Stack, wait_until
from tokentide_deploy.data_dir import DataDir
from tokentide_producers.emitter import Emitter

pytestmark = pytest.mark.long

LIVE_WITHIN_S = 30
"""Generous for a busy machine; the shares are published every five seconds."""
MINUTE_S = 60


def emit(emitter: Emitter, model: str, tokens: int, count: int) -> None:
    for _ in range(count):
        assert emitter.emit(
            request_model=model,
            model=model,
            provider="shares-test",
            category="science",
            input_uncached_tokens=tokens,
            output_tokens=0,
            usage_reported=True,
            outcome="ok",
        )


@pytest.mark.embedded
@pytest.mark.slow
def test_a_known_mix_is_in_the_live_shares_within_seconds(stack: Stack) -> None:
    with Emitter(stack.kafka, gateway="shares-test") as emitter:
        emit(emitter, "shares-test/three", 30, 100)
        emit(emitter, "shares-test/one", 10, 100)
        assert emitter.flush(30)
    mix = (
        "SELECT sumIf(tokens, key = 'shares-test/three'), sumIf(tokens, key = 'shares-test/one'), "
        "any(horizon_s) FROM shares_now WHERE dimension = 'model' AND horizon_s = 3600"
    )
    wait_until(lambda: tuple(stack.rows(mix)[0][:2]) == (3000, 1000), "the mix in shares_now", LIVE_WITHIN_S)
    shares = stack.rows(
        "SELECT s.key, s.token_share, s.tokens / t.total FROM shares_now AS s, "
        "(SELECT sum(tokens) AS total FROM shares_now WHERE dimension = 'model' AND horizon_s = 3600) AS t "
        "WHERE s.dimension = 'model' AND s.horizon_s = 3600 AND startsWith(s.key, 'shares-test/')"
    )
    for _, share, expected in shares:
        assert share == pytest.approx(expected, abs=1e-12)


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack of its own, whose shares process is killed; short lateness, so that minutes close while one waits."""
    before = os.environ.get("TOKENTIDE_STREAM_ALLOWED_LATENESS_S")
    os.environ["TOKENTIDE_STREAM_ALLOWED_LATENESS_S"] = "5"
    try:
        with Stack(tmp_path_factory.mktemp("shares"), "--demo", "--rate", "1000") as running:
            yield running
    finally:
        if before is None:
            del os.environ["TOKENTIDE_STREAM_ALLOWED_LATENESS_S"]
        else:
            os.environ["TOKENTIDE_STREAM_ALLOWED_LATENESS_S"] = before


def wrong_minutes(stack: Stack) -> list[tuple[object, ...]]:
    """Final minutes of models that differ from GROUP BY over the raw events."""
    return [
        tuple(row)
        for row in stack.rows(
            """
            WITH minutes AS (SELECT DISTINCT window_start FROM shares_1m)
            SELECT minute, key, sum(final), sum(raw) FROM
            (
                SELECT window_start AS minute, toString(key) AS key, requests AS final, 0 AS raw, tokens AS t
                FROM shares_1m WHERE dimension = 'model'
                UNION ALL
                SELECT toDateTime(toStartOfMinute(occurred_at), 'UTC') AS minute, toString(model) AS key, 0, count(),
                    -toInt64(sum(total_tokens))
                FROM usage WHERE minute IN minutes GROUP BY minute, key
            )
            GROUP BY minute, key HAVING sum(final) != sum(raw) OR sum(t) != 0 LIMIT 10
            """
        )
    ]


def final_minutes(stack: Stack) -> int:
    return int(stack.value("SELECT uniqExact(window_start) FROM shares_1m"))


@pytest.mark.embedded
@pytest.mark.slow
def test_final_rows_equal_the_events_and_a_kill_of_the_shares_process_changes_nothing(own: Stack) -> None:
    wait_until(lambda: final_minutes(own) >= 1, "the first final minute", 400, 1)
    first = own.rows("SELECT * EXCEPT (version, emitted_at) FROM shares_1m ORDER BY window_start, dimension, key")
    own.kill("shares")
    reached = final_minutes(own) + 2
    wait_until(lambda: final_minutes(own) >= reached, "final minutes from after the kill", 400, 1)
    wait_until(lambda: not wrong_minutes(own), "raw events of all final minutes", 30, 1)
    again = own.rows("SELECT * EXCEPT (version, emitted_at) FROM shares_1m ORDER BY window_start, dimension, key")
    assert again[: len(first)] == first
    kept, stored = own.rows("SELECT count(), (SELECT count() FROM shares_1m) FROM shares_final WHERE horizon_s = 60")[0]
    assert kept >= stored > 0


@pytest.mark.embedded
@pytest.mark.slow
def test_a_second_instance_stands_by_and_takes_over(own: Stack, tmp_path: Path) -> None:
    first = DataDir(own.data_dir).status_file("shares")
    second = tmp_path / "status.json"
    environment = {
        **os.environ,
        "TOKENTIDE_KAFKA_BOOTSTRAP_SERVERS": own.kafka,
        "TOKENTIDE_READY_FILE": str(tmp_path / "ready.json"),
        "TOKENTIDE_STATUS_FILE": str(second),
    }
    process = subprocess.Popen([sys.executable, "-m", "tokentide_stream.shares"], env=environment, cwd=tmp_path)
    try:
        wait_until((tmp_path / "ready.json").exists, "the second instance", 90)
        wait_until(lambda: _is_active(first), "the first instance at work", 60)
        assert not json.loads(second.read_text())["is_active"]
        os.kill(own.pid("shares"), signal.SIGKILL)
        wait_until(lambda: _is_active(second), "the second instance at work", 90)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)
    wait_until(lambda: _is_active(first), "the first instance at work again", 90)


def _is_active(status_file: Path) -> bool:
    """Whether the instance has written lately that it does the work."""
    if not status_file.exists():
        return False
    status = json.loads(status_file.read_text())
    return bool(status["is_active"]) and time.time() * 1000 - status["updated_at_ms"] < 5_000
