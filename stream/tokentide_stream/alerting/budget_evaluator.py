"""Budget rules as detectors. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from tokentide_schemas.alerting.rules import Budget, BudgetRule
from tokentide_stream.alerting.evaluator_base import TOTAL_KEY, Result, SeriesEvaluator
from tokentide_stream.alerting.facts import ModelFacts
from tokentide_stream.alerting.found import Ended, Found
from tokentide_stream.alerting.windows import MODELS, Source, Window
from tokentide_stream.detection import BudgetConfig, BudgetDetector, FindingEnd


class BudgetEvaluator(SeriesEvaluator):
    """budget: a detector for each budget and, where it is for each tenant by itself, for each tenant."""

    def __init__(self, rule: BudgetRule, facts: ModelFacts, budgets: Iterable[Budget]) -> None:
        super().__init__(rule, facts, "cost")
        self._budget = rule
        self._budgets = tuple(budgets)
        self._detectors: dict[tuple[str, str], BudgetDetector] = {}

    @property
    def needs_tenants(self) -> bool:
        """A budget is about tenants."""
        return any(budget.tenant for budget in self._budgets)

    def step(self, window: Window) -> Result:
        """Spend of this window."""
        total = sum(cell.cost_nanousd for cell in window.models.get(MODELS, {}).values())
        cells = window.cells.get(Source("tenant"), {})
        return self.spend(window, total, {tenant: cell.cost_nanousd for tenant, cell in cells.items()})

    def spend(self, window: Window, total_nanousd: int, by_tenant: Mapping[str, int]) -> Result:
        """The same from sums alone, for hours of history as well."""
        started: list[Found] = []
        ended: list[Ended] = []
        for budget in self._budgets:
            tenants = [budget.tenant] if budget.tenant not in ("", "*") else sorted(by_tenant)
            known = {tenant for name, tenant in self._detectors if name == budget.name}
            for tenant in [""] if budget.tenant == "" else sorted({*tenants, *known}):
                spent = total_nanousd if budget.tenant == "" else by_tenant.get(tenant, 0)
                changes = self._detector(budget, tenant).step(window.start, {tenant: spent})
                for finding in changes.started:
                    started.append(self._of(budget, self._found(finding, window)))
                ended += [self._end_of(budget, end, window) for end in changes.ended]
        return started, ended

    def _detector(self, budget: Budget, tenant: str) -> BudgetDetector:
        key = (budget.name, tenant)
        if key not in self._detectors:
            limits: Any = {(tenant, budget.per): round(budget.usd * 1e9)}
            config = BudgetConfig(limits, window_s=self.rule.window_s, with_forecast=self._budget.forecast)
            self._detectors[key] = BudgetDetector(config)
        return self._detectors[key]

    @staticmethod
    def _key(budget: Budget, tenant: str) -> str:
        return f"{budget.name}/{tenant}" if tenant else budget.name

    def _of(self, budget: Budget, found: Found) -> Found:
        tenant = "" if found.keys[0] == TOTAL_KEY else found.keys[0]
        return replace(found, keys=(self._key(budget, tenant),), dimension="tenant" if tenant else "total", models=None)

    def _end_of(self, budget: Budget, end: FindingEnd, window: Window) -> Ended:
        slot = (self.rule.name, end.finding.kind.value, self._key(budget, end.finding.key))
        return Ended(slot, window.end, None, end.reason == "accepted")
