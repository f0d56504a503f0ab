"""The catalogue as plain rows for the ClickHouse tables, and the type of each column. Pure.

`catalogue_models`: one row a model. `catalogue_aliases`: one row a name (folded to lower case), ids included.
`catalogue_prices`: one row a price row and context tier; rows of one (provider, model, variant) and one
`min_input_tokens` never overlap in [valid_from, valid_until).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from tokentide_schemas.catalogue.entries import Author, Model, Origin, OriginGroup
from tokentide_schemas.catalogue.pricing import TOKEN_BUCKETS, PriceRow

# The end of a price that is still valid: DateTime64(3) holds it, and no comparison needs to handle NULL.
OPEN_END = datetime(2299, 1, 1, tzinfo=UTC)

MODEL_COLUMNS: Mapping[str, str] = {
    "id": "String",
    "name": "String",
    "author": "LowCardinality(String)",
    "author_name": "LowCardinality(String)",
    "kind": "LowCardinality(String)",
    "open_weights": "Bool",
    "origin": "LowCardinality(String)",
    "origin_group": "LowCardinality(String)",
    "total_parameters_billion": "Nullable(Float64)",
    "size_class": "LowCardinality(String)",
    "reasoning": "Bool",
    "context_length_tokens": "UInt32",
    "release_date": "Date",
    "catalogue_version": "LowCardinality(String)",
}

ALIAS_COLUMNS: Mapping[str, str] = {
    "alias": "String",
    "model": "String",
    "catalogue_version": "LowCardinality(String)",
}

PRICE_COLUMNS: Mapping[str, str] = {
    "provider": "LowCardinality(String)",
    "model": "String",
    "variant": "LowCardinality(String)",
    "valid_from": "DateTime64(3, 'UTC')",
    "valid_until": "DateTime64(3, 'UTC')",
    "version": "String",
    "min_input_tokens": "UInt32",
    **{f"{bucket}_nanousd_per_million": "UInt64" for bucket in TOKEN_BUCKETS},
    "per_request_nanousd": "UInt64",
    "per_tool_call_nanousd": "UInt64",
    "is_free_period": "Bool",
    "confidence": "LowCardinality(String)",
    "source": "String",
    "catalogue_version": "LowCardinality(String)",
}


def origin_of(model: Model, author: Author) -> Origin:
    """The model's own origin where it is written, its author's otherwise."""
    return model.origin or author.origin


def origin_group_of(model: Model, author: Author) -> OriginGroup:
    """The study's group of a model: proprietary, Chinese open or rest-of-world open."""
    if not model.open_weights:
        return OriginGroup.PROPRIETARY
    if origin_of(model, author) is Origin.CHINESE:
        return OriginGroup.CHINESE_OPEN
    return OriginGroup.REST_OF_WORLD_OPEN


def model_row(model: Model, author: Author, catalogue_version: str) -> dict[str, Any]:
    """One row of `catalogue_models`."""
    return {
        "id": model.id,
        "name": model.name,
        "author": model.author,
        "author_name": author.name,
        "kind": model.kind.value,
        "open_weights": model.open_weights,
        "origin": origin_of(model, author).value,
        "origin_group": origin_group_of(model, author).value,
        "total_parameters_billion": model.total_parameters_billion,
        "size_class": model.size_class.value,
        "reasoning": model.reasoning,
        "context_length_tokens": model.context_length_tokens,
        "release_date": model.release_date,
        "catalogue_version": catalogue_version,
    }


def price_rows_of(price: PriceRow, catalogue_version: str) -> Iterable[dict[str, Any]]:
    """The rows of `catalogue_prices` of one price row: one for each context tier."""
    for tier in price.tiers:
        amounts = zip(TOKEN_BUCKETS, tier.nanousd_per_million_tokens, strict=True)
        yield {
            "provider": price.provider,
            "model": price.model,
            "variant": price.variant,
            "valid_from": price.valid_from,
            "valid_until": price.valid_until or OPEN_END,
            "version": price.version,
            "min_input_tokens": tier.min_input_tokens,
            **{f"{bucket}_nanousd_per_million": amount for bucket, amount in amounts},
            "per_request_nanousd": price.per_request_nanousd,
            "per_tool_call_nanousd": price.per_tool_call_nanousd,
            "is_free_period": price.is_free_period,
            "confidence": price.confidence,
            "source": price.source,
            "catalogue_version": catalogue_version,
        }
