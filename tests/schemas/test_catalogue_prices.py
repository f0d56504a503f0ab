"""Which price holds at an instant, and what a request costs by it: to the nano-USD, one by one and in columns."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from fractions import Fraction
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tokentide_schemas.catalogue import (
    NO_PRICE,
    TOKEN_COLUMNS,
    Catalogue,
    PriceRow,
    PriceTier,
    cost_nanousd,
    cost_nanousd_columns,
    load_catalogue,
    match_prices,
)
from tokentide_schemas.catalogue.pricing import CONTEXT_COLUMNS, MAX_COST_NANOUSD, MAX_TOKENS_PER_BUCKET

FILE = """\
authors:
  - {id: acme, name: Acme, origin: rest_of_world}
providers:
  - {id: acme, name: Acme}
models:
  - id: acme/rocket
    name: Rocket
    open_weights: false
    reasoning: true
    total_parameters_billion: null
    context_length_tokens: 1_000_000
    release_date: 2026-01-01
prices:
  - provider: acme
    model: acme/rocket
    valid_from: 2026-01-01
    usd_per_million_tokens: {input_uncached: 3, input_cache_read: 0.30, output: 15}
    usd_per_request: 0.001
    usd_per_tool_call: 0.01
    tiers:
      - above_input_tokens: 200_000
        usd_per_million_tokens: {input_uncached: 6, output: 22.5}
    free_periods:
      - {start: 2026-02-01, end: 2026-02-08T12:00:00Z}
    confidence: list
    source: test
  - provider: acme
    model: acme/rocket
    valid_from: 2026-03-01
    valid_until: 2026-04-01
    usd_per_million_tokens: {input_uncached: 0.01703012, output: 0.0681536}
    confidence: list
    source: test
  - provider: acme
    model: acme/rocket
    variant: batch
    valid_from: 2026-01-01
    usd_per_million_tokens: {input_uncached: 1.5, output: 7.5, audio: 40, image: 30, output_reasoning: 8}
    confidence: list
    source: test
