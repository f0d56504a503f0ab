from __future__ import annotations

import os
import socket
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from typing import Any

import pytest

from tokentide_producers.emitter import Emitter
from tokentide_producers.outcomes import DropReason
from tokentide_producers.settings import EmitterSettings, SenderSettings
from tokentide_schemas.block import assemble
from tokentide_schemas.envelope import Record, decode
from tokentide_schemas.event import UsageEvent

FIELDS: dict[str, Any] = {
    "request_model": "gpt-4o-2024-08-06",
    "provider": "openai",
    "input_uncached_tokens": 10,
    "output_tokens": 2,
    "usage_reported": True,
    "outcome": "ok",
}
MockKafka = Any  # the class of conftest.py, which tests cannot import
Wait = Callable[[Callable[[], bool]], None]


def stored(records: list[Record]) -> list[dict[str, Any]]:
    """The rows that a reader accepts, after checking identities as readers do: each once, contiguous by partition."""
    envelopes = [decode(record) for record in records]
    block = assemble(envelopes)
    assert block.rejections == tuple(() for _ in envelopes)
    sequences = defaultdict(list)
    for envelope in envelopes:
        assert envelope.identity is not None
        sequences[envelope.identity.producer_id, envelope.record.partition].append(envelope.identity.sequence)
    for numbers in sequences.values():
        assert sorted(numbers) == list(range(len(numbers)))
    return block.table.to_pylist()


def unused_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def test_events_of_many_threads_are_each_acknowledged_and_stored_once(kafka: MockKafka) -> None:
    settings = EmitterSettings(batch_events=100)
    with Emitter(kafka.bootstrap_servers, gateway="gw-1", settings=settings) as emitter:

        def work(thread: int) -> None:
            for number in range(500):
                fields = {**FIELDS, "request_id": f"{thread}-{number}", "output_tokens": number, "app": f"app-{thread}"}
                assert emitter.emit(**fields)

        threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert emitter.flush(60)
        stats = emitter.stats()
    assert (stats.accepted, stats.acknowledged, stats.in_flight, dict(stats.dropped)) == (4000, 4000, 0, {})
    rows = stored(kafka.records())
    assert stats.envelopes == len({(r.partition, r.offset) for r in kafka.records()})
    assert Counter(row["request_id"] for row in rows) == Counter(f"{t}-{n}" for t in range(8) for n in range(500))
    for row in rows:
        thread, number = row["request_id"].split("-")
        assert (row["app"], row["output_tokens"]) == (f"app-{thread}", int(number))
        assert (row["gateway"], row["model"], row["source"]) == ("gw-1", "openai/gpt-4o", "sdk")
    assert len({row["event_id"] for row in rows}) == 4000


def test_what_is_stored_equals_what_was_emitted_field_by_field(kafka: MockKafka) -> None:
    event = UsageEvent(
        **{**FIELDS, "model": "own", "user_hash": "ab" * 16, "cost_nanousd": 5, "cost_source": "reported"},
        occurred_at="2026-01-31T12:00:00.123Z",
        event_id="01930000-0000-7000-8000-000000000001",
        category="programming",
        streamed=True,
    )
    with Emitter(kafka.bootstrap_servers) as emitter:
        assert emitter.emit(event)
        assert emitter.flush(20)
    (row,) = stored(kafka.records())
    assert UsageEvent(**{name: value for name, value in row.items() if value is not None}) == event


def test_envelopes_go_round_the_partitions(kafka: MockKafka) -> None:
    with Emitter(kafka.bootstrap_servers, settings=EmitterSettings(batch_events=1)) as emitter:
        for _ in range(3 * kafka.partitions):
            emitter.emit(**FIELDS)
    assert Counter(r.partition for r in kafka.records()) == dict.fromkeys(range(kafka.partitions), 3)


def test_an_open_batch_is_sent_by_time_without_a_flush(kafka: MockKafka, wait_until: Wait) -> None:
    with Emitter(kafka.bootstrap_servers) as emitter:
        emitter.emit(**FIELDS)
        wait_until(lambda: emitter.stats().acknowledged == 1)


def test_a_wrong_event_is_refused_told_and_counted_and_does_not_raise(kafka: MockKafka) -> None:
    told: list[tuple[DropReason, int, str]] = []
    with Emitter(kafka.bootstrap_servers, on_drop=lambda *what: told.append(what)) as emitter:
        result = emitter.emit(**{**FIELDS, "output_tokens": -1})
        assert not result and result.reason is DropReason.INVALID and "output_tokens" in result.detail
        assert not emitter.emit("not an event")  # type: ignore[arg-type]
        assert not emitter.emit()
        assert emitter.stats().dropped == {DropReason.INVALID: 3}
        assert emitter.flush(1)
    assert [what[:2] for what in told] == [(DropReason.INVALID, 1)] * 3


def test_a_callback_that_raises_does_not_reach_the_caller(kafka: MockKafka) -> None:
    def explode(*_: object) -> None:
        raise RuntimeError("callback")

    with Emitter(kafka.bootstrap_servers, on_drop=explode) as emitter:
        assert not emitter.emit()


