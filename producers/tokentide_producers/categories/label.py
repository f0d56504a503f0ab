"""What a labeller says of a request."""

from __future__ import annotations

from dataclasses import dataclass

from tokentide_schemas.event import CategorySource


@dataclass(frozen=True, slots=True)
class Label:
    """One request's category. confidence: 0 to 1, None when unknown. weight: how many requests it stands for."""

    category: str
    subcategory: str
    source: CategorySource
    confidence: float | None
    weight: float = 1.0
