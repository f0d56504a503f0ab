"""What became of an event: the closed set of reasons for a drop, and the answer of `Emitter.emit`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class DropReason(StrEnum):
    """Why an event will not be stored. Each is a counter in `EmitterStats.dropped`."""

    INVALID = "invalid"
    """Refused at the door: the fields are not a usage event."""
    BUFFER_FULL = "buffer_full"
    """Refused at the door: Kafka is away or slow and the buffer is full."""
    CLOSED = "closed"
    """Refused at the door: the emitter is closed, or the interpreter is exiting."""
    NOT_ENCODED = "not_encoded"
    """Lost after acceptance: the batch could not be put into an envelope (a defect, logged with its traceback)."""
    REFUSED_BY_BROKER = "refused_by_broker"
    """Lost after acceptance: the broker refuses the record for good (larger than its limit)."""
    UNACKNOWLEDGED_AT_CLOSE = "unacknowledged_at_close"
    """Given up at close: not acknowledged within the time; Kafka may still have stored some of them."""
    SPOOL_EVICTED = "spool_evicted"
    """Lost after acceptance: the spool was full and its settings say that the oldest events go first."""


AFTER_ACCEPTANCE: Final = frozenset(
    {DropReason.NOT_ENCODED, DropReason.REFUSED_BY_BROKER, DropReason.UNACKNOWLEDGED_AT_CLOSE}
)
"""Reasons for which an event is lost that `emit` had accepted and no spool has had."""


@dataclass(frozen=True, slots=True)
class EmitResult:
    """Answer of `emit`: true when the event was accepted. detail: what is wrong and what to do, without values."""

    reason: DropReason | None = None
    detail: str = ""

    def __bool__(self) -> bool:
        return self.reason is None


ACCEPTED: Final = EmitResult()
