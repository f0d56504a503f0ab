"""A sink stops when a whole deployment is wrong, and not for a few bad records."""

from __future__ import annotations

from tokentide_schemas.rejections import Reason, Rejection
from tokentide_sinks.limits import RefusalLimits, RefusalWatch, advice

LIMITS = RefusalLimits(max_ratio=0.5, min_records=10, window_s=60, max_consecutive=20)
BAD = (Rejection(Reason.MISSING_FIELD, "required and absent: provider"),)


def watch_of(*fates: bool, limits: RefusalLimits = LIMITS, step_ms: int = 100) -> RefusalWatch:
    """Records of one event, refused where true, `step_ms` apart."""
    watch = RefusalWatch(limits)
    for number, refused in enumerate(fates):
        watch.observe(number * step_ms, 1, BAD if refused else (), int(refused))
    return watch


def test_a_few_records_are_never_too_many() -> None:
    assert watch_of(*[True] * 9).problem() is None


def test_half_of_the_records_may_be_refused_and_no_more() -> None:
    assert watch_of(*[True, False] * 10).problem() is None
    problem = watch_of(*[True, False] * 10, True).problem()
    assert problem == "52% of 21 records in 60 s of log time were refused (limit 50%)"


def test_what_was_refused_longer_ago_does_not_count() -> None:
    watch = watch_of(*[True] * 9)
    watch.observe(61_000, 1, BAD, 1)
    assert watch.problem() is None


def test_a_backlog_is_judged_by_the_time_at_which_it_came() -> None:
    slow = watch_of(*[True] * 19, step_ms=10_000)
    assert slow.problem() is None


def test_records_in_a_row_count_however_slowly_they_come() -> None:
    assert watch_of(*[True] * 20, step_ms=3_600_000).problem() == "20 records in a row were refused (limit 20)"
    assert watch_of(*[True] * 19, False, True, step_ms=3_600_000).problem() is None


def test_a_record_counts_with_its_refused_share() -> None:
    watch = RefusalWatch(LIMITS)
    for number in range(100):
        watch.observe(number, 1_000, BAD, 400)
    assert watch.problem() is None


def test_both_limits_can_be_turned_off() -> None:
    off = RefusalLimits(max_ratio=1, min_records=1, window_s=60, max_consecutive=0)
    assert watch_of(*[True] * 50, limits=off).problem() is None


def test_a_restart_goes_on_counting() -> None:
    watch = RefusalWatch(LIMITS)
    watch.restore(0, 9, 9.0)
    watch.restore_consecutive(9)
    assert watch.problem() is None
    watch.observe(500, 1, BAD, 1)
    assert watch.problem() is not None


def test_the_message_says_what_where_and_what_to_do() -> None:
    watch = watch_of(*[True] * 20)
    text = advice(3, 17, watch, watch.problem() or "")
    for part in ("partition 3 from offset 17", "missing_field 20 times", "TOKENTIDE_SINK_MAX_REFUSED_RATIO=1", "dlq"):
        assert part in text
