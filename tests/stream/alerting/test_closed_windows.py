"""Up to when windows are closed: by watermarks while the pipeline works, by the clock when nothing comes."""

from __future__ import annotations

from tokentide_stream.alerting.clock import LogEnd, Position, closed_until_ms

NOW = 1_800_000_000_000
IDLE = 30_000


def closed(positions: dict[int, Position], ends: dict[int, LogEnd]) -> int | None:
    return closed_until_ms(positions, ends, NOW, IDLE)


def at(offset: int, age_ms: int) -> Position:
    return Position(offset, NOW - age_ms, NOW)


def test_the_slowest_partition_that_has_traffic_closes_windows() -> None:
    found = closed({0: at(9, 500), 1: at(9, 8_000)}, {0: LogEnd(0, 10), 1: LogEnd(0, 10)})
    assert found == NOW - 8_000


def test_a_partition_that_is_caught_up_and_idle_holds_nothing() -> None:
    found = closed({0: at(9, 500), 1: at(9, 600_000)}, {0: LogEnd(0, 10), 1: LogEnd(0, 10)})
    assert found == NOW - 500


def test_a_pipeline_that_is_behind_is_not_silence() -> None:
    found = closed({0: at(9, 500), 1: at(4, 600_000)}, {0: LogEnd(0, 10), 1: LogEnd(0, 10)})
    assert found == NOW - 600_000


def test_a_partition_whose_first_events_are_not_counted_yet_closes_nothing() -> None:
    assert closed({0: at(9, 500)}, {0: LogEnd(0, 10), 1: LogEnd(0, 1)}) is None


def test_an_empty_partition_holds_nothing() -> None:
    assert closed({0: at(9, 500)}, {0: LogEnd(0, 10), 1: LogEnd(7, 7)}) == NOW - 500


def test_without_any_traffic_the_clock_closes_windows() -> None:
    found = closed({0: at(9, 90_000), 1: at(9, 95_000)}, {0: LogEnd(0, 10), 1: LogEnd(0, 10)})
    assert found == NOW - IDLE


def test_before_the_first_event_nothing_is_closed() -> None:
    assert closed({}, {0: LogEnd(0, 0)}) is None


def test_an_event_from_the_future_closes_nothing_that_is_still_filling() -> None:
    assert closed({0: at(9, -400_000)}, {0: LogEnd(0, 10)}) == NOW
