"""The delivery alone: where rows go, and that one request's trouble is not another's."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable
from typing import Any

from producers.collector.serving import EVENT, counted
from tokentide_producers.collector.delivery import Delivery, Outcome, partition_of
from tokentide_producers.collector.intake import EventReader
from tokentide_producers.collector.settings import CollectorSettings
from tokentide_producers.rows import PLACE

NOW_MS = 1_738_400_000_000


def rows_of(*events: dict[str, Any]) -> tuple[list[Any], list[int]]:
    intake = EventReader().read([dict(event) for event in events], NOW_MS)
    assert not intake.rejections
    return intake.rows, intake.sizes


def deliver(servers: str, *requests: tuple[list[Any], list[int]]) -> list[Outcome]:
    """What became of requests that were offered at the same time."""
    settled: list[int] = []

    async def run() -> list[Outcome]:
        delivery = Delivery(
            servers,
            settings=CollectorSettings().sender,
            resolve_model=str,
            batch_wait_s=0.02,
            ack_timeout_s=30.0,
            stalled_after_s=30.0,
            on_latency=lambda _: None,
        )
        offered: list[Any] = []
        delivery._loop = asyncio.get_running_loop()
        for rows, sizes in requests:
            offered.append(delivery.offer(rows, sizes, lambda: settled.append(1)))
        delivery.start(asyncio.get_running_loop())
        outcomes = list(await asyncio.gather(*offered))
        await asyncio.to_thread(delivery.close, 10.0)
        return outcomes

    outcomes = asyncio.run(run())
    assert len(settled) == len(requests), "what a request has reserved is given back once"
    return outcomes


def test_rows_with_ids_go_where_their_id_says_and_the_rest_carries_an_identity(kafka: Any) -> None:
    ids = [uuid.uuid4() for _ in range(200)]
    given = rows_of(*({**EVENT, "event_id": str(one)} for one in ids))
    assert deliver(kafka.bootstrap_servers, given, rows_of(*([EVENT] * 100))) == [Outcome.ACKNOWLEDGED] * 2
    records = kafka.records()
    stored = counted(records)
    assert len(stored) == 300
    for record in records:
        is_own = "tokentide-producer" in record.headers
        for event in counted([record]):
            assert is_own or partition_of(event["event_id"], kafka.partitions) == record.partition
    with_identity = sum(len(counted([one])) for one in records if "tokentide-producer" in one.headers)
    assert with_identity == 100


def test_large_requests_become_several_envelopes_and_one_answer(kafka: Any) -> None:
    assert deliver(kafka.bootstrap_servers, rows_of(*([EVENT] * 4_500))) == [Outcome.ACKNOWLEDGED]
    records = kafka.records()
    assert len(records) == 3
    assert len(counted(records)) == 4_500


def test_a_row_that_cannot_be_encoded_fails_its_own_request_alone(kafka: Any) -> None:
    good, bad = rows_of(EVENT, EVENT), rows_of(EVENT)
    bad[0][0][PLACE["output_tokens"]] = "no number"
    outcomes = deliver(kafka.bootstrap_servers, good, bad, rows_of(EVENT))
    assert outcomes == [Outcome.ACKNOWLEDGED, Outcome.REFUSED, Outcome.ACKNOWLEDGED]
    assert len(counted(kafka.records())) == 3


def test_what_is_left_at_the_end_is_sent_before_the_thread_ends(
    kafka: Any, wait_until: Callable[[Callable[[], bool]], None]
) -> None:
    async def run() -> Outcome:
        settings = CollectorSettings()
        delivery = Delivery(
            kafka.bootstrap_servers,
            settings=settings.sender,
            resolve_model=str,
            batch_wait_s=5.0,
            ack_timeout_s=10.0,
            stalled_after_s=10.0,
            on_latency=lambda _: None,
        )
        delivery.start(asyncio.get_running_loop())
        while not delivery.is_ready:
            await asyncio.sleep(0.01)
        rows = rows_of(EVENT)
        assert await delivery.offer(*rows, lambda: None) is Outcome.ACKNOWLEDGED
        waiting = delivery.offer(*rows_of(EVENT), lambda: None)
        await asyncio.to_thread(delivery.close, 10.0)
        return await waiting

    assert asyncio.run(run()) is Outcome.ACKNOWLEDGED
    assert len(counted(kafka.records())) == 2
