"""Kafka goes away under an emitter with a spool."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tokentide_producers.emitter import Emitter
from tokentide_producers.outcomes import DropReason
from tokentide_producers.sender import EnvelopeSender
from tokentide_producers.settings import EmitterSettings, SenderSettings, SpoolSettings
from tokentide_producers.spool.directory import SpoolDirectory
from tokentide_producers.spool.draining import drain
from tokentide_schemas.envelope import Record, decode
from tokentide_schemas.identity import SeenEnvelopes

Wait = Callable[[Callable[[], bool]], None]
Broker = Any  # the class of conftest.py, which tests cannot import
FIELDS: dict[str, Any] = {
    "request_model": "m",
    "provider": "p",
    "input_uncached_tokens": 1,
    "output_tokens": 1,
    "usage_reported": True,
    "outcome": "ok",
}
SENDER = SenderSettings(delivery_timeout_ms=1_000, linger_ms=5, retry_backoff_s=0.1)
UNREACHABLE = "127.0.0.1:1"

VICTIM = """
import sys
from pathlib import Path
from tokentide_producers.emitter import Emitter
from tokentide_producers.settings import EmitterSettings, SenderSettings, SpoolSettings
settings = EmitterSettings(batch_events=5, sender=SenderSettings(retry_backoff_s=0.1),
                           spool=SpoolSettings(directory=Path(sys.argv[2]), after_s=0.2))
emitter = Emitter(sys.argv[1], settings=settings)
for number in range(60):
    emitter.emit(request_id=f"victim-{number}", request_model="m", provider="p", usage_reported=True, outcome="ok",
                 input_uncached_tokens=1, output_tokens=1)
