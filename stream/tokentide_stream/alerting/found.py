"""A detector's finding as the lifecycle takes it: with its rule, and in the alert's own terms. Plain data."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Final

from tokentide_schemas.alerting.rules import AnyRule, Dimension
from tokentide_schemas.alerts import AlertKind, Contribution

Slot = tuple[str, str, str]
"""What tells open findings apart: rule, kind, first key."""

EVENT_KINDS: Final = frozenset({AlertKind.NEW_MODEL, AlertKind.PRICE_CHANGE})
"""Kinds that happen at an instant and have no duration of their own."""

_KINDS_BY_WEIGHT: Final = (
    AlertKind.OUTAGE,
    AlertKind.SILENCE,
    AlertKind.PRICE_CUT,
    AlertKind.LAUNCH,
    AlertKind.ERROR_RATE,
    AlertKind.BURST,
    AlertKind.VERBOSITY,
    AlertKind.SUBSTITUTION,
    AlertKind.DROP,
    AlertKind.SPIKE,
    AlertKind.LATENCY,
    AlertKind.BUDGET,
    AlertKind.USAGE_MISSING_RATE,
    AlertKind.DRIFT,
    AlertKind.VOLUME_DRIFT,
    AlertKind.LATE_RATE,
    AlertKind.PRICE_CHANGE,
    AlertKind.NEW_MODEL,
)
"""Of several findings with one cause, which one says it best."""
_SEVERE: Final = frozenset(_KINDS_BY_WEIGHT[:6])
_SLIGHT: Final = frozenset({AlertKind.PRICE_CHANGE, AlertKind.NEW_MODEL})
ALONE: Final = frozenset({AlertKind.BUDGET, AlertKind.LATE_RATE})
"""Kinds that are no effect of what happens to a model or provider in the same minutes."""
_WHO_FIRST: Final = (Dimension.PROVIDER, Dimension.MODEL, Dimension.AUTHOR)
_DIMENSIONS_BY_WEIGHT: Final[dict[AlertKind, tuple[Dimension, ...]]] = {
    # A provider that is gone explains its models; a model that is launched explains its provider and author.
    AlertKind.OUTAGE: _WHO_FIRST,
    AlertKind.SILENCE: (Dimension.TOTAL, *_WHO_FIRST),
    AlertKind.DROP: (Dimension.TOTAL, *_WHO_FIRST),
    AlertKind.ERROR_RATE: _WHO_FIRST,
    AlertKind.LATENCY: _WHO_FIRST,
    AlertKind.BURST: (Dimension.TENANT, Dimension.APP, Dimension.MODEL, Dimension.CATEGORY),
}
_OTHERWISE: Final = (
    *(Dimension.MODEL, Dimension.TENANT, Dimension.APP, Dimension.PROVIDER, Dimension.CATEGORY, Dimension.AUTHOR),
    *(Dimension.COUNTRY, Dimension.ORIGIN_GROUP, Dimension.REASONING, Dimension.OPEN_WEIGHTS, Dimension.SIZE_CLASS),
)


@dataclass(frozen=True, slots=True)
class Found:
    """One finding. detected_at: end of the window that showed it. models: which models it is about, None for any."""

    rule: AnyRule
    kind: AlertKind
    measure: str
    dimension: str
    keys: tuple[str, ...]
    direction: str
    value: float | None
    reference: float | None
    change: float | None
    unit: str
    started_at: dt.datetime
    detected_at: dt.datetime
    significance: float = 0.0
    is_learning: bool = False
    contributions: tuple[Contribution, ...] = ()
    models: frozenset[str] | None = None
    note: tuple[tuple[str, float], ...] = ()

    @property
    def slot(self) -> Slot:
        """What its end is recognised by."""
        return (self.rule.name, self.kind.value, self.keys[0])

    @property
    def tier(self) -> int:
        """What must not be hidden behind something slighter: from -1, nothing comes at all, to 2, slighter than all."""
        if self.kind is AlertKind.SILENCE and self.dimension == Dimension.TOTAL:
            return -1
        return 0 if self.kind in _SEVERE else 2 if self.kind in _SLIGHT else 1

    @property
    def weight(self) -> tuple[int, int, int, float]:
        """Sorts findings with one cause, the one that says it best first."""
        order = _DIMENSIONS_BY_WEIGHT.get(self.kind, _OTHERWISE)
        place = order.index(self.dimension) if self.dimension in order else len(order)
        return (
            _KINDS_BY_WEIGHT.index(self.kind) if self.kind in _KINDS_BY_WEIGHT else len(_KINDS_BY_WEIGHT),
            place,
            1 if self.rule.scope.given else 0,
            -abs(self.change or 0.0),
        )


@dataclass(frozen=True, slots=True)
class Ended:
    """The end of a finding. ended_at: end of the window that showed it. is_accepted: it is the new normal."""

    slot: Slot
    ended_at: dt.datetime
    value: float | None = None
    is_accepted: bool = False


def may_be_one_cause(first: Found, second: Found) -> bool:
    """Whether two findings of about the same time can have one cause, by the models that they are about."""
    if first.kind in ALONE or second.kind in ALONE:
        return False
    return first.models is None or second.models is None or not first.models.isdisjoint(second.models)
