from __future__ import annotations

import datetime as dt

import pytest

from tokentide_sinks.notify.answers import LONGEST_WAIT_S, Verdict, judge, parse_retry_after, wait_s

NOW = dt.datetime(2026, 11, 22, 22, 0, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("status", "verdict"),
    [
        (200, Verdict.DELIVERED),
        (204, Verdict.DELIVERED),
        (302, Verdict.REFUSED),
        (400, Verdict.REFUSED),
        (401, Verdict.REFUSED),
        (404, Verdict.REFUSED),
        (408, Verdict.TRY_AGAIN),
        (429, Verdict.TRY_AGAIN),
        (500, Verdict.TRY_AGAIN),
        (503, Verdict.TRY_AGAIN),
        (599, Verdict.TRY_AGAIN),
    ],
)
def test_a_client_error_is_final_and_a_servers_error_is_not(status: int, verdict: Verdict) -> None:
    result = judge(status, None, NOW)
    assert result.verdict is verdict
    assert bool(result.error) is (verdict is not Verdict.DELIVERED)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("30", 30.0),
        ("Sun, 22 Nov 2026 22:01:00 GMT", 60.0),
        ("Sun, 22 Nov 2026 21:01:00 GMT", 0.0),
        ("99999", 3_600.0),
        ("soon", None),
        ("-1", None),
    ],
)
def test_retry_after_is_a_number_or_a_date(value: str | None, seconds: float | None) -> None:
    assert parse_retry_after(value, NOW) == seconds


def test_waits_grow_vary_have_an_end_and_never_undercut_what_was_asked_for() -> None:
    middle = [wait_s(attempts, None, lambda: 0.5) for attempts in range(1, 8)]
    assert middle == [2, 8, 32, 128, 512, 900, 900]
    assert wait_s(1, None, lambda: 0.0) < 2 < wait_s(1, None, lambda: 0.99)
    assert wait_s(99, None, lambda: 1.0) <= LONGEST_WAIT_S * 1.25
    assert wait_s(1, 60.0, lambda: 0.0) == 60.0
