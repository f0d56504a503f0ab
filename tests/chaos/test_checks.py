"""The comparison with the loads' counts finds what is lost, doubled or has other tokens."""

from __future__ import annotations

from collections import Counter

from chaos.checks import compare
from chaos.load_control import Expected

EXPECTED = Expected(Counter({"a": 10}), Counter({"a": 500}), bounds={"killed": (5, 8)})


def test_what_was_acknowledged_is_right() -> None:
    assert compare("raw", EXPECTED, {"a": (10, 500), "killed": (6, 1)}) == []


def test_a_lost_and_a_doubled_event_are_found() -> None:
    assert [by for by, _ in compare("raw", EXPECTED, {"a": (9, 450), "killed": (5, 1)})] == [-1]
    assert [by for by, _ in compare("raw", EXPECTED, {"a": (12, 600), "killed": (8, 1)})] == [2]


def test_equal_counts_with_other_tokens_are_found() -> None:
    assert len(compare("raw", EXPECTED, {"a": (10, 501), "killed": (5, 1)})) == 1


def test_a_killed_emitter_must_stay_within_its_bounds() -> None:
    assert [by for by, _ in compare("raw", EXPECTED, {"a": (10, 500), "killed": (4, 1)})] == [-1]
    assert [by for by, _ in compare("raw", EXPECTED, {"a": (10, 500), "killed": (9, 1)})] == [1]


def test_a_model_that_nobody_sent_is_found() -> None:
    found = {"a": (10, 500), "killed": (5, 1), "ghost": (1, 1)}
    assert [by for by, _ in compare("raw", EXPECTED, found)] == [1]
