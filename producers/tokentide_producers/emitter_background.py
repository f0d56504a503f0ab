"""The emitter's background thread: rows to labelled, encoded envelopes, to the sender, and what became of them."""

from __future__ import annotations

import logging
import threading
import time
import traceback
from collections.abc import Callable
from typing import Any, Final

from tokentide_producers.batcher import Batch
from tokentide_producers.catalogue_names import CatalogueNames
from tokentide_producers.categories.categorizer import Categorizer, own_label
from tokentide_producers.emitter_intake import CLOSED, FULL, Intake, OnDrop
from tokentide_producers.event_ids import EventIds
from tokentide_producers.outcomes import DropReason
from tokentide_producers.outgoing import OutgoingEnvelope
from tokentide_producers.row_encoding import encode_rows
from tokentide_producers.rows import InvalidEventError, RowBuilder
from tokentide_producers.sender import EnvelopeSender
from tokentide_producers.settings import EmitterSettings
from tokentide_producers.spool.spooling_sender import SpoolingSender
from tokentide_schemas.envelope import encode_arrow

logger = logging.getLogger(__name__)

_POLL_S: Final = 0.02
_IDLE_S: Final = 1.0


class Background(Intake):
    """The part of an emitter that runs in its own thread, started with the first event.

    names: to the catalogue's. new_rows: makes what turns fields into rows, for each incarnation.
    """

    def __init__(
        self,
        bootstrap_servers: str,
        settings: EmitterSettings,
        on_drop: OnDrop | None,
        names: CatalogueNames,
        new_rows: Callable[[], RowBuilder],
        categories: Categorizer | None,
        extra_kafka_config: dict[str, Any] | None,
    ) -> None:
        super().__init__(settings, on_drop)
        self.names = names
        """From names as they are used to the catalogue's; slow the first time, so for the background thread."""
        self._bootstrap_servers = bootstrap_servers
        self._new_rows = new_rows
        self._categories = categories
        self._extra_kafka_config = extra_kafka_config

    def _start_background(self) -> None:
        self._rows = self._new_rows()
        self._ids = EventIds()
        self._sender = self._new_sender()
        self._pending: dict[int, Batch] = {}
        self._batch_of: dict[int, Batch] = {}
        self._acknowledged = 0
        self._spooled = 0
        self._lost = 0
        self._take_all = False
        self._stop = False
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

    def _start_thread(self) -> bool:
        thread = threading.Thread(target=self._run, name="tokentide-emitter", daemon=True)
        try:
            thread.start()
        except RuntimeError:
            return False  # the interpreter is shutting down
        self._thread = thread
        self._is_accepting = not self._closed
        return True

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
                    self._refuse(reason, FULL if reason is DropReason.BUFFER_FULL else CLOSED)
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
