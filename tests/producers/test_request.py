from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from tokentide_producers.emitter import Emitter
from tokentide_producers.request import Request
from tokentide_schemas.block import assemble
from tokentide_schemas.envelope import decode

MockKafka = Any  # the class of conftest.py, which tests cannot import
ABOUT = {"request_model": "m", "provider": "p", "request_id": "r"}


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


def stored(kafka: MockKafka) -> list[dict[str, Any]]:
    envelopes = [decode(record) for record in kafka.records()]
    block = assemble(envelopes)
    assert not any(block.rejections)
    rows: list[dict[str, Any]] = block.table.to_pylist()
    return rows


def chunks(clock: Clock) -> Iterator[str]:
    for text in ("a", "b", "c"):
        clock.now_s += 0.5
        yield text


def test_a_streamed_request_is_timed_to_its_first_token_and_its_end(kafka: MockKafka, clock: Clock) -> None:
    with Emitter(kafka.bootstrap_servers) as emitter:
        with Request(emitter, dict(ABOUT), clock) as request:
            assert list(request.stream(chunks(clock))) == ["a", "b", "c"]
            request.update(input_uncached_tokens=7, output_tokens=3, finish_reason="stop")
        assert request.result
        assert request.end()
    (row,) = stored(kafka)
    assert (row["outcome"], row["streamed"], row["usage_reported"]) == ("ok", True, True)
    assert (row["time_to_first_token_ms"], row["latency_ms"]) == (500, 1500)
    assert (row["input_uncached_tokens"], row["output_tokens"], row["finish_reason"]) == (7, 3, "stop")


def test_a_client_that_goes_away_has_cancelled_and_usage_is_unknown(kafka: MockKafka, clock: Clock) -> None:
    def response(emitter: Emitter) -> Iterator[str]:
        with Request(emitter, dict(ABOUT), clock) as request:
            yield from request.stream(chunks(clock))

    with Emitter(kafka.bootstrap_servers) as emitter:
        reader = response(emitter)
        assert next(reader) == "a"
        reader.close()  # type: ignore[attr-defined]  # a generator
    (row,) = stored(kafka)
    assert (row["outcome"], row["usage_reported"], row["time_to_first_token_ms"]) == ("cancelled", False, 500)


def test_a_reader_that_stops_early_has_cancelled(kafka: MockKafka, clock: Clock) -> None:
    with Emitter(kafka.bootstrap_servers) as emitter, Request(emitter, dict(ABOUT), clock) as request:
        stream = request.stream(chunks(clock))
        next(stream)
        stream.close()  # type: ignore[attr-defined]  # a generator
    assert [row["outcome"] for row in stored(kafka)] == ["cancelled"]


def test_an_exception_passes_on_and_is_an_error(kafka: MockKafka, clock: Clock) -> None:
    with (
        Emitter(kafka.bootstrap_servers) as emitter,
        pytest.raises(TimeoutError),
        Request(emitter, dict(ABOUT), clock),
    ):
        clock.now_s += 30
        raise TimeoutError("the prompt could stand here")
    (row,) = stored(kafka)
    assert (row["outcome"], row["error_type"], row["latency_ms"]) == ("error", "TimeoutError", 30_000)
    assert "prompt" not in str(row)


def test_an_error_without_an_exception_is_told(kafka: MockKafka, clock: Clock) -> None:
    with Emitter(kafka.bootstrap_servers) as emitter, emitter.request(**ABOUT) as request:
        request.failed("rate_limit", 429)
    (row,) = stored(kafka)
    assert (row["outcome"], row["error_type"], row["http_status"]) == ("error", "rate_limit", 429)


def test_a_cancelled_task_has_cancelled_and_the_first_token_counts(kafka: MockKafka, clock: Clock) -> None:
    async def source() -> AsyncIterator[str]:
        clock.now_s += 0.2
        yield "a"
        await asyncio.Event().wait()

    async def serve(emitter: Emitter, started: asyncio.Event) -> None:
        async with Request(emitter, dict(ABOUT), clock) as request:
            async for _ in request.astream(source()):
                started.set()

    async def main(emitter: Emitter) -> None:
        started = asyncio.Event()
        task = asyncio.create_task(serve(emitter, started))
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    with Emitter(kafka.bootstrap_servers) as emitter:
        asyncio.run(main(emitter))
    (row,) = stored(kafka)
    assert (row["outcome"], row["time_to_first_token_ms"]) == ("cancelled", 200)


def test_wrong_fields_do_not_disturb_the_request(kafka: MockKafka) -> None:
    with Emitter(kafka.bootstrap_servers) as emitter, emitter.request(**ABOUT) as request:
        request.update(output_tokens="many")
    assert request.result is not None
    assert not request.result
    assert "output_tokens" in request.result.detail
