"""An alert's life: grouped, held, pending, firing, resolved; each state once, whatever comes."""

from __future__ import annotations

import datetime as dt
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tokentide_schemas.alerting.rules import ErrorRateRule, NewModelRule, ShareShiftRule, VolumeShiftRule
from tokentide_schemas.alerts import AlertKind, AlertState
from tokentide_stream.alerting.found import Ended, Found
from tokentide_stream.alerting.lifecycle import Change, Lifecycle

T0 = dt.datetime(2026, 11, 16, 12, 0, tzinfo=dt.UTC)
MINUTE = dt.timedelta(minutes=1)


def share_rule(name: str = "model-share", dimension: str = "model", **fields: Any) -> ShareShiftRule:
    return ShareShiftRule.model_validate({"name": name, "dimension": dimension, "resolve_after": "2m", **fields})


def found(at: dt.datetime, key: str = "acme/one", kind: AlertKind = AlertKind.LAUNCH, **fields: Any) -> Found:
    rule = fields.pop("rule", share_rule())
    values: dict[str, Any] = {
        "rule": rule,
        "kind": kind,
        "measure": "tokens",
        "dimension": getattr(rule, "dimension", "model"),
        "keys": (key,),
        "direction": "up",
        "value": 20.0,
        "reference": 0.0,
        "change": 20.0,
        "unit": "pp",
        "started_at": at - MINUTE,
        "detected_at": at,
        "models": frozenset({key}),
        **fields,
    }
    return Found(**values)


class World:
    """Steps a lifecycle a minute at a time and keeps what it says."""

    def __init__(self) -> None:
        self.lifecycle = Lifecycle()
        self.now = T0
        self.said: list[tuple[str, int]] = []
        self.changes: list[Change] = []

    def minute(self, *started: Found, ended: tuple[Ended, ...] = ()) -> list[Change]:
        changes = self.lifecycle.step(self.now, started, ended)
        self.changes += changes
        minute = int((self.now - T0) / MINUTE)
        self.said += [(f"{one.alert.lead.keys[0]} {one.state.value}", minute) for one in changes]
        self.now += MINUTE
        return changes

    def minutes(self, count: int) -> None:
        for _ in range(count):
            self.minute()


def test_a_launch_fires_in_the_window_that_showed_it() -> None:
    world = World()
    world.minute(found(T0))
    assert world.said == [("acme/one firing", 0)]


def test_an_alert_is_over_when_its_end_has_lasted() -> None:
    world = World()
    launch = found(T0)
    world.minute(launch)
    world.minute(ended=(Ended(launch.slot, T0 + MINUTE),))
    world.minutes(5)
    assert world.said == [("acme/one firing", 0), ("acme/one resolved", 3)]


def test_a_condition_that_comes_back_before_that_goes_on_as_the_same_alert() -> None:
    world = World()
    launch = found(T0)
    world.minute(launch)
    world.minute(ended=(Ended(launch.slot, T0 + MINUTE),))
    world.minute(found(T0 + 2 * MINUTE))
    world.minutes(9)
    assert world.said == [("acme/one firing", 0)]


def test_a_new_normal_ends_an_alert_at_once() -> None:
    world = World()
    launch = found(T0)
    world.minute(launch)
    world.minute(ended=(Ended(launch.slot, T0 + MINUTE, is_accepted=True),))
    assert world.said == [("acme/one firing", 0), ("acme/one resolved", 1)]


def test_keys_that_one_cause_moves_are_one_alert_named_by_the_best_finding() -> None:
    world = World()
    models = frozenset({"acme/one"})
    world.minute(
        found(T0, "acme", AlertKind.SUBSTITUTION, rule=share_rule("author-share", "author"), models=models),
        found(T0, "acme/one", AlertKind.LAUNCH),
        found(T0, "proprietary", AlertKind.SUBSTITUTION, rule=share_rule("o", "origin_group"), models=models),
    )
    world.minute(found(T0 + MINUTE, "hoster", AlertKind.SUBSTITUTION, rule=share_rule("p", "provider"), models=models))
    world.minutes(5)
    assert world.said == [("acme/one firing", 0)]
    (alert,) = world.lifecycle.alerts
    assert [one.rule.name for one in alert.members] == ["author-share", "o", "p"]


