"""Keeping the results of slow views: made again when their tables have changed, no more often than pays."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from tokentide_schemas.kept_views import KEPT_VIEWS_TABLE, VIEWS, KeptView, keep, sources
from tokentide_sinks.store import Store
from tokentide_sinks.summed_weeks import new_generation

PAUSE_S: Final = 300.0
"""Between two looks at a view's tables."""
COST_PAUSES: Final = 20.0
"""A view that took a second is left alone for so many: at most a twentieth of a core."""


class KeptViews:
    """The kept results; a process that starts anew makes each once. Two processes do not harm each other."""

    def __init__(self, store: Store, clock: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._clock = clock
        self._due: dict[str, float] = {}

    def step(self) -> int:
        """Look at what is due; how many results were made. Raises StoreError."""
        made = 0
        for view in VIEWS:
            started = self._clock()
            if started < self._due.get(view.name, started):
                continue
            made += self._refresh(view)
            now = self._clock()
            self._due[view.name] = now + max(PAUSE_S, COST_PAUSES * (now - started))
        return made

    def _refresh(self, view: KeptView) -> bool:
        store = self._store
        # Before the rows are read: what comes in between is seen as a change the next time.
        found = sorted(str(row[0]) for row in store.rows(sources(view)))
        kept = store.rows(f"SELECT generation, sources FROM {KEPT_VIEWS_TABLE} FINAL WHERE name = '{view.name}'")
        unchanged = bool(kept) and list(map(str, kept[0][1])) == found
        now_ms = int(store.rows("SELECT toUnixTimestamp64Milli(now64(3))")[0][0])
        generation = int(kept[0][0]) if unchanged else new_generation(now_ms)
        if not unchanged:
            store.command(keep(view, generation))
        names = ", ".join(f"'{name}'" for name in found)
        store.command(
            f"INSERT INTO {KEPT_VIEWS_TABLE} (name, generation, sources, checked_at) "
            f"VALUES ('{view.name}', {generation}, [{names}], now64(3))"
        )
        self._drop_old(view, generation)
        return not unchanged

    def _drop_old(self, view: KeptView, current: int) -> None:
        rows = self._store.rows(
            "SELECT DISTINCT toUInt64(partition) FROM system.parts WHERE active AND database = currentDatabase() "
            "AND table = {table:String}",
            {"table": view.table},
        )
        stored = sorted((int(row[0]) for row in rows), reverse=True)
        # The one before is for queries that chose it a moment ago.
        for generation in stored[2:]:
            if generation != current:
                self._store.command(f"ALTER TABLE {view.table} DROP PARTITION {generation}")
