from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest


@pytest.fixture(scope="module")
def broker_for_module(request: pytest.FixtureRequest) -> Iterator[Any]:
    conftest = next(p for p in request.config.pluginmanager.get_plugins() if hasattr(p, "Broker"))
    one = conftest.Broker()
    try:
        yield one
    finally:
        one.close()
