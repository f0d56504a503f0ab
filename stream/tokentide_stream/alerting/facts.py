"""What the catalogue, and the traffic itself, say about models: their groups, and who serves them. No IO."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from tokentide_schemas.alerting.rules import Dimension
from tokentide_schemas.catalogue import Catalogue
from tokentide_schemas.shares import UNKNOWN
from tokentide_stream.alerting.windows import ModelCells

_MAX_CACHED: Final = 16_384


class ModelFacts:
    """Keys of a model in the dimensions that follow from it."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._groups: dict[str, dict[Dimension, str]] = {}
        self._served: dict[str, set[str]] = {}

    def key(self, dimension: Dimension, model: str, provider: str) -> str:
        """The key in a dimension of (model, provider)."""
        if dimension is Dimension.TOTAL:
            return ""
        if dimension is Dimension.MODEL:
            return model
        if dimension is Dimension.PROVIDER:
            return provider
        groups = self._groups.get(model)
        if groups is None:
            if len(self._groups) >= _MAX_CACHED:
                self._groups.clear()
            groups = self._groups[model] = self._look_up(model)
        return groups[dimension]

    def learn(self, cells: ModelCells) -> None:
        """Remember which provider serves which models."""
        for model, provider in cells:
            self._served.setdefault(provider, set()).add(model)

    def models_of(self, dimension: str, keys: Iterable[str]) -> frozenset[str] | None:
        """Models that keys are about, None for any (a dimension that says nothing about models)."""
        wanted = set(keys)
        if dimension == Dimension.MODEL:
            return frozenset(wanted)
        if dimension == Dimension.PROVIDER:
            return frozenset().union(*(self._served.get(key, set()) for key in wanted))
        if dimension in (Dimension.AUTHOR, Dimension.ORIGIN_GROUP, Dimension.SIZE_CLASS):
            known = frozenset().union(*self._served.values())
            return frozenset(model for model in known if self.key(Dimension(dimension), model, "") in wanted)
        return None

    def _look_up(self, name: str) -> dict[Dimension, str]:
        model = self._catalogue.model(name)
        if model is None:
            dimensions = (
                *(Dimension.AUTHOR, Dimension.ORIGIN_GROUP, Dimension.SIZE_CLASS),
                *(Dimension.OPEN_WEIGHTS, Dimension.REASONING),
            )
            return dict.fromkeys(dimensions, UNKNOWN)
        group = self._catalogue.origin_group(name)
        return {
            Dimension.AUTHOR: model.author,
            Dimension.ORIGIN_GROUP: UNKNOWN if group is None else group.value,
            Dimension.SIZE_CLASS: model.size_class.value,
            Dimension.OPEN_WEIGHTS: "yes" if model.open_weights else "no",
            Dimension.REASONING: "yes" if model.reasoning else "no",
        }
