"""What a request costs: exact integer arithmetic over price rows, one request at a time. Pure.

Prices are whole nano-USD per million tokens, so a price far below one nano-USD per token stays exact. The charges of
all buckets are summed first, in millionths of a nano-USD, and rounded once to whole nano-USD, halves up.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

TOKENS_PER_PRICE_UNIT = 1_000_000
# Above these, a request's numbers are damaged rather than large, and 64-bit columns could not hold the sums.
MAX_TOKENS_PER_BUCKET = 10**12
MAX_COST_NANOUSD = 2**62

# The disjoint buckets of the usage event, in the order of `PriceTier.nanousd_per_million_tokens`.
TOKEN_BUCKETS = (
    "input_uncached",
    "input_cache_read",
    "input_cache_write",
    "output",
    "output_reasoning",
    "audio",
    "image",
)
TOKEN_COLUMNS = tuple(f"{bucket}_tokens" for bucket in TOKEN_BUCKETS)
# What decides the context tier: the whole input. Audio and image tokens count as input here.
CONTEXT_COLUMNS = (
    "input_uncached_tokens",
    "input_cache_read_tokens",
    "input_cache_write_tokens",
    "audio_tokens",
    "image_tokens",
)


@dataclass(frozen=True, slots=True)
class PriceTier:
    """Prices of requests whose whole input has at least `min_input_tokens` tokens (0 for the first tier).

    `nanousd_per_million_tokens` holds one price for each of TOKEN_BUCKETS, in that order.
    """

    min_input_tokens: int
    nanousd_per_million_tokens: tuple[int, int, int, int, int, int, int]


@dataclass(frozen=True, slots=True)
class PriceRow:
    """What one provider charges for one model from `valid_from` (inclusive) to `valid_until` (exclusive, None: open).

    `version` names the row and its content: it is stored with each cost computed from the row and changes when a
    correction changes the row. `is_free_period` marks a promotion, during which every price is 0.
    """

    provider: str
    model: str
    variant: str
    valid_from: datetime
    valid_until: datetime | None
    version: str
    tiers: tuple[PriceTier, ...]
    per_request_nanousd: int
    per_tool_call_nanousd: int
    is_free_period: bool
    confidence: str
    source: str

    def tier_for(self, input_tokens: int) -> PriceTier:
        """The tier that a request with `input_tokens` tokens of whole input falls in."""
        chosen = self.tiers[0]
        for tier in self.tiers[1:]:
            if input_tokens >= tier.min_input_tokens:
                chosen = tier
        return chosen


def cost_nanousd(price: PriceRow, *, tokens: Mapping[str, int], tool_calls: int = 0, requests: int = 1) -> int:
    """The cost of one request in nano-USD, rounded once, halves up.

    `tokens` leads from names in TOKEN_COLUMNS to counts; a bucket that is left out has none. `requests` is 0 where
    the provider does not charge its per-request fee (a failed attempt).

    Raises ValueError for an unknown bucket or a count that is negative or above MAX_TOKENS_PER_BUCKET, and
    OverflowError when the cost is above MAX_COST_NANOUSD.
    """
    unknown = sorted(set(tokens) - set(TOKEN_COLUMNS))
    if unknown:
        raise ValueError(f"cost_nanousd: unknown token bucket {', '.join(unknown)}: use {', '.join(TOKEN_COLUMNS)}")
    for name, count in (*tokens.items(), ("tool_calls", tool_calls), ("requests", requests)):
        if not 0 <= count <= MAX_TOKENS_PER_BUCKET:
            raise ValueError(out_of_range(name, count))
    tier = price.tier_for(sum(tokens.get(name, 0) for name in CONTEXT_COLUMNS))
    millionths = sum(
        tokens.get(name, 0) * each for name, each in zip(TOKEN_COLUMNS, tier.nanousd_per_million_tokens, strict=True)
    )
    cost = (millionths + TOKENS_PER_PRICE_UNIT // 2) // TOKENS_PER_PRICE_UNIT
    cost += requests * price.per_request_nanousd + tool_calls * price.per_tool_call_nanousd
    if cost > MAX_COST_NANOUSD:
        raise OverflowError(too_expensive(price, cost))
    return cost


def out_of_range(name: str, count: int) -> str:
    """The message for a count that no request can have."""
    return f"cost: {name} is {count}: give a count from 0 to {MAX_TOKENS_PER_BUCKET} (the event is damaged)"


def too_expensive(price: PriceRow, cost: int) -> str:
    """The message for a cost that a 64-bit column cannot hold."""
    return (
        f"cost: one request at {price.version} would cost {cost} nano-USD, above {MAX_COST_NANOUSD}: "
        "correct the price row or the event's token counts"
    )