print(emitter.flush(30), flush=True)
sys.stdin.read()
"""


def emitter_with(servers: str, folder: Path, **spool: Any) -> Emitter:
    options = {"after_s": 0.5, **spool}
    settings = EmitterSettings(
        batch_events=5, batch_wait_s=0.02, sender=SENDER, spool=SpoolSettings(directory=folder, **options)
    )
    return Emitter(servers, settings=settings)


def emit(emitter: Emitter, names: list[str]) -> None:
    for name in names:
        assert emitter.emit(request_id=name, **FIELDS)


def counted_once(records: list[Record]) -> list[str]:
    """Request ids as the readers count them: repeats by identity left out."""
    seen: dict[int, SeenEnvelopes] = {}
    found = []
    for record in records:
        envelope = decode(record)
        assert envelope.identity is not None and envelope.table is not None
        identity = envelope.identity
        if seen.setdefault(record.partition, SeenEnvelopes()).admit(identity.producer_id, identity.sequence, 0):
            found += envelope.table.column("request_id").to_pylist()
    return found


def names(start: int, count: int) -> list[str]:
    return [str(number) for number in range(start, start + count)]


def test_an_outage_of_kafka_goes_through_the_spool_and_each_event_is_counted_once(
    broker: Broker, wait_until: Wait, tmp_path: Path
) -> None:
    with emitter_with(broker.servers, tmp_path) as emitter:
        emit(emitter, names(0, 50))
        assert emitter.flush(20)
        os.kill(broker.pid, signal.SIGSTOP)
        try:
            emit(emitter, names(50, 50))
            assert emitter.flush(20)
            stats = emitter.stats()
            # On a slow machine some of the first fifty have gone through the spool as well.
            assert stats.spooled >= 50
            assert (stats.acknowledged + stats.spooled, stats.in_flight) == (100, 0)
            assert stats.spool.is_kafka_away
            emit(emitter, names(100, 20))
            assert emitter.flush(20)
        finally:
            os.kill(broker.pid, signal.SIGCONT)
        wait_until(lambda: emitter.stats().spool.drained_events == emitter.stats().spooled)
        emit(emitter, names(120, 10))
        assert emitter.flush(20)
        wait_until(lambda: emitter.stats().spool.drained_events == emitter.stats().spooled)
    assert sorted(counted_once(broker.records()), key=int) == names(0, 130)
    assert list(tmp_path.iterdir()) == []


def test_a_gateway_that_is_killed_leaves_its_events_to_the_next_one(
    broker: Broker, wait_until: Wait, tmp_path: Path
) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", VICTIM, UNREACHABLE, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as victim:
        assert victim.stdout is not None
        try:
            assert victim.stdout.readline() == "True\n"
        finally:
            victim.kill()
            victim.wait()
    with emitter_with(broker.servers, tmp_path) as successor:
        # Without a single event of its own.
        wait_until(lambda: successor.stats().spool.drained_events == 60)
    assert sorted(counted_once(broker.records())) == sorted(f"victim-{number}" for number in range(60))
    assert list(tmp_path.iterdir()) == []


def test_a_drain_that_is_broken_off_and_repeated_counts_nothing_twice(broker: Broker, tmp_path: Path) -> None:
    with emitter_with(UNREACHABLE, tmp_path, after_s=0.1) as emitter:
        emit(emitter, names(0, 40))
        assert emitter.flush(20)
    spool = SpoolDirectory(tmp_path)
    (segment,) = spool.segments()
    copy = segment.read_bytes()

    def once() -> None:
        report, error = drain(
            spool, lambda settled: EnvelopeSender(broker.servers, settings=SENDER, on_settled=settled), timeout_s=20
        )
        assert (report.events, error) == (40, "")

    once()
    # As if it had been killed after sending and before deleting: the segment is there again.
    segment.write_bytes(copy)
    once()
    assert len(broker.records()) == 16
    assert sorted(counted_once(broker.records()), key=int) == names(0, 40)


def test_a_full_spool_refuses_new_events_with_a_reason(tmp_path: Path, wait_until: Wait) -> None:
    told: list[tuple[DropReason, int]] = []
    settings = EmitterSettings(
        batch_events=5,
        max_buffered_events=20,
        batch_wait_s=0.02,
        sender=SENDER,
        spool=SpoolSettings(directory=tmp_path, after_s=0.1, max_bytes=20_000),
    )
    emitter = Emitter(UNREACHABLE, settings=settings, on_drop=lambda reason, events, _: told.append((reason, events)))
    try:
        deadline_s = time.monotonic() + 20
        while not told:
            assert time.monotonic() < deadline_s
            emitter.emit(request_id="x" * 100, **FIELDS)
        assert set(told) == {(DropReason.BUFFER_FULL, 1)}
        wait_until(lambda: "is full" in emitter.stats().last_error)
        assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 20_000 + 2_000
        stats = emitter.stats()
        assert stats.accepted == stats.spooled + stats.in_flight
    finally:
        assert not emitter.close(1.0)
    assert emitter.stats().dropped[DropReason.UNACKNOWLEDGED_AT_CLOSE] == stats.in_flight


def test_a_full_spool_can_give_up_its_oldest_events_and_says_how_many(tmp_path: Path, wait_until: Wait) -> None:
    told: list[tuple[DropReason, int]] = []
    spool = SpoolSettings(directory=tmp_path, after_s=0.1, max_bytes=30_000, when_full="drop_oldest")
    for _ in range(12):
        settings = EmitterSettings(batch_events=5, batch_wait_s=0.02, sender=SENDER, spool=spool)
        with Emitter(
            UNREACHABLE, settings=settings, on_drop=lambda reason, events, _: told.append((reason, events))
        ) as emitter:
            emit(emitter, names(0, 20))
            assert emitter.flush(20)
    lost = sum(events for reason, events in told if reason is DropReason.SPOOL_EVICTED)
    assert {reason for reason, _ in told} == {DropReason.SPOOL_EVICTED}
    left = sum(one.events for segment in SpoolDirectory(tmp_path).take_over() for one in segment.read().envelopes)
    assert lost > 0
    assert lost + left == 12 * 20


@pytest.mark.parametrize("when", ["before the first event", "with events"])
def test_a_fork_leaves_the_parents_spool_to_the_parent(tmp_path: Path, wait_until: Wait, when: str) -> None:
    with emitter_with(UNREACHABLE, tmp_path, after_s=0.1) as emitter:
        if when == "with events":
            emit(emitter, names(0, 20))
            assert emitter.flush(20)
        child = os.fork()
        if child == 0:
            emit(emitter, names(100, 20))
            os._exit(0 if emitter.close(10) and emitter.stats().spooled == 20 else 1)
        assert os.waitpid(child, 0)[1] == 0
        emit(emitter, names(20, 20))
        assert emitter.flush(20)
    found = [one.events for segment in SpoolDirectory(tmp_path).take_over() for one in segment.read().envelopes]
    assert sum(found) == (60 if when == "with events" else 40)
