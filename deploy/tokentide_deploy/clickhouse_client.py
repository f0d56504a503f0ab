"""Connections for the commands that look: which ClickHouse, as whom, and errors in words."""

from __future__ import annotations

import http.client
import logging
import re
from pathlib import Path
from typing import Any, Literal

import clickhouse_connect
from clickhouse_connect.driver.exceptions import ClickHouseError

from tokentide_deploy.config.settings import Addresses
from tokentide_deploy.data_dir import default_data_dir
from tokentide_deploy.errors import DeployError
from tokentide_deploy.stack_state import ClickHouseAccount, load_stack
from tokentide_schemas.clickhouse_settings import ssl_context, tls_options
from tokentide_schemas.settings import read_settings

UserKind = Literal["reader", "writer"]
CONNECT_TIMEOUT_S = 5

# The driver also logs each failure that it raises; whoever catches it here says it in words.
logging.getLogger("clickhouse_connect").addHandler(logging.NullHandler())


class StoreUnreachableError(DeployError):
    """The store does not answer, or does not let us in."""

    exit_status = 6


def find_account(data_dir: Path | None, clickhouse: str | None, user: UserKind = "reader") -> ClickHouseAccount:
    """The account of `clickhouse` (a URL), else of the stack on `data_dir`, else of the setting
    TOKENTIDE_CLICKHOUSE_URL, else of the stack on the default folder.

    Raises NoStackRunningError, SettingsError, and DeployError for a URL that cannot be read.
    """
    if clickhouse is None and data_dir is None:
        clickhouse = read_settings(Addresses).clickhouse_url.get_secret_value() or None
    if clickhouse is not None:
        return ClickHouseAccount.from_url(clickhouse)
    stack = load_stack(data_dir or default_data_dir())
    return stack.clickhouse_reader if user == "reader" else stack.clickhouse_writer


def find_kafka(data_dir: Path | None, kafka: str | None) -> str:
    """Kafka's host:port list: `kafka`, else of the stack on `data_dir`, else the setting
    TOKENTIDE_KAFKA_BOOTSTRAP_SERVERS, else of the stack on the default folder.

    Raises NoStackRunningError, SettingsError.
    """
    if kafka is None and data_dir is None:
        kafka = read_settings(Addresses).kafka_bootstrap_servers or None
    return kafka or load_stack(data_dir or default_data_dir()).kafka_bootstrap_servers


def connect(account: ClickHouseAccount) -> Any:
    """A clickhouse-connect client. Raises StoreUnreachableError."""
    try:
        return clickhouse_connect.get_client(
            host=account.host,
            port=account.port,
            **tls_options(account.scheme == "https"),
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


def http_connection(account: ClickHouseAccount, timeout_s: float) -> http.client.HTTPConnection:
    """A connection to the HTTP interface itself, with TLS as the settings say."""
    if account.scheme == "https":
        return http.client.HTTPSConnection(account.host, account.port, timeout=timeout_s, context=ssl_context())
    return http.client.HTTPConnection(account.host, account.port, timeout=timeout_s)


def read_only_settings(client: Any) -> dict[str, str]:
    """Settings that keep a query from writing; none for an account that can only read and may not change them."""
    definition = client.server_settings.get("readonly")
    return {} if definition is not None and definition.readonly else {"readonly": "2"}


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
