"""Usage objects of the clients as disjoint buckets. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from tokentide_producers.clients.reading import get
from tokentide_producers.otlp.numbers import as_count, usd_to_nanousd
from tokentide_producers.token_usage import UNKNOWN, Usage, without_parts


@dataclass(frozen=True, slots=True)
class Cost:
    """What the provider charged, where it says so. nanousd: None when it does not."""

    nanousd: int | None = None
    is_byok: bool = False


def openai_usage(usage: Any) -> Usage:
    """Of chat completions, completions and embeddings (`prompt_tokens`) or of responses (`input_tokens`).

    Input includes what a cache served or stored, and its audio and images; output includes reasoning, except with
    providers whose total then is larger than input and output. Without an input count nothing is known.
    """
    total_in = _first(usage, ("prompt_tokens", "input_tokens"))
    total_out = _first(usage, ("completion_tokens", "output_tokens"))
    total = _first(usage, ("total_tokens",))
    if total_in is None:
        return UNKNOWN
    if total_out is None:
        # Embeddings have no output.
        total_out = max(0, total - total_in) if total is not None else 0
    details_in = get(usage, "prompt_tokens_details") or get(usage, "input_tokens_details")
    details_out = get(usage, "completion_tokens_details") or get(usage, "output_tokens_details")
    read = _first(details_in, ("cached_tokens",))
    if read is None:
        read = _first(usage, ("prompt_cache_hit_tokens",)) or 0
    write = _first(details_in, ("cache_write_tokens", "cache_creation_tokens")) or 0
    reasoning = _first(details_out, ("reasoning_tokens",)) or 0
    audio_in, audio_out = (_first(part, ("audio_tokens",)) or 0 for part in (details_in, details_out))
    image_in, image_out = (_first(part, ("image_tokens",)) or 0 for part in (details_in, details_out))
    apart = bool(reasoning) and total == total_in + total_out + reasoning
    return Usage(
        is_reported=True,
        input_uncached=without_parts(total_in, read + write + audio_in + image_in),
        input_cache_read=read,
        input_cache_write=write,
        output=without_parts(total_out, (0 if apart else reasoning) + audio_out + image_out),
        output_reasoning=reasoning,
        audio=audio_in + audio_out,
        image=image_in + image_out,
    )


def anthropic_usage(parts: Iterable[Any], *, is_final: bool) -> Usage:
    """Of messages, from usage objects of which a later one replaces the counts that it has.

    Input does not include what a cache served or stored. Output includes thinking, which newer answers name. Without
    the final object the counts so far are kept, and the usage is not reported.
    """
    known: dict[str, int] = {}
    for part in parts:
        for name in (*_ANTHROPIC_INPUT, "output_tokens"):
            count = as_count(get(part, name))
            if count is not None:
                known[name] = count
        thinking = _first(get(part, "output_tokens_details"), ("thinking_tokens", "reasoning_tokens"))
        if thinking is not None:
            known["thinking"] = thinking
    if "input_tokens" not in known:
        return UNKNOWN
    thinking = known.get("thinking", 0)
    return Usage(
        is_reported=is_final and "output_tokens" in known,
        input_uncached=known["input_tokens"],
        input_cache_read=known.get("cache_read_input_tokens", 0),
        input_cache_write=known.get("cache_creation_input_tokens", 0),
        output=without_parts(known.get("output_tokens", 0), thinking),
        output_reasoning=thinking,
    )


_ANTHROPIC_INPUT = ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")


def cost_of(usage: Any) -> Cost:
    """OpenRouter's `cost` in dollars and `is_byok`."""
    return Cost(usd_to_nanousd(get(usage, "cost")), get(usage, "is_byok") is True)


def _first(source: Any, names: tuple[str, ...]) -> int | None:
    for name in names:
        count = as_count(get(source, name))
        if count is not None:
            return count
    return None
