"""What the evaluators of rules have in common: the cells a detector is fed, and findings in an alert's terms. Pure."""

from __future__ import annotations

from typing import Any, Final, Protocol

from tokentide_schemas.alerting.rules import AnyRule, Dimension
from tokentide_schemas.alerts import AlertKind
from tokentide_stream.alerting.facts import ModelFacts
from tokentide_stream.alerting.found import Ended, Found
from tokentide_stream.alerting.sources import PLAIN, source_of
from tokentide_stream.alerting.windows import Cells, Window, sums_by
from tokentide_stream.detection import Changes, Finding, FindingEnd

TOTAL_KEY: Final = "total"
"""What the total is called in an alert's keys, which must not be empty."""
NO_LABEL: Final = "unknown"

Result = tuple[list[Found], list[Ended]]


class Evaluator(Protocol):
    """One rule with its detector's state."""

    rule: AnyRule

    def step(self, window: Window) -> Result:
        """Take the next window of the rule's length."""


def keyed_cells(rule: Any, window: Window, facts: ModelFacts) -> Cells | None:
    """A rule's cells by key; None when they are not known for this window."""
    source = source_of(rule)
    assert source is not None
    dimension: Dimension = rule.dimension
    if dimension in PLAIN:
        plain = window.cells.get(source)
        if plain is None:
            return None
        # A label that is missing has no share among the categories, but is somebody's traffic otherwise.
        return {(key or NO_LABEL): cell for key, cell in plain.items() if key or dimension is not Dimension.CATEGORY}
    models = window.models.get(source)
    if models is None:
        return None
    known = window.summed.get((source, dimension))
    if known is None:
        known = sums_by(models, lambda model, provider: facts.key(dimension, model, provider))
        window.summed[source, dimension.value] = known
    return known


class SeriesEvaluator:
    """Base of the rules whose detectors look at each key's series by itself."""

    def __init__(self, rule: AnyRule, facts: ModelFacts, measure: str) -> None:
        self.rule = rule
        self._facts = facts
        self._measure_name = measure
        dimension: Dimension | None = getattr(rule, "dimension", None)
        self._dimension = (dimension or Dimension.TOTAL).value

    def _watches(self, key: str) -> bool:
        watches = getattr(self.rule, "watches", None)
        return watches is None or bool(watches(key))

    def _result(self, changes: Changes, window: Window, kinds: frozenset[AlertKind] | None = None) -> Result:
        started = [
            self._found(finding, window)
            for finding in changes.started
            if self._watches(finding.key) and (kinds is None or finding.kind in kinds)
        ]
        return started, [self._ended(end, window) for end in changes.ended]

    def _found(self, finding: Finding, window: Window) -> Found:
        return Found(
            rule=self.rule,
            kind=finding.kind,
            measure=self._measure_name,
            dimension=self._dimension,
            keys=(finding.key or TOTAL_KEY,),
            direction=finding.direction,
            value=finding.value,
            reference=finding.reference,
            change=finding.change,
            unit=finding.unit,
            started_at=finding.started_at,
            detected_at=window.end,
            significance=finding.significance,
            is_learning=finding.is_learning,
            models=self._models(finding.key),
            note=tuple(sorted(finding.note.items())),
        )

    def _models(self, key: str) -> frozenset[str] | None:
        return self._facts.models_of(self._dimension, [key])

    def _ended(self, end: FindingEnd, window: Window) -> Ended:
        slot = (self.rule.name, end.finding.kind.value, end.finding.key or TOTAL_KEY)
        return Ended(slot, window.end, None, end.reason == "accepted")
