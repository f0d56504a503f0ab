"""Rows of many requests to Kafka, and to each request the answer when all of its rows are acknowledged.

A thread of its own gathers what the requests offer, puts it into envelopes and waits for Kafka. Two ways lead there:

- Rows whose id came with the request (given, or derived from what came) may be sent again by the client. They go into
  envelopes without identity, each to the partition that its id decides, where readers recognise a repeated id.
- Rows without an id get a new one here. Nobody but this process can send them again, so their envelopes have the
  sender's identity, and do not fill the readers' memory of ids.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum
from itertools import accumulate
from typing import Any, Final

import pyarrow as pa

from tokentide_producers.batcher import Row
from tokentide_producers.event_ids import EventIds
from tokentide_producers.outcomes import DropReason
from tokentide_producers.outgoing import UNPLACED, OutgoingEnvelope
from tokentide_producers.row_encoding import encode_rows
from tokentide_producers.rows import PLACE
from tokentide_producers.sender import EnvelopeSender
from tokentide_producers.settings import SenderSettings
from tokentide_schemas.envelope import encode_arrow

logger = logging.getLogger(__name__)

MAX_ENVELOPE_EVENTS: Final = 2_000
MAX_ENVELOPE_BYTES: Final = 1_000_000
"""Estimated; a row's text may take four times as much, which still is below the broker's limit."""
_IDLE_S: Final = 2.0
_SWEEP_S: Final = 0.25
_EVENT_ID: Final = PLACE["event_id"]


class Outcome(Enum):
    """What became of a request's rows."""

    ACKNOWLEDGED = "acknowledged"
    TIMED_OUT = "timed_out"
    """Kafka has not answered in time; it may still store them, and a repeat with the same ids is recognised."""
    REFUSED = "refused"
    """The broker refuses a record for good, or it could not be encoded."""
    CLOSED = "closed"


@dataclass(slots=True, eq=False)
class _Ticket:
    rows: Sequence[Row]
    sizes: Sequence[int]
    future: asyncio.Future[Outcome]
    offered_s: float
    on_settled: Callable[[], None]
    pending: int = 0
    outcome: Outcome = Outcome.ACKNOWLEDGED


@dataclass(slots=True)
class _Chunk:
    """Rows of one envelope."""

    partition: int
    rows: list[Row] = field(default_factory=list)
    size_bytes: int = 0
    tickets: dict[int, _Ticket] = field(default_factory=dict)


def partition_of(event_id: bytes, partitions: int) -> int:
    """Where rows with this id go, always the same while the topic keeps its number of partitions."""
    return zlib.crc32(event_id) % partitions


