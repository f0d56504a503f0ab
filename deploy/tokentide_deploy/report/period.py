"""The span of days that a report is about, and the buckets of time in which its charts count. Pure."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Final, Literal
from zoneinfo import ZoneInfo

Bucket = Literal["hour", "day", "week", "month"]

_HOURS_UP_TO_DAYS: Final = 2
_DAYS_UP_TO_DAYS: Final = 21
_WEEKS_UP_TO_DAYS: Final = 3 * 366


class PeriodError(ValueError):
    """The days or the time zone cannot be used; the message says which and why."""


@dataclass(frozen=True, slots=True)
class Period:
    """Whole days `first` to `last`, both included, as they begin and end in `time_zone` (IANA name)."""

    first: dt.date
    last: dt.date
    time_zone: str = "UTC"

    def __post_init__(self) -> None:
        if self.last < self.first:
            raise PeriodError(f"it ends on {self.last} before it begins on {self.first}")
        try:
            zone = ZoneInfo(self.time_zone)
        except (KeyError, ValueError, OSError):
            raise PeriodError(f"{self.time_zone!r} is no time zone; write a name such as Europe/Berlin") from None
        del zone

    @property
    def from_s(self) -> int:
        """Start of the first day, seconds since 1970 UTC."""
        return _midnight_s(self.first, self.time_zone)

    @property
    def until_s(self) -> int:
        """Start of the day after the last, seconds since 1970 UTC."""
        return _midnight_s(self.last + dt.timedelta(days=1), self.time_zone)

    @property
    def days(self) -> int:
        """How many days it has."""
        return (self.last - self.first).days + 1

    @property
    def bucket(self) -> Bucket:
        """Weeks as in the study; finer for short spans, coarser for very long ones."""
        if self.days <= _HOURS_UP_TO_DAYS:
            return "hour"
        if self.days <= _DAYS_UP_TO_DAYS:
            return "day"
        return "week" if self.days <= _WEEKS_UP_TO_DAYS else "month"

    @property
    def tier(self) -> Literal["1d", "1h"]:
        """The rollup tier that can tell the buckets apart: days are UTC's, hours serve every other zone."""
        return "1d" if self.time_zone == "UTC" and self.bucket != "hour" else "1h"

    @property
    def splits_hours(self) -> bool:
        """Whether the zone's days begin within an hour of UTC: the counts are then by the hours that begin in a day."""
        return self.from_s % 3600 != 0 or self.until_s % 3600 != 0

    def bucket_sql(self, moment: str) -> str:
        """SQL of the bucket's start for a DateTime expression."""
        return f"dateTrunc('{self.bucket}', {moment}, '{self.time_zone}')"

    def within_sql(self, moment: str) -> str:
        """SQL of the condition that a DateTime expression lies in the period."""
        return f"{moment} >= toDateTime({self.from_s}, 'UTC') AND {moment} < toDateTime({self.until_s}, 'UTC')"

    def buckets(self) -> list[str]:
        """Names of all buckets that the period touches, in order, as `bucket_name` gives them."""
        if self.bucket == "hour":
            zone = ZoneInfo(self.time_zone)
            starts = range(self.from_s, self.until_s, 3600)
            named = (dt.datetime.fromtimestamp(start, zone).strftime("%Y-%m-%d %H:00") for start in starts)
            return list(dict.fromkeys(named))
        days = (self.first + dt.timedelta(days=number) for number in range(self.days))
        return list(dict.fromkeys(self._start_of(day).isoformat() for day in days))

    def bucket_name(self, value: dt.date | dt.datetime) -> str:
        """A bucket's start, as the store gives it, as text."""
        if isinstance(value, dt.datetime):
            local = value if value.tzinfo is None else value.astimezone(ZoneInfo(self.time_zone))
            return local.strftime("%Y-%m-%d %H:00") if self.bucket == "hour" else local.date().isoformat()
        return value.isoformat()

    def partial_buckets(self) -> frozenset[str]:
        """Buckets of which the period covers only a part."""
        if self.bucket in ("hour", "day"):
            return frozenset()
        found = set()
        if self._start_of(self.first) != self.first:
            found.add(self._start_of(self.first).isoformat())
        following = self.last + dt.timedelta(days=1)
        if self._start_of(following) != following:
            found.add(self._start_of(following).isoformat())
        return frozenset(found)

    def _start_of(self, day: dt.date) -> dt.date:
        if self.bucket == "week":
            return day - dt.timedelta(days=day.weekday())
        return day.replace(day=1) if self.bucket == "month" else day


def _midnight_s(day: dt.date, time_zone: str) -> int:
    return int(dt.datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(time_zone)).timestamp())
