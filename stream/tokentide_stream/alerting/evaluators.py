"""Rules as detectors: what each rule's detector is fed, and its findings in the alert's own terms. Pure."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Final, Protocol

from tokentide_schemas.alerting.rules import (
    AnyRule,
    Budget,
    BudgetRule,
    Dimension,
    ErrorRateRule,
    LatencyRule,
    LateRateRule,
    MeasureName,
    NewModelRule,
    PriceChangeRule,
    ShareShiftRule,
    UsageMissingRateRule,
    VolumeShiftRule,
)
from tokentide_schemas.alerts import AlertKind, Contribution
from tokentide_schemas.buckets import DURATION_MS
from tokentide_stream.alerting.facts import ModelFacts
from tokentide_stream.alerting.found import Ended, Found
from tokentide_stream.alerting.sources import PLAIN, source_of
from tokentide_stream.alerting.windows import MODELS, Cell, Cells, Source, Window, sums_by
from tokentide_stream.detection import (
    BudgetConfig,
    BudgetDetector,
    Changes,
    Finding,
    FindingEnd,
    LatencyConfig,
    LatencyDetector,
    NewKeyConfig,
    NewKeyDetector,
    PriceChangeConfig,
    PriceChangeDetector,
    ProportionConfig,
    ProportionDetector,
    ShareShift,
    ShareShiftConfig,
    ShareShiftDetector,
    Sums,
    VolumeConfig,
    VolumeDetector,
)

TOTAL_KEY: Final = "total"
"""What the total is called in an alert's keys, which must not be empty."""
NO_LABEL: Final = "unknown"
_WATCHED: Final = {
    "spike": AlertKind.SPIKE,
    "drop": AlertKind.DROP,
    "silence": AlertKind.SILENCE,
    "drift": AlertKind.VOLUME_DRIFT,
}
_BOUNDS_MS: Final = (*(float(bound) for bound in DURATION_MS.lowers[1:]), float("inf"))

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


def _measure(cell: Cell, measure: MeasureName) -> float:
    return float({"tokens": cell.tokens, "requests": cell.requests, "cost": cell.cost_nanousd}[measure.value])


class ShareEvaluator:
    """share_shift."""

    def __init__(self, rule: ShareShiftRule, facts: ModelFacts) -> None:
        self.rule: AnyRule = rule
        self._share = rule
        self._facts = facts
        measures: Any = ("requests", "tokens") if rule.measure is MeasureName.TOKENS else (rule.measure.value,)
        self._detector = ShareShiftDetector(
            ShareShiftConfig(
                window_s=rule.window_s,
                scope=str(rule.scope),
                measures=measures,
                min_effect_pp=rule.min_change_pp,
                min_requests=rule.min_requests,
            )
        )

    @property
    def is_learning(self) -> bool:
        """Less than a day of history."""
        return self._detector.is_learning

    def step(self, window: Window) -> Result:
        """Shares of this window."""
        cells = keyed_cells(self.rule, window, self._facts)
        if cells is None:
            return [], []
        sums = {
            key: Sums(cell.requests, cell.tokens, cell.cost_nanousd if cell.priced_requests else None)
            for key, cell in cells.items()
        }
        changed = self._detector.step(window.start, sums)
        found = [self._found(shift, window) for shift in changed.started if any(map(self._share.watches, shift.keys))]
        ended = [
            Ended((self.rule.name, end.shift.kind.value, end.shift.keys[0]), window.end, None, end.reason == "accepted")
            for end in changed.ended
        ]
        return found, ended

    def _found(self, shift: ShareShift, window: Window) -> Found:
        parts = tuple(
            Contribution(
                key=part.key,
                before=100 * part.share_before,
                after=100 * part.share_after,
                change_pp=part.change_pp,
                mix_change=part.mix_change,
                volume_change=part.volume_change,
            )
            for part in shift.attribution
        )
        moved = {part.key for part in shift.attribution if abs(part.change_pp) >= abs(shift.size_pp) / 3}
        return Found(
            rule=self.rule,
            kind=shift.kind,
            measure=shift.measure,
            dimension=self._share.dimension.value,
            keys=shift.keys,
            direction=shift.direction,
            value=100 * shift.value,
            reference=100 * shift.reference,
            change=shift.size_pp,
            unit="pp",
            started_at=shift.started_at,
            detected_at=window.end,
            significance=shift.significance,
            is_learning=shift.is_learning,
            contributions=parts,
            models=self._facts.models_of(self._share.dimension.value, moved | set(shift.keys)),
        )


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


class VolumeEvaluator(SeriesEvaluator):
    """volume_shift."""

    def __init__(self, rule: VolumeShiftRule, facts: ModelFacts) -> None:
        super().__init__(rule, facts, rule.measure.value)
        self._volume = rule
        self._kinds = frozenset(_WATCHED[name] for name in rule.watch)
        self._detector = VolumeDetector(
            VolumeConfig(window_s=rule.window_s, min_change=rule.min_change_ratio, min_count=float(rule.min_requests))
        )

    def step(self, window: Window) -> Result:
        """Volumes of this window; a key that is not there has had nothing."""
        cells = keyed_cells(self.rule, window, self._facts)
        if cells is None:
            return [], []
        counts = {key: _measure(cell, self._volume.measure) for key, cell in cells.items()}
        if self._volume.dimension is Dimension.TOTAL:
            counts.setdefault("", 0.0)
        return self._result(self._detector.step(window.start, counts), window, self._kinds)


