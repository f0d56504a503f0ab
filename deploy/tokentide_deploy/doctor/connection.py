"""Why a connection does not come about: nobody there, TLS on one side only, a certificate, a password."""

from __future__ import annotations

import socket
import ssl
from dataclasses import dataclass
from typing import Literal

Trouble = Literal["", "unreachable", "tls", "credentials", "other"]


@dataclass(frozen=True)
class Connection:
    """What was found at an address. detail: in words, without any password."""

    address: str
    trouble: Trouble
    detail: str = ""


def look(host: str, port: int, wants_tls: bool, context: ssl.SSLContext | None, timeout_s: float) -> Connection:
    """Connect, and with TLS shake hands; nothing is sent beyond that. Ends within about twice the timeout."""
    address = f"{host}:{port}"
    try:
        plain = socket.create_connection((host, port), timeout_s)
    except OSError as error:
        return Connection(address, "unreachable", f"{address}: {error.strerror or error}")
    with plain:
        if not wants_tls:
            speaks = _speaks_tls(plain, host)
            return Connection(address, "tls", f"{address} speaks TLS, we do not") if speaks else Connection(address, "")
        try:
            with (context or ssl.create_default_context()).wrap_socket(plain, server_hostname=host):
                return Connection(address, "")
        except ssl.SSLCertVerificationError as error:
            return Connection(address, "tls", f"{address}: its certificate is not accepted: {error.verify_message}")
        except (ssl.SSLError, OSError) as error:
            reason = getattr(error, "reason", None) or type(error).__name__
            return Connection(address, "tls", f"{address} does not answer TLS ({reason})")


def _speaks_tls(plain: socket.socket, host: str) -> bool:
    context = ssl.create_default_context()
    # Only the question whether it is TLS at all: nothing is sent that needs to be secret.
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    plain.settimeout(1.0)
    try:
        with context.wrap_socket(plain, server_hostname=host):
            return True
    except ssl.SSLError as error:
        # An alert is an answer in TLS, as from a server that asks for our certificate.
        return "ALERT" in str(error.reason)
    except OSError:
        return False
