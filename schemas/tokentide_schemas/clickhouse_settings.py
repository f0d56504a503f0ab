"""How every client of ours connects to ClickHouse: the URL's parts, and TLS from TOKENTIDE_CLICKHOUSE_* settings."""

from __future__ import annotations

import ssl
from typing import Any, Final, Self
from urllib.parse import parse_qsl, unquote, urlsplit

from pydantic import Field, FilePath, SecretStr, model_validator
from pydantic_settings import SettingsConfigDict

from tokentide_schemas.settings_base import Settings, read_settings

URL_HINT: Final = "TOKENTIDE_CLICKHOUSE_URL must look like http://user:password@host:8123/database"
HTTP_PORT: Final = 8123
HTTPS_PORT: Final = 8443


class ClickHouseSecurity(Settings):
    """Who connects to ClickHouse, where the URL does not say it, and TLS for https URLs."""

    model_config = SettingsConfigDict(env_prefix="TOKENTIDE_CLICKHOUSE_")

    user: str = Field("", description="User at ClickHouse where the URL names none.")
    password: SecretStr = Field(SecretStr(""), description="Password where the URL has none.")
    ca_file: FilePath | None = Field(
        None, description="PEM file of the authority that signed the server's certificate; well-known ones without."
    )
    certificate_file: FilePath | None = Field(
        None, description="PEM file of this client's certificate, where the server asks for one."
    )
    key_file: FilePath | None = Field(None, description="PEM file of that certificate's private key.")
    verify_certificate: bool = Field(
        True, description="Whether the server's certificate and name are checked. Leave it on."
    )

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if (self.certificate_file is None) != (self.key_file is None):
            raise ValueError("TOKENTIDE_CLICKHOUSE_CERTIFICATE_FILE and TOKENTIDE_CLICKHOUSE_KEY_FILE belong together")
        return self

    def tls_options(self) -> dict[str, Any]:
        """Arguments of clickhouse-connect's get_client for an https address."""
        options: dict[str, Any] = {"secure": True, "verify": self.verify_certificate}
        files = {"ca_cert": self.ca_file, "client_cert": self.certificate_file, "client_cert_key": self.key_file}
        return options | {name: str(path) for name, path in files.items() if path is not None}

    def ssl_context(self) -> ssl.SSLContext:
        """The same for http.client and urllib. Raises OSError, ssl.SSLError for bad files."""
        context = ssl.create_default_context(cafile=None if self.ca_file is None else str(self.ca_file))
        if not self.verify_certificate:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if self.certificate_file is not None:
            context.load_cert_chain(self.certificate_file, self.key_file)
        return context


def login_of(user: str | None, password: str | None) -> tuple[str, str]:
    """User and password as a URL gives them (None: not), else as the settings do. Raises SettingsError."""
    security = read_settings(ClickHouseSecurity)
    name = unquote(user or "") or security.user or "default"
    # A password belongs to its user: the settings' one is not tried with another.
    is_settings_user = name == (security.user or name)
    fallback = security.password.get_secret_value() if is_settings_user else ""
    return name, fallback if password is None else unquote(password)


def tls_options(is_secure: bool) -> dict[str, Any]:
    """Arguments of clickhouse-connect's get_client about TLS. Raises SettingsError."""
    return read_settings(ClickHouseSecurity).tls_options() if is_secure else {"secure": False}


def ssl_context() -> ssl.SSLContext:
    """For http.client and urllib. Raises SettingsError, OSError and ssl.SSLError for bad files."""
    return read_settings(ClickHouseSecurity).ssl_context()


def client_options(url: str) -> dict[str, Any]:
    """clickhouse-connect's arguments for `http[s]://user:password@host:port/database?setting=value`.

    Holds the password: never log it. Raises ValueError for a URL that is none, without quoting it.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ValueError(URL_HINT) from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(URL_HINT)
    is_secure = parts.scheme == "https"
    user, password = login_of(parts.username, parts.password)
    return {
        "host": parts.hostname,
        "port": port or (HTTPS_PORT if is_secure else HTTP_PORT),
        "username": user,
        "password": password,
        "database": parts.path.strip("/") or "default",
        "settings": dict(parse_qsl(parts.query)),
        **tls_options(is_secure),
    }
