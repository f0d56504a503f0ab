"""What `emit` does between the caller and the batch: races with `close`, destructors, asyncio, events made later."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from tokentide_producers.emitter import Emitter
from tokentide_producers.outcomes import DropReason
from tokentide_producers.settings import EmitterSettings
from tokentide_schemas.block import assemble
from tokentide_schemas.envelope import decode

FIELDS: dict[str, Any] = {
    "request_model": "gpt-4o",
    "provider": "openai",
    "input_uncached_tokens": 10,
    "output_tokens": 2,
    "usage_reported": True,
    "outcome": "ok",
}
MockKafka = Any  # the class of conftest.py, which tests cannot import
Wait = Callable[[Callable[[], bool]], None]


def request_ids(kafka: MockKafka) -> Counter[str]:
    envelopes = [decode(record) for record in kafka.records()]
    block = assemble(envelopes)
    assert not any(block.rejections)
    return Counter(row["request_id"] for row in block.table.to_pylist())


def test_every_event_that_emit_accepted_while_the_emitter_was_closed_is_stored(kafka: MockKafka) -> None:
    accepted: list[str] = []
    for turn in range(10):
        emitter = Emitter(kafka.bootstrap_servers, resolve_model=str)
        started = threading.Event()

        def work(name: str, emitter: Emitter = emitter, started: threading.Event = started) -> None:
            number = 0
            while True:
                number += 1
                if not emitter.emit(**FIELDS, request_id=f"{name}-{number}"):
                    return
                accepted.append(f"{name}-{number}")
                started.set()

        threads = [threading.Thread(target=work, args=(f"{turn}-{n}",)) for n in range(3)]
        for thread in threads:
            thread.start()
        started.wait()
        emitter.close(20)
        for thread in threads:
            thread.join()
        stats = emitter.stats()
        assert stats.accepted == stats.acknowledged and stats.dropped[DropReason.CLOSED] >= 3
    assert request_ids(kafka) == Counter(accepted)


def test_a_destructor_may_emit_in_the_middle_of_an_emit(kafka: MockKafka) -> None:
    with Emitter(kafka.bootstrap_servers, resolve_model=str) as emitter:
        assert emitter.emit(**FIELDS, request_id="first")

        class Abandoned:
            def __init__(self) -> None:
                self.itself = self

            def __del__(self) -> None:
                emitter.emit(**FIELDS, request_id="from-destructor")

        Abandoned()
        with emitter._lock:
            # Where the garbage collector could also find it by itself: the lock is held by this very thread.
            gc.collect()
        assert emitter.flush(20)
    assert request_ids(kafka) == Counter(["first", "from-destructor"])


def test_an_event_made_later_is_made_in_the_background_and_flush_waits_for_it(kafka: MockKafka) -> None:
    makers: list[str] = []
    go = threading.Event()

    def make() -> dict[str, Any]:
        go.wait(20)
        makers.append(threading.current_thread().name)
        return {**FIELDS, "request_id": "later"}

    with Emitter(kafka.bootstrap_servers, resolve_model=str) as emitter:
        assert emitter.emit_later(make)
        assert not emitter.flush(0.05)
        go.set()
        assert emitter.flush(20)
        assert emitter.stats().acknowledged == 1
    assert makers == ["tokentide-emitter"]
    assert request_ids(kafka) == Counter(["later"])


def test_an_event_that_cannot_be_made_later_is_counted_and_the_next_one_is_sent(kafka: MockKafka) -> None:
    def fail() -> dict[str, Any]:
        raise RuntimeError("completion")

    told: list[DropReason] = []
    with Emitter(kafka.bootstrap_servers, resolve_model=str, on_drop=lambda reason, *_: told.append(reason)) as emitter:
        emitter.emit_later(fail)
        emitter.emit_later(lambda: {**FIELDS, "output_tokens": -1})
        emitter.emit_later(lambda: {**FIELDS, "request_id": "good"})
    assert emitter.stats().dropped == {DropReason.INVALID: 2}
    assert told == [DropReason.INVALID] * 2
    assert request_ids(kafka) == Counter(["good"])
    assert emitter.emit_later(lambda: FIELDS).reason is DropReason.CLOSED


def test_events_to_be_made_later_are_bounded(kafka: MockKafka) -> None:
    go = threading.Event()
    settings = EmitterSettings(max_buffered_events=10)
    with Emitter(kafka.bootstrap_servers, resolve_model=str, settings=settings) as emitter:

        def wait() -> dict[str, Any]:
            go.wait(20)
            return FIELDS

        results = [emitter.emit_later(wait) for _ in range(20)]
        assert {result.reason for result in results} == {None, DropReason.BUFFER_FULL}
        go.set()
    stats = emitter.stats()
    assert stats.acknowledged + sum(stats.dropped.values()) == 20


def test_an_idle_emitter_sends_a_single_event_without_a_flush(kafka: MockKafka, wait_until: Wait) -> None:
    with Emitter(kafka.bootstrap_servers, resolve_model=str) as emitter:
        for number in range(1, 4):
            emitter.emit(**FIELDS)
            wait_until(lambda number=number: emitter.stats().acknowledged == number)


@pytest.mark.parametrize("closes_by_block", [True, False])
def test_asyncio_waits_for_the_emitter_while_its_loop_goes_on(kafka: MockKafka, closes_by_block: bool) -> None:
    turns = 0

    async def turn() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async def main() -> None:
        other = asyncio.create_task(turn())
        if closes_by_block:
            async with Emitter(kafka.bootstrap_servers, resolve_model=str) as emitter:
                emitter.emit(**FIELDS)
        else:
            emitter = Emitter(kafka.bootstrap_servers, resolve_model=str)
            emitter.emit(**FIELDS)
            assert await emitter.aflush(20)
            assert await emitter.aclose(20)
        assert emitter.stats().acknowledged == 1
        other.cancel()

    asyncio.run(main())
    assert turns > 1
