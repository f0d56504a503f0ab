"""What the dashboard tests share: the committed dashboard, and a ClickHouse in this process with known rows."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from chdb.session import Session

from tokentide_dashboards.macros import ALL, TimeRange, VariableValue, expand
from tokentide_schemas.clickhouse import statements
from tokentide_schemas.cubes import CUBES

GRAFANA = Path(__file__).resolve().parents[2] / "dashboards" / "grafana"


@pytest.fixture(scope="session")
def now_json() -> dict[str, Any]:
    board: dict[str, Any] = json.loads((GRAFANA / "dashboards" / "now.json").read_text(encoding="utf-8"))
    return board


class Store:
    """Runs SQL as Grafana would: variables and macros expanded first."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def execute(self, sql: str) -> None:
        self._session.query(sql)

    def use_new_database(self, name: str) -> None:
        self.execute(f"CREATE DATABASE {name} ENGINE = Atomic")
        self.use(name)
        for statement in statements(CUBES):
            self.execute(statement)

    def use(self, name: str) -> None:
        self.execute(f"USE {name}")

    def rows(
        self, sql: str, time_range: TimeRange, variables: Mapping[str, VariableValue] | None = None
    ) -> list[list[Any]]:
        everything: dict[str, VariableValue] = {"provider": ALL, "model": ALL, "category": ALL}
        expanded = expand(sql, time_range, {**everything, **(variables or {})})
        assert "$" not in expanded, f"something was not expanded: {expanded}"
        text = self._session.query(
            f"{expanded}\nSETTINGS output_format_json_quote_64bit_integers = 0, output_format_json_quote_denormals = 1",
            "JSONCompactEachRow",
        ).data()
        return [json.loads(line) for line in text.splitlines()]


@pytest.fixture(scope="module")
def store() -> Iterator[Store]:
    with tempfile.TemporaryDirectory() as directory:
        session = Session(directory)
        try:
            yield Store(session)
        finally:
            session.close()
