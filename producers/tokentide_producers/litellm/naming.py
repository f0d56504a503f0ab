"""Names for the mapping: models and providers by the catalogue, identifiers by the hash key."""

from __future__ import annotations

import logging
from collections.abc import Callable

from tokentide_producers.catalogue_names import configured_catalogue
from tokentide_producers.litellm.mapping import Naming
from tokentide_schemas.catalogue import Catalogue, CatalogueError
from tokentide_schemas.columns import NO_HASH

logger = logging.getLogger(__name__)
_MAX_IDENTIFIER_CHARS = 512


def catalogue_or_none() -> Catalogue | None:
    """The shipped and the user's catalogue; None, and a line in the log, when it cannot be read."""
    try:
        return configured_catalogue()
    except CatalogueError as error:
        logger.error("the model catalogue cannot be read, models stay as LiteLLM names them: %s", error)
        return None


def naming(catalogue: Catalogue | None, hashed: Callable[[str], bytes], *, app_from_key_alias: bool) -> Naming:
    """hashed: the emitter's hash, which raises ValueError while there is no key."""
    told = False

    def model(asked: str, answered: tuple[str, ...]) -> str:
        if catalogue is None:
            return answered[0] if answered else asked
        # The asked name may be the proxy's own word for anything, so it comes last; the last answered one is the bare
        # name that the provider was sent.
        for name in (*answered, asked):
            if catalogue.model(name) is not None:
                return catalogue.resolve(name)
        return catalogue.resolve(answered[-1] if answered else asked)

    def hash_or_none(identifier: str) -> bytes:
        nonlocal told
        if not identifier or len(identifier) > _MAX_IDENTIFIER_CHARS:
            return NO_HASH
        try:
            return hashed(identifier)
        except ValueError as error:
            if not told:
                told = True
                logger.warning("users and keys stay unknown in usage events: %s", error)
            return NO_HASH

    def provider(name: str) -> str:
        return catalogue.resolve_provider(name) if catalogue is not None else name

    return Naming(model, provider, hash_or_none, app_from_key_alias)
