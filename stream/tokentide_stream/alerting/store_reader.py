"""The engine's only way to the store: reads rollups by SQL. Needs no right to write."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import clickhouse_connect
from clickhouse_connect.driver.exceptions import ClickHouseError

from tokentide_schemas import topics
from tokentide_schemas.clickhouse_settings import client_options
from tokentide_stream.alerting.clock import Position
from tokentide_stream.alerting.sources import (
    FIRST_SQL,
    LATE_LAG_S,
    LATE_SQL,
    MINUTE_S,
    POSITIONS_SQL,
    SPENT_SQL,
    Query,
)
from tokentide_stream.alerting.windows import Cell, Window


class StoreUnavailableError(Exception):
    """The store did not answer, or not with what was asked for. It may do so later."""


class StoreReader:
    """A ClickHouse database by URL. ValueError for a URL that is none; StoreUnavailableError from every method."""

    def __init__(self, url: str) -> None:
        self._options: dict[str, Any] = client_options(url) | {
            "autogenerate_session_id": False,
            "connect_timeout": 5,
            "send_receive_timeout": 60,
            "query_retries": 0,
        }
        self._client: Any = None

    def close(self) -> None:
        """Close the connection; the next call opens a new one."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def positions(self, epoch: str) -> dict[int, Position]:
        """How far the rollups of the usage topic's partitions are."""
        rows = self._rows(POSITIONS_SQL, {"topic": topics.USAGE, "epoch": epoch})
        return {int(number): Position(int(offset), int(mark), int(at)) for number, offset, mark, at in rows}

    def first_minute(self) -> dt.datetime | None:
        """Start of the oldest minute that is kept, None while there is none."""
        seconds, count = self._rows(FIRST_SQL, {})[0]
        return _instant(int(seconds)) if count else None

    def minutes(self, queries: Sequence[Query], with_late: bool, first: dt.datetime, last: dt.datetime) -> list[Window]:
        """The minutes of [first, last), in order, empty ones as well."""
        begin, end = int(first.timestamp()), int(last.timestamp())
        windows = {second: Window(_instant(second)) for second in range(begin, end, MINUTE_S)}
        for query in queries:
            rows = self._rows(query.sql, {**query.parameters, "first": begin, "last": end})
            _fill(windows, query, rows)
        if with_late:
            late = self._rows(LATE_SQL, {"first": begin - LATE_LAG_S, "last": end - LATE_LAG_S})
            for second, late_requests, requests in late:
                windows[int(second) + LATE_LAG_S].late = (int(late_requests), int(requests))
        return list(windows.values())

    def spent_by_hour(
        self, first: dt.datetime, last: dt.datetime, by_tenant: bool
    ) -> list[tuple[dt.datetime, int, dict[str, int]]]:
        """(hour, spend of all, spend by tenant) in nano-USD, of the hours in [first, last)."""
        span = {"first": int(first.timestamp()), "last": int(last.timestamp())}
        total = self._rows(SPENT_SQL.format(key="''", view="rollup_1h"), span)
        tenants: dict[int, dict[str, int]] = {}
        if by_tenant:
            for hour, tenant, nanousd in self._rows(SPENT_SQL.format(key="tenant", view="rollup_tenant_1h"), span):
                tenants.setdefault(int(hour), {})[str(tenant)] = int(nanousd)
        return [(_instant(int(hour)), int(nanousd), tenants.get(int(hour), {})) for hour, _, nanousd in total]

    def _rows(self, sql: str, parameters: Mapping[str, Any]) -> Sequence[Sequence[Any]]:
        try:
            if self._client is None:
                self._client = clickhouse_connect.get_client(**self._options)
            found: Sequence[Sequence[Any]] = self._client.query(sql, parameters=dict(parameters)).result_rows
        except (ClickHouseError, OSError, EOFError) as error:
            self.close()
            raise StoreUnavailableError(f"ClickHouse: {str(error).strip()[:500]}") from error
        return found


def _fill(windows: Mapping[int, Window], query: Query, rows: Iterable[Sequence[Any]]) -> None:
    source = query.source
    if "/" in source.grouping:
        for window in windows.values():
            window.latencies[source] = {}
        for second, key, bucket, requests in rows:
            windows[int(second)].latencies[source].setdefault(str(key), {})[int(bucket)] = int(requests)
    elif source.grouping == "models":
        for window in windows.values():
            window.models[source] = {}
        for second, model, provider, *sums in rows:
            windows[int(second)].models[source][str(model), str(provider)] = Cell(*map(int, sums))
    else:
        for window in windows.values():
            window.cells[source] = {}
        for second, key, *sums in rows:
            windows[int(second)].cells[source][str(key)] = Cell(*map(int, sums))


def _instant(seconds: int) -> dt.datetime:
    return dt.datetime.fromtimestamp(seconds, dt.UTC)
