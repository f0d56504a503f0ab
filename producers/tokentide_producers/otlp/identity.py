"""Event ids that follow from what they identify, so that whoever sends it again sends the same id. Pure."""

from __future__ import annotations

import hashlib
from typing import Final
from uuid import UUID

_HASHED_BITS: Final = 74


def stable_event_id(occurred_ms: int, *parts: bytes) -> UUID:
    """A version 7 UUID: 48 bits of the event's own time, then 74 bits of BLAKE2b over the parts.

    occurred_ms: milliseconds since 1970, the same whenever the event is sent. Neighbours in time are neighbours in the
    store, as with ids that were counted.
    """
    digest = hashlib.blake2b(digest_size=10)
    for part in parts:
        # With its length: ("ab", "c") and ("a", "bc") are different things.
        digest.update(len(part).to_bytes(4, "big"))
        digest.update(part)
    bits = int.from_bytes(digest.digest(), "big") >> (80 - _HASHED_BITS)
    high = (occurred_ms & (2**48 - 1)) << 16 | 0x7000 | bits >> 62
    return UUID(int=high << 64 | 0b10 << 62 | bits & (2**62 - 1))
