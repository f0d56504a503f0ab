"""The board's address and token, and the environment variables by which its process is told what it needs."""

from __future__ import annotations

import os
import secrets
import socket
from typing import Final

CLICKHOUSE_VARIABLE: Final = "TOKENTIDE_BOARD_CLICKHOUSE_URL"
TOKEN_VARIABLE: Final = "TOKENTIDE_BOARD_TOKEN"


def board_token() -> str:
    """What a reader has to know where the board is bound beyond loopback: TOKENTIDE_BOARD_TOKEN, else a new one."""
    return os.environ.get(TOKEN_VARIABLE) or secrets.token_urlsafe(24)


def board_url(host: str, port: int, token: str) -> str:
    """The address to open; it holds the token where there is one, and the page drops it from the address bar."""
    name = {"0.0.0.0": socket.gethostname(), "::": socket.gethostname()}.get(host, host)
    name = f"[{name}]" if ":" in name else name
    return f"http://{name}:{port}/" + (f"?token={token}" if token else "")
