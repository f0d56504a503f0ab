"""Up to when windows are closed: from the partitions' positions, and by the wall clock when nothing comes. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class Position:
    """A partition of the usage topic in the store: the last offset whose events are in the rollups, and up to which
    event time that is. emitted_at_ms: when the worker said so."""

    applied_offset: int
    watermark_ms: int
    emitted_at_ms: int


@dataclass(frozen=True, slots=True)
class LogEnd:
    """A partition of the usage topic in Kafka: its first offset, and the one after its last."""

    low: int
    high: int


def closed_until_ms(
    positions: Mapping[int, Position], ends: Mapping[int, LogEnd], now_ms: int, idle_ms: int
) -> int | None:
    """Event time up to which nothing more is expected in time; None before the first event of all.

    A partition with records that the rollups do not have yet holds the time at its watermark, however old that is: the
    pipeline is behind, which is not silence. One that is caught up and has had nothing for `idle_ms` holds nothing.
    When all are, the wall clock counts: no traffic is something to tell.
    """
    holding = []
    newest = None
    for number, end in ends.items():
        position = positions.get(number)
        if position is None:
            if end.high > end.low:
                return None
            continue
        newest = max(newest or 0, position.watermark_ms)
        is_caught_up = end.high <= position.applied_offset + 1
        if not is_caught_up or now_ms - position.watermark_ms <= idle_ms:
            holding.append(position.watermark_ms)
    if newest is None:
        return None
    # An event from the future must not close windows that are still filling.
    return min(*holding, now_ms) if holding else max(min(newest, now_ms), now_ms - idle_ms)
