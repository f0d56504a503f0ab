"""What an emitter counts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tokentide_producers.outcomes import DropReason
from tokentide_producers.spool.spooling_sender import SpoolStats


@dataclass(frozen=True, slots=True)
class EmitterStats:
    """Counts of events since this incarnation's start: accepted = acknowledged + spooled + in_flight + lost.

    acknowledged: by Kafka at once. spooled: on disk, fsynced, to be sent when Kafka is back. in_flight: neither yet.
    lost: what `dropped` counts under `outcomes.AFTER_ACCEPTANCE`. dropped: by reason, at the door and after;
    spool_evicted counts events that were `spooled` before, by whichever process. envelopes, bytes: that Kafka has
    acknowledged. retries: envelopes that were sent again. spool: see `SpoolStats`, all zero without a spool.
    last_error: the latest problem, '' for none.
    """

    accepted: int
    acknowledged: int
    spooled: int
    in_flight: int
    dropped: Mapping[DropReason, int]
    envelopes: int
    bytes: int
    retries: int
    spool: SpoolStats
    last_error: str
