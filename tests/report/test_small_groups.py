"""Small groups are not in the report, and what hides them does not give them away."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from tests.dashboards import traffic
from tests.deploy.looking import Store

from tokentide_deploy.report.suppression import OTHERS, Policy, Users, fold
from tokentide_schemas.published import MIN_USERS

from .conftest import Written, report

K = 10


def test_small_groups_go_into_the_rest_with_a_large_one() -> None:
    amounts = {("w", "big"): 50.0, ("w", "middle"): 30.0, ("w", "tiny"): 20.0}
    users = Users({"big": 90, "middle": 12, "tiny": 9})
    found = fold(amounts, users, Policy(K), leading=5)
    assert found.groups == ("big", OTHERS)
    assert found.amounts == {("w", "big"): 50.0, ("w", OTHERS): 50.0}
    assert found.hidden.groups == {"tiny"}


def test_k_users_are_enough() -> None:
    found = fold({("w", "a"): 1.0, ("w", "b"): 2.0}, Users({"a": K, "b": K}), Policy(K), leading=5)
    assert found.groups == ("b", "a")
    assert not found.hidden.groups


def test_without_a_rest_small_groups_are_left_out() -> None:
    found = fold({("w", "a"): 1.0, ("w", "b"): 2.0}, Users({"a": 3, "b": K}), Policy(K), leading=None)
    assert found.amounts == {("w", "b"): 2.0}


def test_a_week_of_one_user_is_left_out() -> None:
    amounts = {("quiet", "a"): 5.0, ("busy", "a"): 7.0, ("busy", "b"): 3.0}
    users = Users({"a": 50, "b": 50}, {("quiet", "a"): 1, ("busy", "a"): 40, ("busy", "b"): 30})
    found = fold(amounts, users, Policy(K), leading=5)
    assert found.amounts == {("busy", "a"): 7.0, ("busy", "b"): 3.0}
    assert found.hidden.cells == 1


def test_users_that_cannot_be_counted_are_too_few_unless_asked_for() -> None:
    amounts = {("w", "a"): 1.0}
    assert not fold(amounts, Users(counted=False), Policy(K), leading=5).amounts
    shown = fold(amounts, Users(counted=False), Policy(K, show_uncounted=True), leading=5)
    assert shown.amounts == amounts
    assert shown.hidden.unchecked


_GROUPS = st.sampled_from(["a", "b", "c", "d", "e"])


@given(
    st.dictionaries(
        st.tuples(st.sampled_from(["w1", "w2"]), _GROUPS), st.tuples(st.integers(1, 99), st.integers(0, 30))
    ),
    st.integers(1, 4),
    st.booleans(),
)
def test_whatever_comes_nothing_small_stands_alone(
    drawn: dict[tuple[str, str], tuple[int, int]], leading: int, has_rest: bool
) -> None:
    amounts = {cell: float(amount) for cell, (amount, _) in drawn.items()}
    by_cell = {cell: users for cell, (_, users) in drawn.items()}
    by_group: dict[str, int] = defaultdict(int)
    for (_, group), users in by_cell.items():
        by_group[group] = max(by_group[group], users)
    found = fold(amounts, Users(by_group, by_cell), Policy(K), leading if has_rest else None)
    for (time, group), amount in found.amounts.items():
        if group != OTHERS:
            assert by_cell[time, group] >= K
            assert amount == amounts[time, group]
            continue
        inside = [name for name in by_group if (time, name) in amounts and (time, name) not in found.amounts]
        assert any(by_cell[time, name] >= K for name in inside)
        assert amount == sum(amounts[time, name] for name in inside)


def _users(key: str) -> dict[tuple[str, str], set[int]]:
    found: dict[tuple[str, str], set[int]] = defaultdict(set)
    for event in traffic.events():
        if event["user"] is not None:
            found[traffic.monday(event)[:10], event[key]].add(event["user"])
    return found


def test_every_model_that_a_week_shows_had_k_users_in_it(publishable: Written, everything: Written) -> None:
    users = _users("model")
    shown = {cell for cell in publishable.cells("M2") if cell[1] != OTHERS}
    assert shown, "the case hides everything"
    assert {cell for cell in shown if len(users[cell]) < MIN_USERS} == set()
    hidden = {cell for cell in everything.cells("M2") if cell[1] != OTHERS} - shown
    assert any(len(users[cell]) < MIN_USERS for cell in hidden)
    assert "Not shown apart, for too few users" in publishable.page.read_text(encoding="utf-8")


def test_a_k_above_all_users_leaves_every_figure_empty_with_the_reason(store: Store, tmp_path: Path) -> None:
    written = report(store, tmp_path, "--min-users", "1000")
    assert written.done.returncode == 0, written.done.stderr
    assert not written.cells("F1")
    assert written.rows("T3") == []
    page = written.page.read_text(encoding="utf-8")
    assert "no group in it has 1000 known users" in page
    assert "<svg" not in page
