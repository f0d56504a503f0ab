"""Taking events over from a gateway's threads: without a lock where there is room, exactly where there is little."""

from __future__ import annotations

import logging
import queue
import threading
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Final

from tokentide_producers.batcher import Batcher, Row
from tokentide_producers.bell import Bell
from tokentide_producers.outcomes import DropReason, EmitResult
from tokentide_producers.owned_lock import OwnedLock
from tokentide_producers.rows import MAX_ROW_BYTES
from tokentide_producers.settings import EmitterSettings

logger = logging.getLogger(__name__)

OnDrop = Callable[[DropReason, int, str], None]
"""Called with the reason, the number of events and what to do about it; from `emit` or from the background thread."""

Completion = Callable[[], Mapping[str, Any]]
"""Gives the fields of one event; called once, in the background thread."""

FULL: Final = "Kafka takes events more slowly than they come, or is away: raise max_buffered_events or look at Kafka"
CLOSED: Final = "the emitter is closed"
_RACING_THREADS: Final = 256
"""So many threads may find room at the same moment, and each take it: the quick check keeps this much free."""
_REFUSALS_KEPT: Final = 1_000


class Intake(ABC):
    """The part of an emitter that holds what its background thread has not taken yet, within the settings' bounds."""

    def __init__(self, settings: EmitterSettings, on_drop: OnDrop | None) -> None:
        self.settings = settings
        self._on_drop = on_drop

    def _start_intake(self) -> None:
        settings = self.settings
        self._lock = OwnedLock()
        self._bell = Bell()
        self._is_sleeping = False
        self._is_accepting = False
        # Their `put` takes no lock that the caller could hold: a destructor may emit in the middle of an emit.
        self._intake: queue.SimpleQueue[list[Any]] = queue.SimpleQueue()
        self._later: queue.SimpleQueue[Completion | threading.Event] = queue.SimpleQueue()
        self._refused: queue.SimpleQueue[DropReason] = queue.SimpleQueue()
        self._quick_events = settings.max_buffered_events - _RACING_THREADS
        self._quick_bytes = settings.max_buffered_bytes - _RACING_THREADS * MAX_ROW_BYTES
        self._changed = threading.Condition(self._lock)  # type: ignore[arg-type]  # it has all that a lock has
        self._batcher = Batcher(
            max_events=settings.batch_events, max_bytes=settings.batch_bytes, max_wait_s=settings.batch_wait_s
        )
        self._held_events = 0
        self._held_bytes = 0
        self._dropped: Counter[DropReason] = Counter()
        self._last_error = ""
        self._closed = False
        self._has_stopped = False
        self._thread: threading.Thread | None = None

    @abstractmethod
    def _start_thread(self) -> bool:
        """With the lock held: False when the interpreter is shutting down."""

    def _accept(self, row: Row, size_bytes: int) -> DropReason | None:
        queued = self._intake.qsize()
        if (
            not self._is_accepting
            or self._held_events + queued >= self._quick_events
            or self._held_bytes + queued * MAX_ROW_BYTES >= self._quick_bytes
        ):
            return self._take(row, size_bytes, self.settings.block_up_to_s)
        item = [row, size_bytes]
        self._intake.put(item)
        if self._is_sleeping:
            self._bell.ring()
        return None if self._is_accepting or self._is_taken(item) else DropReason.CLOSED

    def _begin(self) -> bool:
        """Start the thread if it is not running; False when the emitter is closed."""
        if self._lock.is_mine():
            return False
        with self._lock:
            return not self._closed and (self._thread is not None or self._start_thread())

    def _is_taken(self, item: list[Any]) -> bool:
        """After a close in the middle of `emit`: True when the thread has taken the item before it ended."""
        if self._lock.is_mine():
            return True
        with self._lock:
            if self._has_stopped:
                self._sweep()
            return not item or item[0] is not None

    def _sweep(self) -> None:
        """With the lock held, after the end of the thread: what came too late is refused."""
        while not self._intake.empty():
            self._intake.get_nowait()[0] = None
        while not self._later.empty():
            late = self._later.get_nowait()
            if isinstance(late, threading.Event):
                late.set()
            else:
                self._dropped[DropReason.CLOSED] += 1

    def _take(self, row: Row, size_bytes: int, wait_s: float) -> DropReason | None:
        """The careful way: with the lock, exact to the event, and waiting for room when the settings say so."""
        if self._lock.is_mine():
            return DropReason.BUFFER_FULL
        with self._lock:
            reason = self._reason_to_refuse(size_bytes, wait_s)
            if reason is None:
                self._held_events += 1
                self._held_bytes += size_bytes
                self._batcher.add(row, size_bytes, time.monotonic())
        if reason is None:
            self._bell.ring()
        return reason

    def _drain(self) -> None:
        """With the lock held: move what `emit` has taken over to the open batch."""
        now_s = time.monotonic()
        waiting = self._intake.qsize()
        # Counted before it is taken out, so that the quick check never sees too little.
        self._held_events += waiting
        for _ in range(waiting):
            row, size_bytes = self._intake.get_nowait()
            self._held_bytes += size_bytes
            self._batcher.add(row, size_bytes, now_s)

    def _reason_to_refuse(self, size_bytes: int, wait_s: float) -> DropReason | None:
        """With the lock held: None when there is room. Starts the thread with the first event."""
        in_background = threading.current_thread() is self._thread
        if (self._closed and not in_background) or (self._thread is None and not self._start_thread()):
            return DropReason.CLOSED
        self._drain()
        settings = self.settings
        deadline_s = time.monotonic() + wait_s
        while (
            self._held_events >= settings.max_buffered_events
            or self._held_bytes + size_bytes > settings.max_buffered_bytes
        ):
            left_s = deadline_s - time.monotonic()
            if wait_s == 0 or left_s <= 0 or not self._changed.wait(left_s):
                return DropReason.BUFFER_FULL
            if self._closed:
                return DropReason.CLOSED
            self._drain()
        return None

    def _refuse(self, reason: DropReason, detail: str) -> EmitResult:
        self._refused.put(reason)
        if reason is DropReason.INVALID:
            self._last_error = detail
        if self._refused.qsize() > _REFUSALS_KEPT and self._lock.acquire(blocking=False):
            try:
                self._count_refused()
            finally:
                self._lock.release()
        self._tell(reason, 1, detail)
        return EmitResult(reason, detail)

    def _count_refused(self) -> None:
        """With the lock held."""
        for _ in range(self._refused.qsize()):
            self._dropped[self._refused.get_nowait()] += 1

    def _tell(self, reason: DropReason, events: int, detail: str) -> None:
        if self._on_drop is None:
            return
        try:
            self._on_drop(reason, events, detail)
        except Exception:
            logger.exception("the on_drop callback raised")