class Delivery:
    """Takes rows from one event loop. on_latency: told the seconds from each envelope's making to its answer.

    resolve_model: from the requested to the canonical model, where a row has none. clock: seconds, monotonic.
    """

    def __init__(
        self,
        bootstrap_servers: str,
        *,
        settings: SenderSettings,
        resolve_model: Callable[[str], str],
        batch_wait_s: float,
        ack_timeout_s: float,
        stalled_after_s: float,
        on_latency: Callable[[float], None],
        clock: Callable[[], float] = time.monotonic,
        extra_kafka_config: dict[str, Any] | None = None,
    ) -> None:
        self._sender = EnvelopeSender(
            bootstrap_servers,
            settings=settings,
            on_settled=self._on_settled,
            clock=clock,
            extra_config=extra_kafka_config,
        )
        self._resolve_model = resolve_model
        self._batch_wait_s = batch_wait_s
        self._ack_timeout_s = ack_timeout_s
        self._stalled_after_s = stalled_after_s
        self._on_latency = on_latency
        self._clock = clock
        self._ids = EventIds()
        self._wake = threading.Condition()
        self._offered: list[_Ticket] = []
        self._waiting: dict[int, _Ticket] = {}
        self._tickets_of: dict[int, list[_Ticket]] = {}
        self._done: list[tuple[_Ticket, Outcome, bool]] = []
        self._closing = False
        self._is_reachable = False
        self._stalled = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._run, name="collector-delivery", daemon=True)

    def warm_up(self, row: Row) -> None:
        """Encode once and throw it away: what the libraries import at their first use can take seconds."""
        self._encoded([[row]])

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin; answers are given in `loop`."""
        self._loop = loop
        self._thread.start()

    @property
    def is_ready(self) -> bool:
        """Kafka has answered lately."""
        return self._is_reachable and not self._stalled and not self._closing

    @property
    def last_error(self) -> str:
        """Kafka's latest complaint, '' for none."""
        return self._sender.last_error

    def offer(
        self, rows: Sequence[Row], sizes: Sequence[int], on_settled: Callable[[], None]
    ) -> asyncio.Future[Outcome]:
        """Take over rows; the future tells what became of them. on_settled: called in the loop when Kafka has
        answered for all of them, which after a time-out is later than the future."""
        assert self._loop is not None
        ticket = _Ticket(rows, sizes, self._loop.create_future(), self._clock(), on_settled)
        with self._wake:
            self._offered.append(ticket)
            if len(self._offered) == 1:
                self._wake.notify()
        return ticket.future

    def close(self, timeout_s: float) -> None:
        """Send what is there, wait for its acknowledgement, end the thread."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        self._thread.join(timeout_s + 5.0)

    def _run(self) -> None:
        due_s = swept_s = self._clock()
        while not self._closing:
            try:
                now_s = self._clock()
                if now_s >= swept_s + _SWEEP_S:
                    swept_s = now_s
                    self._sweep(now_s)
                if self._sender.partitions is None or not self._is_reachable:
                    self._is_reachable = self._sender.is_reachable()
                    if not self._is_reachable:
                        self._sender.service(self._batch_wait_s)
                elif self._offered and now_s >= due_s:
                    due_s = now_s + self._batch_wait_s
                    self._send_offered()
                    self._sender.service(0.0)
                elif self._sender.outstanding_envelopes or self._offered:
                    self._sender.service(max(0.001, min(self._batch_wait_s, due_s - now_s)) if self._offered else 0.02)
                else:
                    self._rest()
                self._tell()
            except Exception:
                # Whatever it is, the next requests are to be served.
                logger.exception("the delivery thread has met a defect and goes on")
                time.sleep(_SWEEP_S)
        if self._sender.partitions is not None:
            self._send_offered()
        self._sender.close(self._ack_timeout_s)
        for ticket in [*self._offered, *self._waiting.values()]:
            self._done.append((ticket, Outcome.CLOSED, True))
        self._tell()

    def _rest(self) -> None:
        with self._wake:
            if not self._offered and not self._closing:
                self._wake.wait(_IDLE_S)
            if self._offered or self._closing:
                return
        # Nothing to send: ask whether it could be sent.
        self._is_reachable = self._sender.is_reachable()

    def _send_offered(self) -> None:
        with self._wake:
            tickets, self._offered = self._offered, []
        partitions = self._sender.partitions or 1
        chunks = list(_chunks(tickets, partitions))
        # All are counted before the first can be answered.
        for chunk in chunks:
            for ticket in chunk.tickets.values():
                ticket.pending += 1
                self._waiting[id(ticket)] = ticket
        for group in _together(chunks):
            for chunk, value in zip(group, self._encoded([chunk.rows for chunk in group]), strict=True):
                if value is not None:
                    self._submit(value, chunk)
                elif len(chunk.tickets) == 1:
                    self._answer(list(chunk.tickets.values()), Outcome.REFUSED)
                else:
                    self._submit_one_by_one(chunk)

    def _submit(self, value: bytes, chunk: _Chunk) -> None:
        if chunk.partition == UNPLACED:
            envelope = OutgoingEnvelope(value, len(chunk.rows), 0, 0, self._sender.producer_ids[0])
        else:
            envelope = OutgoingEnvelope(value, len(chunk.rows), 0, 0, "", partition=chunk.partition)
        self._tickets_of[id(envelope)] = list(chunk.tickets.values())
        self._sender.resubmit(envelope)

    def _submit_one_by_one(self, chunk: _Chunk) -> None:
        """Some request's rows cannot be encoded: the others that share the envelope must not fail with it."""
        rows = {id(row) for row in chunk.rows}
        for ticket in chunk.tickets.values():
            own = [row for row in ticket.rows if id(row) in rows]
            (value,) = self._encoded([own])
            if value is None:
                self._answer([ticket], Outcome.REFUSED)
            else:
                self._submit(value, _Chunk(chunk.partition, own, tickets={id(ticket): ticket}))

    def _encoded(self, pieces: Sequence[list[Row]]) -> Sequence[bytes | None]:
        """An envelope's value for each piece; None for one with a row that cannot be encoded.

        Columns are made for all pieces at once: of a few rows each, that costs a fraction of making them for each.
        """
        rows = [row for piece in pieces for row in piece]
        try:
            now_ms = time.time_ns() // 1_000_000
            batch = encode_rows(rows, ids=self._ids, now_ms=now_ms, resolve_model=self._resolve_model)
            ends = list(accumulate(map(len, pieces)))
            return [encode_arrow(batch.slice(end - len(p), len(p))) for p, end in zip(pieces, ends, strict=True)]
        except (pa.ArrowException, ValueError, TypeError, OverflowError) as error:
            if len(pieces) > 1:
                # One row of them all: the others' envelopes do not have to know.
                return [value for piece in pieces for value in self._encoded([piece])]
            # Its words may quote a value, so only its kind is logged.
            logger.error("%s events could not be encoded (%s): please report this", len(rows), type(error).__name__)
            return [None]

    def _on_settled(self, envelope: OutgoingEnvelope, reason: DropReason | None) -> None:
        self._on_latency(self._clock() - envelope.submitted_s)
        outcome = Outcome.ACKNOWLEDGED
        if reason is not None:
            outcome = Outcome.REFUSED if reason is DropReason.REFUSED_BY_BROKER else Outcome.CLOSED
        self._answer(self._tickets_of.pop(id(envelope)), outcome)

    def _answer(self, tickets: Sequence[_Ticket], outcome: Outcome) -> None:
        for ticket in tickets:
            ticket.pending -= 1
            if outcome is not Outcome.ACKNOWLEDGED:
                ticket.outcome = outcome
            if ticket.pending == 0:
                del self._waiting[id(ticket)]
                self._done.append((ticket, ticket.outcome, True))

    def _sweep(self, now_s: float) -> None:
        """Answer those who have waited too long; their rows stay on their way."""
        self._stalled = self._sender.oldest_age_s() > self._stalled_after_s
        with self._wake:
            offered = list(self._offered)
        for ticket in [*offered, *self._waiting.values()]:
            if now_s - ticket.offered_s > self._ack_timeout_s:
                self._done.append((ticket, Outcome.TIMED_OUT, False))

    def _tell(self) -> None:
        if not self._done or self._loop is None:
            return
        done, self._done = self._done, []
        try:
            self._loop.call_soon_threadsafe(_tell, done)
        except RuntimeError:
            logger.warning("%s requests had gone before their answer came", len(done))


