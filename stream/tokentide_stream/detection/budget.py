"""Cost against budget: this hour, this day, this month, and where the month will end."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from tokentide_stream.detection.findings import Changes

Period = Literal["hour", "day", "month"]


@dataclass(frozen=True, slots=True)
class BudgetConfig:
    """budgets_nanousd: (key, period) -> budget; key '' is the total. forecast_from: share of the month that has to
    be over before its forecast is told."""

    budgets_nanousd: Mapping[tuple[str, Period], int]
    window_s: int = 60
    forecast_from: float = 0.1
    with_forecast: bool = True


class BudgetDetector:
    """Calendar periods in UTC. One finding a key and period; a new period ends it."""

    def __init__(self, config: BudgetConfig) -> None:
        self._config = config

    def step(self, window_start: dt.datetime, cost_nanousd_by_key: Mapping[str, int]) -> Changes:
        """Unit: nanousd. note: period_s, spent, budget, forecast, is_forecast (1.0: not spent yet, will be)."""
        raise NotImplementedError
