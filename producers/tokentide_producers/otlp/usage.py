"""Token counts of a span as disjoint buckets. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from tokentide_producers.otlp import names
from tokentide_producers.otlp.numbers import first_count
from tokentide_producers.token_usage import UNKNOWN, Usage, without_parts

_INPUT_ONLY: Final = frozenset({"embeddings", "rerank"})


def usage_of(attributes: Mapping[str, Any], operation: str) -> Usage:
    """The usage that a span reports.

    Input includes what caches served and stored, output includes reasoning, so parts are taken out of their wholes.
    A whole that is smaller than its parts was reported without them (older instrumentations of Anthropic do that) and
    is kept as it is. Only one of input and output known: with a total the other follows, else the usage is unknown.
    """
    total_in = first_count(attributes, names.INPUT)
    total_out = first_count(attributes, names.OUTPUT)
    total = first_count(attributes, names.TOTAL)
    if total is not None and total_in is None and total_out is not None and total >= total_out:
        total_in = total - total_out
    if total is not None and total_out is None and total_in is not None and total >= total_in:
        total_out = total - total_in
    if total_out is None and operation in _INPUT_ONLY:
        total_out = 0
    if total_in is None or total_out is None:
        return UNKNOWN
    read = first_count(attributes, names.CACHE_READ) or 0
    write = first_count(attributes, names.CACHE_WRITE) or 0
    reasoning = first_count(attributes, names.REASONING) or 0
    audio_in = first_count(attributes, names.INPUT_AUDIO) or 0
    audio_out = first_count(attributes, names.OUTPUT_AUDIO) or 0
    return Usage(
        is_reported=True,
        input_uncached=without_parts(total_in, read + write + audio_in),
        input_cache_read=read,
        input_cache_write=write,
        output=without_parts(total_out, reasoning + audio_out),
        output_reasoning=reasoning,
        audio=audio_in + audio_out,
    )
