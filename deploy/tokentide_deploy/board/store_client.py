"""One query to the store over ClickHouse's HTTP interface, as the user who can only read."""

from __future__ import annotations

import http.client
import json
import threading
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode

from tokentide_deploy.board.errors import QueryError, StoreDownError
from tokentide_deploy.clickhouse_client import error_text, http_connection
from tokentide_deploy.stack_state import ClickHouseAccount

_TIMEOUT_S: Final = 40.0
"""Above the 30 s that the store gives a reader's query, so that the store's own words arrive."""
_SETTINGS: Final = {
    "default_format": "JSONCompact",
    "output_format_json_quote_64bit_integers": "0",
    "output_format_json_quote_denormals": "0",
    "date_time_output_format": "unix_timestamp",
}
_OUR_LIMITS: Final = {
    "readonly": "2",
    "max_execution_time": "30",
    "max_result_rows": "1000000",
    "result_overflow_mode": "throw",
}
"""For an account that may write, as with an external ClickHouse; the embedded store forces a reader's limits itself."""


@dataclass(frozen=True, slots=True)
class Result:
    """Columns (name and ClickHouse type) and rows; what the query read, and how long it ran."""

    columns: list[tuple[str, str]]
    rows: list[list[Any]]
    read_rows: int
    read_bytes: int
    elapsed_ms: float


class StoreClient:
    """Sends queries, at most `concurrency` at once: a dashboard asks for all of its panels together."""

    def __init__(self, account: ClickHouseAccount, concurrency: int = 4) -> None:
        self._account = account
        self._slots = threading.BoundedSemaphore(concurrency)
        self._settings: dict[str, str] | None = None

    def query(self, sql: str) -> Result:
        """Run one SELECT. Raises QueryError with the store's message, StoreDownError when nobody answers."""
        with self._slots:
            if self._settings is None:
                self._settings = _SETTINGS | self._limits()
            document = json.loads(self._post(sql, self._settings))
        statistics = document.get("statistics", {})
        return Result(
            columns=[(column["name"], column["type"]) for column in document["meta"]],
            rows=document["data"],
            read_rows=int(statistics.get("rows_read", 0)),
            read_bytes=int(statistics.get("bytes_read", 0)),
            elapsed_ms=float(statistics.get("elapsed", 0)) * 1000,
        )

    def _limits(self) -> dict[str, str]:
        text = self._post("SELECT value FROM system.settings WHERE name = 'readonly' FORMAT TabSeparated", {})
        return _OUR_LIMITS if text.strip() == b"0" else {}

    def _post(self, sql: str, settings: dict[str, str]) -> bytes:
        account = self._account
        connection = http_connection(account, _TIMEOUT_S)
        parameters = urlencode({"database": account.database, **settings})
        if account.settings:
            parameters += f"&{account.settings}"
        headers = {
            "X-ClickHouse-User": account.user,
            "X-ClickHouse-Key": account.password,
            "Content-Type": "text/plain; charset=utf-8",
        }
        try:
            connection.request("POST", f"/?{parameters}", sql.encode(), headers)
            response = connection.getresponse()
            body = response.read()
        except (OSError, http.client.HTTPException) as error:
            raise StoreDownError(
                f"the store at {account.host}:{account.port} does not answer ({error_text(error)}); it may be "
                "starting: the board asks again at the next refresh"
            ) from error
        finally:
            connection.close()
        if response.status != http.client.OK:
            raise QueryError(error_text(RuntimeError(body.decode("utf-8", "replace"))))
        return body
