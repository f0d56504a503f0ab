"""Leaving out the tiers that a view of a dashboard does not need, where SQL is sent without Grafana.

Grafana sends every branch; constant conditions keep the engine from reading what is not needed, but it looks at each
for some milliseconds. The board knows time zone and period before it asks. What a branch is for stands in comments
around it: `/*days*/ ... /*days end*/`.
"""

from __future__ import annotations

import datetime as dt
import re
import zoneinfo
from collections.abc import Mapping, Sequence
from typing import Final

LABELS: Final = ("days", "hours", "zone", "minutes")
_MOMENTS: Final = (dt.datetime(2026, 1, 1, tzinfo=dt.UTC), dt.datetime(2026, 7, 1, tzinfo=dt.UTC))
_HANGING_UNION: Final = re.compile(r"\((\s*(?:/\*\w+\*/)?)\s*UNION ALL\s+")
"""What is left where the first branch was for nothing."""


def marked(label: str, sql: str) -> str:
    """`sql` as something that is left out where `label` is not needed; '' marks nothing."""
    return f"/*{label}*/{sql}/*{label} end*/" if label else sql


def without_needless_tiers(sql: str, timezone: str, variables: Mapping[str, str | Sequence[str]]) -> str:
    """`sql` for a reader in `timezone` (an IANA name or `utc`) who has chosen `period` or `window`."""
    for label in set(LABELS) - _needed(timezone, variables):
        sql = re.sub(rf"/\*{label}\*/.*?/\*{label} end\*/", "", sql, flags=re.DOTALL)
    return _HANGING_UNION.sub(r"(\1", sql)


def _needed(timezone: str, variables: Mapping[str, str | Sequence[str]]) -> set[str]:
    if variables.get("period") in ("hour", ["hour"]) or variables.get("window") in ("day", ["day"]):
        return {"hours"}
    if timezone in ("", "utc", "UTC"):
        return {"days"}
    zone = zoneinfo.ZoneInfo(timezone)
    offsets_s = [int((moment.astimezone(zone).utcoffset() or dt.timedelta()).total_seconds()) for moment in _MOMENTS]
    return set(LABELS) if any(offset_s % 3600 for offset_s in offsets_s) else {"days", "hours", "zone"}
