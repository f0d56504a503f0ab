"""Who may do what: users, their passwords, the limits that are forced on readers. Pure policy, no IO."""

from __future__ import annotations

import base64
import binascii
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from tokentide_deploy.store.errors import AUTHENTICATION_FAILED, UNKNOWN_SETTING, store_error

READER_ROLE = "reader"
WRITER_ROLE = "writer"
WRITER_NAMES = ("default", "tokentide")
READER_NAME = "reader"


@dataclass(frozen=True, slots=True)
class ReaderLimits:
    """What one reader's query may cost; a client can neither raise nor remove it."""

    max_execution_time_s: int = 30
    max_memory_bytes: int = 4_000_000_000
    max_result_rows: int = 1_000_000
    max_threads: int = 2

    def settings(self) -> dict[str, str]:
        return {
            "max_execution_time": str(self.max_execution_time_s),
            "max_memory_usage": str(self.max_memory_bytes),
            "max_result_rows": str(self.max_result_rows),
            "result_overflow_mode": "throw",
            "max_threads": str(self.max_threads),
            # chDB switches these on for its local user; they would show a reader the process's memory.
            "allow_introspection_functions": "0",
        }


@dataclass(frozen=True, slots=True)
class User:
    name: str
    password: str = field(repr=False)
    is_reader: bool


@dataclass(frozen=True, slots=True)
class AccessPolicy:
    """The users of one store. Empty passwords are for loopback only; the server start refuses them elsewhere."""

    writer_password: str = field(default="", repr=False)
    reader_password: str = field(default="", repr=False)
    reader_limits: ReaderLimits = ReaderLimits()

    def user(self, name: str) -> User | None:
        if name in WRITER_NAMES:
            return User(name, self.writer_password, is_reader=False)
        if name == READER_NAME:
            return User(name, self.reader_password, is_reader=True)
        return None

    def authenticate(self, headers: Mapping[str, str], parameters: Mapping[str, str]) -> User:
        """Finds the user by X-ClickHouse-User/Key, basic auth or URL, in this order. Raises StoreError 516."""
        name, password = _credentials(headers, parameters)
        user = self.user(name)
        # Compared also for an unknown name, so that both take the same time.
        matches = hmac.compare_digest((user.password if user else "").encode(), password.encode())
        if user is None or not matches:
            raise store_error(
                AUTHENTICATION_FAILED,
                "AUTHENTICATION_FAILED",
                f"{name}: Authentication failed: password is incorrect, or there is no user with such name.",
            )
        return user


def _credentials(headers: Mapping[str, str], parameters: Mapping[str, str]) -> tuple[str, str]:
    if "x-clickhouse-user" in headers or "x-clickhouse-key" in headers:
        return headers.get("x-clickhouse-user", "") or "default", headers.get("x-clickhouse-key", "")
    scheme, _, token = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "basic":
        try:
            name, _, password = base64.b64decode(token, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            raise store_error(
                AUTHENTICATION_FAILED, "AUTHENTICATION_FAILED", "The Authorization header is not valid basic auth."
            ) from None
        return name or "default", password
    return parameters.get("user", "") or "default", parameters.get("password", "")


# Parameters of the HTTP interface itself; every other one in the URL is a setting of the query.
RESERVED_PARAMETERS = frozenset(
    {
        "query", "database", "default_format", "session_id", "session_timeout", "session_check", "close_session",
        "query_id", "compress", "decompress", "user", "password", "quota_key", "stacktrace", "client_protocol_version",
        "role", "wait_end_of_query", "buffer_size", "enable_http_compression", "http_zlib_compression_level",
        "add_http_cors_header", "http_write_exception_in_output_format", "send_progress_in_http_headers",
        "http_headers_progress_interval_ms", "log_comment",
    }
)  # fmt: skip
PARAMETER_PREFIX = "param_"
_SETTING_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
# Settings that only shape a reader's output. Clients send others unasked (clickhouse-go: max_execution_time), so the
# rest is dropped instead of refused.
_READER_SETTING = re.compile(
    r"(output_format_\w+|format_csv_\w+|date_time_output_format|date_time_input_format|session_timezone"
    r"|join_use_nulls|max_block_size|extremes|final|use_query_cache|group_by_use_nulls"
    r"|cast_keep_nullable|prefer_column_name_to_alias)\Z"
)


def settings_of(parameters: Mapping[str, str], user: User) -> dict[str, str]:
    """The query settings that the URL asks for and the user may have. Raises StoreError for an impossible name."""
    settings = {}
    for name, value in parameters.items():
        if name in RESERVED_PARAMETERS or name.startswith(PARAMETER_PREFIX):
            continue
        if not _SETTING_NAME.match(name):
            raise store_error(UNKNOWN_SETTING, "UNKNOWN_SETTING", f"Unknown setting '{name[:100]}'.")
        if not user.is_reader or _READER_SETTING.match(name):
            settings[name] = value
    return settings


def substitutions_of(parameters: Mapping[str, str]) -> dict[str, str]:
    """Values for ``{name:Type}`` in the query, keyed by ``param_name``."""
    chosen = {}
    for name, value in parameters.items():
        if name.startswith(PARAMETER_PREFIX):
            if not _SETTING_NAME.match(name):
                raise store_error(UNKNOWN_SETTING, "UNKNOWN_SETTING", f"Unusable parameter name '{name[:100]}'.")
            chosen[name] = value
    return chosen


def is_foreign_page(headers: Mapping[str, str], is_loopback: bool) -> bool:
    """True for a request that a web page of another origin made, or one that a rebound host name led here.

    With an empty password on loopback, the browser of the same person would otherwise be a way in.
    """
    host = headers.get("host", "").lower()
    origin = headers.get("origin", "").lower()
    if origin and origin.partition("://")[2] != host:
        return True
    name = host.rsplit(":", 1)[0] if not host.endswith("]") else host
    return is_loopback and bool(host) and name not in ("127.0.0.1", "localhost", "[::1]")