def test_causes_that_share_no_model_are_alerts_of_their_own() -> None:
    world = World()
    world.minute(found(T0, "acme/one"), found(T0, "other/two"))
    assert sorted(world.said) == [("acme/one firing", 0), ("other/two firing", 0)]


def test_a_new_model_that_takes_share_is_told_as_a_launch_alone() -> None:
    world = World()
    first = found(T0, kind=AlertKind.NEW_MODEL, rule=NewModelRule(name="new-model"))
    world.minute(first)
    world.minute(found(T0 + MINUTE), ended=(Ended(first.slot, T0 + MINUTE),))
    world.minutes(10)
    assert world.said == [("acme/one firing", 1)]
    assert world.changes[0].alert.lead.kind is AlertKind.LAUNCH


def test_a_new_model_that_moves_nothing_is_told_after_a_while_and_is_over() -> None:
    world = World()
    first = found(T0, kind=AlertKind.NEW_MODEL, rule=NewModelRule(name="new-model"))
    world.minute(first)
    world.minute(ended=(Ended(first.slot, T0 + MINUTE),))
    world.minutes(15)
    assert world.said == [("acme/one firing", 5), ("acme/one resolved", 10)]


def test_an_outage_is_not_hidden_behind_a_new_price_of_one_of_its_models() -> None:
    world = World()
    price = found(T0, kind=AlertKind.PRICE_CHANGE, rule=NewModelRule(name="price"))
    world.minute(price)
    world.minutes(6)
    models = frozenset({"acme/one", "acme/two"})
    world.minute(found(world.now, "hoster", AlertKind.OUTAGE, rule=share_rule("p", "provider"), models=models))
    assert world.said == [("acme/one firing", 5), ("hoster firing", 7)]


def test_silence_of_everything_is_told_even_while_an_outage_lasts() -> None:
    world = World()
    world.minute(found(T0, "hoster", AlertKind.OUTAGE, rule=share_rule("p", "provider"), models=frozenset({"a/one"})))
    total = VolumeShiftRule.model_validate({"name": "total-volume"})
    world.minute(found(world.now, "total", AlertKind.SILENCE, rule=total, dimension="total", models=None))
    assert world.said == [("hoster firing", 0), ("total firing", 1)]


def test_an_alert_is_as_grave_as_the_gravest_of_its_findings() -> None:
    world = World()
    models = frozenset({"acme/one"})
    grave = share_rule("v", "provider", severity="critical")
    world.minute(
        found(T0, "hoster", AlertKind.OUTAGE, rule=share_rule("p", "provider"), models=models),
        found(T0, "hoster", AlertKind.SILENCE, rule=grave, models=models),
    )
    (change,) = world.changes
    assert (change.alert.lead.rule.name, change.alert.severity.value) == ("p", "critical")


def error_rule(**fields: Any) -> ErrorRateRule:
    return ErrorRateRule.model_validate({"name": "errors", **fields})


def test_a_rule_with_for_is_pending_until_it_has_passed() -> None:
    world = World()
    rule = error_rule(**{"for": "4m"})
    world.minute(found(T0, "hoster", AlertKind.ERROR_RATE, rule=rule))
    world.minutes(6)
    assert world.said == [("hoster pending", 1), ("hoster firing", 4)]


def test_what_ends_while_pending_is_resolved_and_marked_as_never_fired() -> None:
    world = World()
    errors = found(T0, "hoster", AlertKind.ERROR_RATE, rule=error_rule(**{"for": "4m"}))
    world.minute(errors)
    world.minute()
    world.minute(ended=(Ended(errors.slot, T0 + 2 * MINUTE),))
    world.minutes(9)
    assert world.said == [("hoster pending", 1), ("hoster resolved", 2)]
    assert world.changes[-1].never_fired


def test_what_ends_before_it_was_said_is_not_said() -> None:
    world = World()
    errors = found(T0, "hoster", AlertKind.ERROR_RATE, rule=error_rule(**{"for": "4m"}))
    world.minute(errors, ended=())
    world.lifecycle = Lifecycle()
    world.said.clear()
    world.minute(errors, ended=())
    world.lifecycle.step(world.now - MINUTE / 2, [], [Ended(errors.slot, world.now)])
    world.minutes(9)
    assert world.said == []


