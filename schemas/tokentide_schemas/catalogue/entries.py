"""The entries of catalogue files as a person writes them: authors, providers, models and prices.

Prices are written in USD (per million tokens, per request, per tool call) as decimals with at most nine places, so
every one of them is a whole number of nano-USD; `resolved.py` turns them into the rows that costs are computed from.
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, model_validator

SMALL_BELOW_BILLION = 15
LARGE_FROM_BILLION = 70


class Origin(StrEnum):
    """Where the author is: China (mainland, Taiwan, Hong Kong) or the rest of the world."""

    CHINESE = "chinese"
    REST_OF_WORLD = "rest_of_world"


class OriginGroup(StrEnum):
    """The study's three groups: weights not public, or public from China or from elsewhere."""

    PROPRIETARY = "proprietary"
    CHINESE_OPEN = "chinese_open"
    REST_OF_WORLD_OPEN = "rest_of_world_open"


class SizeClass(StrEnum):
    """By total parameters: small < 15B, medium 15B to < 70B, large >= 70B, unknown when unpublished."""

    SMALL = "small"
    MEDIUM = "medium"
    LARGE = "large"
    UNKNOWN = "unknown"


class ModelKind(StrEnum):
    """What a model gives back."""

    CHAT = "chat"
    EMBEDDINGS = "embeddings"


class Confidence(StrEnum):
    """How sure a price is: read from the provider's list, or approximate (a market reading or a remembered value)."""

    LIST = "list"
    APPROXIMATE = "approximate"


def parse_utc(value: object) -> datetime:
    """An instant in UTC from `2025-05-22` (midnight) or `2025-05-22T16:00:00Z`; anything else is a ValueError."""
    if isinstance(value, str):
        text = value.strip()
        try:
            instant = datetime.fromisoformat(text)
        except ValueError:
            raise ValueError(f"{text!r} is not a date or time (write 2025-05-22 or 2025-05-22T16:00:00Z)") from None
        if instant.tzinfo is None and len(text) == len("2025-05-22"):
            instant = instant.replace(tzinfo=UTC)
    elif isinstance(value, datetime):
        instant = value
    elif isinstance(value, date):
        instant = datetime(value.year, value.month, value.day, tzinfo=UTC)
    else:
        raise ValueError(f"{value!r} is not a date or time (write 2025-05-22 or 2025-05-22T16:00:00Z)")
    offset = instant.utcoffset()
    if offset is None:
        raise ValueError(f"{value} has no time zone (end it with Z: catalogue times are UTC)")
    if offset:
        raise ValueError(f"{value} is not in UTC (convert it and end it with Z)")
    return instant.astimezone(UTC)


def _no_float(value: object) -> object:
    # A float has already lost the digits that were written; text and integers have not.
    if isinstance(value, float):
        raise ValueError(f"{value!r} is a float (give the price as text or a Decimal, so that it stays exact)")
    return value


UtcInstant = Annotated[datetime, BeforeValidator(parse_utc)]
Usd = Annotated[Decimal, BeforeValidator(_no_float), Field(ge=0, le=1_000_000, decimal_places=9)]
Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]
Slug = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]*$", max_length=80)]
ModelId = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]*/[a-z0-9][a-z0-9._:-]*$", max_length=160)]


class Entry(BaseModel):
    """Base of all entries: immutable, and unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Author(Entry):
    """Who trained a model: the part of the model's id before the slash."""

    id: Slug
    name: Text
    origin: Origin
    aliases: tuple[Text, ...] = ()


class Provider(Entry):
    """Who serves models and sends the bill."""

    id: Slug
    name: Text
    aliases: tuple[Text, ...] = ()


class Model(Entry):
    """One model. `origin` is only written where it differs from its author's."""

    id: ModelId
    name: Text
    open_weights: bool
    reasoning: bool
    context_length_tokens: Annotated[int, Field(gt=0)]
    release_date: date
    total_parameters_billion: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None
    kind: ModelKind = ModelKind.CHAT
    origin: Origin | None = None
    aliases: tuple[Text, ...] = ()

    @property
    def author(self) -> str:
        """The author's id."""
        return self.id.partition("/")[0]

    @property
    def size_class(self) -> SizeClass:
        """By total parameters (for a mixture of experts: all experts, not the active ones)."""
        if self.total_parameters_billion is None:
            return SizeClass.UNKNOWN
        if self.total_parameters_billion < SMALL_BELOW_BILLION:
            return SizeClass.SMALL
        if self.total_parameters_billion < LARGE_FROM_BILLION:
            return SizeClass.MEDIUM
        return SizeClass.LARGE


class TokenPrices(Entry):
    """USD per million tokens of each bucket; what is left out takes the price named in `resolved.py`."""

    input_uncached: Usd
    output: Usd
    input_cache_read: Usd | None = None
    input_cache_write: Usd | None = None
    output_reasoning: Usd | None = None
    audio: Usd | None = None
    image: Usd | None = None


class ContextTier(Entry):
    """Prices of a request whose whole input is longer than `above_input_tokens`."""

    above_input_tokens: Annotated[int, Field(gt=0)]
    usd_per_million_tokens: TokenPrices


class FreePeriod(Entry):
    """From `start` (inclusive) to `end` (exclusive) nothing is charged."""

    start: UtcInstant
    end: UtcInstant

    @model_validator(mode="after")
    def _ends_after_start(self) -> FreePeriod:
        if self.end <= self.start:
            raise ValueError("a free period must end after it starts (end is exclusive)")
        return self


class Price(Entry):
    """What a provider charges for a model from `valid_from` until the model's next price, or `valid_until`."""

    provider: Slug
    model: ModelId
    variant: Slug | None = None
    valid_from: UtcInstant
    valid_until: UtcInstant | None = None
    usd_per_million_tokens: TokenPrices
    usd_per_request: Usd = Decimal(0)
    usd_per_tool_call: Usd = Decimal(0)
    tiers: tuple[ContextTier, ...] = ()
    free_periods: tuple[FreePeriod, ...] = ()
    confidence: Confidence
    source: Text
    replaces_earlier_files: bool = False

    @property
    def series(self) -> tuple[str, str, str]:
        """(provider, model, variant): prices of one series follow each other in time."""
        return self.provider, self.model, self.variant or ""

    @property
    def label(self) -> str:
        """The entry's name in messages."""
        variant = f":{self.variant}" if self.variant else ""
        return f"{self.provider} {self.model}{variant} from {self.valid_from:%Y-%m-%d}"

    @model_validator(mode="after")
    def _unambiguous(self) -> Price:
        bounds = [tier.above_input_tokens for tier in self.tiers]
        if bounds != sorted(set(bounds)):
            raise ValueError(f"tiers must have rising above_input_tokens, not {bounds} (sort them, one entry for each)")
        if self.valid_until is not None and self.valid_until <= self.valid_from:
            raise ValueError("valid_until must be after valid_from (it is exclusive)")
        until = self.valid_from
        for period in self.free_periods:
            if period.start < until:
                raise ValueError("free periods must be in order, apart, and not before valid_from (move the start)")
            until = period.end
        if self.free_periods and self.valid_until is not None and until > self.valid_until:
            raise ValueError("a free period ends after valid_until (shorten it or move valid_until)")
        return self
