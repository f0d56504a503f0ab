from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tokentide_producers.litellm.attempts import Attempts

WAIT_S = 65.0


def fields(outcome: str, model: str = "asked") -> dict[str, Any]:
    return {"request_model": model, "outcome": outcome}


def requests(most: int = 100) -> Attempts:
    return Attempts(retry_wait_s=WAIT_S, max_open_requests=most)


def started(attempts: Attempts, key: str = "call:1", now_s: float = 0.0, **how: bool) -> list[dict[str, Any]]:
    return attempts.start(key, "asked", now_s, **{"is_new": False, "may_go_on": True, **how})


def failed(attempts: Attempts, key: str = "call:1", now_s: float = 1.0, **how: bool) -> list[dict[str, Any]]:
    return attempts.fail(key, fields("error", "other"), now_s, **{"by_hook": True, "may_go_on": True, **how})


def told(events: list[dict[str, Any]]) -> list[tuple[str, int, bool]]:
    return [(event["outcome"], event["attempt"], event["is_final_attempt"]) for event in events]


def test_a_failed_attempt_waits_and_is_not_the_last_when_another_starts() -> None:
    attempts = requests()
    assert started(attempts) == [] and failed(attempts) == []
    assert told(started(attempts, now_s=2.0)) == [("error", 0, False)]
    assert told(attempts.succeed("call:1", fields("ok"))) == [("ok", 1, True)]
    assert len(attempts) == 0


def test_a_failure_that_is_told_twice_is_one() -> None:
    attempts = requests()
    started(attempts)
    assert failed(attempts) + failed(attempts, by_hook=False) + failed(attempts) == []
    assert told(attempts.end("call:1", lambda: fields("error"))) == [("error", 0, True)]
    assert failed(attempts, by_hook=False) == []


def test_a_failure_after_which_nothing_comes_is_the_last_once_it_has_waited() -> None:
    attempts = requests()
    started(attempts)
    failed(attempts, now_s=1.0)
    assert attempts.due(1.0 + WAIT_S - 0.1) == []
    assert told(attempts.due(1.0 + WAIT_S)) == [("error", 0, True)]
    assert len(attempts) == 0


def test_a_call_that_cannot_go_on_is_told_at_once_and_once() -> None:
    attempts = requests()
    started(attempts, may_go_on=False)
    assert told(failed(attempts, may_go_on=False)) == [("error", 0, True)]
    assert failed(attempts, by_hook=False, may_go_on=False) == []


def test_a_request_that_fails_while_its_attempt_runs_is_told_by_the_request() -> None:
    attempts = requests()
    started(attempts)
    assert told(attempts.end("call:1", lambda: fields("error"))) == [("error", 0, True)]
    assert attempts.due(10 * WAIT_S) == [] and len(attempts) == 0


def test_a_request_that_was_refused_before_any_attempt_is_one_event() -> None:
    assert told(requests().end("call:9", lambda: fields("error"))) == [("error", 0, True)]


def test_the_same_trace_again_is_another_request() -> None:
    attempts = requests()
    started(attempts, "trace:a", is_new=True)
    failed(attempts, "trace:a")
    assert told(started(attempts, "trace:a", is_new=True)) == [("error", 0, True)]
    assert told(attempts.succeed("trace:a", fields("ok"))) == [("ok", 0, True)]


def test_a_running_attempt_that_was_let_go_of_is_cancelled_and_a_finished_one_is_not() -> None:
    attempts = requests()
    started(attempts)
    request = attempts.get("call:1")
    assert request is not None
    request.snapshot = fields("running")
    cancelled = attempts.let_go("call:1", 0, lambda known, _started_s: {**known, "outcome": "cancelled"})
    assert told(cancelled) == [("cancelled", 0, True)]
    attempts.succeed("call:1", fields("ok"))
    assert attempts.let_go("call:1", 0, lambda known, _started_s: known) == []


def test_too_many_requests_in_flight_push_out_the_oldest_and_say_so() -> None:
    attempts = requests(most=2)
    started(attempts, "call:1")
    failed(attempts, "call:1")
    started(attempts, "call:2")
    assert told(started(attempts, "call:3")) == [("error", 0, True)]
    assert started(attempts, "call:4") == []
    assert (len(attempts), attempts.forgotten) == (2, 1)


@given(failures=st.integers(0, 300), ending=st.sampled_from(["answered", "ended", "waited", "closed"]))
def test_attempts_are_numbered_and_exactly_one_is_the_last(failures: int, ending: str) -> None:
    attempts = requests()
    events: list[dict[str, Any]] = []
    for number in range(failures):
        events += started(attempts, now_s=number) + failed(attempts, now_s=number)
    if ending == "answered" or failures == 0:
        events += started(attempts, now_s=failures) + attempts.succeed("call:1", fields("ok"))
    elif ending == "ended":
        events += attempts.end("call:1", lambda: fields("error"))
    elif ending == "waited":
        events += attempts.due(failures + WAIT_S)
    else:
        events += attempts.close()
    assert [event["attempt"] for event in events] == [min(n, 255) for n in range(len(events))]
    assert [event["is_final_attempt"] for event in events] == [False] * (len(events) - 1) + [True]
    assert len(events) == failures + (ending == "answered" or failures == 0)
    assert {event["request_id"] for event in events} == {"1"}
    assert {event["request_model"] for event in events} == {"asked"}
