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

DEFAULTS: dict[str, VariableValue] = {
    **dict.fromkeys(("provider", "model", "category", "author", "country", "continent", "tenant", "app"), ALL),
    **dict.fromkeys(("severity", "rule"), ALL),
    "period": "week",
    "window": "week",
    "outcome": "any",
}
"""What the variables are set to when a dashboard is opened."""

GRAFANA = Path(__file__).resolve().parents[2] / "dashboards" / "grafana"


@pytest.fixture(scope="session")
def now_json() -> dict[str, Any]:
    board: dict[str, Any] = json.loads((GRAFANA / "dashboards" / "now.json").read_text(encoding="utf-8"))
    return board


@pytest.fixture(scope="session")
def boards() -> dict[str, dict[str, Any]]:
    """File name -> committed dashboard."""
    files = sorted((GRAFANA / "dashboards").glob("*.json"))
    return {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in files}


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
        """Rows without names."""
        return self._asked(sql, time_range, variables, "JSONCompactEachRow")

    def table(
        self, sql: str, time_range: TimeRange, variables: Mapping[str, VariableValue] | None = None
    ) -> list[dict[str, Any]]:
        """Rows as dictionaries."""
        return self._asked(sql, time_range, variables, "JSONEachRow")

    def columns(self, sql: str, time_range: TimeRange) -> list[str]:
        """Names of the result's columns, of an empty result, too."""
        names: list[str] = self._asked(sql, time_range, None, "JSONCompactEachRowWithNames")[0]
        return names

    def _asked(
        self, sql: str, time_range: TimeRange, variables: Mapping[str, VariableValue] | None, output_format: str
    ) -> list[Any]:
        expanded = expand(sql, time_range, {**DEFAULTS, **(variables or {})})
        assert "$" not in expanded, f"something was not expanded: {expanded}"
        text = self._session.query(
            f"{expanded}\nSETTINGS output_format_json_quote_64bit_integers = 0, output_format_json_quote_denormals = 1",
            output_format,
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
