"""Receivers: to whom an alert is told. A secret is named by an environment variable or a file, never written here."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from tokentide_schemas.alerting.values import Match, Name, Section
from tokentide_schemas.alerts import AlertChange, AlertState, Severity

SEVERITY_RANK: Final = {Severity.INFO: 0, Severity.WARNING: 1, Severity.CRITICAL: 2}
VariableName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=128)]


class ReceiverSecretError(ValueError):
    """An address or secret that the receiver names is not there. The message never has its value."""


def _address(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("must be http://host[:port]/path or https://... (write an address, or use url_env)")
    if parts.username or parts.password:
        raise ValueError("has a user or password in it (name an environment variable with url_env instead)")
    return value


Url = Annotated[str, StringConstraints(max_length=2_000), AfterValidator(_address)]


class Receiver(Section):
    """What every receiver has. An alert goes to each receiver that `takes` it."""

    name: Name
    type: str
    send_resolved: bool = True
    min_severity: Severity = Severity.INFO
    match: Match = Field(default_factory=Match)
    timeout_s: Annotated[float, Field(gt=0, le=120)] = 10.0
    max_attempts: Annotated[int, Field(ge=1, le=1_000)] = 8

    def takes(self, change: AlertChange) -> bool:
        """Whether this change is for this receiver. Pending and silenced ones are for nobody."""
        if change.is_silenced or change.state is AlertState.PENDING:
            return False
        if change.state is AlertState.RESOLVED and not self.send_resolved:
            return False
        severe = SEVERITY_RANK[change.severity] >= SEVERITY_RANK[self.min_severity]
        return severe and self.match.fits(change.rule, change.kind, change.keys, dict(change.labels))


class _HttpReceiver(Receiver):
    url: Annotated[Url | None, Field(repr=False)] = None
    url_env: VariableName | None = None

    @model_validator(mode="after")
    def _has_one_address(self) -> _HttpReceiver:
        if (self.url is None) == (self.url_env is None):
            raise ValueError("needs either url or url_env (url_env names an environment variable with the address)")
        return self

    def address(self, environment: Mapping[str, str] = os.environ) -> str:
        """The URL. Raises ReceiverSecretError."""
        if self.url is not None:
            return self.url
        value = environment.get(self.url_env or "", "")
        if not value:
            raise ReceiverSecretError(
                f"receiver {self.name}: the environment variable {self.url_env} (url_env) is not set"
            )
        try:
            return _address_with_secret(value)
        except ValueError:
            raise ReceiverSecretError(
                f"receiver {self.name}: the environment variable {self.url_env} (url_env) holds no http[s] address"
            ) from None


def _address_with_secret(value: str) -> str:
    parts = urlsplit(value.strip())
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("no address")
    return value.strip()


class WebhookReceiver(_HttpReceiver):
    """POSTs the alert's JSON; with a secret the request is signed with HMAC-SHA256."""

    type: Literal["webhook"] = "webhook"
    secret_env: VariableName | None = None
    secret_file: Path | None = None

    @model_validator(mode="after")
    def _has_one_secret(self) -> WebhookReceiver:
        if self.secret_env is not None and self.secret_file is not None:
            raise ValueError("has secret_env and secret_file (keep one)")
        return self

    def secret(self, environment: Mapping[str, str] = os.environ) -> bytes | None:
        """Key of the signature, None for none. Raises ReceiverSecretError."""
        if self.secret_env is not None:
            value = environment.get(self.secret_env, "")
            if not value:
                raise ReceiverSecretError(
                    f"receiver {self.name}: the environment variable {self.secret_env} (secret_env) is not set"
                )
            return value.encode()
        if self.secret_file is not None:
            try:
                value = self.secret_file.read_text(encoding="utf-8").strip()
            except (OSError, UnicodeDecodeError) as error:
                raise ReceiverSecretError(
                    f"receiver {self.name}: {self.secret_file} (secret_file) cannot be read ({type(error).__name__})"
                ) from None
            if not value:
                raise ReceiverSecretError(f"receiver {self.name}: {self.secret_file} (secret_file) is empty")
            return value.encode()
        return None


class AlertmanagerReceiver(_HttpReceiver):
    """POSTs to a Prometheus Alertmanager, API v2. url: its base, such as http://127.0.0.1:9093."""

    type: Literal["alertmanager"] = "alertmanager"


class SlackReceiver(_HttpReceiver):
    """POSTs Slack's JSON to an incoming webhook. Its address is a secret: give it by `url_env`."""

    type: Literal["slack"] = "slack"


class LogReceiver(Receiver):
    """One line in the notifier's log."""

    type: Literal["log"] = "log"


AnyReceiver = WebhookReceiver | AlertmanagerReceiver | SlackReceiver | LogReceiver
RECEIVER_TYPES: Final[dict[str, type[Receiver]]] = {
    "webhook": WebhookReceiver,
    "alertmanager": AlertmanagerReceiver,
    "slack": SlackReceiver,
    "log": LogReceiver,
}