def test_an_unreachable_broker_never_blocks_or_raises_and_shows_in_the_stats(wait_until: Wait) -> None:
    settings = EmitterSettings(max_buffered_events=500, batch_events=100)
    emitter = Emitter(f"127.0.0.1:{unused_port()}", settings=settings)
    slowest_s = 0.0
    for _ in range(1000):
        start_s = time.perf_counter()
        emitter.emit(**FIELDS)
        slowest_s = max(slowest_s, time.perf_counter() - start_s)
    assert slowest_s < 0.25
    wait_until(lambda: "127.0.0.1" in emitter.stats().last_error)
    assert not emitter.flush(0.2)
    stats = emitter.stats()
    assert (stats.accepted, stats.in_flight) == (500, 500)
    assert stats.dropped == {DropReason.BUFFER_FULL: 500}
    assert not emitter.close(0.1)
    after = emitter.stats()
    assert after.dropped[DropReason.UNACKNOWLEDGED_AT_CLOSE] == 500 and after.in_flight == 0
    assert sum(envelope.events for envelope in emitter.undelivered) == 500


def test_a_full_buffer_can_make_the_caller_wait_instead(wait_until: Wait) -> None:
    settings = EmitterSettings(max_buffered_events=1, block_up_to_s=0.3)
    emitter = Emitter(f"127.0.0.1:{unused_port()}", settings=settings)
    assert emitter.emit(**FIELDS)
    start_s = time.monotonic()
    assert emitter.emit(**FIELDS).reason is DropReason.BUFFER_FULL
    assert time.monotonic() - start_s >= 0.3
    emitter.close(0.0)


def test_events_that_were_buffered_while_kafka_was_away_arrive_when_it_comes(
    kafka: MockKafka, monkeypatch: pytest.MonkeyPatch, wait_until: Wait
) -> None:
    emitter = Emitter(f"127.0.0.1:{unused_port()}", settings=EmitterSettings(batch_events=10))
    for number in range(100):
        assert emitter.emit(**FIELDS, request_id=str(number))
    wait_until(lambda: emitter.stats().last_error != "")
    with emitter._lock:
        # A broker that comes back has the same address; the mock cluster cannot choose its port, so the client changes.
        emitter._sender._config["bootstrap.servers"] = kafka.bootstrap_servers
        emitter._sender._broken = True
    assert emitter.flush(20)
    emitter.close()
    assert sorted(int(row["request_id"]) for row in stored(kafka.records())) == list(range(100))


def test_a_closed_emitter_refuses_events(kafka: MockKafka) -> None:
    emitter = Emitter(kafka.bootstrap_servers)
    assert emitter.close()
    assert emitter.emit(**FIELDS).reason is DropReason.CLOSED


def test_a_batch_that_cannot_be_encoded_is_counted_and_flush_says_so(kafka: MockKafka) -> None:
    def fail(_name: str) -> str:
        raise RuntimeError("resolver")

    with Emitter(kafka.bootstrap_servers, resolve_model=fail) as emitter:
        assert emitter.emit(**FIELDS)
        assert not emitter.flush(20)
        assert emitter.stats().dropped == {DropReason.NOT_ENCODED: 1}
        assert emitter.stats().in_flight == 0


def test_a_forked_child_starts_anew_and_the_parents_events_stay_the_parents(kafka: MockKafka) -> None:
    emitter = Emitter(kafka.bootstrap_servers, settings=EmitterSettings(batch_wait_s=60))
    assert emitter.emit(**FIELDS, request_id="before")
    assert emitter.flush(20)
    assert emitter.emit(**FIELDS, request_id="buffered")
    child = os.fork()
    if child == 0:
        status = 3
        try:
            fresh = emitter.stats().accepted == 0
            done = emitter.emit(**FIELDS, request_id="child") and emitter.close(20)
            status = 0 if fresh and done else 1
        finally:
            os._exit(status)
    deadline_s = time.monotonic() + 60
    while (ended := os.waitpid(child, os.WNOHANG)) == (0, 0):
        if time.monotonic() > deadline_s:
            os.kill(child, 9)
        time.sleep(0.05)
    assert os.waitstatus_to_exitcode(ended[1]) == 0
    assert emitter.emit(**FIELDS, request_id="after")
    assert emitter.close(20)
    records = kafka.records()
    assert Counter(row["request_id"] for row in stored(records)) == Counter(["before", "buffered", "child", "after"])
    assert len({record.headers["tokentide-producer"] for record in records}) == 2


def test_an_identifier_is_hashed_only_with_a_key(kafka: MockKafka) -> None:
    keyed = Emitter(kafka.bootstrap_servers, settings=EmitterSettings(hash_key="secret"))
    assert len(keyed.hash("alice")) == 16
    assert "secret" not in repr(keyed.settings)
    with pytest.raises(ValueError, match="hash key is empty"):
        Emitter(kafka.bootstrap_servers).hash("alice")


@pytest.mark.parametrize("gateway", ["x" * 257, "a\nb"])
def test_defaults_that_no_event_could_have_are_refused_at_construction(gateway: str) -> None:
    with pytest.raises(ValueError, match="gateway"):
        Emitter("127.0.0.1:1", gateway=gateway)


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKENTIDE_EMITTER_BATCH_EVENTS", "7")
    monkeypatch.setenv("TOKENTIDE_SENDER_COMPRESSION", "zstd")
    settings = EmitterSettings()
    assert settings.batch_events == 7 and settings.sender == SenderSettings(compression="zstd")
