"""Noticing that the user's catalogue files have changed, so that a process can take new models up while it runs."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from tokentide_schemas.catalogue.catalogue import Catalogue
from tokentide_schemas.catalogue.loading import load_catalogue, user_files
from tokentide_schemas.catalogue.problems import CatalogueError

log = logging.getLogger(__name__)

_Seen = tuple[tuple[str, int, int], ...]


class CatalogueFiles:
    """The user's files and folders of catalogue files, as they were when they were looked at last."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = tuple(paths)
        self._seen = self._look()

    def changed(self) -> Catalogue | None:
        """The catalogue when files were changed, added or removed since the last call, else None.

        Files with errors change nothing: what is wrong is logged once, and the last good catalogue stays in use.
        """
        seen = self._look()
        if seen == self._seen:
            return None
        self._seen = seen
        try:
            return load_catalogue(self._paths)
        except CatalogueError as error:
            log.error("the catalogue files have changed but cannot be used, so the former stay in use: %s", error)
            return None

    def _look(self) -> _Seen:
        found = []
        for path in self._paths:
            for file in user_files(path):
                try:
                    status = file.stat()
                except FileNotFoundError:
                    continue  # that it is gone is a change as well
                found.append((str(file), status.st_mtime_ns, status.st_size))
        return tuple(found)
