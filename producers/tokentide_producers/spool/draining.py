"""Sending what lies in the spool, segment by segment, and deleting a segment once Kafka has all of it."""

from __future__ import annotations

import logging
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from tokentide_producers.outcomes import DropReason
from tokentide_producers.outgoing import UNPLACED, OutgoingEnvelope
from tokentide_producers.sender import EnvelopeSender
from tokentide_producers.spool.directory import Segment, SpoolDirectory
from tokentide_producers.spool.records import Damage, SpooledEnvelope

log = logging.getLogger(__name__)

LOOK_EVERY_S: Final = 5.0
"""Pause between two looks for segments that other processes have left behind."""
_WAIT_S: Final = 0.02


@dataclass(slots=True)
class DrainReport:
    """Counts so far. refused_events: the broker will never take them. damaged_bytes: of no whole record."""

    segments: int = 0
    envelopes: int = 0
    events: int = 0
    refused_events: int = 0
    damaged_bytes: int = 0


@dataclass(slots=True)
class _Open:
    segment: Segment
    damage: list[Damage]
    pending: dict[int, OutgoingEnvelope] = field(default_factory=dict)


class Drainer:
    """Takes over one segment at a time. Call `turn` often, and `settled` with everything that the sender settles."""

    def __init__(
        self, directory: SpoolDirectory, sender: EnvelopeSender, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.report = DrainReport()
        self._directory = directory
        self._sender = sender
        self._clock = clock
        self._open: _Open | None = None
        self._looked_at_s = float("-inf")

    @property
    def is_busy(self) -> bool:
        """A segment is being sent."""
        return self._open is not None

    @property
    def is_waiting(self) -> bool:
        """It is time to look for a segment."""
        return self._open is None and self._clock() - self._looked_at_s >= LOOK_EVERY_S

    def look_now(self) -> None:
        """The next `turn` looks for segments, whenever the last look was."""
        self._looked_at_s = float("-inf")

    def turn(self) -> bool:
        """Begin with the next segment when the last one is done; False when there is none or it was not looked for.

        Raises SpoolError for an unreadable spool.
        """
        if self._open is not None:
            return True
        if self._sender.partitions is None or not self.is_waiting:
            return False
        self._looked_at_s = self._clock()
        for segment in self._directory.take_over():
            self._begin(segment, self._sender.partitions)
            # There may be more: look again as soon as this one is done.
            self.look_now()
            return True
        return False

    def _begin(self, segment: Segment, partitions_of_topic: int) -> None:
        content = segment.read()
        current = self._open = _Open(segment, content.damage)
        placed_in = segment.partitions(partitions_of_topic)
        for spooled in content.envelopes:
            envelope = _placed(spooled, segment.segment_id, placed_in)
            current.pending[id(envelope)] = envelope
        for envelope in current.pending.values():
            self._sender.resubmit(envelope)
        self._finish_when_done()

    def owns(self, envelope: OutgoingEnvelope) -> bool:
        """True for an envelope that lies in the segment being sent."""
        return self._open is not None and id(envelope) in self._open.pending

    def settled(self, envelope: OutgoingEnvelope, reason: DropReason | None) -> None:
        """Kafka has one of ours, or will never take it, or the sender has ended (it then stays in its segment)."""
        if self._open is None or reason is DropReason.UNACKNOWLEDGED_AT_CLOSE:
            return
        del self._open.pending[id(envelope)]
        if reason is None:
            self.report.envelopes += 1
            self.report.events += envelope.events
        else:
            self.report.refused_events += envelope.events
            log.error("an envelope of %d events in the spool is refused by the broker: %s", envelope.events, reason)
        self._finish_when_done()

    def _finish_when_done(self) -> None:
        current = self._open
        if current is None or current.pending:
            return
        self._open = None
        self.report.segments += 1
        lost = [part for part in current.damage if not part.is_end]
        self.report.damaged_bytes += sum(part.size_bytes for part in lost)
        for part in lost:
            log.error(
                "%s is damaged at byte %d (%d bytes): what stood there is lost; the file is kept as *.damaged",
                current.segment.path,
                part.offset,
                part.size_bytes,
            )
        current.segment.remove(keep_damaged=bool(lost))

    def break_off(self) -> None:
        """Kafka is away again: the segment stays as it is, for a later turn."""
        if self._open is not None:
            self._open.segment.close()
            self._open = None


def _placed(spooled: SpooledEnvelope, segment_id: str, partitions: int) -> OutgoingEnvelope:
    envelope = spooled.outgoing()
    if envelope.partition == UNPLACED:
        envelope.partition = zlib.crc32(segment_id.encode()) % partitions
    return envelope


def drain(
    directory: SpoolDirectory,
    new_sender: Callable[[Callable[[OutgoingEnvelope, DropReason | None], None]], EnvelopeSender],
    *,
    timeout_s: float,
    on_progress: Callable[[DrainReport], None] = lambda _report: None,
    clock: Callable[[], float] = time.monotonic,
) -> tuple[DrainReport, str]:
    """Send everything that no living process holds. Gives up when nothing is acknowledged for `timeout_s`.

    Returns what was sent, and the sender's last error when it was given up, '' otherwise. Raises SpoolError.
    """
    drainer: Drainer | None = None

    def settled(envelope: OutgoingEnvelope, reason: DropReason | None) -> None:
        if drainer is not None:
            drainer.settled(envelope, reason)

    sender = new_sender(settled)
    drainer = Drainer(directory, sender, clock)
    seen, seen_at_s = 0, clock()
    try:
        while clock() - seen_at_s < timeout_s:
            if sender.partitions is None:
                sender.is_reachable()
            drainer.look_now()
            if sender.partitions is not None and not drainer.turn():
                return drainer.report, ""
            sender.service(_WAIT_S)
            on_progress(drainer.report)
            if drainer.report.envelopes > seen:
                seen, seen_at_s = drainer.report.envelopes, clock()
        return drainer.report, sender.last_error or f"nothing was acknowledged for {timeout_s:g} s"
    finally:
        drainer.break_off()
        sender.close(0.0)