"""
MILLISECOND = timedelta(milliseconds=1)


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[arg-type, misc]


@pytest.fixture(scope="module")
def rocket(tmp_path_factory: pytest.TempPathFactory) -> Catalogue:
    path: Path = tmp_path_factory.mktemp("catalogue") / "mine.yaml"
    path.write_text(FILE, encoding="utf-8")
    return load_catalogue([path])


def priced(catalogue: Catalogue, at: datetime, model: str = "acme/rocket") -> PriceRow:
    row = catalogue.price("acme", model, at)
    assert row is not None
    return row


def test_a_price_holds_from_the_instant_of_valid_from(rocket: Catalogue) -> None:
    start = utc(2026, 1, 1)
    assert rocket.price("acme", "acme/rocket", start - MILLISECOND) is None
    assert priced(rocket, start).valid_from == start


def test_the_next_price_takes_over_at_its_instant(rocket: Catalogue) -> None:
    start = utc(2026, 3, 1)
    assert priced(rocket, start - MILLISECOND).valid_until == start
    assert priced(rocket, start).tiers[0].nanousd_per_million_tokens[0] == 17_030_120


def test_no_price_is_known_after_valid_until(rocket: Catalogue) -> None:
    end = utc(2026, 4, 1)
    assert priced(rocket, end - MILLISECOND).valid_until == end
    assert rocket.price("acme", "acme/rocket", end) is None


def test_instants_of_other_zones_are_compared_in_utc(rocket: Catalogue) -> None:
    east = timezone(timedelta(hours=9))
    assert rocket.price("acme", "acme/rocket", datetime(2026, 1, 1, 8, 59, tzinfo=east)) is None
    assert rocket.price("acme", "acme/rocket", datetime(2026, 1, 1, 9, 0, tzinfo=east)) is not None


def test_a_time_without_a_zone_is_refused(rocket: Catalogue) -> None:
    with pytest.raises(ValueError, match="has no time zone"):
        rocket.price("acme", "acme/rocket", datetime(2026, 1, 1))  # noqa: DTZ001


def test_a_free_period_costs_nothing_between_its_instants_and_the_price_returns(rocket: Catalogue) -> None:
    tokens = {"input_uncached_tokens": 1_000_000, "output_tokens": 5}
    start, end = utc(2026, 2, 1), utc(2026, 2, 8, 12)
    before, first, last, after = (priced(rocket, at) for at in (start - MILLISECOND, start, end - MILLISECOND, end))
    assert first == last and first.is_free_period
    assert cost_nanousd(first, tokens=tokens, tool_calls=3) == 0
    assert not before.is_free_period and not after.is_free_period
    assert before.tiers == after.tiers
    assert len({before.version, first.version, after.version}) == 3


def test_the_context_tier_begins_above_its_bound_and_counts_cached_input(rocket: Catalogue) -> None:
    row = priced(rocket, utc(2026, 1, 5))
    fees = 1_000_000
    at_bound = {"input_uncached_tokens": 150_000, "input_cache_read_tokens": 50_000}
    above = {**at_bound, "output_tokens": 10, "input_uncached_tokens": 150_001}
    assert cost_nanousd(row, tokens=at_bound) == 150_000 * 3_000 + 50_000 * 300 + fees
    # The tier leaves cache reads out: the row's own price for them stays.
    assert cost_nanousd(row, tokens=above) == 150_001 * 6_000 + 50_000 * 300 + 10 * 22_500 + fees


def test_output_does_not_move_a_request_into_a_context_tier(rocket: Catalogue) -> None:
    row = priced(rocket, utc(2026, 1, 5))
    assert cost_nanousd(row, tokens={"output_tokens": 300_000}, requests=0) == 300_000 * 15_000


def test_buckets_without_a_price_are_billed_as_their_kin(rocket: Catalogue) -> None:
    row = priced(rocket, utc(2026, 1, 5))
    one = {name: cost_nanousd(row, tokens={name: 1_000}, requests=0) for name in TOKEN_COLUMNS}
    assert one["input_cache_write_tokens"] == one["audio_tokens"] == one["image_tokens"] == one["input_uncached_tokens"]
    assert one["output_reasoning_tokens"] == one["output_tokens"] == 15_000_000


def test_every_bucket_with_its_own_price_is_billed_by_it(rocket: Catalogue) -> None:
    row = priced(rocket, utc(2026, 1, 5), "acme/rocket:batch")
    one = [cost_nanousd(row, tokens={name: 1_000_000}) for name in TOKEN_COLUMNS]
    assert one == [1_500_000_000, 1_500_000_000, 1_500_000_000, 7_500_000_000, 8 * 10**9, 40 * 10**9, 30 * 10**9]


def test_requests_and_tool_calls_are_charged_apart_from_tokens(rocket: Catalogue) -> None:
    row = priced(rocket, utc(2026, 1, 5))
    assert cost_nanousd(row, tokens={}) == 1_000_000
    assert cost_nanousd(row, tokens={}, tool_calls=2) == 21_000_000
    assert cost_nanousd(row, tokens={}, requests=0) == 0


def test_prices_below_a_nano_usd_per_token_stay_exact(rocket: Catalogue) -> None:
    row = priced(rocket, utc(2026, 3, 5))
    # 17.03012 nano-USD a token: rounded per token, a million tokens would be 30,120 nano-USD short.
    assert cost_nanousd(row, tokens={"input_uncached_tokens": 1_000_000}) == 17_030_120
    assert cost_nanousd(row, tokens={"input_uncached_tokens": 1}) == 17


@pytest.mark.parametrize(
    ("tokens", "cost"), [(0, 0), (1, 0), (499_999, 0), (500_000, 1), (1_499_999, 1), (1_500_000, 2)]
)
def test_the_sum_is_rounded_once_with_halves_up(tokens: int, cost: int) -> None:
    row = priced_at([(0, [1] * 7)])
    assert cost_nanousd(row, tokens={"output_tokens": tokens}) == cost


def test_halves_of_two_buckets_make_a_whole() -> None:
    row = priced_at([(0, [1] * 7)])
    assert cost_nanousd(row, tokens={"output_tokens": 250_000, "input_uncached_tokens": 250_000}) == 1


def test_a_variant_has_its_own_price_where_one_is_written_and_the_models_otherwise(rocket: Catalogue) -> None:
    at = utc(2026, 1, 5)
    assert priced(rocket, at, "rocket:batch").variant == "batch"
    assert priced(rocket, at, "rocket:nitro") == priced(rocket, at)
    assert rocket.price("acme", "acme/rocket", at, variant="batch") == priced(rocket, at, "rocket:batch")


def test_the_free_variant_costs_nothing_even_where_no_price_is_written(rocket: Catalogue) -> None:
    row = priced(rocket, utc(2026, 1, 5), "acme/rocket:free")
    assert cost_nanousd(row, tokens=dict.fromkeys(TOKEN_COLUMNS, 10**6), tool_calls=5) == 0
    assert (row.variant, row.is_free_period) == ("free", False)


def test_no_price_is_unknown_and_not_zero(rocket: Catalogue) -> None:
    at = utc(2026, 1, 5)
    assert rocket.price("acme", "nobody/gpt-9", at) is None
    assert rocket.price("nobody", "acme/rocket", at) is None


@pytest.mark.parametrize(
    ("tokens", "tool_calls", "says"),
    [
        ({"input_tokens": 1}, 0, "unknown token bucket input_tokens"),
        ({"output_tokens": -1}, 0, "output_tokens is -1"),
        ({"output_tokens": MAX_TOKENS_PER_BUCKET + 1}, 0, f"output_tokens is {MAX_TOKENS_PER_BUCKET + 1}"),
        ({}, -2, "tool_calls is -2"),
    ],
)
def test_impossible_counts_are_refused(rocket: Catalogue, tokens: dict[str, int], tool_calls: int, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        cost_nanousd(priced(rocket, utc(2026, 1, 5)), tokens=tokens, tool_calls=tool_calls)


def test_columns_refuse_what_single_requests_refuse(rocket: Catalogue) -> None:
    row = priced(rocket, utc(2026, 1, 5))
    with pytest.raises(ValueError, match="unknown bucket"):
        cost_nanousd_columns([row], np.array([0]), tokens={"input_tokens": np.array([1])})
    with pytest.raises(ValueError, match="output_tokens is -1"):
        cost_nanousd_columns([row], np.array([0]), tokens={"output_tokens": np.array([-1])})
    with pytest.raises(ValueError, match="has 1 nulls"):
        cost_nanousd_columns([row], np.array([0]), tokens={"output_tokens": pa.array([None], pa.int64())})
    with pytest.raises(ValueError, match="has 2 values for 1 events"):
        cost_nanousd_columns([row], np.array([0]), tokens={"output_tokens": np.array([1, 2])})
    with pytest.raises(ValueError, match="price_index must be"):
        cost_nanousd_columns([row], np.array([1]), tokens={})
    with pytest.raises(ValueError, match="give one integer column"):
        cost_nanousd_columns([row], np.array([0]), tokens={"output_tokens": np.array([1.5])})


def test_a_cost_beyond_64_bits_is_refused_alike_in_columns(rocket: Catalogue) -> None:
    row = priced_at([(0, [10**15] * 7)])
    tokens = {"output_tokens": MAX_TOKENS_PER_BUCKET}
    with pytest.raises(OverflowError, match="correct the price row"):
        cost_nanousd(row, tokens=tokens)
    with pytest.raises(OverflowError, match="correct the price row"):
        cost_nanousd_columns([row], np.array([0]), tokens={"output_tokens": np.array([MAX_TOKENS_PER_BUCKET])})
    limit = {"output_tokens": MAX_COST_NANOUSD // 10**9}
    assert cost_nanousd(row, tokens=limit) <= MAX_COST_NANOUSD


def test_columns_change_tier_at_the_same_token_as_single_requests() -> None:
    row = priced_at([(0, [10**6] * 7), (1_001, [2 * 10**6] * 7), (5_001, [3 * 10**6] * 7)])
    inputs = np.array([0, 1_000, 1_001, 5_000, 5_001])
    index = np.zeros(len(inputs), dtype=np.int64)
    costs = cost_nanousd_columns([row], index, tokens={"input_cache_read_tokens": inputs}).to_pylist()
    assert costs == [0, 1_000, 2_002, 10_000, 15_003]
    assert costs == [cost_nanousd(row, tokens={"input_cache_read_tokens": int(count)}) for count in inputs]


def test_no_events_cost_nothing() -> None:
    assert cost_nanousd_columns([], np.array([], dtype=np.int64), tokens={}).to_pylist() == []


def priced_at(tiers: list[tuple[int, list[int]]], per_request: int = 0, per_call: int = 0) -> PriceRow:
    return PriceRow(
        provider="p",
        model="m",
        variant="",
        valid_from=utc(2026, 1, 1),
        valid_until=None,
        version="v",
        tiers=tuple(PriceTier(bound, tuple(prices)) for bound, prices in tiers),  # type: ignore[arg-type]
        per_request_nanousd=per_request,
        per_tool_call_nanousd=per_call,
        is_free_period=False,
        confidence="list",
        source="test",
    )


amounts = st.one_of(st.integers(0, 100), st.integers(0, 10**12))
bounds = st.lists(st.integers(1, 300_000), max_size=3, unique=True).map(sorted)


@st.composite
def price_rows(draw: st.DrawFn) -> PriceRow:
    tiers = [(bound, draw(st.lists(amounts, min_size=7, max_size=7))) for bound in (0, *draw(bounds))]
    return priced_at(tiers, draw(st.integers(0, 10**10)), draw(st.integers(0, 10**10)))


counts = st.one_of(st.integers(0, 10), st.integers(0, 400_000), st.integers(0, 50_000_000))
events = st.tuples(st.lists(counts, min_size=7, max_size=7), st.integers(0, 500), st.integers(0, 1))


def brute_force(price: PriceRow, tokens: dict[str, int], tool_calls: int, requests: int) -> int:
    """The documented rule in exact fractions of a USD."""
    context = sum(tokens[name] for name in CONTEXT_COLUMNS)
    tier = [tier for tier in price.tiers if context >= tier.min_input_tokens][-1]
    usd = sum(
        Fraction(count) * Fraction(rate, 10**9) / 10**6
        for count, rate in zip(tokens.values(), tier.nanousd_per_million_tokens, strict=True)
    )
    usd += requests * Fraction(price.per_request_nanousd, 10**9) + tool_calls * Fraction(
        price.per_tool_call_nanousd, 10**9
    )
    nano = usd * 10**9
    return int(nano + Fraction(1, 2))


@settings(max_examples=300, deadline=None)
@given(st.lists(price_rows(), min_size=1, max_size=4), st.lists(events, min_size=1, max_size=20), st.data())
def test_single_and_column_costs_equal_fraction_arithmetic(
    prices: list[PriceRow], rows: list[tuple[list[int], int, int]], data: st.DataObject
) -> None:
    index = [data.draw(st.integers(NO_PRICE, len(prices) - 1)) for _ in rows]
    tokens = {name: np.array([row[0][place] for row in rows]) for place, name in enumerate(TOKEN_COLUMNS)}
    found = cost_nanousd_columns(
        prices,
        pa.array(index),
        tokens={name: pa.array(column) for name, column in tokens.items()},
        tool_calls=np.array([row[1] for row in rows]),
        requests=np.array([row[2] for row in rows], dtype=np.uint8),
    ).to_pylist()
    for place, (of_tokens, tool_calls, requests), cost in zip(index, rows, found, strict=True):
        if place == NO_PRICE:
            assert cost is None
            continue
        each = dict(zip(TOKEN_COLUMNS, of_tokens, strict=True))
        expected = brute_force(prices[place], each, tool_calls, requests)
        assert cost == expected
        assert cost_nanousd(prices[place], tokens=each, tool_calls=tool_calls, requests=requests) == expected


NAMES = st.sampled_from(["acme/rocket", "rocket:batch", "ROCKET:free", "rocket:nitro", "nobody/gpt-9", "openai/gpt-4o"])
INSTANTS = st.one_of(
    st.datetimes(datetime(2025, 12, 1), datetime(2026, 5, 1)),  # noqa: DTZ001
    st.sampled_from([datetime(2026, m, 1) for m in (1, 2, 3, 4)] + [datetime(2026, 2, 8, 12)]),  # noqa: DTZ001
)


@settings(max_examples=100, deadline=None)
@given(
    rows=st.lists(
        st.tuples(st.sampled_from(["acme", "Acme", "openai", "nobody"]), NAMES, NAMES, INSTANTS),
        min_size=1,
        max_size=30,
    ),
    asked=st.booleans(),
    unit=st.sampled_from(["ms", "us"]),
)
def test_matching_columns_finds_the_price_that_each_event_alone_would_get(
    rocket: Catalogue, rows: list[tuple[str, str, str, datetime]], asked: bool, unit: str
) -> None:
    when = pa.array([row[3] for row in rows], pa.timestamp("us")).cast(pa.timestamp(unit), safe=False)
    when = when.cast(pa.timestamp(unit, "UTC"))
    prices, index = match_prices(
        rocket,
        provider=pa.array([row[0] for row in rows]).dictionary_encode(),
        model=pa.array([row[1] for row in rows]),
        occurred_at=when,
        request_model=pa.array([row[2] for row in rows]) if asked else None,
    )
    for (provider, model, request_model, _), at, place in zip(rows, when.to_pylist(), index, strict=True):
        variant = (
            (request_model if asked else model).rpartition(":")[2] if ":" in (request_model if asked else model) else ""
        )
        expected = rocket.price(provider, model, at, variant=variant)
        assert (None if place == NO_PRICE else prices[place]) == expected