def test_the_same_keys_are_not_told_again_within_the_cooldown_but_after_it() -> None:
    world = World()
    rule = share_rule(cooldown="30m")
    launch = found(T0, rule=rule)
    world.minute(launch)
    world.minute(ended=(Ended(launch.slot, T0 + MINUTE, is_accepted=True),))
    world.minutes(12)
    world.minute(found(world.now, rule=rule))
    world.minutes(30)
    assert [state for state, _ in world.said] == ["acme/one firing", "acme/one resolved", "acme/one firing"]
    assert world.said[-1][1] == 31


def test_what_is_over_within_the_cooldown_is_not_told_after_it() -> None:
    world = World()
    rule = share_rule(cooldown="30m")
    launch = found(T0, rule=rule)
    world.minute(launch)
    world.minute(ended=(Ended(launch.slot, T0 + MINUTE, is_accepted=True),))
    world.minutes(12)
    world.minute(found(world.now, rule=rule))
    world.minute(ended=(Ended(launch.slot, world.now),))
    world.minutes(40)
    assert len(world.said) == 2


def test_what_an_outages_end_moves_back_is_no_alert() -> None:
    world = World()
    models = frozenset({"acme/one", "acme/two"})
    outage = found(T0, "hoster", AlertKind.OUTAGE, rule=share_rule("p", "provider"), models=models)
    world.minute(outage)
    world.minutes(20)
    world.minute(ended=(Ended(outage.slot, world.now),))
    world.minutes(4)
    world.minute(found(world.now, "acme/two", AlertKind.SPIKE))
    world.minutes(5)
    assert [state for state, _ in world.said] == ["hoster firing", "hoster resolved"]


KEYS = ("a/one", "a/two", "b/three")
Steps = list[tuple[list[int], list[int]]]
STEPS = st.lists(
    st.tuples(st.lists(st.integers(0, 8), max_size=3, unique=True), st.lists(st.integers(0, 8), max_size=3)),
    max_size=60,
)
KINDS = (AlertKind.LAUNCH, AlertKind.ERROR_RATE, AlertKind.NEW_MODEL)


def run(steps: Steps) -> World:
    """Findings and ends as a detector gives them: one that is open does not start again."""
    world = World()
    rules = (share_rule(cooldown="5m"), error_rule(**{"for": "3m", "cooldown": "5m"}), NewModelRule(name="new"))
    opened: set[int] = set()
    for begin, end in steps:
        starting = [number for number in begin if number not in opened]
        ending = [number for number in dict.fromkeys(end) if number in opened]
        opened = (opened | set(starting)) - set(ending)
        started = [
            found(world.now, KEYS[number % 3], KINDS[number // 3], rule=rules[number // 3]) for number in starting
        ]
        slots = [(rules[n // 3].name, KINDS[n // 3].value, KEYS[n % 3]) for n in ending]
        world.minute(*started, ended=tuple(Ended(slot, world.now) for slot in slots))
    return world


@settings(deadline=None)
@given(STEPS)
def test_each_alert_has_each_state_at_most_once_and_in_order(steps: Steps) -> None:
    states: dict[Any, list[AlertState]] = {}
    for change in run(steps).changes:
        states.setdefault(change.alert.id, []).append(change.state)
    allowed = [
        [AlertState.FIRING, AlertState.RESOLVED],
        [AlertState.PENDING, AlertState.FIRING, AlertState.RESOLVED],
        [AlertState.PENDING, AlertState.RESOLVED],
    ]
    for one in states.values():
        assert any(one == whole[: len(one)] for whole in allowed), one


@given(STEPS)
def test_every_finding_that_lasts_is_told_or_belongs_to_what_was_told(steps: Steps) -> None:
    world = run(steps)
    opened = {alert.lead.slot for alert in world.lifecycle.alerts}
    world.minutes(10)
    firing = {one.alert.lead.slot for one in world.changes if one.state is AlertState.FIRING}
    for alert in world.lifecycle.alerts:
        assert alert.lead.slot in firing
    assert {alert.lead.slot for alert in world.lifecycle.alerts} <= opened | firing


@given(STEPS, st.integers(0, 60))
def test_the_same_findings_give_the_same_changes_whenever_one_looks(steps: Steps, cut: int) -> None:
    whole = [(one.alert.id, one.state, one.at) for one in run(steps).changes]
    prefix = [(one.alert.id, one.state, one.at) for one in run(steps[:cut]).changes]
    assert whole[: len(prefix)] == prefix
