"""A broker that stops answering long enough for records to be given up, and comes back."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any

from tokentide_producers.emitter import Emitter
from tokentide_producers.settings import EmitterSettings, SenderSettings
from tokentide_schemas.envelope import decode
from tokentide_schemas.identity import SeenEnvelopes

Wait = Callable[[Callable[[], bool]], None]
Broker = Any  # the class of conftest.py, which tests cannot import


def test_records_that_were_given_up_are_sent_again_with_their_identity_and_partition(
    broker: Broker, wait_until: Wait
) -> None:
    settings = EmitterSettings(batch_events=5, sender=SenderSettings(delivery_timeout_ms=1_000, linger_ms=5))
    emitter = Emitter(broker.servers, settings=settings)
    sent = []

    def emit(count: int) -> None:
        for _ in range(count):
            sent.append(str(len(sent)))
            assert emitter.emit(
                request_id=sent[-1],
                request_model="m",
                provider="p",
                input_uncached_tokens=1,
                output_tokens=1,
                usage_reported=True,
                outcome="ok",
            )

    emit(50)
    assert emitter.flush(20)
    os.kill(broker.pid, signal.SIGSTOP)
    try:
        emit(50)
        wait_until(lambda: emitter.stats().retries > 0)
        assert emitter.stats().in_flight == 50
        assert "TIMED_OUT" in emitter.stats().last_error.upper()
        emit(20)
    finally:
        os.kill(broker.pid, signal.SIGCONT)
    assert emitter.flush(60)
    assert emitter.close()
    stats = emitter.stats()
    assert (stats.acknowledged, stats.in_flight, dict(stats.dropped)) == (len(sent), 0, {})

    seen = [SeenEnvelopes() for _ in range(4)]
    stored = []
    numbers: dict[int, set[int]] = {}
    for record in broker.records():
        envelope = decode(record)
        assert envelope.identity is not None and envelope.table is not None
        numbers.setdefault(record.partition, set()).add(envelope.identity.sequence)
        if seen[record.partition].admit(envelope.identity.producer_id, envelope.identity.sequence, 0):
            stored += envelope.table.column("request_id").to_pylist()
    assert sorted(stored, key=int) == sent
    assert all(found == set(range(len(found))) for found in numbers.values())