def _tell(done: list[tuple[_Ticket, Outcome, bool]]) -> None:
    for ticket, outcome, is_settled in done:
        if not ticket.future.done():
            ticket.future.set_result(outcome)
        if is_settled:
            ticket.on_settled()


def _chunks(tickets: Sequence[_Ticket], partitions: int) -> Iterator[_Chunk]:
    """All rows of the tickets in envelopes that are small enough, one kind and partition each."""
    open_chunks: dict[int, _Chunk] = {}
    for ticket in tickets:
        for row, size in zip(ticket.rows, ticket.sizes, strict=True):
            event_id = row[_EVENT_ID]
            partition = UNPLACED if event_id is None else partition_of(event_id, partitions)
            chunk = open_chunks.get(partition)
            if chunk is None:
                chunk = open_chunks[partition] = _Chunk(partition)
            elif len(chunk.rows) >= MAX_ENVELOPE_EVENTS or chunk.size_bytes + size > MAX_ENVELOPE_BYTES:
                yield chunk
                chunk = open_chunks[partition] = _Chunk(partition)
            chunk.rows.append(row)
            chunk.size_bytes += size
            chunk.tickets[id(ticket)] = ticket
    yield from open_chunks.values()


def _together(chunks: Iterable[_Chunk]) -> Iterator[list[_Chunk]]:
    """Chunks whose rows are encoded at once: as many as have the rows of one full envelope."""
    group: list[_Chunk] = []
    rows = 0
    for chunk in chunks:
        if group and rows + len(chunk.rows) > MAX_ENVELOPE_EVENTS:
            yield group
            group, rows = [], 0
        group.append(chunk)
        rows += len(chunk.rows)
    if group:
        yield group
