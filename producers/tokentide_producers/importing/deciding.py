"""The import's decisions. Pure: what the ledger knows and what time it is are arguments."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Final

from tokentide_producers.importing.events import Event
from tokentide_schemas.identity import DAY_MS, HORIZON_DAYS

RESEND_WITHIN_MS: Final = HORIZON_DAYS * DAY_MS - DAY_MS // 2
"""Readers recognise an envelope on the day of its acceptance and on the seven days after it (`schemas/identity.py`).
What was journaled at most so long ago cannot have been accepted before that; half a day is for clocks that differ."""


@dataclass(frozen=True, slots=True)
class Division:
    """Events that are to be sent, in order, each once, and how many others were left out."""

    fresh: list[Event]
    repeated: int
    in_store: int


def divide(events: Iterable[Event], in_ledger: Collection[bytes], in_store: Collection[bytes]) -> Division:
    """What of a block is new. in_ledger, in_store: keys that are known there, at least those of the block.

    The first of several rows with the same identity counts.
    """
    fresh: dict[bytes, Event] = {}
    repeated = stored = 0
    for event in events:
        if event.key in in_ledger or event.key in fresh:
            repeated += 1
        elif event.key in in_store:
            stored += 1
        else:
            fresh[event.key] = event
    return Division(list(fresh.values()), repeated, stored)


class Pending(Enum):
    """What to do with an envelope that was journaled and of which no acknowledgement is known."""

    SEND = "send"
    SETTLED = "settled"
    ASK_THE_STORE = "ask the store"


def decide_pending(journaled_at_ms: int, now_ms: int, is_stored: bool | None) -> Pending:
    """Sent again within the horizon it is recognised; after it only the store can say whether it came through.

    is_stored: what the store says, None when it was not asked.
    """
    if now_ms - journaled_at_ms <= RESEND_WITHIN_MS:
        return Pending.SEND
    if is_stored is None:
        return Pending.ASK_THE_STORE
    return Pending.SETTLED if is_stored else Pending.SEND
