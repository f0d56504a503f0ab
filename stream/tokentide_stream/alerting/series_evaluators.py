"""Rules whose detectors look at each key's series by itself. Pure."""

from __future__ import annotations

from typing import Final

from tokentide_schemas.alerting.rules import (
    Dimension,
    ErrorRateRule,
    LatencyRule,
    LateRateRule,
    MeasureName,
    NewModelRule,
    PriceChangeRule,
    UsageMissingRateRule,
    VolumeShiftRule,
)
from tokentide_schemas.alerts import AlertKind
from tokentide_schemas.buckets import DURATION_MS
from tokentide_stream.alerting.evaluator_base import Result, SeriesEvaluator, keyed_cells
from tokentide_stream.alerting.facts import ModelFacts
from tokentide_stream.alerting.sources import source_of
from tokentide_stream.alerting.windows import MODELS, Cell, Source, Window, sums_by
from tokentide_stream.detection import (
    LatencyConfig,
    LatencyDetector,
    NewKeyConfig,
    NewKeyDetector,
    PriceChangeConfig,
    PriceChangeDetector,
    ProportionConfig,
    ProportionDetector,
    Sums,
    VolumeConfig,
    VolumeDetector,
)

_WATCHED: Final = {
    "spike": AlertKind.SPIKE,
    "drop": AlertKind.DROP,
    "silence": AlertKind.SILENCE,
    "drift": AlertKind.VOLUME_DRIFT,
}
_BOUNDS_MS: Final = (*(float(bound) for bound in DURATION_MS.lowers[1:]), float("inf"))


def _measure(cell: Cell, measure: MeasureName) -> float:
    return float({"tokens": cell.tokens, "requests": cell.requests, "cost": cell.cost_nanousd}[measure.value])


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
