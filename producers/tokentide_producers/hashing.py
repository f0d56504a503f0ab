"""Keyed hashes of identifiers: users, sessions and API keys leave a gateway only in this form."""

from __future__ import annotations

import hashlib
import hmac
from functools import lru_cache
from typing import Final

from tokentide_schemas.columns import HASH_BYTES, NO_HASH

CACHED_IDENTIFIERS: Final = 65_536


class IdentifierHasher:
    """HMAC-SHA256 of an identifier, cut to 16 bytes; one key gives the same hash in every process.

    key: the secret, text or bytes. cached: how many recent identifiers are kept, so that a busy user costs no hashing.
    Raises ValueError for an empty key: an unkeyed hash of a user's name can be guessed by trying names.
    """

    def __init__(self, key: str | bytes, *, cached: int = CACHED_IDENTIFIERS) -> None:
        secret = key.encode() if isinstance(key, str) else bytes(key)
        if not secret.strip():
            raise ValueError("the hash key is empty: set TOKENTIDE_EMITTER_HASH_KEY to a secret all gateways share")

        @lru_cache(maxsize=cached)
        def digest(identifier: str) -> bytes:
            return hmac.digest(secret, identifier.encode(), hashlib.sha256)[:HASH_BYTES]

        self._digest = digest

    def __call__(self, identifier: str) -> bytes:
        """The 16 bytes for `user_hash`, `session_hash` or `api_key_hash`; '' is unknown and stays so (`NO_HASH`)."""
        return self._digest(identifier) if identifier else NO_HASH
