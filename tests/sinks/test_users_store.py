"""Distinct users and retention on a real store: known cohorts, everything twice, cut off anywhere."""

from __future__ import annotations

import uuid
from datetime import date
from typing import Any

import pytest

from sinks.stored_world import EPOCH, World, usage
from tokentide_schemas import topics
from tokentide_schemas.user_tables import CHUNK_RECORDS
from tokentide_sinks import users
from tokentide_sinks.users import CHUNKS_AT_ONCE, Work, count_users, plan, statements


def user(number: int) -> str:
    return f"{number + 1:032x}"


def used(who: int | None, when: str, model: str = "maker/one") -> Any:
    named = {} if who is None else {"user_hash": user(who)}
    return usage(event_id=str(uuid.uuid4()), occurred_at=when, model=model, request_model=model, **named)


def all_counts(world: World) -> list[list[tuple[Any, ...]]]:
    return [
        world.rows(
            "SELECT day, canonical_model, users, requests, requests_without_user FROM users_by_model_1d ORDER BY ALL"
        ),
        world.rows(
            "SELECT cohort_month, canonical_model, months_since, users, cohort_users FROM retention ORDER BY ALL"
        ),
        world.rows("SELECT * FROM user_requests_1d FINAL ORDER BY ALL"),
        world.rows("SELECT day, model, uniqCombined64Merge(17)(users) FROM users_1d GROUP BY ALL ORDER BY ALL"),
    ]


def test_days_count_each_user_once_and_unnamed_requests_apart(world: World) -> None:
    world.put([used(n % 3, "2026-01-05T01:00:00Z") for n in range(9)] + [used(None, "2026-01-05T02:00:00Z")])
    world.put(
        [used(7, "2026-01-05T23:59:59.999Z"), used(7, "2026-01-06T00:00:00Z"), used(None, "2026-01-07T00:00:00Z")]
    )
    assert count_users(world.store) == 1
    assert all_counts(world)[0] == [
        (date(2026, 1, 5), "maker/one", 4, 11, 1),
        (date(2026, 1, 6), "maker/one", 1, 1, 0),
        (date(2026, 1, 7), "maker/one", 0, 1, 1),
    ]


def test_retention_follows_known_cohorts_and_a_user_that_returns_counts_again(world: World) -> None:
    world.put(
        [
            *(used(n, "2026-01-15T00:00:00Z") for n in range(4)),
            *(used(n, "2026-02-01T00:00:00Z") for n in (0, 1)),
            *(used(n, "2026-04-30T23:59:59Z") for n in (0, 2, 3)),
            *(used(n, "2026-02-10T00:00:00Z") for n in (8, 9)),
            used(8, "2026-03-10T00:00:00Z"),
            used(0, "2026-03-01T00:00:00Z", "maker/two"),
            used(None, "2026-03-01T00:00:00Z"),
        ]
    )
    count_users(world.store)
    rows = world.rows("SELECT cohort_month, canonical_model, months_since, users, share FROM retention ORDER BY ALL")
    january, february, march = (date(2026, month, 1) for month in (1, 2, 3))
    assert rows == [
        (january, "maker/one", 0, 4, 1.0),
        (january, "maker/one", 1, 2, 0.5),
        (january, "maker/one", 3, 3, 0.75),
        (february, "maker/one", 0, 2, 1.0),
        (february, "maker/one", 1, 1, 0.5),
        (march, "maker/two", 0, 1, 1.0),
    ]


def test_counting_everything_again_changes_nothing(world: World) -> None:
    for number in range(3):
        world.put(
            [used(number, "2026-01-05T00:00:00Z"), used(None, "2026-02-05T00:00:00Z"), used(5, "2026-02-06T00:00:00Z")]
        )
    count_users(world.store)
    before = all_counts(world)
    world.store.command("TRUNCATE TABLE user_progress")
    assert count_users(world.store) == 1
    assert all_counts(world) == before
    assert count_users(world.store) == 0


@pytest.mark.parametrize("done", range(4))
def test_work_that_was_cut_off_after_any_statement_is_taken_up(world: World, done: int) -> None:
    world.put([used(1, "2026-01-05T00:00:00Z"), used(None, "2026-01-05T00:00:00Z")])
    (work,) = users.pending(world.store)
    for statement in statements(work)[:done]:
        world.store.command(statement)
    # Meanwhile more came, so that the repeated work is larger than the one that was cut off.
    world.put([used(2, "2026-01-05T00:00:00Z"), used(1, "2026-01-05T00:00:00Z")])
    count_users(world.store)
    assert all_counts(world)[0] == [(date(2026, 1, 5), "maker/one", 2, 4, 1)]


def test_only_what_the_ledger_has_settled_is_counted(world: World) -> None:
    offset = world.put([used(1, "2026-01-05T00:00:00Z")], ledger=False)
    assert count_users(world.store) == 0
    world.put_ledger(offset, 1)
    assert count_users(world.store) == 1
    assert all_counts(world)[0] == [(date(2026, 1, 5), "maker/one", 1, 1, 0)]


def test_a_topic_that_was_made_anew_starts_its_offsets_again_without_mixing(world: World) -> None:
    world.put([used(1, "2026-01-05T00:00:00Z")], age_s=86_400)
    count_users(world.store)
    world.put([used(2, "2026-01-05T00:00:00Z"), used(3, "2026-01-05T00:00:00Z")], epoch="epoch-2", offset=0)
    assert count_users(world.store) == 1
    assert all_counts(world)[0] == [(date(2026, 1, 5), "maker/one", 3, 3, 0)]
    counted = world.rows("SELECT toString(epoch), requests FROM user_requests_1d ORDER BY epoch")
    assert counted == [(EPOCH, 1), ("epoch-2", 2)]


def test_a_piece_of_work_starts_at_a_chunk_and_is_bounded() -> None:
    topic = topics.USAGE
    assert plan(topic, EPOCH, 0, -1, -1) is None
    assert plan(topic, EPOCH, 0, 9, 9) is None
    assert plan(topic, EPOCH, 0, -1, 0) == Work(topic, EPOCH, 0, 0, 0)
    assert plan(topic, EPOCH, 0, CHUNK_RECORDS - 1, CHUNK_RECORDS) == Work(
        topic, EPOCH, 0, CHUNK_RECORDS, CHUNK_RECORDS, fresh=CHUNK_RECORDS
    )
    assert plan(topic, EPOCH, 0, CHUNK_RECORDS, CHUNK_RECORDS + 5) == Work(
        topic, EPOCH, 0, CHUNK_RECORDS, CHUNK_RECORDS + 5, fresh=CHUNK_RECORDS + 1
    )
    limit = CHUNKS_AT_ONCE * CHUNK_RECORDS
    assert plan(topic, EPOCH, 0, -1, 10 * limit) == Work(topic, EPOCH, 0, 0, limit - 1)
    counted = -1
    for _ in range(11):
        work = plan(topic, EPOCH, 0, counted, 10 * limit)
        assert work is None or work.last > counted
        counted = work.last if work else counted
    assert counted == 10 * limit
