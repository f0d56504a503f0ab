"""Share-shift rules as detectors. Pure."""

from __future__ import annotations

from typing import Any

from tokentide_schemas.alerting.rules import AnyRule, MeasureName, ShareShiftRule
from tokentide_schemas.alerts import Contribution
from tokentide_stream.alerting.evaluator_base import Result, keyed_cells
from tokentide_stream.alerting.facts import ModelFacts
from tokentide_stream.alerting.found import Ended, Found
from tokentide_stream.alerting.windows import Window
from tokentide_stream.detection import ShareShift, ShareShiftConfig, ShareShiftDetector, Sums


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
