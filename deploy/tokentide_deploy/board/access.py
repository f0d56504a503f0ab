"""Who may look: the Host header, the token and its cookie. Pure policy, no IO."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from tokentide_schemas.network import is_loopback

COOKIE: Final = "tokentide_board"
SECURITY_HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; frame-ancestors 'none'; "
        "form-action 'self'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


@dataclass(frozen=True, slots=True)
class BoardAccess:
    """`host`: the address that the board listens on. `token`: what a reader has to know; '' when nobody has to.

    `allowed_hosts`: further names under which the board is reached, as behind a proxy.
    """

    host: str
    token: str = field(default="", repr=False)
    allowed_hosts: frozenset[str] = frozenset()

    def is_known_host(self, header: str) -> bool:
        """False for a name that somebody else's DNS may have led here.

        An address cannot be rebound, so where the board is bound beyond loopback every address is fine.
        """
        name = _host_name(header)
        if not name:
            return False
        if is_loopback(name) or name == self.host.lower() or name in self.allowed_hosts:
            return True
        if is_loopback(self.host):
            return False
        try:
            ipaddress.ip_address(name.strip("[]"))
        except ValueError:
            return False
        return True

    def is_own_page(self, headers: Mapping[str, str]) -> bool:
        """False when a page of another origin made the request."""
        origin = headers.get("origin", "").lower()
        if origin and origin.partition("://")[2] != headers.get("host", "").lower():
            return False
        return headers.get("sec-fetch-site", "none").lower() in ("none", "same-origin")

    @property
    def cookie_value(self) -> str:
        """Proves knowledge of the token without being it."""
        return hmac.new(self.token.encode(), b"tokentide board session", hashlib.sha256).hexdigest()

    def is_token(self, offered: str) -> bool:
        """Compares in constant time; nothing is the token where none is needed."""
        return bool(self.token) and hmac.compare_digest(offered.encode(), self.token.encode())

    def may_look(self, authorization: str, cookie: str) -> bool:
        """By bearer token or by the cookie that a login set."""
        if not self.token:
            return True
        scheme, _, offered = authorization.partition(" ")
        if scheme.lower() == "bearer" and self.is_token(offered.strip()):
            return True
        return hmac.compare_digest(cookie.encode(), self.cookie_value.encode())


def _host_name(header: str) -> str:
    header = header.strip().lower()
    if header.startswith("["):
        return header.partition("]")[0] + "]"
    return header.partition(":")[0]
