"""Names for the mapping of spans: models and providers by the catalogue, identifiers by the hash key."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

from tokentide_producers.hash_keys import HashKeyRing
from tokentide_producers.otlp.mapping import Naming
from tokentide_schemas.catalogue import Catalogue
from tokentide_schemas.columns import NO_HASH

_MAX_IDENTIFIER_CHARS = 512


def key_ring(hash_key: str, hash_keys: str) -> HashKeyRing | None:
    """The ring of the two settings, None without a key. Raises HashKeysError, ValueError."""
    if hash_keys.strip():
        return HashKeyRing.parse(hash_keys)
    return HashKeyRing.single(hash_key) if hash_key.strip() else None


def naming(catalogue: Catalogue, keys: HashKeyRing | None, on_without_key: Callable[[], None]) -> Naming:
    """on_without_key: called for each identifier that stays unknown because there is no key."""

    def model(asked_for: str, answered_by: str) -> str:
        # What has answered is what is paid for, when the catalogue knows it; a router's own name helps nobody.
        if answered_by and catalogue.model(answered_by) is not None:
            return catalogue.resolve(answered_by)
        return catalogue.resolve(asked_for)

    def provider(name: str) -> str:
        return catalogue.resolve_provider(name)

    def hashed(identifier: str) -> bytes:
        if not identifier or len(identifier) > _MAX_IDENTIFIER_CHARS:
            return NO_HASH
        if keys is None:
            on_without_key()
            return NO_HASH
        return keys.hash(identifier, dt.datetime.now(dt.UTC))

    return Naming(model, provider, hashed)
