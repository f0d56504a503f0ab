"""`detect_share_shifts`: the share-shift detector over rows of any form."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Iterable

from tokentide_stream.detection.findings import ShareShift
from tokentide_stream.detection.share_config import ShareShiftConfig
from tokentide_stream.detection.share_shift import ShareShiftDetector
from tokentide_stream.detection.share_table import infer_window_s, windows_by_scope


def detect_share_shifts(
    rows: Iterable[object] | object, window_s: int | None = None, config: ShareShiftConfig | None = None
) -> list[ShareShift]:
    """Shifts of the mix, ordered by detected_at, scope and first key.

    rows: mappings, dataclasses or tuples (window_start, key, requests, tokens[, scope[, cost]]), in any order, or a
    polars, pandas or pyarrow table, or a mapping of columns. window_start: any form that `epoch_seconds` reads; times
    in the alerts come back in the form they were given in. A key without a row in a window had nothing; several rows
    of a key and window add up. window_s: the windows' length, by default the usual distance between them.

    Causal: rows of later windows change nothing in the alerts of earlier ones (given window_s, or as soon as there are
    enough windows to tell it from). A missing amount (None, NaN) is nothing. Naive times are UTC; others count by their
    own zone. Raises ValueError that names the row that cannot be read, or has a negative or infinite amount.
    """
    if window_s is not None and window_s <= 0:
        raise ValueError(f"window_s is {window_s}: give the windows' length in seconds")
    by_scope, given = windows_by_scope(rows)
    if not given:
        return []
    length = window_s or (config.window_s if config else infer_window_s(given))
    base = dataclasses.replace(config or ShareShiftConfig(), window_s=length)
    shifts: list[tuple[float, ShareShift]] = []
    for scope, windows in by_scope.items():
        detector = ShareShiftDetector(dataclasses.replace(base, scope=scope))
        for time_s in sorted(windows):
            found = detector.step(dt.datetime.fromtimestamp(time_s, dt.UTC), windows[time_s])
            shifts.extend((time_s, shift) for shift in found.started)
    shifts.sort(key=lambda pair: (pair[0], pair[1].scope, pair[1].keys))
    return [_as_given(shift, given) for _, shift in shifts]


def _as_given(shift: ShareShift, given: dict[float, object]) -> ShareShift:
    started = shift.started_at.timestamp()
    # The first window of the cause may have had no rows; the next one that had some stands for it.
    known = started if started in given else min((t for t in given if t >= started), default=started)
    at = given[shift.detected_at.timestamp()]
    return dataclasses.replace(shift, detected_at=at, window_start=at, started_at=given[known])  # type: ignore[arg-type]
