"""The tokens of one request as disjoint buckets, whichever interface has told them. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Usage:
    """Disjoint buckets that sum to the request's tokens. is_reported: False: not known, or not to the end."""

    is_reported: bool = False
    input_uncached: int = 0
    input_cache_read: int = 0
    input_cache_write: int = 0
    output: int = 0
    output_reasoning: int = 0
    audio: int = 0
    image: int = 0


UNKNOWN: Final = Usage()


def without_parts(whole: int, parts: int) -> int:
    """The whole less its parts; a whole that is smaller than its parts was reported without them."""
    return whole - parts if whole >= parts else whole
