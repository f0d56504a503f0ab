"""Leaving out what few users could be recognised by. Pure.

A group is small when fewer than k distinct users are known in it. Where a chart has a rest, small groups go into it,
and the rest always holds at least one group that is large enough by itself: otherwise it would be the small one under
another name. Where a chart has fixed groups, small ones are left out. Not covered, as in the published views: what
somebody learns by comparing charts with each other or with a total from elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

OTHERS: Final = "Others"
WHOLE: Final = ""
"""The bucket of amounts that are of the whole period."""

Cell = tuple[str, str]
"""Bucket of time and group."""


@dataclass(frozen=True, slots=True)
class Users:
    """Distinct users by group, and by bucket and group where that is known. `counted`: whether there was what to count.

    Requests without a user count for nobody. A group that is missing has no known user.
    """

    by_group: Mapping[str, int] = field(default_factory=dict)
    by_cell: Mapping[Cell, int] | None = None
    counted: bool = True


@dataclass(frozen=True, slots=True)
class Policy:
    """min_users: k; 1 hides nothing. show_uncounted: draw groups whose users nobody can count any more."""

    min_users: int
    show_uncounted: bool = False

    def hides_group(self, users: Users, group: str) -> bool:
        """Whether the group is small in the whole period."""
        if self.min_users <= 1:
            return False
        if not users.counted:
            return not self.show_uncounted
        return users.by_group.get(group, 0) < self.min_users

    def hides(self, users: Users, time: str, group: str) -> bool:
        """Whether the group is small in the whole period or in the bucket."""
        if self.hides_group(users, group):
            return True
        if self.min_users <= 1 or not users.counted or users.by_cell is None or time == WHOLE:
            return False
        return users.by_cell.get((time, group), 0) < self.min_users


@dataclass(slots=True)
class Hidden:
    """What a figure does not show: names of small groups, and cells of groups that are large elsewhere.

    unchecked: shown without their users having been counted.
    """

    groups: set[str] = field(default_factory=set)
    cells: int = 0
    unchecked: bool = False


@dataclass(frozen=True, slots=True)
class Folded:
    """Groups in the order of their totals, the rest last; amounts by cell, where hidden or absent ones are missing."""

    groups: tuple[str, ...]
    amounts: Mapping[Cell, float]
    hidden: Hidden

    def total(self, time: str) -> float:
        """Of all that is shown in the bucket."""
        return sum(self.amounts.get((time, group), 0.0) for group in self.groups)


def fold(amounts: Mapping[Cell, float], users: Users, policy: Policy, leading: int | None) -> Folded:
    """Amounts with small groups folded into `OTHERS`, and with those beyond the `leading` largest.

    leading None: no rest, small groups and cells are left out.
    """
    totals: dict[str, float] = {}
    for (_, group), amount in amounts.items():
        totals[group] = totals.get(group, 0.0) + amount
    order = sorted((group for group, total in totals.items() if total > 0), key=lambda group: (-totals[group], group))
    small = {group for group in order if policy.hides_group(users, group)}
    hidden = Hidden(small, unchecked=not users.counted and policy.show_uncounted and policy.min_users > 1)
    large = [group for group in order if group not in small]
    if leading is None:
        return _left_out(amounts, users, policy, large, hidden)
    if not large:
        return Folded((), {}, hidden)
    shown, rest = large[:leading], large[leading:]
    if small and not rest:
        rest = [shown.pop()]
    found: dict[Cell, float] = {}
    for time in dict.fromkeys(time for time, _ in amounts):
        _fold_bucket(time, amounts, users, policy, (shown, rest, small), found, hidden)
    return Folded((*shown, OTHERS) if any(group == OTHERS for _, group in found) else tuple(shown), found, hidden)


def _left_out(amounts: Mapping[Cell, float], users: Users, policy: Policy, large: list[str], hidden: Hidden) -> Folded:
    found = {}
    for (time, group), amount in amounts.items():
        if group not in large:
            continue
        if amount > 0 and policy.hides(users, time, group):
            hidden.cells += 1
        else:
            found[time, group] = amount
    return Folded(tuple(large), found, hidden)


def _fold_bucket(
    time: str,
    amounts: Mapping[Cell, float],
    users: Users,
    policy: Policy,
    places: tuple[list[str], list[str], set[str]],
    found: dict[Cell, float],
    hidden: Hidden,
) -> None:
    shown, rest, small = places
    here = {group: amounts[time, group] for group in (*shown, *rest, *small) if amounts.get((time, group), 0) > 0}
    too_small = {group for group in here if policy.hides(users, time, group)}
    kept = [group for group in shown if group in here and group not in too_small]
    hidden.cells += len([group for group in too_small if group not in small])
    others = [group for group in here if group not in kept]
    if too_small and all(group in too_small for group in others):
        if not kept:
            # Everything of this bucket together may be one user.
            return
        others.append(kept.pop())
    for group in kept:
        found[time, group] = here[group]
    if others:
        found[time, OTHERS] = sum(here[group] for group in others)
