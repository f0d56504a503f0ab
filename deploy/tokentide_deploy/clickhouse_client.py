"""Connections for the commands that look: which ClickHouse, as whom, and errors in words."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal

import clickhouse_connect
from clickhouse_connect.driver.exceptions import ClickHouseError

from tokentide_deploy.data_dir import default_data_dir
from tokentide_deploy.errors import DeployError
from tokentide_deploy.stack_state import ClickHouseAccount, load_stack

UserKind = Literal["reader", "writer"]
READ_ONLY = {"readonly": "2"}
"""Forced on every query of a reader: a user of an external ClickHouse may have the right to write."""
CONNECT_TIMEOUT_S = 5


class StoreUnreachableError(DeployError):
    """The store does not answer, or does not let us in."""

    exit_status = 6


def find_account(data_dir: Path | None, clickhouse: str | None, user: UserKind = "reader") -> ClickHouseAccount:
    """The account of `clickhouse` (a URL), else of the stack on `data_dir`, else of the one on the default folder.

    Raises NoStackRunningError, and DeployError for a URL that cannot be read.
    """
    if clickhouse is not None:
        return ClickHouseAccount.from_url(clickhouse)
    stack = load_stack(data_dir or default_data_dir())
    return stack.clickhouse_reader if user == "reader" else stack.clickhouse_writer


def connect(account: ClickHouseAccount) -> Any:
    """A clickhouse-connect client. Raises StoreUnreachableError."""
    try:
        return clickhouse_connect.get_client(
            host=account.host,
            port=account.port,
            secure=account.scheme == "https",
            username=account.user,
            password=account.password,
            database=account.database,
            connect_timeout=CONNECT_TIMEOUT_S,
            # A session would let only one query run at a time, and these commands need none.
            autogenerate_session_id=False,
        )
    except ClickHouseError as error:
        raise StoreUnreachableError(
            f"The store at {account.host}:{account.port} does not answer as {account.user}: "
            f"{error_text(error)}. Check that the stack runs (tokentide up), or the address in --clickhouse."
        ) from error


_SERVER_MESSAGE = re.compile(
    r"(Code: \d+\. DB::Exception: .*?)(?: \(version [^()]*(?:\([^()]*\))?\))?(?: \(for url [^)]*\))?\s*$", re.DOTALL
)


def error_text(error: BaseException) -> str:
    """ClickHouse's own message when there is one, without the driver's frame; else the driver's reason in short."""
    text = str(error)
    if found := _SERVER_MESSAGE.search(text):
        return found[1]
    if refused := re.search(r"\[Errno -?\d+\] ([^\")']+)", text):
        return refused[1].strip().lower()
    if "timed out" in text:
        return "timed out"
    return text.strip() or type(error).__name__
