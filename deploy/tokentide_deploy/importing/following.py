"""Reads a traces table once, or again and again: rows that come late are found by reading some time back each time."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

from tokentide_deploy.errors import DeployError
from tokentide_deploy.importing.session import Session, warn
from tokentide_deploy.importing.traces_table import TracesTable
from tokentide_producers.importing.problems import BadRow
from tokentide_producers.importing.reading import SourceRow
from tokentide_producers.importing.run import Result
from tokentide_producers.importing.traces import TIME, Traces

_MAX_PAUSE_S: Final = 60.0


class Following:
    """since_ms: where the first reading begins, None for the table's beginning. overlap_ms: how far back of the newest
    row each later reading begins; the ledger knows what of it was imported."""

    def __init__(self, session: Session, table: TracesTable, result: Result, overlap_ms: int) -> None:
        self._importing = session.importing(Traces(), result)
        self._session = session
        self._table = table
        self._overlap_ms = overlap_ms
        self._newest_ms: int | None = None

    def read(self, since_ms: int | None) -> None:
        """One reading; when it returns, all of it is acknowledged."""
        self._importing.take(self._watched(self._table.rows(since_ms)))
        if self._session.delivery is not None:
            self._session.delivery.finish()

    def follow(self, since_ms: int | None, poll_s: float) -> None:
        """Read until the process is told to end; a source that does not answer is asked again."""
        with _told_to_end() as end:
            pause_s = poll_s
            while not end.is_set():
                try:
                    before = self._importing.result.new_events
                    self.read(since_ms)
                except DeployError as error:
                    pause_s = min(max(pause_s, poll_s) * 2, _MAX_PAUSE_S)
                    warn(f"{error} Trying again in {pause_s:.0f} s.")
                else:
                    pause_s = poll_s
                    if self._newest_ms is not None:
                        since_ms = self._newest_ms - self._overlap_ms
                    new = self._importing.result.new_events - before
                    if new:
                        warn(f"{time.strftime('%H:%M:%S')}: {new:,} new events")
                end.wait(pause_s)

    def _watched(self, rows: Iterator[SourceRow]) -> Iterator[SourceRow | BadRow]:
        for row in rows:
            moment = row.row.get(TIME)
            if moment is not None:
                ms = int(moment.timestamp() * 1000)
                self._newest_ms = ms if self._newest_ms is None else max(self._newest_ms, ms)
            yield row


@contextmanager
def _told_to_end() -> Iterator[threading.Event]:
    """An event that SIGINT and SIGTERM set: the reading under way is finished first."""
    end = threading.Event()

    def note(_number: int, _frame: FrameType | None) -> None:
        if end.is_set():
            # Told twice: not even the acknowledgements are waited for. They are in the ledger as still to come.
            raise KeyboardInterrupt
        end.set()

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield end
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
