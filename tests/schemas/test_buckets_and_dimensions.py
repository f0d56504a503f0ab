"""Buckets and the dimensions made of them: exact bounds, known errors, the same integers in Arrow and in SQL."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.schemas.embedded import ask

from tokentide_schemas.buckets import DURATION_MS, TOKEN_COUNTS, TOKENS_PER_S, Buckets, powers_of_two
from tokentide_schemas.cubes import MEASURES_BY_NAME
from tokentide_schemas.dimensions import DERIVED

BOUNDED = {"milliseconds": DURATION_MS, "tokens a second": TOKENS_PER_S}


@pytest.mark.parametrize("buckets", BOUNDED.values(), ids=BOUNDED)
def test_bounds_grow_by_a_tenth_at_most_from_ten_on_and_by_one_below(buckets: Buckets) -> None:
    for low, high in itertools.pairwise(buckets.lowers):
        assert high - low == 1 if low < 10 else high * 10 <= low * 11


def test_powers_of_two_have_a_bucket_of_their_own_for_zero() -> None:
    assert powers_of_two(3).lowers == (0, 1, 2, 4, 8)


@pytest.mark.parametrize("lowers", [(), (1, 2), (0, 2, 2), (0, 3, 2)])
def test_bounds_that_do_not_ascend_from_zero_are_refused(lowers: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="begin with 0 and ascend"):
        Buckets(lowers)


def test_a_bound_belongs_to_the_bucket_that_it_begins() -> None:
    lowers = np.array(DURATION_MS.lowers)
    every = np.ones(len(lowers), np.bool_)
    assert (DURATION_MS.numbers(lowers, every) == np.arange(1, len(lowers) + 1)).all()
    assert (DURATION_MS.numbers(lowers[1:] - 1, every[1:]) == np.arange(1, len(lowers))).all()
    assert (DURATION_MS.numbers(lowers, ~every) == 0).all()


@pytest.mark.parametrize("buckets", BOUNDED.values(), ids=BOUNDED)
@pytest.mark.parametrize("q", [0.5, 0.95, 0.99])
@pytest.mark.parametrize("seed", range(5))
def test_quantiles_from_buckets_are_within_five_percent_of_the_exact_ones(
    buckets: Buckets, q: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    values = np.minimum(rng.lognormal(rng.uniform(3, 9), rng.uniform(0.1, 2), 20_001), 900_000).astype(np.int64) + 10
    numbers = buckets.numbers(values, np.ones(len(values), np.bool_))
    counts = np.bincount(numbers - 1, minlength=len(buckets.lowers))
    exact = float(np.quantile(values, q, method="lower"))
    assert abs(buckets.quantile(counts, q) - exact) <= 0.05 * exact


def test_quantiles_of_small_whole_numbers_are_exact() -> None:
    counts = np.bincount([0, 3, 7, 7, 19], minlength=len(DURATION_MS.lowers))
    assert [DURATION_MS.quantile(counts, q) for q in (0, 0.25, 0.5, 0.75)] == [0, 3, 7, 7]


def test_a_quantile_of_nothing_is_an_error() -> None:
    with pytest.raises(ValueError, match="no value was counted"):
        DURATION_MS.quantile([0, 0], 0.5)


def edge_events() -> pa.Table:
    """Every bound and its neighbours in every input of a derived dimension, unknown values, unreported usage."""
    rng = np.random.default_rng(3)
    edges = sorted(
        {
            min(max(bound + step, 0), 2**32 - 1)
            for buckets in (DURATION_MS, TOKENS_PER_S, TOKEN_COUNTS)
            for bound in buckets.lowers
            for step in (-1, 0, 1)
        }
        | {2**31 - 1, 2**31, 2**32 - 1}
    )
    n = 4 * len(edges)
    spread = np.array(edges, np.int64)
    first = np.concatenate([spread, spread, rng.permutation(spread), np.zeros(len(edges), np.int64)])
    latency = np.concatenate([spread, spread + 1_000, rng.permutation(spread), np.full(len(edges), 1_000)])
    tokens = {
        name: np.concatenate([rng.permutation(spread), spread, np.zeros(len(edges), np.int64), spread])
        for name in ("input_uncached_tokens", "output_tokens")
    }
    weights = rng.choice([0.0, 1.0, 2.5, 0.0005, 0.0015, 0.0025, 33.3335, 1e9, 1 / 3], n)
    return pa.table(
        {
            "time_to_first_token_ms": pa.array(first, pa.uint32(), mask=rng.random(n) < 0.1),
            "latency_ms": pa.array(np.minimum(latency, 2**32 - 1), pa.uint32(), mask=rng.random(n) < 0.1),
            **{name: pa.array(values, pa.uint32()) for name, values in tokens.items()},
            **{
                name: pa.array(rng.integers(0, 50, n), pa.uint32())
                for name in ("input_cache_read_tokens", "input_cache_write_tokens", "output_reasoning_tokens")
            },
            "audio_tokens": pa.array(np.zeros(n), pa.uint32()),
            "image_tokens": pa.array(np.zeros(n), pa.uint32()),
            "usage_reported": pa.array(rng.random(n) < 0.9),
            "category": pa.array(rng.choice(["", "programming"], n)),
            "category_weight": pa.array(weights.astype(np.float32)),
        }
    )


def test_sql_and_columns_give_the_same_bucket_for_every_bound_and_its_neighbours(tmp_path: Path) -> None:
    events = edge_events()
    pq.write_table(events, tmp_path / "events.parquet")
    selected = ", ".join(f"{dimension.sql} AS {name}" for name, dimension in DERIVED.items())
    source = f"file('{tmp_path}/events.parquet', Parquet)"
    (rows,) = ask(tmp_path / "chdb", [f"SELECT {selected} FROM {source} SETTINGS max_threads = 1"])
    assert len(rows) == events.num_rows
    for name, dimension in DERIVED.items():
        numbers = dimension.buckets.numbers(*dimension.compute(events))
        lowers = np.array([-1, *dimension.buckets.lowers])[numbers]
        assert [row[name] for row in rows] == lowers.tolist(), name
        assert len(set(lowers)) > 20, name


def test_sql_and_numpy_round_every_weight_to_the_same_thousandths(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    ties = np.arange(0, 4_000) / 2_000
    weights = np.concatenate([ties, rng.random(2_000) * 10, [1e9, 0.0005, 1 / 3]]).astype(np.float32)
    pq.write_table(
        pa.table({"category_weight": weights, "category": ["x"] * len(weights)}), tmp_path / "events.parquet"
    )
    sql = MEASURES_BY_NAME["weighted_requests_milli"].sql
    source = f"file('{tmp_path}/events.parquet', Parquet)"
    (rows,) = ask(
        tmp_path / "chdb", [f"SELECT category_weight AS w, {sql} AS milli FROM {source} GROUP BY w ORDER BY w"]
    )
    distinct, counts = np.unique(weights, return_counts=True)
    assert [row["milli"] for row in rows] == (np.rint(distinct.astype(np.float64) * 1000) * counts).astype(int).tolist()


def test_the_estimate_in_sql_is_the_buckets_middle(tmp_path: Path) -> None:
    numbers = ", ".join(map(str, (-1, *DURATION_MS.lowers)))
    query = f"SELECT {DURATION_MS.estimate_sql('b')} AS e FROM (SELECT arrayJoin([{numbers}]) AS b)"
    (rows,) = ask(tmp_path, [query])
    assert [row["e"] for row in rows] == [None, *DURATION_MS.estimates]
