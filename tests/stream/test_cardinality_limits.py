"""Past a limit of distinct values the rest is `__other__`: the same rest in any batching, and nothing is lost."""

from __future__ import annotations

import random

import pytest
from tests.stream.builders import T0_MS, event, new_state, record

from tokentide_schemas.cubes import Cube
from tokentide_schemas.dimensions import OTHER
from tokentide_schemas.envelope import Record
from tokentide_stream import checkpoint
from tokentide_stream.partition import PartitionState

LIMITED = Cube("limited", ("app", "model"), limits=(("app", 3),), tiers=(3_600,))


def log(seed: int, records: int = 40) -> list[Record]:
    """Ten apps in changing minutes, some of them late, one whose name is the reserved one."""
    rng = random.Random(seed)
    made = []
    for offset in range(records):
        now_ms = T0_MS + offset * 9_000
        events = [
            event(
                now_ms - rng.choice([0, 0, 30_000, 200_000]),
                app=rng.choice([*(f"app-{n}" for n in range(10)), OTHER]),
                model=rng.choice(["small", "large"]),
            )
            for _ in range(rng.randint(1, 5))
        ]
        made.append(record(offset, *events, appended_ms=now_ms + 500))
    return made


def expected(records: list[Record], window_s: int, lateness_s: int) -> dict[tuple[int, int, str], int]:
    """By definition: one event after the other, the first three apps of a window and segment are admitted."""
    from tokentide_schemas.envelope import decode

    admitted: dict[tuple[int, int], set[str]] = {}
    totals: dict[tuple[int, int, str], int] = {}
    watermark_ms = 0
    for each in records:
        table = decode(each).table
        assert table is not None
        met_ms = watermark_ms
        for row in table.select(["occurred_at", "app"]).to_pylist():
            occurred_ms = round(row["occurred_at"].timestamp() * 1000)
            start_s = occurred_ms // 1000 // window_s * window_s
            late = met_ms >= (start_s + window_s + lateness_s) * 1000
            place = (start_s, met_ms // 60_000 if late else 0)
            known = admitted.setdefault(place, set())
            app = row["app"]
            if app != OTHER and app not in known:
                if len(known) < 3:
                    known.add(app)
                else:
                    app = OTHER
            totals[(*place, app)] = totals.get((*place, app), 0) + 1
            watermark_ms = max(watermark_ms, min(occurred_ms, each.appended_at_ms))
    return totals


def final(
    state: PartitionState, records: list[Record], rng: random.Random
) -> dict[str, dict[tuple[int, int, str], int]]:
    """Requests by window, segment and app after random batches, flushes and recoveries."""
    newest: dict[str, dict[tuple, int]] = {"limited": {}, "limited_1h": {}}
    position = 0
    while position < len(records):
        count = rng.randint(1, 6)
        state.apply(records[position : position + count])
        position += count
        if rng.random() < 0.2:
            state = checkpoint.load(checkpoint.dump(state, "e"), (LIMITED,), 0)
        changes = state.flush() if rng.random() < 0.5 or position >= len(records) else None
        for name, rows in (changes.rows if changes else {}).items():
            for row in rows.iter_rows(named=True):
                newest[name][row["window_start_s"], row["segment"], row["app"], row["model"]] = row["requests"]
    summed: dict[str, dict[tuple[int, int, str], int]] = {}
    for name, values in newest.items():
        summed[name] = {}
        for (start_s, segment, app, _), requests in values.items():
            key = (start_s, segment, app)
            summed[name][key] = summed[name].get(key, 0) + requests
    return summed


@pytest.mark.parametrize("seed", range(12))
def test_the_first_values_in_the_log_are_admitted_whatever_the_batches_and_recoveries(seed: int) -> None:
    records = log(seed)
    found = final(new_state(0, (LIMITED,)), records, random.Random(seed + 100))
    assert found["limited"] == expected(records, 60, 0)
    assert found["limited_1h"] == expected(records, 3_600, 0)
    assert any(app == OTHER for _, _, app in found["limited"])


def test_nothing_is_folded_up_to_the_limit() -> None:
    state = new_state(0, (LIMITED,))
    state.apply([record(0, *(event(T0_MS, app=f"app-{n}") for n in (0, 1, 2, 0, 1)))])
    assert sorted(state.flush().rows["limited"]["app"]) == ["app-0", "app-1", "app-2"]
    assert state.folded_requests == 0


def test_folded_requests_are_counted_through_a_checkpoint() -> None:
    state = new_state(0, (LIMITED,))
    state.apply([record(0, *(event(T0_MS, app=f"app-{n}") for n in range(5)))])
    rows = state.flush().rows["limited"]
    assert dict(zip(rows["app"], rows["requests"], strict=True)) == {"app-0": 1, "app-1": 1, "app-2": 1, OTHER: 2}
    assert rows["requests"].sum() == 5
    # Two in the minute and two in the hour.
    assert state.folded_requests == 4
    assert checkpoint.load(checkpoint.dump(state, "e"), (LIMITED,), 0).folded_requests == 4


CROWDED = Cube("crowded", ("app", "model", "outcome"), max_groups=6, limits=(("model", 2),), tiers=(3_600,))


def crowded_log(seed: int, records: int = 40) -> list[Record]:
    """Far more combinations than the six that a window admits, and a third model, which is one too many."""
    rng = random.Random(seed)
    made = []
    for offset in range(records):
        now_ms = T0_MS + offset * 9_000
        events = [
            event(
                now_ms - rng.choice([0, 0, 30_000, 200_000]),
                app=f"app-{rng.randrange(6)}",
                model=rng.choice(["small", "large", "third"]),
                outcome=rng.choice(["ok", "error"]),
            )
            for _ in range(rng.randint(1, 5))
        ]
        made.append(record(offset, *events, appended_ms=now_ms + 500))
    return made


def by_group(state: PartitionState, records: list[Record], rng: random.Random) -> dict[str, dict[tuple, int]]:
    """Requests by everything after random batches, flushes and recoveries."""
    newest: dict[str, dict[tuple, int]] = {"crowded": {}, "crowded_1h": {}}
    position = 0
    while position < len(records):
        count = rng.randint(1, 6)
        state.apply(records[position : position + count])
        position += count
        if rng.random() < 0.2:
            state = checkpoint.load(checkpoint.dump(state, "e"), (CROWDED,), 0)
        changes = state.flush() if rng.random() < 0.5 or position >= len(records) else None
        for name, rows in (changes.rows if changes else {}).items():
            keys = ["window_start_s", "segment", *CROWDED.dimensions]
            newest[name] |= {row[:-1]: row[-1] for row in rows.select(*keys, "requests").iter_rows()}
    return newest


@pytest.mark.parametrize("seed", range(12))
def test_groups_past_the_limit_are_counted_together_whatever_the_batches_and_recoveries(seed: int) -> None:
    records = crowded_log(seed)
    one_by_one = new_state(0, (CROWDED,))
    expected_rows: dict[str, dict[tuple, int]] = {"crowded": {}, "crowded_1h": {}}
    for each in records:
        one_by_one.apply([each])
        for name, rows in one_by_one.flush().rows.items():
            keys = ["window_start_s", "segment", *CROWDED.dimensions]
            expected_rows[name] |= {row[:-1]: row[-1] for row in rows.select(*keys, "requests").iter_rows()}
    found = by_group(new_state(0, (CROWDED,)), records, random.Random(seed + 100))
    assert found == expected_rows
    for rows in found.values():
        admitted: dict[tuple[int, int], int] = {}
        for start_s, segment, app, model, _ in rows:
            if (app, model) != (OTHER, OTHER):
                admitted[start_s, segment] = admitted.get((start_s, segment), 0) + 1
        assert max(admitted.values()) == 6
        # The outcome is kept, so that error rates are those of all requests.
        outcomes = {outcome for _, _, app, _, outcome in rows if app == OTHER}
        assert outcomes == {"ok", "error"}
        assert sum(rows.values()) == sum(decode_rows(each) for each in records)


def decode_rows(each: Record) -> int:
    from tokentide_schemas.envelope import decode

    table = decode(each).table
    assert table is not None
    return table.num_rows
