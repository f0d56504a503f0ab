"""Models, their names and their prices: plain files in `data/`, validated, overridable by the user's own files."""

from tokentide_schemas.catalogue.catalogue import Catalogue
from tokentide_schemas.catalogue.entries import (
    Author,
    Confidence,
    Model,
    ModelKind,
    Origin,
    OriginGroup,
    Provider,
    SizeClass,
)
from tokentide_schemas.catalogue.loading import load_catalogue
from tokentide_schemas.catalogue.matching import match_prices
from tokentide_schemas.catalogue.names import split_variant
from tokentide_schemas.catalogue.pricing import (
    TOKEN_BUCKETS,
    TOKEN_COLUMNS,
    PriceRow,
    PriceTier,
    cost_nanousd,
)
from tokentide_schemas.catalogue.pricing_columns import NO_PRICE, cost_nanousd_columns
from tokentide_schemas.catalogue.problems import CatalogueError, Place, Problem
from tokentide_schemas.catalogue.rows import ALIAS_COLUMNS, MODEL_COLUMNS, OPEN_END, PRICE_COLUMNS

__all__ = [
    "ALIAS_COLUMNS",
    "MODEL_COLUMNS",
    "NO_PRICE",
    "OPEN_END",
    "PRICE_COLUMNS",
    "TOKEN_BUCKETS",
    "TOKEN_COLUMNS",
    "Author",
    "Catalogue",
    "CatalogueError",
    "Confidence",
    "Model",
    "ModelKind",
    "Origin",
    "OriginGroup",
    "Place",
    "PriceRow",
    "PriceTier",
    "Problem",
    "Provider",
    "SizeClass",
    "cost_nanousd",
    "cost_nanousd_columns",
    "load_catalogue",
    "match_prices",
    "split_variant",
]
