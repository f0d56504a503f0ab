"""LiteLLM's usage object as disjoint buckets. Pure.

LiteLLM has every provider's numbers in OpenAI's form: prompt_tokens with what caches served and stored,
completion_tokens with reasoning (Anthropic's own three input numbers are added up by it). Its Responses objects say
input_tokens and output_tokens.
"""

from __future__ import annotations

from typing import Any, Final

from tokentide_producers.litellm.reading import part
from tokentide_producers.otlp.numbers import as_count
from tokentide_producers.token_usage import UNKNOWN, Usage, without_parts
from tokentide_schemas.event import MAX_COUNT32

_INPUT: Final = ("prompt_tokens", "input_tokens")
_OUTPUT: Final = ("completion_tokens", "output_tokens")
_INPUT_DETAILS: Final = ("prompt_tokens_details", "input_tokens_details")
_OUTPUT_DETAILS: Final = ("completion_tokens_details", "output_tokens_details")
_CACHE_WRITE: Final = ("cache_creation_tokens", "cache_write_tokens")


def usage_of(reported: Any, *, input_only: bool = False) -> Usage:
    """The buckets.

    Unknown when there is no object, no number, or nothing but zeros: LiteLLM writes zeros where a provider reported
    nothing. input_only: embeddings and their like, which have no output.
    """
    total_in = _count(reported, _INPUT)
    total_out = _count(reported, _OUTPUT)
    if total_out is None and input_only:
        total_out = 0
    if total_in is None or total_out is None or total_in + total_out == 0:
        return UNKNOWN
    inputs, outputs = _first(reported, _INPUT_DETAILS), _first(reported, _OUTPUT_DETAILS)
    read = _count(inputs, ("cached_tokens",)) or _count(reported, ("cache_read_input_tokens",)) or 0
    write = _count(reported, ("cache_creation_input_tokens",)) or _count(inputs, _CACHE_WRITE) or 0
    reasoning = _count(outputs, ("reasoning_tokens",)) or 0
    audio = [_count(details, ("audio_tokens",)) or 0 for details in (inputs, outputs)]
    image = [_count(details, ("image_tokens",)) or 0 for details in (inputs, outputs)]
    return Usage(
        is_reported=True,
        input_uncached=without_parts(total_in, read + write + audio[0] + image[0]),
        input_cache_read=read,
        input_cache_write=write,
        output=without_parts(total_out, reasoning + audio[1] + image[1]),
        output_reasoning=reasoning,
        audio=sum(audio),
        image=sum(image),
    )


def _first(owner: Any, names: tuple[str, ...]) -> Any:
    return next((found for name in names if (found := part(owner, name)) is not None), None)


def _count(owner: Any, names: tuple[str, ...]) -> int | None:
    count = as_count(_first(owner, names))
    return None if count is None or count > MAX_COUNT32 else count
