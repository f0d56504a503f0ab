"""Fixtures that all tests share."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext

import pytest

from end_to_end import containers
from end_to_end.content_search import places_with_content
from end_to_end.harness import Stack


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--services containers`, or TOKENTIDE_TEST_SERVICES, for Kafka and ClickHouse in containers."""
    parser.addoption(
        "--services",
        choices=("embedded", "containers"),
        default=os.environ.get("TOKENTIDE_TEST_SERVICES") or "embedded",
        help="what the shared stack runs on; containers need a Docker engine",
    )


@pytest.fixture(scope="session")
def stack(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """One stack for all tests that do not break it. Tests tell their events apart by their own labels.

    At the end nothing that any test has put into a prompt, an answer or a malformed request may be in it anywhere.
    """
    folder = tmp_path_factory.mktemp("stack")
    services: AbstractContextManager[Sequence[str]] = nullcontext(())
    if request.config.getoption("--services") == "containers":
        if not containers.engine_answers():
            pytest.skip(containers.NO_ENGINE)
        services = containers.services()
    with services as arguments, Stack(folder, *arguments) as running:
        yield running
        assert places_with_content(running) == [], "content was stored"
