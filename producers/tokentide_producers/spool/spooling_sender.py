"""An `EnvelopeSender` with a spool behind it: what Kafka does not acknowledge in time goes to disk and is sent later.

Two ways of working. Live: envelopes go to Kafka, and segments that lie in the spool are sent beside them. Away: Kafka
has not acknowledged for `spool_after_s`, so everything goes to disk until the broker answers again.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from confluent_kafka import Producer

from tokentide_producers.outcomes import DropReason
from tokentide_producers.outgoing import OutgoingEnvelope
from tokentide_producers.sender import EnvelopeSender, SenderStats, Settled
from tokentide_producers.settings import SenderSettings, SpoolSettings
from tokentide_producers.spool.directory import SEGMENT_BYTES, Segment, SpoolDirectory, SpoolError, SpoolFullError
from tokentide_producers.spool.draining import Drainer

log = logging.getLogger(__name__)

OnSpooled = Callable[[OutgoingEnvelope], None]
"""Called once for an envelope that is on disk, fsynced: it is accepted for good, and its memory is free."""
OnEvicted = Callable[[int, str], None]
"""Called with the number of events that were deleted from a full spool, and the reason."""

SIZE_CHECK_S: Final = 1.0
"""Pause between two looks at how much the spools of all processes in the folder hold together."""
_RETRY_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class SpoolStats:
    """Counts since the start: of this process's envelopes written, and of everybody's that were sent from the spool."""

    is_kafka_away: bool = False
    spooled_envelopes: int = 0
    spooled_events: int = 0
    spooled_bytes: int = 0
    drained_envelopes: int = 0
    drained_events: int = 0
    evicted_events: int = 0
    last_error: str = ""


class SpoolingSender:
    """The interface of `EnvelopeSender`, one thread calls it. With a spool, `close` leaves nothing unsettled."""

    def __init__(
        self,
        bootstrap_servers: str,
        *,
        settings: SenderSettings,
        spool: SpoolSettings,
        on_settled: Settled,
        on_spooled: OnSpooled,
        on_evicted: OnEvicted,
        clock: Callable[[], float] = time.monotonic,
        extra_config: dict[str, Any] | None = None,
    ) -> None:
        if spool.directory is None:
            raise ValueError("a spooling sender needs spool.directory")
        self._sender = EnvelopeSender(
            bootstrap_servers, settings=settings, on_settled=self._settled, clock=clock, extra_config=extra_config
        )
        self._settings = spool
        self._on_settled, self._on_spooled, self._on_evicted = on_settled, on_spooled, on_evicted
        self._clock = clock
        # Small against the bound, so that what has to go from a full spool is a small part of it.
        segment_bytes = min(SEGMENT_BYTES, max(1, spool.max_bytes // 8))
        self._directory = SpoolDirectory(spool.directory, segment_bytes)
        self._drainer = Drainer(self._directory, self._sender, clock)
        self._active: Segment | None = None
        self._to_disk: deque[OutgoingEnvelope] = deque()
        self._to_disk_bytes = 0
        self._is_away = False
        self._folder_bytes = 0
        self._folder_looked_at_s = float("-inf")
        self._not_before_s = float("-inf")
        self._spooled_envelopes = self._spooled_events = self._spooled_bytes = self._evicted_events = 0
        self._spool_error = ""

    @property
    def producer_ids(self) -> tuple[str, ...]:
        """Ids of the envelopes that this process sends itself."""
        return self._sender.producer_ids

    @property
    def outstanding_envelopes(self) -> int:
        """Envelopes that neither Kafka nor the disk has yet, and those on their way from the spool."""
        return self._sender.outstanding_envelopes + len(self._to_disk)

    @property
    def outstanding_bytes(self) -> int:
        """Their bytes."""
        return self._sender.outstanding_bytes + self._to_disk_bytes

    @property
    def last_error(self) -> str:
        """The latest problem with the disk, else with Kafka."""
        return self._spool_error or self._sender.last_error

    def submit(self, value: bytes, events: int) -> OutgoingEnvelope:
        """Take over one encoded envelope; `service` sends or spools it."""
        if not self._is_away:
            return self._sender.submit(value, events)
        envelope = OutgoingEnvelope(value, events, 0, 0, self.producer_ids[0])
        self._keep_for_disk([envelope])
        return envelope

    def service(self, wait_s: float = 0.0) -> None:
        """One turn of sending, spooling and draining. Problems are not raised: `last_error` tells of them."""
        if self._is_away:
            self._write_out()
            if self._sender.is_reachable():
                self._come_back()
            else:
                time.sleep(wait_s)
            return
        try:
            if self._sender.partitions is None and self._drainer.is_waiting:
                self._sender.is_reachable()
            self._drainer.turn()
        except SpoolError as error:
            self._note(error)
        self._sender.service(wait_s)
        if self._sender.oldest_age_s() > self._settings.after_s:
            self._go_away()
            self._write_out()

    def close(self, timeout_s: float) -> list[OutgoingEnvelope]:
        """Send for `timeout_s`, then write what is left to disk; gives back what has got to neither."""
        deadline_s = self._clock() + timeout_s
        while self.outstanding_envelopes and not self._is_away and (left_s := deadline_s - self._clock()) > 0:
            self.service(min(0.05, left_s))
        if not self._is_away:
            self._go_away()
        self._not_before_s = float("-inf")
        self._write_out()
        left = list(self._to_disk)
        self._to_disk.clear()
        self._to_disk_bytes = 0
        for envelope in left:
            self._on_settled(envelope, DropReason.UNACKNOWLEDGED_AT_CLOSE)
        self._rotate()
        self._sender.close(0.0)
        return left

    def stats(self) -> SenderStats:
        """Of what went to Kafka, from memory and from the spool."""
        return self._sender.stats()

    def spool_stats(self) -> SpoolStats:
        """Of the spool."""
        drained = self._drainer.report
        return SpoolStats(
            self._is_away,
            self._spooled_envelopes,
            self._spooled_events,
            self._spooled_bytes,
            drained.envelopes,
            drained.events,
            self._evicted_events,
            self._spool_error,
        )

    def abandon(self) -> Producer | None:
        """Forget the connection and the open files without touching them: after a fork they are the parent's."""
        self._rotate()
        self._drainer.break_off()
        return self._sender.abandon()

    def _settled(self, envelope: OutgoingEnvelope, reason: DropReason | None) -> None:
        if self._drainer.owns(envelope):
            self._drainer.settled(envelope, reason)
        else:
            self._on_settled(envelope, reason)

    def _go_away(self) -> None:
        left = self._sender.withdraw()
        self._keep_for_disk([envelope for envelope in left if not self._drainer.owns(envelope)])
        self._drainer.break_off()
        if not self._is_away and self._to_disk:
            log.warning(
                "Kafka has not acknowledged for %.1f s (%s): events go to the spool in %s",
                self._settings.after_s,
                self._sender.last_error or "no error was reported",
                self._directory.path,
            )
        self._is_away = True

    def _come_back(self) -> None:
        log.info("Kafka answers again: sending what lies in the spool in %s", self._directory.path)
        self._is_away = False
        self._rotate()
        self._drainer.look_now()
        # What the disk has not taken goes the direct way.
        waiting, self._to_disk, self._to_disk_bytes = self._to_disk, deque(), 0
        for envelope in waiting:
            self._sender.resubmit(envelope)

    def _keep_for_disk(self, envelopes: list[OutgoingEnvelope]) -> None:
        self._to_disk.extend(envelopes)
        self._to_disk_bytes += sum(len(envelope.value) for envelope in envelopes)

    def _write_out(self) -> None:
        if not self._to_disk or self._clock() < self._not_before_s:
            return
        try:
            while self._to_disk:
                self._write_some()
            self._spool_error = ""
        except SpoolError as error:
            self._note(error)

    def _write_some(self) -> None:
        group = self._next_group()
        size_bytes = sum(len(envelope.value) for envelope in group)
        self._make_room(size_bytes)
        segment = self._active = self._active or self._directory.create()
        segment.append(group)
        self._folder_bytes += size_bytes
        for envelope in group:
            self._to_disk.popleft()
            self._to_disk_bytes -= len(envelope.value)
            self._spooled_envelopes += 1
            self._spooled_events += envelope.events
            self._spooled_bytes += len(envelope.value)
            self._on_spooled(envelope)
        if segment.is_closed or segment.size_bytes >= self._directory.segment_bytes:
            self._rotate()

    def _next_group(self) -> list[OutgoingEnvelope]:
        """What goes to disk with one fsync: at least one envelope, at most what the segment has room for."""
        group: list[OutgoingEnvelope] = []
        size_bytes = self._active.size_bytes if self._active is not None else 0
        for envelope in self._to_disk:
            size_bytes += len(envelope.value)
            if group and size_bytes > self._directory.segment_bytes:
                break
            group.append(envelope)
        return group

    def _make_room(self, size_bytes: int) -> None:
        if self._clock() - self._folder_looked_at_s >= SIZE_CHECK_S:
            self._look_at_folder()
        while self._folder_bytes + size_bytes > self._settings.max_bytes:
            if not self._evict():
                raise SpoolFullError(
                    f"the spool in {self._directory.path} is full ({self._settings.max_bytes} bytes): "
                    "bring Kafka back, or raise TOKENTIDE_SPOOL_MAX_BYTES"
                )

    def _evict(self) -> bool:
        """Delete the oldest segment where the settings say so; False when they do not, or there is none."""
        if self._settings.when_full != "drop_oldest":
            return False
        evicted = self._directory.evict_oldest()
        if evicted is None:
            if self._active is None:
                return False
            # Only our own is left: it may go as soon as it is ended.
            self._rotate()
            return True
        events = sum(envelope.events for envelope in evicted.envelopes)
        self._evicted_events += events
        self._on_evicted(events, f"the spool in {self._directory.path} is full, and its oldest events go first")
        self._look_at_folder()
        return True

    def _look_at_folder(self) -> None:
        self._folder_looked_at_s = self._clock()
        self._folder_bytes = self._directory.size_bytes()

    def _rotate(self) -> None:
        """End the segment, so that anybody may send it."""
        if self._active is not None:
            self._active.close()
            self._active = None

    def _note(self, error: SpoolError) -> None:
        if str(error) != self._spool_error:
            log.error("%s", error)
        self._spool_error = str(error)
        self._not_before_s = self._clock() + _RETRY_S
        if self._active is not None and self._active.is_closed:
            self._active = None
