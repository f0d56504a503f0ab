"""The evaluator of each rule. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from tokentide_schemas.alerting.rules import (
    AnyRule,
    Budget,
    BudgetRule,
    ErrorRateRule,
    LatencyRule,
    LateRateRule,
    NewModelRule,
    PriceChangeRule,
    ShareShiftRule,
    UsageMissingRateRule,
    VolumeShiftRule,
)
from tokentide_stream.alerting.budget_evaluator import BudgetEvaluator
from tokentide_stream.alerting.evaluator_base import Evaluator
from tokentide_stream.alerting.facts import ModelFacts
from tokentide_stream.alerting.series_evaluators import (
    LateEvaluator,
    LatencyEvaluator,
    NewModelEvaluator,
    PriceEvaluator,
    RateEvaluator,
    VolumeEvaluator,
)
from tokentide_stream.alerting.share_evaluator import ShareEvaluator


def make_evaluators(rules: Iterable[AnyRule], budgets: Iterable[Budget], facts: ModelFacts) -> list[Evaluator]:
    """An evaluator for each enabled rule. A budget rule without budgets has nothing to do."""
    made: list[Evaluator] = []
    amounts = tuple(budgets)
    for rule in rules:
        if not rule.enabled:
            continue
        if isinstance(rule, ShareShiftRule):
            made.append(ShareEvaluator(rule, facts))
        elif isinstance(rule, VolumeShiftRule):
            made.append(VolumeEvaluator(rule, facts))
        elif isinstance(rule, ErrorRateRule | UsageMissingRateRule):
            made.append(RateEvaluator(rule, facts))
        elif isinstance(rule, LatencyRule):
            made.append(LatencyEvaluator(rule, facts))
        elif isinstance(rule, PriceChangeRule):
            made.append(PriceEvaluator(rule, facts))
        elif isinstance(rule, NewModelRule):
            made.append(NewModelEvaluator(rule, facts))
        elif isinstance(rule, LateRateRule):
            made.append(LateEvaluator(rule, facts))
        elif isinstance(rule, BudgetRule) and amounts:
            made.append(BudgetEvaluator(rule, facts, amounts))
    return made
