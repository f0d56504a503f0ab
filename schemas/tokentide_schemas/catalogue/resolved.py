"""Written prices to the rows that costs are computed from, without gaps in meaning or overlaps in time. Pure.

A price that is left out is taken from the one that providers bill in its place: cache reads and writes, audio and
images from `input_uncached`, reasoning from `output`. A tier that leaves a price out takes the row's own where that
is written, and follows the same rule otherwise.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from itertools import pairwise

from tokentide_schemas.catalogue.entries import Price, TokenPrices
from tokentide_schemas.catalogue.pricing import TOKEN_BUCKETS, PriceRow, PriceTier
from tokentide_schemas.catalogue.problems import Problem
from tokentide_schemas.catalogue.reading import Located

NANOUSD_PER_USD = 10**9
FREE_VARIANT = "free"
FREE_VARIANT_VERSION = "free-variant"
_ALWAYS = datetime(1970, 1, 1, tzinfo=UTC)

_FALLBACK = {
    "input_cache_read": "input_uncached",
    "input_cache_write": "input_uncached",
    "output_reasoning": "output",
    "audio": "input_uncached",
    "image": "input_uncached",
}


def overlaps(series: Sequence[Located[Price]]) -> list[Problem]:
    """Problems of one series (sorted by `valid_from`) in which more than one price would hold at an instant."""
    problems = []
    for earlier, later in pairwise(series):
        end = earlier.entry.valid_until
        if end is not None and end > later.entry.valid_from:
            message = (
                f"valid until {end:%Y-%m-%dT%H:%MZ}, but {later.place} is valid from {later.entry.valid_from:%Y-%m-%d}"
            )
            hint = "remove valid_until (the next price ends this one) or move it back"
            problems.append(Problem(earlier.place, f"price {earlier.entry.label}", "valid_until", message, hint))
        last = earlier.entry.free_periods[-1:]
        if last and last[0].end > later.entry.valid_from:
            message = f"a free period ends after the next price starts ({later.place})"
            problems.append(
                Problem(earlier.place, f"price {earlier.entry.label}", "free_periods", message, "split it in two")
            )
    return problems


def price_rows(series: Sequence[Price]) -> list[PriceRow]:
    """The rows of one series (sorted by `valid_from`, no overlaps): consecutive, with free periods cut out as rows."""
    rows: list[PriceRow] = []
    for number, price in enumerate(series):
        following = series[number + 1].valid_from if number + 1 < len(series) else None
        rows += _segments(price, price.valid_until or following)
    return rows


def free_variant_row(provider: str, model: str) -> PriceRow:
    """The price of a `:free` request for which no price is written: by definition of the variant, nothing."""
    return PriceRow(
        provider=provider,
        model=model,
        variant=FREE_VARIANT,
        valid_from=_ALWAYS,
        valid_until=None,
        version=FREE_VARIANT_VERSION,
        tiers=(_NOTHING,),
        per_request_nanousd=0,
        per_tool_call_nanousd=0,
        is_free_period=False,
        confidence="list",
        source="the meaning of the :free variant",
    )


_NOTHING = PriceTier(0, (0, 0, 0, 0, 0, 0, 0))


def _segments(price: Price, until: datetime | None) -> Iterable[PriceRow]:
    start = price.valid_from
    for period in price.free_periods:
        if start < period.start:
            yield _row(price, start, period.start, is_free=False)
        yield _row(price, period.start, period.end, is_free=True)
        start = period.end
    if until is None or start < until:
        yield _row(price, start, until, is_free=False)


def _row(price: Price, start: datetime, until: datetime | None, *, is_free: bool) -> PriceRow:
    base = price.usd_per_million_tokens
    tiers: tuple[PriceTier, ...] = (_NOTHING,)
    if not is_free:
        tiers = (
            _tier(0, base, base),
            *(_tier(t.above_input_tokens + 1, t.usd_per_million_tokens, base) for t in price.tiers),
        )
    per_request = 0 if is_free else _nanousd(price.usd_per_request)
    per_tool_call = 0 if is_free else _nanousd(price.usd_per_tool_call)
    provider, model, variant = price.series
    return PriceRow(
        provider=provider,
        model=model,
        variant=variant,
        valid_from=start,
        valid_until=until,
        version=_version(price, start, tiers, per_request, per_tool_call),
        tiers=tiers,
        per_request_nanousd=per_request,
        per_tool_call_nanousd=per_tool_call,
        is_free_period=is_free,
        confidence=price.confidence.value,
        source=price.source,
    )


def _tier(min_input_tokens: int, prices: TokenPrices, base: TokenPrices) -> PriceTier:
    def amount(bucket: str) -> int:
        written: Decimal | None = getattr(prices, bucket)
        if written is None:
            written = getattr(base, bucket)
        return amount(_FALLBACK[bucket]) if written is None else _nanousd(written)

    a, b, c, d, e, f, g = (amount(bucket) for bucket in TOKEN_BUCKETS)
    return PriceTier(min_input_tokens, (a, b, c, d, e, f, g))


def _nanousd(usd: Decimal) -> int:
    # Exact: entries allow nine decimal places at most.
    return int(usd * NANOUSD_PER_USD)


def _version(price: Price, start: datetime, tiers: tuple[PriceTier, ...], per_request: int, per_tool_call: int) -> str:
    # What is charged is part of the version, who wrote it down and when it ends is not: a new price that follows must
    # not make costs that are already stored look out of date.
    charged = [[tier.min_input_tokens, tier.nanousd_per_million_tokens] for tier in tiers]
    content = json.dumps([charged, per_request, per_tool_call])
    fingerprint = hashlib.sha256(content.encode()).hexdigest()[:8]
    variant = f":{price.variant}" if price.variant else ""
    instant = start.strftime(
        "%Y-%m-%d"
        if (start.hour, start.minute, start.second, start.microsecond) == (0,) * 4
        else "%Y-%m-%dT%H:%M:%S.%fZ"
    )
    return f"{price.provider}/{price.model}{variant}@{instant}#{fingerprint}"
