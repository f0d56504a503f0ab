"""`detect_share_shifts`: the share-shift detector over rows of any form."""

from __future__ import annotations

from collections.abc import Iterable

from tokentide_stream.detection.findings import ShareShift
from tokentide_stream.detection.share_shift import ShareShiftConfig


def detect_share_shifts(
    rows: Iterable[object] | object, window_s: int | None = None, config: ShareShiftConfig | None = None
) -> list[ShareShift]:
    """Shifts of the mix in rows of (window_start, key, requests, tokens[, scope[, cost]])."""
    raise NotImplementedError
