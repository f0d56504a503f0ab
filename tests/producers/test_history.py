"""The scenario of thirteen months: its shares, launches, cohorts, and that a seed repeats it."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from functools import cache
from itertools import islice, pairwise

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from tokentide_producers.history.scenario import Scenario, ScenarioError, load_scenario
from tokentide_producers.history.traffic import GATEWAY, HOUR_MS, HistoryTraffic, month_starts, place, slots
from tokentide_producers.history.users import FULLEST, cohorts
from tokentide_schemas.catalogue import Catalogue, load_catalogue

EVENTS = 20_000
SEED = 5


@cache
def catalogue() -> Catalogue:
    return load_catalogue()


@cache
def scenario() -> Scenario:
    return Scenario(catalogue())


@cache
def events(seed: int = SEED) -> pa.Table:
    traffic = HistoryTraffic(scenario(), catalogue(), EVENTS, place(scenario(), None), seed)
    return pa.Table.from_batches(list(traffic.blocks())).unify_dictionaries()


def test_the_shares_of_each_week_sum_to_one() -> None:
    for segment in scenario().segments:
        assert sum(scenario().bloc_shares(segment.middle).values()) == pytest.approx(1)
        models = [share for group in scenario().model_shares(segment).values() for share in group.values()]
        assert sum(models) == pytest.approx(1)
        assert min(models) >= 0
        assert sum(scenario().country_shares(segment.middle).values()) == pytest.approx(1)
        for group in scenario().table(segment)["groups"]:
            assert sum(group["categories"].values()) == pytest.approx(1), (segment, group["name"])


def test_the_segments_cover_every_day_once_and_none_is_longer_than_a_week() -> None:
    found = scenario().segments
    assert (found[0].start, found[-1].end) == (scenario().start, scenario().end)
    assert all(first.end == second.start for first, second in pairwise(found))
    assert {segment.days for segment in found} <= set(range(1, 8))


def test_no_model_has_a_share_before_its_launch_and_each_has_one_from_that_day_on() -> None:
    for segment in scenario().segments:
        shares = {model: share for group in scenario().model_shares(segment).values() for model, share in group.items()}
        for model, launch in scenario().launches.items():
            if launch > segment.start:
                assert model not in shares, (model, segment)
    launched = {model for model, launch in scenario().launches.items() if launch < scenario().end}
    assert {model for group in scenario().model_shares(scenario().segments[-1]).values() for model in group} == launched


def test_no_event_is_older_than_its_model() -> None:
    first = events().group_by("model").aggregate([("occurred_at", "min")]).to_pylist()
    assert len(first) > 60
    for row in first:
        assert row["occurred_at_min"].date() >= scenario().launches[row["model"]], row["model"]


def test_the_published_movements_are_in_the_scenario() -> None:
    start, end = scenario().segments[0], scenario().segments[-1]
    assert scenario().bloc_shares(start.middle)["chinese_open"] < 0.02
    assert max(scenario().bloc_shares(s.middle)["chinese_open"] for s in scenario().segments) > 0.25

    def reasoning(segment: object) -> float:
        shares = scenario().model_shares(segment)  # type: ignore[arg-type]
        return sum(s for group in shares.values() for m, s in group.items() if catalogue().models[m].reasoning)

    assert reasoning(start) < 0.05 < 0.5 < reasoning(end)


def test_a_seed_repeats_every_event_and_another_seed_does_not() -> None:
    def beginning(seed: int) -> pa.Table:
        traffic = HistoryTraffic(scenario(), catalogue(), EVENTS, place(scenario(), None), seed)
        # Each block costs its tables, whatever its events: a few show it as well as all.
        return pa.Table.from_batches(list(islice(traffic.blocks(), 8)))

    repeated, other = beginning(SEED), beginning(SEED + 1)
    assert repeated.num_rows > 40
    assert repeated.to_pylist() == events().slice(0, repeated.num_rows).to_pylist()
    assert not other["input_uncached_tokens"].equals(repeated["input_uncached_tokens"])
    assert not other["event_id"].equals(repeated["event_id"])


def test_exactly_as_many_events_as_asked_for_in_order_of_time_with_ids_of_their_own() -> None:
    table = events()
    assert table.num_rows == EVENTS
    times = table["occurred_at"].cast(pa.int64()).to_numpy()
    assert (np.diff(times) >= 0).all()
    assert pc.count_distinct(table["event_id"].cast(pa.binary())).as_py() == EVENTS
    assert pc.unique(table["gateway"]).to_pylist() == [GATEWAY]


def test_shifted_to_an_instant_it_ends_in_that_hour_and_stays_otherwise_the_same() -> None:
    now_ms = 1_790_000_000_123
    own, shifted = place(scenario(), None), place(scenario(), now_ms)
    assert now_ms - HOUR_MS < shifted.end_ms <= now_ms
    before, after = slots(scenario(), EVENTS, own), slots(scenario(), EVENTS, shifted)
    assert [slot.events for slot in before] == [slot.events for slot in after]
    assert {second.start_ms - first.start_ms for first, second in zip(before, after, strict=True)} == {shifted.shift_ms}
    assert len(month_starts(own)) == 13
    assert after[-1].month + 1 == len(month_starts(shifted))


def test_of_a_cohort_the_published_part_comes_back_in_each_month() -> None:
    active = cohorts([3_000, 6_000, 9_000, 9_000], [0.6, 0.5, 0.4], 3, np.random.default_rng(1))
    first = set(active[0].tolist())
    assert len(first) == 1_000
    assert [len(first & set(month.tolist())) for month in active] == [1_000, 600, 500, 400]
    assert [len(month) for month in active] == [1_000, 2_000, 3_000, 3_000]
    assert all(len(set(month.tolist())) == len(month) for month in active)


def test_a_month_never_has_more_users_than_its_requests_can_show() -> None:
    expected = [9_000.0, 30.0, 0.0, 1.0]
    active = cohorts(expected, [0.9], 3, np.random.default_rng(1))
    assert [len(users) for users in active][:3] == [3_000, int(30 * FULLEST), 0]
    assert len(active[3]) == 1


def test_every_active_user_of_a_busy_model_is_seen_in_the_months_events() -> None:
    traffic = HistoryTraffic(scenario(), catalogue(), EVENTS, place(scenario(), None), SEED)
    table = events()
    june = pc.and_(
        pc.equal(table["model"].cast(pa.utf8()), "anthropic/claude-sonnet-4"),
        pc.and_(
            pc.greater_equal(table["occurred_at"], pa.scalar(dt.datetime(2025, 8, 1, tzinfo=dt.UTC))),
            pc.less(table["occurred_at"], pa.scalar(dt.datetime(2025, 9, 1, tzinfo=dt.UTC))),
        ),
    )
    users = Counter(table.filter(june)["user_hash"].to_pylist())
    assert len(users) == traffic.users.active("anthropic/claude-sonnet-4", 9)
    assert max(users.values()) - min(users.values()) <= 1


def test_a_model_that_the_catalogue_does_not_have_is_named() -> None:
    content = load_scenario()
    content["groups"][0]["models"]["nobody/knows-it"] = 1
    with pytest.raises(ScenarioError, match=r"group Anthropic: the catalogue has no model nobody/knows-it"):
        Scenario(catalogue(), content)
