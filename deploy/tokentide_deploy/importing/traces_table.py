"""Reads OPENROUTER_TRACES out of a user's ClickHouse: the columns that exist, of ATTRIBUTES the known names only."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator
from typing import Any, Final

from clickhouse_connect.driver.exceptions import ClickHouseError

from tokentide_deploy.clickhouse_client import error_text
from tokentide_deploy.errors import DeployError
from tokentide_producers.importing.problems import Place
from tokentide_producers.importing.reading import SourceRow
from tokentide_producers.importing.traces import (
    ATTRIBUTES,
    COLUMNS,
    HAS_PARENT,
    NAMED,
    TIME,
    WANTED_ATTRIBUTES,
    attributes_of,
)

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)?")
_PARENT_MARGIN_MS: Final = 86_400_000
_EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_PARENTS_SINCE: Final = "{since}"
_TIMES: Final = (TIME, "START_TIME", "END_TIME")


class TracesTable:
    """One table. table: its name, with a database before it where needed. Raises DeployError."""

    def __init__(self, client: Any, table: str) -> None:
        if not _NAME.fullmatch(table):
            raise DeployError(f"{table!r} is no table name; give TABLE or DATABASE.TABLE")
        self._client = client
        self.table = table
        described = self._query(f"DESCRIBE TABLE {_quoted(table)}")
        self._types = {str(row[0]).upper(): (str(row[0]), str(row[1])) for row in described}
        if TIME not in self._types or not {ATTRIBUTES, "MODEL"} & self._types.keys():
            raise DeployError(
                f"The table {table} is not one that OpenRouter writes: it has no column {TIME}, or neither MODEL nor "
                f"{ATTRIBUTES}. Its columns are {', '.join(name for name, _type in self._types.values())}."
            )
        if not re.search(r"DateTime", self._types[TIME][1]):
            raise DeployError(f"The column {TIME} of {table} is {self._types[TIME][1]}; a DateTime64 is expected.")
        self.missing = tuple(name for name in NAMED if name not in self._types)
        self._sql, self._columns = self._select()

    def count(self, since_ms: int | None) -> int:
        """Rows from an instant on."""
        found = self._query(f"SELECT count() FROM {_quoted(self.table)} WHERE {self._from(since_ms)}")
        return int(found[0][0])

    def rows(self, since_ms: int | None) -> Iterator[SourceRow]:
        """The spans from an instant on, in order of time."""
        number = 0
        select = self._sql.replace(_PARENTS_SINCE, self._parents_from(since_ms))
        sql = f"{select} WHERE {self._from(since_ms)} ORDER BY {self._name(TIME)}"
        try:
            with self._client.query_rows_stream(sql) as stream:
                for row in stream:
                    number += 1
                    yield SourceRow(Place(self.table, "row", number), self._as_row(row))
        except ClickHouseError as error:
            raise DeployError(f"The table {self.table} could not be read: {error_text(error)}") from error

    def _as_row(self, values: Any) -> dict[str, Any]:
        row = dict(zip(self._columns, values, strict=True))
        for name in _TIMES:
            if isinstance(row.get(name), int):
                row[name] = _EPOCH + dt.timedelta(milliseconds=row[name])
        if ATTRIBUTES in row:
            row[ATTRIBUTES] = attributes_of(row[ATTRIBUTES])
        return row

    def _select(self) -> tuple[str, list[str]]:
        parts, names = [], []
        for column in COLUMNS:
            if column in self._types:
                parts.append(self._time(column) if column in _TIMES else self._name(column))
                names.append(column)
        if ATTRIBUTES in self._types:
            parts.append(self._attributes())
            names.append(ATTRIBUTES)
        if {"TRACE_ID", "SPAN_ID", "PARENT_SPAN_ID"} <= self._types.keys():
            trace, span, parent = (f"toString({self._name(n)})" for n in ("TRACE_ID", "SPAN_ID", "PARENT_SPAN_ID"))
            parts.append(
                f"ifNull({parent}, '') != '' AND (ifNull({trace}, ''), ifNull({parent}, '')) IN "
                f"(SELECT ifNull({trace}, ''), ifNull({span}, '') FROM {_quoted(self.table)} WHERE {_PARENTS_SINCE})"
            )
            names.append(HAS_PARENT)
        return f"SELECT {', '.join(parts)} FROM {_quoted(self.table)}", names

    def _time(self, column: str) -> str:
        """As milliseconds, so that no time zone of server or client comes in between."""
        kind = self._types[column][1]
        if "DateTime" not in kind:
            return self._name(column)
        return f"toUnixTimestamp64Milli(toDateTime64({self._name(column)}, 3))"

    def _attributes(self) -> str:
        name, kind = self._name(ATTRIBUTES), self._types[ATTRIBUTES][1]
        wanted = ", ".join(f"'{attribute}'" for attribute in WANTED_ATTRIBUTES)
        if kind.startswith("Map("):
            keys = f"arrayFilter(k -> k IN ({wanted}), mapKeys({name}))"
            return f"arrayMap(k -> (toString(k), toString({name}[k])), {keys})"
        if kind.startswith(("JSON", "Object")):
            paths = ((a, ".".join(f"`{part}`" for part in a.split("."))) for a in WANTED_ATTRIBUTES)
            pairs = ", ".join(f"('{a}', ifNull(toString({name}.{path}), ''))" for a, path in paths)
            return f"arrayFilter(pair -> pair.2 != '', [{pairs}])"
        # The text is taken apart where it lies: prompts and answers among the attributes never leave that ClickHouse.
        return f"arrayFilter(pair -> pair.1 IN ({wanted}), JSONExtractKeysAndValuesRaw(ifNull(toString({name}), '')))"

    def _from(self, since_ms: int | None) -> str:
        if since_ms is None:
            return "1"
        return f"{self._name(TIME)} >= fromUnixTimestamp64Milli(toInt64({since_ms}))"

    def _parents_from(self, since_ms: int | None) -> str:
        return self._from(None if since_ms is None else since_ms - _PARENT_MARGIN_MS)

    def _name(self, column: str) -> str:
        return f"`{self._types[column][0]}`"

    def _query(self, sql: str) -> Any:
        try:
            return self._client.query(sql).result_rows
        except ClickHouseError as error:
            raise DeployError(
                f"The table {self.table} could not be read: {error_text(error)}. Check --from, --table and the "
                "account's right to read it."
            ) from error


def _quoted(table: str) -> str:
    return ".".join(f"`{part}`" for part in table.split("."))
