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
import time
import weakref
from collections.abc import Callable
from types import MappingProxyType
from typing import Any, Self
from uuid import UUID

from tokentide_producers.catalogue_names import CatalogueNames
from tokentide_producers.categories.categorizer import Categorizer, own_label
from tokentide_producers.categories.inputs import CategoryInput
from tokentide_producers.categories.settings import environment_categorizer
from tokentide_producers.emitter_background import Background
from tokentide_producers.emitter_intake import CLOSED, FULL, Completion, OnDrop
from tokentide_producers.emitter_stats import EmitterStats
from tokentide_producers.hash_keys import HashKeyRing
from tokentide_producers.outcomes import ACCEPTED, DropReason, EmitResult
from tokentide_producers.request import Request
from tokentide_producers.rows import InvalidEventError, RowBuilder
from tokentide_producers.sender import SenderStats
from tokentide_producers.settings import EmitterSettings
from tokentide_producers.spool.directory import SUFFIX as SEGMENT_SUFFIX
from tokentide_producers.spool.spooling_sender import SpoolingSender, SpoolStats
from tokentide_schemas.event import Source, UsageEvent
from tokentide_schemas.settings import read_settings

logger = logging.getLogger(__name__)


class Emitter(Background):
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
        super().__init__(
            bootstrap_servers,
            settings=settings if settings is not None else read_settings(EmitterSettings),
            on_drop=on_drop,
            names=CatalogueNames(resolve_model),
            new_rows=lambda: RowBuilder(gateway=gateway, gateway_region=gateway_region, source=source),
            categories=categories if categories is not None else environment_categorizer(),
            extra_kafka_config=extra_kafka_config,
        )
        self._keys: HashKeyRing | None = None
        self._start_incarnation()
        _living.add(self)
        directory = self.settings.spool.directory
        if directory is not None and any(directory.glob(f"*{SEGMENT_SUFFIX}")):
            # A predecessor has left events behind: they are not to wait for the first new one.
            with self._lock:
                self._start_thread()

    def _start_incarnation(self) -> None:
        self._start_intake()
        self._start_background()

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
            return self._refuse(reason, FULL if reason is DropReason.BUFFER_FULL else CLOSED)
        if labelling is not None:
            labelling.submit()
        return ACCEPTED

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
            return self._refuse(DropReason.CLOSED, CLOSED)
        if self._later.qsize() >= self.settings.max_buffered_events:
            return self._refuse(DropReason.BUFFER_FULL, FULL)
        self._later.put(completion)
        if self._is_sleeping:
            self._bell.ring()
        if self._has_stopped:
            self._is_taken([])
        return ACCEPTED

    def request(self, **fields: Any) -> Request:
        """A context manager that times one request and emits its event however it ends; see `Request`."""
        return Request(self, fields)

    def start(self) -> None:
        """Start the background thread before the first event: an interpreter that is exiting can start none."""
        if self._thread is None:
            with self._lock:
                if self._thread is None and not self._closed:
                    self._start_thread()

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
