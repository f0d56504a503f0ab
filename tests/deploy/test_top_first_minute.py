"""`tokentide top` in the first minute of a stack: it shows what there is rather than nothing."""

from __future__ import annotations

import datetime as dt
from typing import Any

from tokentide_deploy.top_live import TopOptions, read_frame

NOW = dt.datetime(2026, 3, 1, 12, 0, 40, tzinfo=dt.UTC)
MINUTE = int(NOW.timestamp()) // 60 * 60


def store_with_one_filling_minute(sql: str) -> list[tuple[Any, ...]]:
    """Answers like a store whose only rows are of the minute that is not over."""
    if "uniqExact(window_start)" in sql:
        return [(MINUTE, MINUTE + 60, 1, 500)]
    if "previous_from" in sql:
        return [(MINUTE, False)]
    shown = f"window_start < toDateTime({MINUTE + 60})" in sql
    return [("model", "m", 500, 1000, 900, 100, 0, 0, 0, 0, 0)] if shown else []


def test_the_filling_minute_is_shown_when_no_minute_is_complete() -> None:
    options = TopOptions(5, None, ("model",), None, 2.0, "table", None, None)
    frame = read_frame(store_with_one_filling_minute, options, NOW)
    assert frame.total.requests == 500
    assert frame.window is not None
    assert "still filling" in frame.window.title
    assert frame.window.minutes == 40 / 60


def test_a_minute_that_is_over_and_not_yet_settled_is_shown_as_well() -> None:
    options = TopOptions(5, None, ("model",), None, 2.0, "table", None, None)
    frame = read_frame(store_with_one_filling_minute, options, NOW + dt.timedelta(seconds=24))
    assert frame.total.requests == 500
    assert frame.window is not None and frame.window.minutes == 1.0
