"""Writing to ClickHouse: one client, errors in three classes, no retries of its own."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

import clickhouse_connect
import pyarrow as pa
from clickhouse_connect.driver.exceptions import ClickHouseError, OperationalError

from tokentide_schemas.clickhouse_settings import client_options

INSERT_SETTINGS: Final[dict[str, Any]] = {
    # A token must be honoured, also where the server's profile turned deduplication or asynchronous inserts around.
    "async_insert": 0,
    "insert_deduplicate": 1,
    "deduplicate_blocks_in_dependent_materialized_views": 1,
    "optimize_on_insert": 0,
    "max_partitions_per_insert_block": 0,
    # Through a cluster's Distributed table: acknowledged once every shard has its rows, not when they are queued.
    "distributed_foreground_insert": 1,
    # One insert is one block: a block split in two would get two tokens, and a crash between them would show.
    "max_insert_block_size": 4_000_000,
    "min_insert_block_size_rows": 4_000_000,
    "min_insert_block_size_bytes": 4_000_000_000,
}

_INVALID_CODES: Final = frozenset({6, 26, 27, 32, 33, 38, 41, 43, 53, 69, 70, 72, 117, 131, 321, 349, 469, 691})
"""ClickHouse error codes that say: the data cannot be stored. Repeating it changes nothing."""
_FATAL_CODES: Final = frozenset({16, 36, 47, 60, 62, 81, 115, 164, 192, 193, 194, 291, 492, 497, 516})
"""Error codes that say: schema, rights or settings are wrong. An operator has to act."""
_LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})


class StoreError(Exception):
    """The store did not do what was asked."""


class StoreUnavailableError(StoreError):
    """Not now: unreachable, overloaded, or restarting. The same request may succeed later."""


class StoreInvalidDataError(StoreError):
    """The store refuses this data. The message has no values of it. `code`: ClickHouse's error code."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


class StoreMisconfiguredError(StoreError):
    """Schema, rights or settings are wrong; retrying is no use."""


def classify(error: Exception) -> StoreError:
    """The class of a client's error. What is unknown counts as temporary: waiting loses nothing."""
    text = str(error)
    match = re.search(r"(?:error code|Code:)\s*(\d+)", text)
    code = int(match[1]) if match else 0
    message = f"ClickHouse: {text.strip()[:2000]}"
    if code in _INVALID_CODES:
        # The rest of the text quotes the row.
        name = re.search(r"\(([A-Z][A-Z_]+)\)", text)
        constraint = re.search(r"Constraint `?(\w+)`? for table", text)
        what = f" ({name[1]})" if name else ""
        which = f", constraint {constraint[1]}" if constraint else ""
        return StoreInvalidDataError(f"ClickHouse refuses the data: error {code}{what}{which}", code)
    if code in _FATAL_CODES:
        return StoreMisconfiguredError(message)
    return StoreUnavailableError(message)


class Store:
    """A ClickHouse database, by URL `http[s]://user:password@host:port/database?setting=value`.

    Raises StoreError's subclasses. Not for several threads at once.
    """

    def __init__(self, url: str, send_receive_timeout_s: int = 120) -> None:
        try:
            options = client_options(url)
        except ValueError as error:
            raise StoreMisconfiguredError(str(error)) from None
        self.database = str(options["database"])
        self._options: dict[str, Any] = options | {
            # Compression pays on a network; on loopback it only costs CPU.
            "compress": options["host"] not in _LOOPBACK,
            "autogenerate_session_id": False,
            "connect_timeout": 5,
            "send_receive_timeout": send_receive_timeout_s,
            "query_retries": 0,
        }
        self._client: Any = None
        self.inserts = self.inserted_rows = 0
        self.insert_seconds = 0.0

    def counters(self) -> dict[str, float]:
        """What was inserted since the start, for a process' status."""
        return {
            "inserts_total": self.inserts,
            "insert_seconds_total": round(self.insert_seconds, 6),
            "inserted_rows_total": self.inserted_rows,
        }

    def _connected(self) -> Any:
        if self._client is None:
            try:
                self._client = clickhouse_connect.get_client(**self._options)
            except (ClickHouseError, OSError) as error:
                raise classify(error) from error
        return self._client

    def close(self) -> None:
        """Close the connection; the next call opens a new one."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def insert(self, table: str, rows: pa.Table, token: str | None = None) -> None:
        """Insert a block; with a token the store drops it when it has that token already."""
        settings = dict(INSERT_SETTINGS)
        if token is not None:
            settings["insert_deduplication_token"] = token
        began_s = time.monotonic()
        try:
            self._connected().insert_arrow(table, rows, settings=settings)
        except (ClickHouseError, OSError, EOFError) as error:
            self._forget_after(error)
            raise classify(error) from error
        finally:
            self.insert_seconds += time.monotonic() - began_s
        self.inserts += 1
        self.inserted_rows += rows.num_rows

    def command(self, sql: str, settings: Mapping[str, Any] | None = None) -> None:
        """Run a statement that returns nothing."""
        try:
            self._connected().command(sql, settings=dict(settings or {}))
        except (ClickHouseError, OSError, EOFError) as error:
            self._forget_after(error)
            raise classify(error) from error

    def rows(self, sql: str, parameters: Mapping[str, Any] | None = None) -> Sequence[Sequence[Any]]:
        """Rows of a query."""
        try:
            answer = self._connected().query(sql, parameters=dict(parameters or {}))
        except (ClickHouseError, OSError, EOFError) as error:
            self._forget_after(error)
            raise classify(error) from error
        found: Sequence[Sequence[Any]] = answer.result_rows
        return found

    def dictionary_account(self) -> str:
        """SQL of the account with which the server reads its own tables into a dictionary.

        A server's default user is often locked, so it is this connection's. Empty for the embedded store, whose engine
        knows no accounts.
        """
        user = str(self._options["username"])
        if self.rows("SELECT currentUser()")[0][0] != user:
            return ""
        return f"USER {_quoted(user)} PASSWORD {_quoted(str(self._options['password']))}"

    def _forget_after(self, error: Exception) -> None:
        if isinstance(error, OperationalError | OSError | EOFError):
            self.close()


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
