"""Fixtures that all tests share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from end_to_end.harness import Stack


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """One embedded stack for all tests that do not break it. Tests tell their events apart by their own labels."""
    with Stack(tmp_path_factory.mktemp("stack")) as running:
        yield running