class RateEvaluator(SeriesEvaluator):
    """error_rate and usage_missing_rate."""

    def __init__(self, rule: ErrorRateRule | UsageMissingRateRule, facts: ModelFacts) -> None:
        super().__init__(rule, facts, "requests")
        self._place = Cell._fields.index("errors" if isinstance(rule, ErrorRateRule) else "usage_missing")
        self._detector = ProportionDetector(
            ProportionConfig(
                kind=AlertKind(rule.kind),
                window_s=rule.window_s,
                floor=rule.min_rate,
                min_change=rule.min_rate / 2,
                min_trials=rule.min_requests,
            )
        )

    def step(self, window: Window) -> Result:
        """Hits and attempts of this window."""
        cells = keyed_cells(self.rule, window, self._facts)
        if cells is None:
            return [], []
        trials = {key: (float(cell[self._place]), float(cell.requests)) for key, cell in cells.items()}
        return self._result(self._detector.step(window.start, trials), window)


class LateEvaluator(SeriesEvaluator):
    """late_rate."""

    def __init__(self, rule: LateRateRule, facts: ModelFacts) -> None:
        super().__init__(rule, facts, "requests")
        self._detector = ProportionDetector(
            ProportionConfig(
                kind=AlertKind.LATE_RATE,
                window_s=rule.window_s,
                floor=rule.min_rate,
                min_change=rule.min_rate / 2,
                min_trials=rule.min_requests,
            )
        )

    def step(self, window: Window) -> Result:
        """Late events of a window of some time ago."""
        if window.late is None:
            return [], []
        late, requests = window.late
        return self._result(self._detector.step(window.start, {"": (float(late), float(requests))}), window)


class LatencyEvaluator(SeriesEvaluator):
    """latency."""

    def __init__(self, rule: LatencyRule, facts: ModelFacts) -> None:
        super().__init__(rule, facts, f"{rule.of}_p{100 * rule.quantile:g}")
        source = source_of(rule)
        assert source is not None
        self._source: Source = source
        self._min_ms = rule.min_ms
        self._places = {bound: number for number, bound in enumerate(DURATION_MS.lowers)}
        self._detector = LatencyDetector(
            LatencyConfig(
                window_s=rule.window_s,
                quantile=rule.quantile,
                min_ratio=1 + rule.min_change_ratio,
                min_count=rule.min_requests,
            ),
            _BOUNDS_MS,
        )

    def step(self, window: Window) -> Result:
        """Histograms of this window."""
        histograms = window.latencies.get(self._source)
        if histograms is None:
            return [], []
        counts = {}
        for key, by_bucket in histograms.items():
            row = [0.0] * len(_BOUNDS_MS)
            for bucket, requests in by_bucket.items():
                row[self._places[bucket]] += requests
            counts[key] = row
        started, ended = self._result(self._detector.step(window.start, counts), window)
        return [found for found in started if (found.value or 0.0) >= self._min_ms], ended


class PriceEvaluator(SeriesEvaluator):
    """price_change: by model and provider, which are the alert's two keys."""

    def __init__(self, rule: PriceChangeRule, facts: ModelFacts) -> None:
        super().__init__(rule, facts, "cost")
        self._dimension = Dimension.MODEL.value
        self._min_requests = rule.min_requests
        self._detector = PriceChangeDetector(
            PriceChangeConfig(window_s=rule.window_s, min_change=rule.min_change_ratio)
        )

    def step(self, window: Window) -> Result:
        """What this window's tokens cost."""
        cells = window.models.get(source_of(self.rule) or MODELS, {})
        sums = {
            f"{model} at {provider}": Sums(cell.requests, cell.paid_tokens, cell.cost_nanousd)
            for (model, provider), cell in cells.items()
            if cell.priced_requests >= self._min_requests and cell.paid_tokens > 0
        }
        return self._result(self._detector.step(window.start, sums), window)

    def _models(self, key: str) -> frozenset[str] | None:
        return frozenset({key.partition(" at ")[0]})


class NewModelEvaluator(SeriesEvaluator):
    """new_model."""

    def __init__(self, rule: NewModelRule, facts: ModelFacts) -> None:
        super().__init__(rule, facts, "requests")
        self._dimension = Dimension.MODEL.value
        self._detector = NewKeyDetector(NewKeyConfig(window_s=rule.window_s, min_requests=rule.min_requests))

    def step(self, window: Window) -> Result:
        """Models of this window."""
        cells = sums_by(window.models.get(MODELS, {}), lambda model, _provider: model)
        counts = {key: float(cell.requests) for key, cell in cells.items()}
        return self._result(self._detector.step(window.start, counts), window)


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


def window_start_of(at: dt.datetime, window_s: int) -> dt.datetime:
    """Start of the window of this length that an instant is in."""
    seconds = int(at.timestamp())
    return dt.datetime.fromtimestamp(seconds - seconds % window_s, dt.UTC)
