"""One store process for the tests of what the sinks write beside the streams."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sinks.stored_world import World, running_world


@pytest.fixture(scope="session")
def shared_world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with running_world(tmp_path_factory.mktemp("world")) as world:
        yield world


@pytest.fixture
def world(shared_world: World) -> World:
    """The store without events."""
    shared_world.empty()
    return shared_world
