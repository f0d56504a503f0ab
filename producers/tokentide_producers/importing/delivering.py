"""Events into the pipeline: journaled, sent, acknowledged, in this order, each once."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from tokentide_producers.acknowledgements import Acknowledgements
from tokentide_producers.batcher import Row
from tokentide_producers.event_columns import tokens_in
from tokentide_producers.event_ids import EventIds
from tokentide_producers.importing.deciding import Pending, decide_pending
from tokentide_producers.importing.ledger import Ledger
from tokentide_producers.outcomes import DropReason
from tokentide_producers.outgoing import OutgoingEnvelope, Placement, new_producer_id
from tokentide_producers.row_encoding import encode_rows
from tokentide_producers.sender import EnvelopeSender
from tokentide_producers.settings import SenderSettings
from tokentide_schemas.envelope import encode_arrow

ENVELOPE_EVENTS: Final = 2_000
ENVELOPE_BYTES: Final = 1_000_000
"""Estimated in characters, at most four bytes each: an envelope stays below Kafka's limit."""
MAX_OUTSTANDING_BYTES: Final = 32 * 1024 * 1024
_WAIT_S: Final = 0.02

IsStored = Callable[[OutgoingEnvelope], bool]
"""Whether the store has taken in an envelope, asked for those that are too old to be sent again unseen."""


class DeliveryStoppedError(Exception):
    """Kafka takes nothing any more. What is journaled is sent by the next import, under the same identity."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A row of the envelope, its estimated bytes, and its key in the ledger."""

    key: bytes
    row: Row
    size_bytes: int


class Delivery:
    """Sends under one producer id for each run. now_ms: the wall clock. Raises DeliveryStoppedError."""

    def __init__(
        self,
        ledger: Ledger,
        bootstrap_servers: str,
        *,
        resolve_model: Callable[[str], str],
        now_ms: Callable[[], int],
        is_stored: IsStored | None = None,
        timeout_s: float = 30.0,
        on_acknowledged: Callable[[int], None] = lambda _events: None,
        settings: SenderSettings | None = None,
    ) -> None:
        self._ledger = ledger
        self._servers = bootstrap_servers
        self._resolve_model = resolve_model
        self._now_ms = now_ms
        self._is_stored = is_stored
        self._timeout_s = timeout_s
        self._settled: list[OutgoingEnvelope] = []
        self._refused = ""
        self._ids = EventIds()
        self._producer_id = new_producer_id()
        self._sender = EnvelopeSender(
            bootstrap_servers, settings=settings or SenderSettings(), on_settled=self._on_settled
        )
        self._watch = Acknowledgements(self._sender, timeout_s, on_acknowledged)
        self._placement: Placement | None = None
        self.acknowledged_events = 0

    def resume(self) -> int:
        """Send what an earlier run has journaled and not seen acknowledged; how many events that are."""
        events = 0
        for pending in self._ledger.pending():
            if self._still_to_send(pending.envelope, pending.journaled_at_ms):
                self._submit(pending.envelope)
                events += pending.envelope.events
                self._make_room()
            else:
                self._ledger.acknowledge([pending.envelope], self._now_ms())
        return events

    def send(self, block: Sequence[Prepared]) -> None:
        """Journal and send rows, which are not in the ledger yet."""
        if not block:
            return
        placement = self._placed()
        made = []
        for part in _parts(block):
            batch = encode_rows(
                [one.row for one in part], ids=self._ids, now_ms=self._now_ms(), resolve_model=self._resolve_model
            )
            envelope = OutgoingEnvelope(encode_arrow(batch), len(part), tokens_in(batch), 0, self._producer_id)
            placement.place(envelope)
            made.append((envelope, [one.key for one in part]))
        self._ledger.journal(made, self._now_ms())
        for envelope, _keys in made:
            self._submit(envelope)
        self._make_room()

    def finish(self) -> None:
        """Wait for every acknowledgement."""
        while self._sender.outstanding_envelopes:
            self._serve(_WAIT_S)
        self._note()

    def close(self) -> None:
        """Give the connection up. What is not acknowledged stays in the ledger."""
        self._sender.close(0.0)
        self._note()

    def _submit(self, envelope: OutgoingEnvelope) -> None:
        if not self._sender.outstanding_envelopes:
            # The patience for acknowledgements begins with the first envelope that waits for one.
            self._serve(0.0)
        self._sender.resubmit(envelope)

    def _placed(self) -> Placement:
        if self._placement is None:
            deadline_s = time.monotonic() + self._timeout_s
            while not (self._sender.is_reachable() and self._sender.partitions):
                if time.monotonic() > deadline_s:
                    raise DeliveryStoppedError(self._sender.last_error or f"no answer from Kafka at {self._servers}")
                self._sender.service(_WAIT_S)
            self._placement = Placement(self._sender.partitions, 1)
        return self._placement

    def _still_to_send(self, envelope: OutgoingEnvelope, journaled_at_ms: int) -> bool:
        decision = decide_pending(journaled_at_ms, self._now_ms(), None)
        if decision is Pending.ASK_THE_STORE:
            if self._is_stored is None:
                raise DeliveryStoppedError(
                    "an import that was broken off over six days ago has left events of which only the store can say "
                    "whether they came through; name the store with --clickhouse"
                )
            decision = decide_pending(journaled_at_ms, self._now_ms(), self._is_stored(envelope))
        return decision is Pending.SEND

    def _make_room(self) -> None:
        self._serve(0.0)
        while self._sender.outstanding_bytes > MAX_OUTSTANDING_BYTES:
            self._serve(_WAIT_S)

    def _serve(self, wait_s: float) -> None:
        is_alive = self._watch.serve(wait_s)
        self._note()
        if self._refused:
            raise DeliveryStoppedError(self._refused)
        if not is_alive:
            raise DeliveryStoppedError(self._sender.last_error or "no acknowledgement in time")

    def _on_settled(self, envelope: OutgoingEnvelope, reason: DropReason | None) -> None:
        if reason is None:
            self._settled.append(envelope)
        elif reason is not DropReason.UNACKNOWLEDGED_AT_CLOSE:
            self._refused = f"Kafka refuses an envelope: {self._sender.last_error or reason.value}"

    def _note(self) -> None:
        if self._settled:
            done, self._settled = self._settled, []
            self.acknowledged_events += sum(envelope.events for envelope in done)
            self._ledger.acknowledge(done, self._now_ms())


def _parts(block: Sequence[Prepared]) -> Iterator[list[Prepared]]:
    """The rows in order, in pieces that fit into an envelope."""
    part: list[Prepared] = []
    size = 0
    for one in block:
        if part and (len(part) == ENVELOPE_EVENTS or size + one.size_bytes > ENVELOPE_BYTES):
            yield part
            part, size = [], 0
        part.append(one)
        size += one.size_bytes
    if part:
        yield part
