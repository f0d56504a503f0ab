"""The emitter: a gateway's side of the platform. `emit` takes microseconds and never disturbs the request it reports.

    with Emitter("127.0.0.1:9092", gateway="gw-1") as emitter:
        emitter.emit(request_model="gpt-4o", provider="openai", input_uncached_tokens=812, output_tokens=64,
                     usage_reported=True, outcome="ok", category="programming")

With `settings.spool.directory` what Kafka does not acknowledge in time waits on disk, and is sent with its identity
when Kafka is back, by this process or by the next one. Threads share one emitter. After a fork the child's copy starts
anew: its own incarnation, empty buffers and a Kafka client of its own; what the parent had buffered stays the parent's.
"""

from __future__ import annotations

import asyncio
import atexit
import ctypes
import datetime as dt
import logging
import os
import queue
import threading
import time
import traceback
import weakref
from collections import Counter
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final, Self
from uuid import UUID

from tokentide_producers.batcher import Batch, Batcher, Row
from tokentide_producers.bell import Bell
from tokentide_producers.catalogue_names import CatalogueNames
from tokentide_producers.categories.categorizer import Categorizer, own_label
from tokentide_producers.categories.inputs import CategoryInput
from tokentide_producers.categories.settings import environment_categorizer
from tokentide_producers.emitter_stats import EmitterStats
from tokentide_producers.event_ids import EventIds
from tokentide_producers.hash_keys import HashKeyRing
from tokentide_producers.outcomes import ACCEPTED, DropReason, EmitResult
from tokentide_producers.outgoing import OutgoingEnvelope
from tokentide_producers.owned_lock import OwnedLock
from tokentide_producers.request import Request
from tokentide_producers.row_encoding import encode_rows
from tokentide_producers.rows import MAX_ROW_BYTES, InvalidEventError, RowBuilder
from tokentide_producers.sender import EnvelopeSender, SenderStats
from tokentide_producers.settings import EmitterSettings
from tokentide_producers.spool.directory import SUFFIX as SEGMENT_SUFFIX
from tokentide_producers.spool.spooling_sender import SpoolingSender, SpoolStats
from tokentide_schemas.envelope import encode_arrow
from tokentide_schemas.event import Source, UsageEvent
from tokentide_schemas.settings import read_settings

logger = logging.getLogger(__name__)

OnDrop = Callable[[DropReason, int, str], None]
"""Called with the reason, the number of events and what to do about it; from `emit` or from the background thread."""

Completion = Callable[[], Mapping[str, Any]]
"""Gives the fields of one event; called once, in the background thread."""

_POLL_S: Final = 0.02
_IDLE_S: Final = 1.0
_RACING_THREADS: Final = 256
"""So many threads may find room at the same moment, and each take it: the quick check keeps this much free."""
_REFUSALS_KEPT: Final = 1_000
_FULL: Final = "Kafka takes events more slowly than they come, or is away: raise max_buffered_events or look at Kafka"
_CLOSED: Final = "the emitter is closed"


