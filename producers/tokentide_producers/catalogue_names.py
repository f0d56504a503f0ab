"""Canonical names by the catalogue, the shipped one and the user's own files, read when the first name is asked for."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from tokentide_schemas.catalogue import Catalogue, CatalogueError, load_catalogue
from tokentide_schemas.settings import CatalogueSettings, SettingsError, read_settings

logger = logging.getLogger(__name__)


def configured_catalogue() -> Catalogue:
    """The shipped catalogue with the user's files (TOKENTIDE_CATALOGUE_PATHS). Raises CatalogueError, SettingsError."""
    return load_catalogue(read_settings(CatalogueSettings).catalogue_paths)


class CatalogueNames:
    """Reading the catalogue takes up to seconds: ask from a background thread. Threads may share one.

    resolve_model: used for models instead of the catalogue, when given.
    """

    def __init__(self, resolve_model: Callable[[str], str] | None = None) -> None:
        self.problem = ""
        """Why the catalogue cannot be read; then names stay as they were given."""
        self._resolve_model = resolve_model
        self._lock = threading.Lock()
        self._is_read = False
        self._catalogue: Catalogue | None = None

    def resolve(self, model: str) -> str:
        """The canonical id of a model; the name itself when nothing is known of it."""
        if self._resolve_model is not None:
            return self._resolve_model(model)
        catalogue = self._read()
        return model if catalogue is None else catalogue.resolve(model)

    def answering_model(self, asked_for: str, answered_by: str) -> str:
        """The canonical id of the model that answered; of the one that was asked for when that one says nothing."""
        if self._resolve_model is not None:
            return self._resolve_model(answered_by or asked_for)
        catalogue = self._read()
        # What has answered is what is paid for, when the catalogue knows it; a router's own name helps nobody.
        if answered_by and (catalogue is None or catalogue.model(answered_by) is not None):
            return self.resolve(answered_by)
        return self.resolve(asked_for)

    def provider(self, name: str) -> str:
        """The catalogue's id of a provider; the name itself when nothing is known of it."""
        catalogue = self._read()
        return name if catalogue is None else catalogue.resolve_provider(name)

    def _read(self) -> Catalogue | None:
        with self._lock:
            if not self._is_read:
                self._is_read = True
                try:
                    self._catalogue = configured_catalogue()
                except (CatalogueError, SettingsError) as error:
                    # Events are worth more than canonical names: readers take the requested model where none is given.
                    self.problem = f"the model catalogue cannot be read, models stay as requested: {error}"
                    logger.error("%s", self.problem)
            return self._catalogue
