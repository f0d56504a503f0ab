"""The catalogue: which models exist, by which names, and what they cost at which instant. No IO here."""

from __future__ import annotations

import hashlib
import json
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from functools import lru_cache
from types import MappingProxyType
from typing import Any

from tokentide_schemas.catalogue.entries import Author, Model, OriginGroup, Provider
from tokentide_schemas.catalogue.merging import Merged, Series
from tokentide_schemas.catalogue.names import candidates, fold_provider, split_variant
from tokentide_schemas.catalogue.pricing import PriceRow
from tokentide_schemas.catalogue.reading import Located
from tokentide_schemas.catalogue.resolved import FREE_VARIANT, free_variant_row, price_rows
from tokentide_schemas.catalogue.rows import model_row, origin_group_of, price_rows_of

# Names come from outside: a bounded cache, so that invented names cannot fill the memory.
_CACHED_NAMES = 16_384


class Catalogue:
    """Models, providers and prices that were read from catalogue files. Immutable; made by `load_catalogue`."""

    def __init__(self, merged: Merged) -> None:
        self.authors: Mapping[str, Author] = _entries(merged.authors)
        self.providers: Mapping[str, Provider] = _entries(merged.providers)
        self.models: Mapping[str, Model] = _entries(merged.models)
        self._model_names = dict(merged.model_names)
        self._provider_names = dict(merged.provider_names)
        self._author_names = dict(merged.author_names)
        self._routes = frozenset(merged.provider_names)
        self._prices: dict[Series, list[PriceRow]] = {
            series: price_rows([located.entry for located in rows]) for series, rows in sorted(merged.prices.items())
        }
        self.version = _content_hash(merged, self._prices.values())
        self._resolve = lru_cache(maxsize=_CACHED_NAMES)(self._resolve_uncached)

    def resolve(self, name: str) -> str:
        """The id of the model that `name` means; `name` itself, unchanged, when the catalogue does not know it.

        Case does not matter. Known are ids, aliases, ids without their author, `:variant` endings, dates and
        `-latest` at the end, provider prefixes (`azure/...`, `accounts/fireworks/models/...`) and Bedrock's
        (`us.anthropic.claude-...-v1:0`) and Vertex's (`...@20250514`) forms. See `names.py`.
        """
        return self._resolve(name)

    def resolve_provider(self, name: str) -> str:
        """The id of the provider that `name` means (`Amazon Bedrock`, `aws.bedrock`); unchanged when unknown."""
        return self._provider_names.get(fold_provider(name), name)

    def model(self, name: str) -> Model | None:
        """The model of an id or any other name that `resolve` knows; None when the catalogue does not have it."""
        return self.models.get(self.resolve(name))

    def origin_group(self, name: str) -> OriginGroup | None:
        """The study's group of a model (proprietary, Chinese open, rest-of-world open); None for an unknown one."""
        model = self.model(name)
        return None if model is None else origin_group_of(model, self.authors[model.author])

    def price(self, provider: str, model: str, occurred_at: datetime, variant: str | None = None) -> PriceRow | None:
        """The price row of a request that was complete at `occurred_at`; None when no price is known for it.

        `provider` and `model` may be any known names. `variant` (`free`, `batch`, ...) is taken from the model name's
        ending when None. A variant without prices of its own costs what the model costs, except `free`, which
        costs nothing. Raises ValueError for an `occurred_at` without a time zone.
        """
        if occurred_at.tzinfo is None:
            raise ValueError(f"Catalogue.price: occurred_at {occurred_at} has no time zone: pass an aware UTC datetime")
        rows = self.series(provider, model, variant)
        place = bisect_right(rows, occurred_at, key=lambda row: row.valid_from) - 1
        if place < 0:
            return None
        row = rows[place]
        return None if row.valid_until is not None and occurred_at >= row.valid_until else row

    def series(self, provider: str, model: str, variant: str | None = None) -> Sequence[PriceRow]:
        """All price rows that `price` chooses from, by `valid_from`; empty when no price is known."""
        wanted = split_variant(model)[1] if variant is None else variant
        provider_id, model_id = self.resolve_provider(provider), self.resolve(model)
        own = self._prices.get((provider_id, model_id, wanted))
        if own is not None:
            return own
        if wanted == FREE_VARIANT:
            return (free_variant_row(provider_id, model_id),)
        return self._prices.get((provider_id, model_id, ""), ())

    def model_rows(self) -> list[dict[str, Any]]:
        """Rows for `catalogue_models`; column types in `rows.MODEL_COLUMNS`."""
        return [model_row(model, self.authors[model.author], self.version) for _, model in sorted(self.models.items())]

    def alias_rows(self) -> list[dict[str, Any]]:
        """Rows for `catalogue_aliases`; column types in `rows.ALIAS_COLUMNS`. `alias` is in lower case."""
        return [
            {"alias": alias, "model": model, "catalogue_version": self.version}
            for alias, model in sorted(self._model_names.items())
        ]

    def price_rows(self) -> list[dict[str, Any]]:
        """Rows for `catalogue_prices`; column types in `rows.PRICE_COLUMNS`."""
        return [
            row for series in self._prices.values() for price in series for row in price_rows_of(price, self.version)
        ]

    def _resolve_uncached(self, name: str) -> str:
        for candidate in candidates(name, self._author_names, self._routes):
            known = self._model_names.get(candidate)
            if known is not None:
                return known
        return name


def _entries(located: Mapping[str, Any]) -> Mapping[str, Any]:
    return MappingProxyType({key: at.entry for key, at in sorted(located.items())})


def _content_hash(merged: Merged, prices: Iterable[Sequence[PriceRow]]) -> str:
    """Sixteen hex digits that change with any entry, but not with layout, comments or the order in the files."""
    sections: tuple[Mapping[str, Located[Any]], ...] = (merged.authors, merged.providers, merged.models)
    content: list[Any] = [
        [at.entry.model_dump(mode="json") for _, at in sorted(section.items())] for section in sections
    ]
    # Resolved rows and not written ones: 0.10 and 0.1 are one price.
    content.append([asdict(row) for rows in prices for row in rows])
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()[:16]
