"""Published against measured: the SQL of each figure over the stored rollups, and whether its value holds. Pure."""

from __future__ import annotations

import datetime as dt
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any, Final

import yaml

from tokentide_producers.history.traffic import DAY_MS, HOUR_MS, Span

FULL_EVENTS: Final = 400_000
"""From this sample on the tolerances are the published table's; a smaller one scatters by 1 / sqrt(events)."""
_CONTINENT: Final = "dictGetOrDefault('countries', 'continent', country, '')"


@dataclass(frozen=True, slots=True)
class Check:
    """One published figure. Either value and tolerance, or at_least or at_most with slack, all in `unit`."""

    id: str
    figure: str
    name: str
    unit: str
    period: str
    sql: str
    value: float | None = None
    tolerance: float = 0.0
    at_least: float | None = None
    at_most: float | None = None
    slack: float = 0.0
    needs_raw: bool = False
    cohort: dt.date | None = None
    why: str = ""

    @property
    def published(self) -> str:
        """The published value in words."""
        if self.at_least is not None:
            return f"at least {self.at_least:g}"
        return f"at most {self.at_most:g}" if self.at_most is not None else f"{self.value:g}"

    def bounds(self, widening: float = 1.0) -> tuple[float, float]:
        """The values that hold. widening: of tolerance and slack, for a small sample."""
        if self.at_least is not None:
            return self.at_least - self.slack * _scatter(widening), math.inf
        if self.at_most is not None:
            return -math.inf, self.at_most + self.slack * _scatter(widening)
        value = self.value or 0.0
        return value - self.tolerance * widening, value + self.tolerance * widening


@dataclass(frozen=True, slots=True)
class Measured:
    """A check's outcome. measured: None when nothing was stored to measure it by. skipped: why it was not measured."""

    check: Check
    measured: float | None
    low: float
    high: float
    skipped: str = ""

    @property
    def holds(self) -> bool:
        """Within the tolerance; a check that was left out holds nothing up."""
        return bool(self.skipped) or (self.measured is not None and self.low <= self.measured <= self.high)

    def row(self) -> dict[str, Any]:
        """As JSON: figure, published, measured and the bounds, which are null where there is none."""
        return {
            "id": self.check.id,
            "figure": self.check.figure,
            "name": self.check.name,
            "unit": self.check.unit,
            "published": self.check.published,
            "measured": self.measured,
            "low": self.low if math.isfinite(self.low) else None,
            "high": self.high if math.isfinite(self.high) else None,
            "holds": self.holds,
            "skipped": self.skipped,
            "why": self.check.why,
        }


class Published:
    """All published figures and the periods they are about."""

    def __init__(self, content: Mapping[str, Any] | None = None) -> None:
        given = content if content is not None else _load()
        self.periods: dict[str, tuple[dt.date, dt.date]] = {n: (p[0], p[1]) for n, p in given["periods"].items()}
        self.checks = tuple(_check(entry) for entry in given["checks"])

    def sql(self, check: Check, span: Span, launches: Mapping[str, dt.date]) -> str:
        """The query of a check, for a scenario that was put at `span`; one row with one number."""
        column = "occurred_at" if "FROM usage" in check.sql else "window_start"

        def condition(match: re.Match[str]) -> str:
            first, last = self.periods[match[1] or check.period]
            return f"({column} >= {_day(first, span)} AND {column} < {_day(last, span)})"

        text = re.sub(r"\{in(?::(\w+))?\}", condition, check.sql)
        start = f"toDate({_day(self.periods['all'][0], span)}, 'UTC')"
        before = " OR ".join(
            f"(r.model = '{model}' AND r.window_start < {_instant(_ms(launch) + span.shift_ms)})"
            for model, launch in sorted(launches.items())
        )
        return (
            text.replace("{day}", f"dateDiff('day', {start}, toDate({column}, 'UTC'))")
            .replace("{continent}", _CONTINENT)
            .replace("{cohort}", _month(check.cohort, span))
            .replace("{before_launch}", before)
        )


def judge(check: Check, measured: float | None, events: int, skipped: str = "") -> Measured:
    """The outcome of a measurement over a sample of so many events."""
    widening = max(1.0, math.sqrt(FULL_EVENTS / max(events, 1)))
    low, high = check.bounds(widening)
    value = None if measured is None or not math.isfinite(measured) else measured
    return Measured(check, value, low, high, skipped)


def _scatter(widening: float) -> float:
    """A bound needs its slack for scatter only, and at the full sample a small part of it."""
    return widening if widening > 1 else 0.25


def _load() -> dict[str, Any]:
    text = (resources.files("tokentide_producers.history") / "published.yaml").read_text(encoding="utf-8")
    content: dict[str, Any] = yaml.safe_load(text)
    return content


def _check(entry: Mapping[str, Any]) -> Check:
    fields = {name: value for name, value in entry.items() if name not in ("in", "needs")}
    return Check(**fields, period=entry["in"], needs_raw=entry.get("needs") == "raw")


def _ms(day: dt.date) -> int:
    return int(dt.datetime(day.year, day.month, day.day, tzinfo=dt.UTC).timestamp() * 1000)


def _instant(ms: int) -> str:
    return f"toDateTime('{dt.datetime.fromtimestamp(ms // HOUR_MS * HOUR_MS / 1000, dt.UTC):%Y-%m-%d %H:%M:%S}', 'UTC')"


def _day(day: dt.date, span: Span) -> str:
    """Midnight of the day in which a scenario's day begins once it is shifted: rollups of days cannot be cut."""
    return _instant((_ms(day) + span.shift_ms) // DAY_MS * DAY_MS)


def _month(day: dt.date | None, span: Span) -> str:
    if day is None:
        return "NULL"
    shifted = dt.datetime.fromtimestamp((_ms(day) + span.shift_ms) / 1000, dt.UTC)
    return f"toDate('{shifted:%Y-%m}-01')"
