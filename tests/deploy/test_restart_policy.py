"""When a crashed component is started again, by the clock's arithmetic alone."""

from hypothesis import given
from hypothesis import strategies as st

from tokentide_deploy.restart_policy import GiveUp, RestartAfter, RestartPolicy

POLICY = RestartPolicy(first_delay_s=0.2, factor=3.0, max_delay_s=15.0, max_crashes=4, window_s=60.0)


def test_the_first_crash_is_followed_by_a_fast_restart() -> None:
    assert POLICY.decide([100.0], 100.0) == RestartAfter(0.2)


def test_crashes_in_a_row_wait_longer_each_time() -> None:
    delays = []
    crashes: list[float] = []
    for time_s in (100.0, 101.0, 102.0, 103.0):
        crashes.append(time_s)
        decision = POLICY.decide(crashes, time_s)
        assert isinstance(decision, RestartAfter)
        delays.append(round(decision.delay_s, 6))
    assert delays == [0.2, 0.6, 1.8, 5.4]


def test_too_many_crashes_in_the_window_end_in_giving_up() -> None:
    assert POLICY.decide([100.0, 101.0, 102.0, 103.0, 104.0], 104.0) == GiveUp(5, 60.0)


def test_old_crashes_are_forgotten() -> None:
    assert POLICY.decide([100.0, 101.0, 102.0, 103.0, 170.0], 170.0) == RestartAfter(0.2)


@given(st.lists(st.floats(0, 1000), min_size=1, max_size=40))
def test_the_wait_is_never_negative_nor_longer_than_the_maximum(crashes: list[float]) -> None:
    decision = POLICY.decide(crashes, max(crashes))
    if isinstance(decision, RestartAfter):
        assert 0.2 <= decision.delay_s <= 15.0
    else:
        assert decision.crashes > POLICY.max_crashes
