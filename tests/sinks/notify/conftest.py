"""Receivers and the alerts topic, as fixtures."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from http.server import ThreadingHTTPServer

import pytest

from sinks.notify.alerts_world import AlertsTopic, FakeReceiver


@pytest.fixture
def receiver() -> Iterator[Callable[..., FakeReceiver]]:
    servers: list[tuple[FakeReceiver, ThreadingHTTPServer]] = []

    def make(answer: Callable[[int], tuple[int, dict[str, str]]] = lambda _before: (200, {})) -> FakeReceiver:
        one = FakeReceiver(answer)
        servers.append((one, one.serve()))
        return one

    yield make
    for one, server in servers:
        one.hangs.set()
        server.shutdown()
        server.server_close()


@pytest.fixture
def alerts_topic() -> AlertsTopic:
    return AlertsTopic()
