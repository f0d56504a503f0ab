"""Tiers and slow cubes: exact whatever is published when, and nothing waits once the events stop."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st
from tests.stream.builders import T0_MS, at, counts, event, new_state, record
from tests.stream.oracle import Grouping, account, plain
from tests.stream.replacing import ReplacingTable, rows_of
from tests.stream.worlds import PartitionLog, cases, partition_logs

from tokentide_schemas.cubes import MODEL_CUBE, Cube, stored_cubes
from tokentide_stream import checkpoint
from tokentide_stream.partition import Changes, PartitionState

SLOW = Cube("places", ("country", "category"), emit_interval_s=7.0, tiers=(300, 3_600))
CONFIGURED = (MODEL_CUBE, SLOW)
STORED = stored_cubes(CONFIGURED)
GROUPINGS = tuple(Grouping(cube.name, cube.dimensions, cube.window_s) for cube in STORED)


def stored(emitted: Sequence[Changes]) -> dict[str, ReplacingTable]:
    tables = {cube.name: ReplacingTable() for cube in STORED}
    for changes in emitted:
        for cube in STORED:
            if cube.name in changes.rows:
                for key, values in rows_of(changes.rows[cube.name], cube.dimensions):
                    tables[cube.name].insert(key, changes.version, values)
    return tables


STEPS = st.lists(
    st.tuples(st.sampled_from(["apply", "apply", "due", "checkpoint", "crash", "all"]), st.integers(0, 3)), max_size=16
)


@cases(80)
@given(partition_logs(0, max_records=10), st.sampled_from([0, 60, 3_600]), STEPS)
def test_every_tier_equals_the_oracle_whatever_is_due_checkpointed_or_lost(
    log: PartitionLog, lateness_s: int, steps: list[tuple[str, int]]
) -> None:
    state = PartitionState(CONFIGURED, lateness_s)
    saved = checkpoint.dump(state, "e")
    emitted = []
    position, now_s = 0, 0.0
    for kind, amount in steps:
        now_s += amount * 3
        if kind == "apply":
            state.apply(log.records[position : position + amount + 1])
            position += amount + 1
        elif kind == "due":
            emitted.append(state.flush(now_s))
        elif kind == "all":
            emitted.append(state.flush())
        elif kind == "checkpoint":
            saved = checkpoint.dump(state, "e")
        else:
            state = checkpoint.load(saved, CONFIGURED, lateness_s)
            position = sum(r.offset <= state.applied_offset for r in log.records)
    state.apply(log.records)
    emitted.append(state.flush())
    truth = account(log.facts, GROUPINGS, lateness_s)
    for name, table in stored(emitted).items():
        table.assert_versions_never_decrease()
        assert table.final() == plain(truth.totals[name]), name
    assert emitted[-1].published == state.position
    reached: dict[str, ReplacingTable] = {cube.name: ReplacingTable() for cube in STORED}
    for changes in emitted:
        for name, table in stored([changes]).items():
            for key, values in table.final().items():
                reached[name].insert(key, changes.version, values)
        covered = account([f for f in log.facts if f.offset <= changes.published.offset], GROUPINGS, lateness_s)
        assert (changes.published.watermark_ms, changes.published.applied_events) == (
            covered.watermark_ms,
            covered.accepted,
        )
        for name, totals in covered.totals.items():
            for key, total in totals.items():
                newest = reached[name].newest(key)
                assert newest is not None and newest["requests"] >= total["requests"], name


def test_a_slow_cube_waits_for_its_turn_and_the_position_says_so() -> None:
    quick = Cube("quick", ("model",), emit_interval_s=1.0)
    slow = Cube("slow", ("model",), emit_interval_s=30.0)
    state = new_state(0, (quick, slow))
    state.apply([at(0, 0)])
    assert state.flush(100.0).rows.keys() == {"quick", "slow"}
    state.apply([at(1, 1)])
    changes = state.flush(101.0)
    assert (changes.rows.keys(), changes.version, changes.published.offset) == ({"quick"}, 1, 0)
    assert state.is_dirty
    assert state.flush(129.0).rows == {}
    changes = state.flush(130.0)
    assert (changes.rows.keys(), changes.published.offset) == ({"slow"}, 1)
    assert not state.is_dirty


def test_an_event_that_is_late_for_its_minute_is_in_time_for_its_hour() -> None:
    state = new_state(0, (replace(MODEL_CUBE, tiers=(3_600,)),))
    state.apply([at(0, 300)])
    state.apply([at(1, 0)])
    rows = state.flush().rows
    assert counts(rows["model"]) == {(5, 0): 1, (0, 5): 1}
    assert rows["model_1h"]["segment"].to_list() == [0]
    assert rows["model_1h"]["requests"].to_list() == [2]


def test_a_checkpoint_keeps_the_bytes_of_what_was_not_published_again() -> None:
    state = new_state(3_600)
    state.apply([at(0, 0)])
    state.flush()
    checkpoint.dump(state, "e")
    (rollup,) = state.rollups()
    kept = rollup.encoded
    state.apply([at(1, 1)])
    checkpoint.dump(state, "e")
    assert rollup.encoded is kept
    state.flush()
    assert rollup.encoded is None


def test_a_cube_that_is_added_begins_with_the_first_window_of_which_nothing_was_counted() -> None:
    before = new_state(0)
    before.apply([at(0, 0)])
    before.flush()
    added = Cube("added", ("app",))
    state = checkpoint.load(checkpoint.dump(before, "e"), (replace(MODEL_CUBE, tiers=()), added), 0)
    # Ten minutes ahead of the watermark events may have been counted already: the eleventh minute is the first whole.
    assert state.counted_from_s == {"added": T0_MS // 1000 + 660}
    state.apply([at(1, 1, 600, 660, 661, appended_ms=T0_MS + 661_000)])
    rows = state.flush().rows
    assert counts(rows["model"]) == {(0, 0): 2, (10, 0): 1, (11, 0): 2}
    assert counts(rows["added"]) == {(11, 0): 2}
    again = checkpoint.load(checkpoint.dump(state, "e"), (replace(MODEL_CUBE, tiers=()), added), 0)
    assert again.counted_from_s == state.counted_from_s


def test_a_tier_that_is_added_begins_with_a_whole_window_too() -> None:
    plain_cube = replace(MODEL_CUBE, tiers=())
    before = new_state(0, (plain_cube,))
    before.apply([at(0, 0)])
    state = checkpoint.load(checkpoint.dump(before, "e"), (MODEL_CUBE,), 0)
    assert state.counted_from_s.keys() == {"model_1h", "model_1d"}
    assert state.counted_from_s["model_1d"] % 86_400 == 0
    state.apply([at(1, 1)])
    assert state.flush().rows.keys() == {"model"}


def test_a_cube_in_a_partition_that_never_had_an_event_covers_everything() -> None:
    state = checkpoint.load(checkpoint.dump(new_state(), "e"), (replace(MODEL_CUBE, tiers=()), SLOW), 0)
    assert state.counted_from_s == {}


def test_labels_that_nobody_uses_any_more_are_forgotten_and_sums_keep_their_labels() -> None:
    state = new_state(0, (replace(MODEL_CUBE, tiers=(), limits=(("model", 1_000_000),)),))
    for minute in range(4):
        models = [f"model-{minute}-{n}" for n in range(5_000)]
        state.apply([record(minute, *(event(T0_MS + minute * 60_000, model=model) for model in models))])
        rows = state.flush().rows["model"]
        assert set(rows["model"]) == set(models)
    assert state.labels.size("model") < 20_000
    state.apply([record(9, event(T0_MS + 180_001, model="model-3-7"))])
    changed = state.flush().rows["model"]
    assert (changed["model"].to_list(), changed["requests"].to_list()) == (["model-3-7"], [2])
