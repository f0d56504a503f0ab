"""Runs the report's queries as a reader and counts users once for each question. IO."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from clickhouse_connect.driver.exceptions import ClickHouseError
from urllib3.exceptions import HTTPError

from tokentide_deploy.clickhouse_client import StoreUnreachableError, error_text, read_only_settings
from tokentide_deploy.errors import DeployError
from tokentide_deploy.report import sql
from tokentide_deploy.report.period import Period
from tokentide_deploy.report.suppression import Policy, Users

_CONNECTION_LOST: Final = ("connection", "timed out", "refused")


class QueryError(DeployError):
    """The store refused a query or could not finish it."""


class Asker:
    """The store, the period, and the rule for small groups, for the figures to ask."""

    def __init__(self, client: Any, period: Period, policy: Policy) -> None:
        self._client = client
        self._settings = read_only_settings(client)
        self._users: dict[tuple[str, ...], Users] = {}
        self._raw: tuple[int, Any, Any] | None = None
        self.period = period
        self.policy = policy

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """The result's rows. Raises QueryError, StoreUnreachableError."""
        try:
            return [tuple(row) for row in self._client.query(query, settings=self._settings).result_rows]
        except ClickHouseError as error:
            text = error_text(error)
            if "DB::Exception" not in text and any(word in text.lower() for word in _CONNECTION_LOST):
                raise StoreUnreachableError(
                    f"The store stopped answering during the report: {text}. Start it (tokentide up) and run the "
                    "report again; nothing was written."
                ) from error
            raise QueryError(
                f"The store did not answer a question of the report: {text}. If it ran out of time or memory, give a "
                "shorter --from/--to; if a table is missing, run tokentide migrate."
            ) from error
        except HTTPError as error:
            raise StoreUnreachableError(
                f"The store stopped answering during the report: {error_text(error)}. Start it (tokentide up) and run "
                "the report again; nothing was written."
            ) from error

    def sums(
        self, stem: str, keys: Mapping[str, str], sums: Mapping[str, str], where: Sequence[str] = ()
    ) -> list[tuple[Any, ...]]:
        """Rows of keys, with buckets of time as their names, and sums as numbers."""
        found = self.rows(sql.grouped(self.period, stem, keys, sums, where))
        if sql.TIME not in keys.values():
            return found
        place = list(keys.values()).index(sql.TIME)
        return [(*row[:place], self.period.bucket_name(row[place]), *row[place + 1 :]) for row in found]

    def users_of_models(self, key: str, where: Sequence[str] = ()) -> Users:
        """Users by something that follows from the model; by bucket too, unless buckets are hours."""
        asked = ("models", key, *where)
        if asked not in self._users:
            groups = self.rows(sql.users_of_models(self.period, key, where, by_time=False))
            cells = None
            if self.period.bucket != "hour":
                rows = self.rows(sql.users_of_models(self.period, key, where, by_time=True))
                cells = {(self.period.bucket_name(time), str(name)): int(users) for time, name, users in rows}
            self._users[asked] = Users({str(name): int(users) for name, users in groups}, cells)
        return self._users[asked]

    def users_of_events(self, key: str, where: Sequence[str] = ()) -> Users:
        """Users by anything that an event has, in the raw events of the period that are still kept."""
        asked = ("events", key, *where)
        if asked not in self._users:
            if self.raw_span()[0] == 0:
                self._users[asked] = Users(counted=False)
            elif self.policy.min_users <= 1:
                self._users[asked] = Users()
            else:
                rows = self.rows(sql.users_of_events(self.period, key, where))
                self._users[asked] = Users({str(name): int(users) for name, users in rows})
        return self._users[asked]

    def raw_span(self) -> tuple[int, Any, Any]:
        """Raw events of the period that are still kept: how many, the first's time, the last's."""
        if self._raw is None:
            ((count, first, last),) = self.rows(sql.raw_span(self.period))
            self._raw = (int(count), first, last)
        return self._raw
