"""The maintenance component: what follows from stored events and is no consumer's work."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any

from tokentide_schemas.catalogue import load_catalogue
from tokentide_schemas.cube_file import load_cubes
from tokentide_sinks.catalogue_loader import learn_names
from tokentide_sinks.kept_views import KeptViews
from tokentide_sinks.retry import StoppedError, retries, until_available
from tokentide_sinks.settings import SinkSettings
from tokentide_sinks.store import Store
from tokentide_sinks.summed_weeks import sum_next_week
from tokentide_sinks.users import count_users

log = logging.getLogger(__name__)


class Maintenance:
    """Counts distinct users, learns the spellings of models, adds up weeks of rollups and keeps the results of slow
    views. One process is enough; two do not harm each other, as all it writes may be written twice.

    Raises CubeFileError.
    """

    def __init__(
        self, settings: SinkSettings, store: Store, stop: threading.Event, clock: Callable[[], float] = time.time
    ) -> None:
        self._settings = settings
        self._store = store
        self._stop = stop
        self._clock = clock
        self._catalogue = load_catalogue(settings.catalogue_paths)
        self._cubes = load_cubes(settings.cubes_file)
        self._kept_views = KeptViews(store)
        self.counted_pieces = 0
        self.learnt_names = 0
        self.summed_weeks = 0
        self.kept_views = 0

    def run(self, on_ready: Callable[[], None], on_tick: Callable[[dict[str, Any]], None]) -> None:
        """Work until `stop` is set. `on_tick` gets the counters about once a second."""
        on_ready()
        due = 0.0
        try:
            while not self._stop.is_set():
                now = self._clock()
                if now >= due:
                    more = until_available(self.step, "maintenance", self._stop, lambda: on_tick(self.status()))
                    due = now if more else now + self._settings.sink_maintenance_interval_s
                on_tick(self.status())
                self._stop.wait(min(1.0, max(0.0, due - self._clock())))
        except StoppedError as stopped:
            log.info("stopped while waiting for the store: %s", stopped)

    def step(self) -> int:
        """One round; returns how many pieces of work it did, so that the caller goes on at once while there are any."""
        pieces = count_users(self._store)
        self.counted_pieces += pieces
        learnt = learn_names(self._store, self._catalogue)
        if learnt:
            self.learnt_names += len(learnt)
            log.info("learnt %d spellings: %s", len(learnt), ", ".join(sorted(learnt)[:10]))
        self.kept_views += self._kept_views.step()
        if sum_next_week(self._store, self._cubes):
            self.summed_weeks += 1
            return pieces + 1
        return pieces

    def status(self) -> dict[str, Any]:
        """Counters since the start of the process."""
        return {
            "component": "maintenance",
            "updated_at_ms": int(self._clock() * 1000),
            "catalogue_version": self._catalogue.version,
            "counted_pieces_total": self.counted_pieces,
            "learnt_names_total": self.learnt_names,
            "summed_weeks_total": self.summed_weeks,
            "kept_views_total": self.kept_views,
            "store_retries_total": retries.total,
        }
