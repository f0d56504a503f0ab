"""Cost against budget: this hour, this day, this month, and where the month will end. Pure."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from tokentide_schemas.alerts import AlertKind
from tokentide_stream.detection.findings import Changes, Finding, FindingEnd

Period = Literal["hour", "day", "month"]
_FORECAST_WINDOW_S = 7 * 86_400


@dataclass(frozen=True, slots=True)
class BudgetConfig:
    """budgets_nanousd: (key, period) -> budget; key '' is the total. forecast_from: part of the month that has to be
    over before its forecast is told."""

    budgets_nanousd: Mapping[tuple[str, Period], int]
    window_s: int = 60
    forecast_from: float = 0.1
    with_forecast: bool = True


@dataclass
class _Spent:
    period_start: dt.datetime
    spent: float = 0.0
    daily: dict[dt.date, float] = field(default_factory=dict)
    first: dt.datetime | None = None


def period_bounds(at: dt.datetime, period: Period) -> tuple[dt.datetime, dt.datetime]:
    """Start and end of the calendar period in UTC that the time lies in."""
    utc = at.astimezone(dt.UTC)
    hour = utc.replace(minute=0, second=0, microsecond=0)
    if period == "hour":
        return hour, hour + dt.timedelta(hours=1)
    day = hour.replace(hour=0)
    if period == "day":
        return day, day + dt.timedelta(days=1)
    month = day.replace(day=1)
    following = (
        month.replace(year=month.year + 1, month=1) if month.month == 12 else month.replace(month=month.month + 1)
    )
    return month, following


class BudgetDetector:
    """Calendar periods in UTC. One finding a key and period; a forecast is told once, and once more when the budget is
    spent indeed. A new period ends both ("returned")."""

    def __init__(self, config: BudgetConfig) -> None:
        for (key, period), budget in config.budgets_nanousd.items():
            if budget <= 0:
                raise ValueError(f"budget of {key or 'the total'} for a {period} is {budget}: it must be positive")
        self._config = config
        self._spent: dict[tuple[str, Period], _Spent] = {}
        self._open: dict[tuple[str, Period, bool], Finding] = {}

    def step(self, window_start: dt.datetime, cost_nanousd_by_key: Mapping[str, int]) -> Changes:
        """Unit: nanousd. note: budget, spent, forecast, is_forecast (1.0: not spent yet, but will be).

        The total is '' where given, otherwise the sum over all keys."""
        changes = Changes()
        for (key, period), budget in self._config.budgets_nanousd.items():
            if key == "" and "" not in cost_nanousd_by_key:
                cost = sum(cost_nanousd_by_key.values())
            else:
                cost = cost_nanousd_by_key.get(key, 0)
            self._step(window_start, key, period, float(budget), float(cost), changes)
        return changes

    def _step(self, at: dt.datetime, key: str, period: Period, budget: float, cost: float, changes: Changes) -> None:
        start, end = period_bounds(at, period)
        known = self._spent.get((key, period))
        if known is None:
            known = self._spent[key, period] = _Spent(start)
        if known.period_start != start:
            known.period_start, known.spent = start, 0.0
            for is_forecast in (False, True):
                over = self._open.pop((key, period, is_forecast), None)
                if over is not None:
                    changes.ended.append(FindingEnd(over, at, "returned"))
        known.first = known.first or at
        known.spent += cost
        today = at.astimezone(dt.UTC).date()
        known.daily[today] = known.daily.get(today, 0.0) + cost
        for day in [d for d in known.daily if (today - d).days > 8]:
            del known.daily[day]
        now = at + dt.timedelta(seconds=self._config.window_s)
        forecast = known.spent + self._pace(known, now) * max(0.0, (end - now).total_seconds())
        if known.spent >= budget:
            self._tell(at, key, period, budget, known.spent, forecast, False, changes)
        elif period == "month" and self._config.with_forecast and forecast > budget:
            passed = (now - max(start, known.first)).total_seconds() / (end - start).total_seconds()
            if passed >= self._config.forecast_from:
                self._tell(at, key, period, budget, known.spent, forecast, True, changes)

    @staticmethod
    def _pace(known: _Spent, now: dt.datetime) -> float:
        """Cost for a second over the last week of whole days and today, so that a weekend is in it."""
        assert known.first is not None
        seconds = min(_FORECAST_WINDOW_S, (now - known.first).total_seconds())
        since = (now - dt.timedelta(seconds=_FORECAST_WINDOW_S)).astimezone(dt.UTC).date()
        days = {day: cost for day, cost in known.daily.items() if day > since}
        if len(days) >= 7:
            midnight = dt.datetime.combine(min(days), dt.time(), dt.UTC)
            seconds = (now - max(midnight, known.first)).total_seconds()
        return sum(days.values()) / max(seconds, 1.0)

    def _tell(self, at: dt.datetime, key: str, period: Period, budget: float, spent: float, forecast: float,
              is_forecast: bool, changes: Changes) -> None:  # fmt: skip
        if (key, period, is_forecast) in self._open or (key, period, False) in self._open:
            return
        value = forecast if is_forecast else spent
        start, end = period_bounds(at, period)
        note = {
            "budget": budget,
            "spent": spent,
            "forecast": forecast,
            "is_forecast": float(is_forecast),
            "period_s": (end - start).total_seconds(),
        }
        finding = Finding(AlertKind.BUDGET, key, "up", at, at, value, budget, value - budget, "nanousd", note=note)
        self._open[key, period, is_forecast] = finding
        changes.started.append(finding)
