"""Who may send: bearer tokens of gateways, or anybody on this machine when there are none."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tokentide_producers.collector.problems import ProblemError
from tokentide_producers.collector.tokens import Tokens
from tokentide_schemas.network import is_loopback


class AccessError(Exception):
    """The collector must not start like this; the message says why and what to do."""


class Access:
    """Raises AccessError for an address that others reach without a token, TokenFileError for a damaged file.

    On loopback a token file that does not exist leaves the door open; from the moment it exists tokens are needed, and
    that stays so if it is removed.
    """

    def __init__(self, host: str, token_file: Path | None) -> None:
        self._tokens = Tokens(token_file) if token_file is not None else None
        self._may_be_open = is_loopback(host)
        if not self._may_be_open and not self._tokens:
            where = f"the token file {token_file} has none" if token_file else "there is no token file"
            raise AccessError(
                f"A collector on {host} needs bearer tokens, because others reach it, and {where}. Make one with: "
                "tokentide collect token create --gateway NAME"
            )
        self._closed = bool(self._tokens) or not self._may_be_open

    @property
    def is_open(self) -> bool:
        """Nobody has to show a token."""
        if not self._closed and self._tokens is not None:
            self._closed = self._tokens.exist()
        return not self._closed

    def gateway_of(self, headers: Mapping[str, str]) -> str:
        """The sender's gateway, '' when the door is open. Raises ProblemError 401 or 403."""
        if self.is_open:
            if "origin" in headers:
                # A page in a browser on this machine may not write here for whoever made the page.
                raise ProblemError(
                    403, "Not for browsers", "requests with an Origin header are refused without a token"
                )
            return ""
        scheme, _, token = headers.get("authorization", "").partition(" ")
        gateway = None
        if scheme.lower() == "bearer" and token.strip() and self._tokens is not None:
            gateway = self._tokens.gateway_of(token.strip())
        if gateway is None:
            raise ProblemError(
                401,
                "No valid token",
                "send the header Authorization: Bearer TOKEN; tokentide collect token create --gateway NAME makes one",
                headers={"www-authenticate": 'Bearer realm="tokentide"'},
            )
        return gateway