class Emitter:
    """Sends usage events to Kafka in micro-batches from a background thread.

    bootstrap_servers: Kafka's host:port list. gateway, gateway_region, source: defaults of those fields.
    on_drop: told about every event that will not be stored. resolve_model: from the requested to the canonical model;
    the shipped catalogue's when left out. categories: gives events without a category one; from the
    environment (`CategorySettings`) when left out. settings: likewise. Raises ValidationError, CategoriesFileError or
    ClassifierUnavailableError for what cannot be used; nothing is connected before the first event.
    """

    def __init__(
        self,
        bootstrap_servers: str,
        *,
        gateway: str = "",
        gateway_region: str = "",
        source: Source = Source.SDK,
        settings: EmitterSettings | None = None,
        on_drop: OnDrop | None = None,
        resolve_model: Callable[[str], str] | None = None,
        categories: Categorizer | None = None,
        extra_kafka_config: dict[str, Any] | None = None,
    ) -> None:
        if not bootstrap_servers.strip():
            raise ValueError("bootstrap_servers is empty: give Kafka's host:port")
        self.settings = settings if settings is not None else read_settings(EmitterSettings)
        self._bootstrap_servers = bootstrap_servers
        self._gateway, self._gateway_region, self._source = gateway, gateway_region, source
        self._on_drop = on_drop
        self.names = CatalogueNames(resolve_model)
        """From names as they are used to the catalogue's; slow the first time, so for the background thread."""
        self._categories = categories if categories is not None else environment_categorizer()
        self._extra_kafka_config = extra_kafka_config
        self._keys: HashKeyRing | None = None
        self._start_incarnation()
        _living.add(self)
        directory = self.settings.spool.directory
        if directory is not None and any(directory.glob(f"*{SEGMENT_SUFFIX}")):
            # A predecessor has left events behind: they are not to wait for the first new one.
            with self._lock:
                self._start_thread()

    def _start_incarnation(self) -> None:
        settings = self.settings
        self._rows = RowBuilder(gateway=self._gateway, gateway_region=self._gateway_region, source=self._source)
        self._ids = EventIds()
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
        self._sender = self._new_sender()
        self._pending: dict[int, Batch] = {}
        self._batch_of: dict[int, Batch] = {}
        self._held_events = 0
        self._held_bytes = 0
        self._acknowledged = 0
        self._spooled = 0
        self._lost = 0
        self._dropped: Counter[DropReason] = Counter()
        self._last_error = ""
        self._take_all = False
        self._closed = False
        self._stop = False
        self._has_stopped = False
        self._thread: threading.Thread | None = None
        self.undelivered: list[OutgoingEnvelope] = []

    def _new_sender(self) -> EnvelopeSender | SpoolingSender:
        settings = self.settings
        if settings.spool.directory is None:
            return EnvelopeSender(
                self._bootstrap_servers,
                settings=settings.sender,
                on_settled=self._on_settled,
                extra_config=self._extra_kafka_config,
            )
        return SpoolingSender(
            self._bootstrap_servers,
            settings=settings.sender,
            spool=settings.spool,
            on_settled=self._on_settled,
            on_spooled=self._on_spooled,
            on_evicted=self._on_evicted,
            extra_config=self._extra_kafka_config,
        )

    @property
    def producer_id(self) -> str:
        """This incarnation's id, in the `tokentide-producer` header of its envelopes."""
        return self._sender.producer_ids[0]

    def emit(
        self, event: UsageEvent | None = None, /, *, category_input: CategoryInput | None = None, **fields: Any
    ) -> EmitResult:
        """Take over one event, as a validated `UsageEvent` or as its fields; `occurred_at` is now when left out.

        category_input: what `categories` may look at besides, for an event without a category; not stored.
        Does not wait (unless `block_up_to_s` is set) and does not raise: the result says whether the event was
        accepted, and if not, why and what to do. Accepted means buffered; `flush` tells when it is stored for good.
        """
        try:
            if event is None:
                row, size_bytes = self._rows.from_fields(fields, time.time_ns() // 1_000_000)
                own_label(row)
            elif fields or not isinstance(event, UsageEvent):
                raise TypeError("give either one UsageEvent or fields by name")
            else:
                row, size_bytes = self._rows.from_event(event)
            labelling = self._categories.begin(row, category_input) if self._categories is not None else None
        except InvalidEventError as error:
            return self._refuse(DropReason.INVALID, f"{error.reason}: {error}")
        except Exception as error:  # noqa: BLE001 - an argument's own code may raise anything, and emit must not
            return self._refuse(DropReason.INVALID, f"the fields cannot be read ({type(error).__name__})")
        reason = self._accept(row, size_bytes)
        if reason is not None:
            return self._refuse(reason, _FULL if reason is DropReason.BUFFER_FULL else _CLOSED)
        if labelling is not None:
            labelling.submit()
        return ACCEPTED

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

    @property
    def categories(self) -> Categorizer | None:
        """Who gives events without a category one; None for nobody."""
        return self._categories

    def emit_later(self, completion: Completion) -> EmitResult:
        """Take over an event whose fields take longer to make than a request should wait: `completion` gives them in
        the background thread. Takes no lock, so a destructor may call it. `flush` and `close` wait for these too.
        `category_input` may be among the fields.

        A completion that raises, or gives fields that are no event, is counted as `invalid`.
        """
        if not self._is_accepting and not self._begin():
            return self._refuse(DropReason.CLOSED, _CLOSED)
        if self._later.qsize() >= self.settings.max_buffered_events:
            return self._refuse(DropReason.BUFFER_FULL, _FULL)
        self._later.put(completion)
        if self._is_sleeping:
            self._bell.ring()
        if self._has_stopped:
            self._is_taken([])
        return ACCEPTED

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

    def request(self, **fields: Any) -> Request:
        """A context manager that times one request and emits its event however it ends; see `Request`."""
        return Request(self, fields)

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

    def start(self) -> None:
        """Start the background thread before the first event: an interpreter that is exiting can start none."""
        if self._thread is None:
            with self._lock:
                if self._thread is None and not self._closed:
                    self._start_thread()

    def _start_thread(self) -> bool:
        thread = threading.Thread(target=self._run, name="tokentide-emitter", daemon=True)
        try:
            thread.start()
        except RuntimeError:
            return False  # the interpreter is shutting down
        self._thread = thread
        self._is_accepting = not self._closed
        return True

    def new_event_id(self) -> UUID:
        """An id for an event, for callers that need to know it; `emit` gives one to events without."""
        return self._ids.next(time.time_ns() // 1_000_000)

    def hash(self, identifier: str) -> bytes:
        """The keyed hash of a user, session or API key, under the key that is valid now.

        Raises ValueError when neither `settings.hash_key` nor `settings.hash_keys` gives one.
        """
        if self._keys is None:
            several = self.settings.hash_keys.get_secret_value()
            self._keys = (
                HashKeyRing.parse(several) if several else HashKeyRing.single(self.settings.hash_key.get_secret_value())
            )
        return self._keys.hash(identifier, dt.datetime.now(dt.UTC))

    def flush(self, timeout_s: float) -> bool:
        """Wait until Kafka, or the spool, has all events accepted so far; False when time is over or one was lost."""
        deadline_s = time.monotonic() + timeout_s
        if not self._completed(timeout_s):
            return False
        with self._lock:
            self._drain()
            target = self._batcher.added
            self._take_all = True
            self._bell.ring()
            while self._oldest_unsettled() < target:
                left_s = deadline_s - time.monotonic()
                if left_s <= 0:
                    return False
                self._changed.wait(left_s)
            return self._lost == 0

    def _completed(self, timeout_s: float) -> bool:
        """Wait for what `emit_later` has taken over so far."""
        thread = self._thread
        if thread is None or self._has_stopped or thread is threading.current_thread():
            return True
        done = threading.Event()
        self._later.put(done)
        self._bell.ring()
        if self._has_stopped:
            self._is_taken([])
        return done.wait(max(0.0, timeout_s))

    def _oldest_unsettled(self) -> int:
        return next(iter(self._pending), self._batcher.oldest_event)

    def close(self, timeout_s: float | None = None) -> bool:
        """Refuse further events, flush, stop the thread. False when not everything was acknowledged in time.

        What is left then stands in `undelivered` with its identity and is counted as `unacknowledged_at_close`.
        """
        timeout = self.settings.close_timeout_s if timeout_s is None else timeout_s
        with self._lock:
            self._closed = True
            self._is_accepting = False
            self._changed.notify_all()
        done = self.flush(timeout) if self._thread is not None else self._lost == 0
        with self._lock:
            self._stop = True
            self._bell.ring()
        if self._thread is not None:
            self._thread.join()
        _living.discard(self)
        return done

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def aflush(self, timeout_s: float) -> bool:
        """`flush` for asyncio: the event loop goes on meanwhile."""
        return await asyncio.to_thread(self.flush, timeout_s)

    async def aclose(self, timeout_s: float | None = None) -> bool:
        """`close` for asyncio: the event loop goes on meanwhile."""
        return await asyncio.to_thread(self.close, timeout_s)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def stats(self) -> EmitterStats:
        """A consistent snapshot."""
        with self._lock:
            self._drain()
            self._count_refused()
            sender: SenderStats = self._sender.stats()
            return EmitterStats(
                accepted=self._batcher.added,
                acknowledged=self._acknowledged,
                spooled=self._spooled,
                in_flight=self._batcher.added - self._acknowledged - self._spooled - self._lost,
                dropped=MappingProxyType(dict(self._dropped)),
                envelopes=sender.acknowledged_envelopes,
                bytes=sender.acknowledged_bytes,
                retries=sender.retries,
                spool=self._sender.spool_stats() if isinstance(self._sender, SpoolingSender) else SpoolStats(),
                last_error=self._sender.last_error or self._last_error or self.names.problem,
            )

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

    # The background thread

    def _run(self) -> None:
        while True:
            self._complete_later()
            with self._lock:
                self._drain()
                now_s = time.monotonic()
                batches = self._batcher.take(now_s, everything=self._take_all or self._stop)
                self._take_all = False
                self._pending.update((batch.first_event, batch) for batch in batches)
                due_s = self._batcher.due_in_s(now_s)
                stop = self._has_stopped = self._stop
                if stop:
                    self._sweep()
            for batch in batches:
                self._encode_and_submit(batch)
            if stop:
                break
            if not self._sender.outstanding_envelopes and not batches:
                self._sleep(due_s)
            try:
                self._sender.service(_POLL_S if self._sender.outstanding_envelopes else 0.0)
            except Exception:
                # Whatever it is, the events are still held: go on, so that they are sent when it has passed.
                logger.exception("sending to Kafka failed unexpectedly; trying again")
                time.sleep(_POLL_S)
        self.undelivered = self._sender.close(0.0)

    def _sleep(self, due_s: float | None) -> None:
        """Until the open batch is due, or with nothing to do until an event comes. `flush` and `close` ring too."""
        if due_s is not None:
            # Events do not ring while a batch is open, as waking costs more than they do: look for a full one.
            self._bell.sleep(min(due_s, _POLL_S))
            return
        self._is_sleeping = True
        try:
            if self._intake.empty() and self._later.empty():
                self._bell.sleep(_IDLE_S)
        finally:
            self._is_sleeping = False

    def _complete_later(self) -> None:
        for _ in range(self._later.qsize()):
            completion = self._later.get_nowait()
            if isinstance(completion, threading.Event):
                completion.set()
                continue
            try:
                fields = dict(completion())
                category_input = fields.pop("category_input", None)
                row, size_bytes = self._rows.from_fields(fields, time.time_ns() // 1_000_000)
                own_label(row)
                labelling = self._categories.begin(row, category_input) if self._categories is not None else None
            except InvalidEventError as error:
                self._refuse(DropReason.INVALID, f"{error.reason}: {error}")
            except Exception as error:  # noqa: BLE001 - the next event is to be sent whatever this one raises
                # Where, but not the message: it could hold what was being read.
                where = "".join(traceback.format_tb(error.__traceback__))
                logger.error("an event's fields could not be made (%s):\n%s", type(error).__name__, where)
                self._refuse(DropReason.INVALID, f"the fields cannot be made ({type(error).__name__})")
            else:
                reason = self._take(row, size_bytes, 0.0)
                if reason is not None:
                    self._refuse(reason, _FULL if reason is DropReason.BUFFER_FULL else _CLOSED)
                elif labelling is not None:
                    labelling.submit()

    def _encode_and_submit(self, batch: Batch) -> None:
        try:
            if self._categories is not None:
                # With many events behind these, labels are not worth waiting for.
                is_busy = self._held_events > self.settings.max_buffered_events // 4
                wait_s = 0.0 if is_busy else self.settings.label_wait_s
                self._categories.settle(batch.rows, self.names.resolve, wait_s)
            columns = encode_rows(
                batch.rows, ids=self._ids, now_ms=time.time_ns() // 1_000_000, resolve_model=self.names.resolve
            )
            value = encode_arrow(columns)
        except Exception as error:
            logger.exception("a batch of %d events could not be encoded", len(batch.rows))
            self._finish(batch, DropReason.NOT_ENCODED, f"{type(error).__name__} while encoding; see the log")
            return
        batch.rows.clear()
        self._batch_of[id(self._sender.submit(value, columns.num_rows))] = batch

    def _on_settled(self, envelope: OutgoingEnvelope, reason: DropReason | None) -> None:
        self._finish(self._batch_of.pop(id(envelope)), reason, self._sender.last_error, envelope.events)

    def _on_spooled(self, envelope: OutgoingEnvelope) -> None:
        self._finish(self._batch_of.pop(id(envelope)), None, "", envelope.events, is_spooled=True)

    def _on_evicted(self, events: int, detail: str) -> None:
        with self._lock:
            self._dropped[DropReason.SPOOL_EVICTED] += events
        self._tell(DropReason.SPOOL_EVICTED, events, detail)

    def _finish(
        self,
        batch: Batch,
        reason: DropReason | None,
        detail: str,
        events: int | None = None,
        *,
        is_spooled: bool = False,
    ) -> None:
        count = len(batch.rows) if events is None else events
        with self._lock:
            del self._pending[batch.first_event]
            self._held_events -= count
            self._held_bytes -= batch.size_bytes
            if reason is None and is_spooled:
                self._spooled += count
            elif reason is None:
                self._acknowledged += count
            else:
                self._lost += count
                self._dropped[reason] += count
            self._changed.notify_all()
        if reason is not None:
            self._tell(reason, count, detail)

    # Fork and exit

    def _after_fork_in_child(self) -> None:
        kafka = self._sender.abandon()
        if kafka is not None:
            # Its threads do not exist in the child, so its destructor would wait for them for ever: never run it.
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(kafka))
        closed = self._closed
        self._start_incarnation()
        self._closed = closed


_living: weakref.WeakSet[Emitter] = weakref.WeakSet()


def _restart_in_child() -> None:
    for emitter in list(_living):
        emitter._after_fork_in_child()


def _close_at_exit() -> None:
    for emitter in list(_living):
        if not emitter.close():
            logger.warning("exit: %s events were not acknowledged by Kafka in time", emitter.stats().dropped)


os.register_at_fork(after_in_child=_restart_in_child)
atexit.register(_close_at_exit)
