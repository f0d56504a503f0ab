"""How every client of ours connects to Kafka: TLS and SASL, from TOKENTIDE_KAFKA_* settings."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any, Final, Literal, Self

from pydantic import Field, FilePath, SecretStr, model_validator
from pydantic_settings import SettingsConfigDict

from tokentide_schemas.settings_base import Settings, read_settings

_TLS: Final = frozenset({"SSL", "SASL_SSL"})
_SASL: Final = frozenset({"SASL_PLAINTEXT", "SASL_SSL"})


class KafkaSecurity(Settings):
    """TLS and SASL of all Kafka connections of a process. Names follow Kafka's and librdkafka's."""

    model_config = SettingsConfigDict(env_prefix="TOKENTIDE_KAFKA_")

    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT", description="Kafka's security.protocol: with SSL encrypted, with SASL authenticated."
    )
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        "PLAIN", description="How user and password are proved to Kafka."
    )
    sasl_username: str = Field("", description="User at Kafka.")
    sasl_password: SecretStr = Field(SecretStr(""), description="That user's password.")
    ssl_ca_file: FilePath | None = Field(
        None, description="PEM file of the authority that signed the brokers' certificates; the system's without."
    )
    ssl_certificate_file: FilePath | None = Field(
        None, description="PEM file of this client's certificate, where the brokers ask for one."
    )
    ssl_key_file: FilePath | None = Field(None, description="PEM file of that certificate's private key.")
    ssl_key_password: SecretStr = Field(SecretStr(""), description="Password of the key file.")
    ssl_verify_hostname: bool = Field(
        True, description="Whether the broker's name must be in its certificate. Leave it on."
    )

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        protocol = self.security_protocol
        if protocol in _SASL and not (self.sasl_username and self.sasl_password.get_secret_value()):
            raise ValueError(
                f"TOKENTIDE_KAFKA_SECURITY_PROTOCOL is {protocol}: set TOKENTIDE_KAFKA_SASL_USERNAME and "
                "TOKENTIDE_KAFKA_SASL_PASSWORD"
            )
        if protocol not in _SASL and self.sasl_username:
            raise ValueError(
                f"TOKENTIDE_KAFKA_SASL_USERNAME is set, but TOKENTIDE_KAFKA_SECURITY_PROTOCOL is {protocol}, which "
                "authenticates nobody: set it to SASL_SSL"
            )
        if protocol not in _TLS and (self.ssl_ca_file or self.ssl_certificate_file):
            raise ValueError(
                f"TOKENTIDE_KAFKA_SSL_... files are set, but TOKENTIDE_KAFKA_SECURITY_PROTOCOL is {protocol}, which "
                "encrypts nothing: set it to SSL or SASL_SSL"
            )
        if (self.ssl_certificate_file is None) != (self.ssl_key_file is None):
            raise ValueError("TOKENTIDE_KAFKA_SSL_CERTIFICATE_FILE and TOKENTIDE_KAFKA_SSL_KEY_FILE belong together")
        return self

    @property
    def uses_tls(self) -> bool:
        """Connections are encrypted."""
        return self.security_protocol in _TLS

    @property
    def uses_sasl(self) -> bool:
        """Clients authenticate with user and password."""
        return self.security_protocol in _SASL

    def client_config(self) -> dict[str, Any]:
        """Settings of a confluent-kafka client; empty without TLS and SASL. Holds the password."""
        config: dict[str, Any] = {}
        if self.security_protocol != "PLAINTEXT":
            config["security.protocol"] = self.security_protocol
        if self.uses_sasl:
            config["sasl.mechanism"] = self.sasl_mechanism
            config["sasl.username"] = self.sasl_username
            config["sasl.password"] = self.sasl_password.get_secret_value()
        if self.uses_tls:
            files = {
                "ssl.ca.location": self.ssl_ca_file,
                "ssl.certificate.location": self.ssl_certificate_file,
                "ssl.key.location": self.ssl_key_file,
            }
            config |= {name: str(path) for name, path in files.items() if path is not None}
            if password := self.ssl_key_password.get_secret_value():
                config["ssl.key.password"] = password
            config["ssl.endpoint.identification.algorithm"] = "https" if self.ssl_verify_hostname else "none"
        return config

    def ssl_context(self) -> ssl.SSLContext | None:
        """The same for clients that use Python's ssl; None without TLS. Raises OSError, ssl.SSLError for bad files."""
        if not self.uses_tls:
            return None
        context = ssl.create_default_context(cafile=_text(self.ssl_ca_file))
        context.check_hostname = self.ssl_verify_hostname
        if self.ssl_certificate_file is not None:
            password = self.ssl_key_password.get_secret_value() or None
            context.load_cert_chain(self.ssl_certificate_file, self.ssl_key_file, password)
        return context


def kafka_client(bootstrap_servers: str) -> dict[str, Any]:
    """The connection part of a confluent-kafka client's settings: brokers, TLS, SASL. Holds the password: never log it.

    TLS and SASL are a property of the process: whatever a command or a component connects to uses the same. Raises
    SettingsError.
    """
    return {"bootstrap.servers": bootstrap_servers, **read_settings(KafkaSecurity).client_config()}


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)
