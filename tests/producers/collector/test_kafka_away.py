"""An answer 2xx means that Kafka has the events; when it cannot have them, the sender is told to wait."""

from __future__ import annotations

import os
import signal
import threading
import uuid
from collections.abc import Callable
from typing import Any

import httpx

from producers.collector.serving import EVENT, counted, running_collector

Wait = Callable[[Callable[[], bool]], None]


def test_while_kafka_is_stopped_nothing_is_acknowledged_and_retries_are_counted_once(
    broker: Any, wait_until: Wait
) -> None:
    settings = {"ack_timeout_s": 1.0, "stalled_after_s": 0.5}
    with running_collector(broker.servers, **settings) as client:
        assert client.post("/v1/events", json={**EVENT, "app": "before"}).status_code == 200
        event = {**EVENT, "app": "during", "event_id": str(uuid.uuid4())}
        os.kill(broker.pid, signal.SIGSTOP)
        try:
            late = client.post("/v1/events", json=event)
            assert late.status_code == 503
            assert int(late.headers["retry-after"]) > 0
            assert client.get("/readyz").status_code == 503
            assert client.get("/healthz").status_code == 200
            assert client.post("/v1/events", json=event).status_code == 503, "at once, without waiting for Kafka"
        finally:
            os.kill(broker.pid, signal.SIGCONT)
        wait_until(lambda: client.get("/readyz").status_code == 200)
        assert client.post("/v1/events", json=event).status_code == 200
        wait_until(lambda: "in_flight_bytes 0" in client.get("/metrics").text)
    assert sorted(one["app"] for one in counted(broker.records())) == ["before", "during"]


def test_more_than_may_be_in_flight_is_told_to_come_back(broker: Any, wait_until: Wait) -> None:
    settings = {"ack_timeout_s": 20.0, "stalled_after_s": 20.0, "max_in_flight_bytes": 20_000}
    answers: list[int] = []
    with running_collector(broker.servers, **settings) as client:
        url = str(client.base_url.join("/v1/events"))

        def send() -> None:
            answers.append(httpx.post(url, json=[EVENT] * 70, timeout=30).status_code)

        os.kill(broker.pid, signal.SIGSTOP)
        try:
            sender = threading.Thread(target=send)
            sender.start()
            wait_until(lambda: "in_flight_bytes 0" not in client.get("/metrics").text)
            full = client.post("/v1/events", json=[EVENT] * 70)
            assert (full.status_code, full.headers["retry-after"]) == (429, "1")
            assert not answers, "nothing is acknowledged while Kafka is stopped"
        finally:
            os.kill(broker.pid, signal.SIGCONT)
        sender.join(30)
        assert answers == [200]
        wait_until(lambda: "in_flight_bytes 0" in client.get("/metrics").text)
        assert client.post("/v1/events", json=[EVENT] * 70).status_code == 200
    assert len(counted(broker.records())) == 140
