"""Bearer tokens of gateways: a file of their SHA-256, re-read when it changes.

A token is 256 random bits, so a plain hash at rest can neither be turned back nor guessed. To rotate, create a second
token for the same gateway, change the gateway over, revoke the first.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import hmac
import json
import logging
import os
import re
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Final

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

logger = logging.getLogger(__name__)

PREFIX: Final = "tokentide_"
_TOKEN_BYTES: Final = 32
_LOOK_EVERY_S: Final = 1.0
GATEWAY_PATTERN: Final = r"[\w.:@/+ -]{1,128}"


class TokenEntry(BaseModel):
    """One token as the file has it. id: its name for list and revoke. sha256: hexadecimal."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str = Field(pattern=r"^[0-9a-f]{8}$")
    gateway: Annotated[str, Field(pattern=f"^{GATEWAY_PATTERN}$")]
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    created_at: AwareDatetime


class _File(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    tokens: tuple[TokenEntry, ...] = ()


class TokenFileError(Exception):
    """The token file cannot be used; the message names it and says what to do."""


def load(path: Path) -> tuple[TokenEntry, ...]:
    """The tokens of a file; none when it does not exist. Raises TokenFileError."""
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise TokenFileError(f"the token file {path} cannot be read: {error.strerror}") from None
    try:
        return _File.model_validate_json(text).tokens
    except ValidationError as error:
        places = ", ".join(".".join(map(str, item["loc"])) or "the file" for item in error.errors(include_input=False))
        raise TokenFileError(
            f"the token file {path} is damaged at {places}: restore it, or remove it and create the tokens anew"
        ) from None


def create(path: Path, gateway: str, now: dt.datetime) -> tuple[str, TokenEntry]:
    """Add a token for a gateway: the token itself, which is nowhere else, and its entry. Raises TokenFileError."""
    if not re.fullmatch(GATEWAY_PATTERN, gateway):
        raise TokenFileError("a gateway's name has 1 to 128 letters, digits, spaces and . : @ / + - _")
    token = PREFIX + secrets.token_urlsafe(_TOKEN_BYTES)
    entry = TokenEntry(id=secrets.token_hex(4), gateway=gateway, sha256=_digest(token).hex(), created_at=now)
    _save(path, (*load(path), entry))
    return token, entry


def revoke(path: Path, token_id: str) -> TokenEntry:
    """Remove a token; a running collector refuses it within a second or two. Raises TokenFileError."""
    entries = load(path)
    found = [entry for entry in entries if entry.id == token_id]
    if not found:
        raise TokenFileError(f"{path} has no token {token_id}: tokentide collect token list shows them")
    _save(path, tuple(entry for entry in entries if entry.id != token_id))
    return found[0]


def _save(path: Path, entries: tuple[TokenEntry, ...]) -> None:
    partial = path.with_name(f".{path.name}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.unlink(missing_ok=True)
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump({"tokens": [entry.model_dump(mode="json") for entry in entries]}, file, indent=1)
            file.write("\n")
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        raise TokenFileError(f"the token file {path} cannot be written: {error.strerror}") from None


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "replace")).digest()


class Tokens:
    """The tokens that are valid now. Raises TokenFileError when the file cannot be used at the start.

    Later a damaged file changes nothing and is logged; a removed one makes every token invalid.
    """

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._clock = clock
        self._entries = [(bytes.fromhex(entry.sha256), entry.gateway) for entry in load(path)]
        self._signature = self._sign()
        self._looked_at_s = clock()

    def __len__(self) -> int:
        return len(self._entries)

    def exist(self) -> bool:
        """Whether there is any token now."""
        self._refresh()
        return bool(self._entries)

    def gateway_of(self, token: str) -> str | None:
        """The gateway that a token belongs to, None for an unknown token. Compares with every token, in full."""
        self._refresh()
        given = _digest(token)
        found = None
        for digest, gateway in self._entries:
            if hmac.compare_digest(digest, given):
                found = gateway
        return found

    def _refresh(self) -> None:
        now_s = self._clock()
        if now_s - self._looked_at_s < _LOOK_EVERY_S:
            return
        self._looked_at_s = now_s
        signature = self._sign()
        if signature == self._signature:
            return
        self._signature = signature
        try:
            self._entries = [(bytes.fromhex(entry.sha256), entry.gateway) for entry in load(self._path)]
        except TokenFileError as error:
            logger.error("%s; the tokens of before stay valid", error)

    def _sign(self) -> tuple[int, int, int]:
        try:
            found = self._path.stat()
        except OSError:
            return (0, 0, 0)
        return (found.st_ino, found.st_mtime_ns, found.st_size)
