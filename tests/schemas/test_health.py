"""/healthz, /readyz and /metrics: what they answer, and that they cannot disturb the process."""

from __future__ import annotations

import json
import socket
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tokentide_schemas.health import STALE_S, START_S, Health
from tokentide_schemas.process_metrics import ALL, METRICS, Kind, declared_names
from tokentide_schemas.settings import HealthSettings


class Clock:
    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def serve(clock: Clock) -> Iterator[Callable[..., tuple[Health, Callable[[str], tuple[int, str]]]]]:
    running: list[Health] = []

    def start(process: str, **options: Any) -> tuple[Health, Callable[[str], tuple[int, str]]]:
        health = Health(process, clock=clock, **options).serve(HealthSettings(health_port=free_port()))
        running.append(health)

        def get(path: str) -> tuple[int, str]:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{health.port}{path}", timeout=10) as answer:
                    return answer.status, answer.read().decode()
            except urllib.error.HTTPError as error:
                return error.code, error.read().decode()

        return health, get

    yield start
    for health in running:
        health.close()


def test_a_process_is_alive_while_its_loop_turns(serve: Any, clock: Clock) -> None:
    health, get = serve("stream")
    assert get("/healthz")[0] == 200
    clock.now_s += START_S + 1
    assert get("/healthz")[0] == 503
    health.tick()
    assert get("/healthz")[0] == 200
    clock.now_s += STALE_S + 1
    status, body = get("/healthz")
    assert status == 503 and json.loads(body)["seconds_since_loop"] == STALE_S + 1


def test_a_process_is_ready_once_it_works_and_says_what_it_lacks(serve: Any) -> None:
    health, get = serve("events-sink")
    health.tick()
    assert get("/readyz")[0] == 503
    health.ready()
    assert get("/readyz")[0] == 200
    health.tick({}, ["it waits for the store"])
    status, body = get("/readyz")
    assert status == 503 and json.loads(body)["problems"] == ["it waits for the store"]


def test_metrics_are_the_declared_ones_with_the_latest_values(serve: Any) -> None:
    health, get = serve("notify")
    health.tick({"attempts_total": {"delivered": 3, "failed": 1}, "waiting": {"ops": 2}, "unknown_thing": 7})
    families = {one.name: one for one in text_string_to_metric_families(get("/metrics")[1])}
    delivered = {one.labels["outcome"]: one.value for one in families["tokentide_notify_deliveries"].samples}
    assert delivered == {"delivered": 3.0, "failed": 1.0}
    assert families["tokentide_notify_waiting"].samples[0].labels == {"receiver": "ops"}
    assert families["process_resident_memory_bytes"].samples[0].value > 1_000_000
    assert not any("unknown" in name for name in families)


def test_what_the_process_does_not_know_is_left_out_and_not_zero(serve: Any) -> None:
    health, get = serve("alerts")
    health.tick({"open_alerts": 0, "evaluated_age_s": None})
    text = get("/metrics")[1]
    assert "tokentide_alerts_firing 0.0" in text and "evaluated_age" not in text


def test_a_taken_port_is_told_and_the_process_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        health = Health("stream").serve(HealthSettings(health_port=taken.getsockname()[1]))
    assert health.port is None and "TOKENTIDE_HEALTH_PORT" in caplog.text
    health.tick({})
    health.close()


def test_an_unknown_path_is_told_what_there_is(serve: Any) -> None:
    _, get = serve("board")
    status, body = get("/")
    assert status == 404 and "/metrics" in body


def test_names_follow_prometheus_rules_and_each_metric_says_what_it_means() -> None:
    names = [one.name for one in METRICS]
    assert len(names) == len(set(names))
    for one in METRICS:
        assert one.meaning.endswith(".") and one.unit
        assert (one.kind is Kind.COUNTER) == one.name.endswith("_total"), one.name
        assert one.process == ALL or one.name.startswith("tokentide_")
    assert "process_open_fds" in declared_names("stream")
