"""Costs computed in the pipeline: which rows get one, that it is the catalogue's, and that nothing else moves."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.builders import event
from tokentide_schemas.arrow import table_from_events
from tokentide_schemas.block import Block
from tokentide_schemas.catalogue import Catalogue, cost_nanousd, load_catalogue
from tokentide_schemas.costing import with_computed_costs
from tokentide_schemas.event import TOKEN_BUCKETS

PRICES = """
authors:
  - {id: maker, name: Maker, origin: rest_of_world}
providers:
  - {id: host, name: Host}
models:
  - {id: maker/one, name: One, open_weights: true, reasoning: false, context_length_tokens: 8000,
     release_date: 2025-01-01, total_parameters_billion: 7}
prices:
  - {provider: host, model: maker/one, valid_from: 2026-01-01, confidence: list, source: test,
     usd_per_million_tokens: {input_uncached: "0.000001", output: "2.5", output_reasoning: "3"},
     usd_per_request: "0.001", usd_per_tool_call: "0.0005",
     tiers: [{above_input_tokens: 1000, usd_per_million_tokens: {input_uncached: "4", output: "5"}}],
     free_periods: [{start: "2026-01-10T00:00:00Z", end: "2026-01-11T00:00:00Z"}]}
  - {provider: host, model: maker/one, valid_from: 2026-01-20, confidence: list, source: test,
     usd_per_million_tokens: {input_uncached: "1000000", output: "1000000"}}
"""


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory: pytest.TempPathFactory) -> Catalogue:
    path = tmp_path_factory.mktemp("catalogue") / "own.yaml"
    path.write_text(PRICES)
    return load_catalogue([path])


def block(*changes: dict[str, Any]) -> Block:
    base = {"provider": "host", "request_model": "maker/one", "model": "maker/one", "occurred_at": "2026-01-05T00:00Z"}
    table = table_from_events(event(number, **{**base, **change}) for number, change in enumerate(changes))
    return Block(table, np.zeros(len(changes), np.int32), (len(changes),), ((),))


def money(priced: Block) -> list[tuple[int | None, str, bool]]:
    rows = priced.table.select(["cost_nanousd", "cost_source", "price_version"]).to_pylist()
    return [(row["cost_nanousd"], row["cost_source"], bool(row["price_version"])) for row in rows]


def test_an_event_without_a_cost_gets_the_price_of_its_instant(catalogue: Catalogue) -> None:
    priced = with_computed_costs(block({}, {"occurred_at": "2026-01-10T12:00Z"}), catalogue)
    # 10 tokens at 0.001 nano-USD round to nothing, 20 at 2500 nano-USD, and the fee per request.
    assert money(priced) == [(50_000 + 1_000_000, "computed", True), (0, "computed", True)]
    versions = priced.table.column("price_version").to_pylist()
    assert versions[0].startswith("host/maker/one@2026-01-01#") and versions[0] != versions[1]


def test_the_tier_follows_the_whole_input(catalogue: Catalogue) -> None:
    tokens = [{"input_uncached_tokens": n, "input_cache_read_tokens": 600, "output_tokens": 0} for n in (400, 401)]
    low, high = money(with_computed_costs(block(*tokens), catalogue))
    assert (low[0], high[0]) == (1_000_000 + 1, 1_000_000 + 1001 * 4_000)


@pytest.mark.parametrize(
    "change",
    [
        {"cost_nanousd": 7, "cost_source": "reported"},
        {"cost_nanousd": 7, "cost_source": "computed", "price_version": "theirs"},
        {"cost_nanousd": 7},
        {"usage_reported": False, "input_uncached_tokens": 0, "output_tokens": 0},
        {"provider": "elsewhere"},
        {"model": "maker/unheard-of", "request_model": "maker/unheard-of"},
        {"occurred_at": "2025-12-31T23:59:59.999Z"},
    ],
    ids=["reported", "computed", "unknown but given", "no usage", "no provider", "no model", "before the price"],
)
def test_what_has_a_cost_or_can_have_none_stays_as_it_is(catalogue: Catalogue, change: dict[str, Any]) -> None:
    alone = block(change)
    assert with_computed_costs(alone, catalogue).table.equals(alone.table)
    before = block(change, {})
    after = with_computed_costs(before, catalogue)
    assert after.table.slice(0, 1).to_pylist() == before.table.slice(0, 1).to_pylist()
    assert money(after)[1] == (1_050_000, "computed", True)


def test_a_failed_attempt_pays_its_tokens_and_no_fee_per_request(catalogue: Catalogue) -> None:
    priced = with_computed_costs(block({"outcome": "error"}, {"outcome": "cancelled"}), catalogue)
    assert [row[0] for row in money(priced)] == [50_000, 1_050_000]


def test_the_free_variant_is_read_from_the_model_as_asked(catalogue: Catalogue) -> None:
    assert money(with_computed_costs(block({"request_model": "maker/one:free"}), catalogue)) == [(0, "computed", True)]


def test_a_damaged_count_costs_one_row_its_price_and_no_other(catalogue: Catalogue) -> None:
    late = {"occurred_at": "2026-01-21T00:00Z"}
    huge = {**late, **dict.fromkeys(("input_uncached_tokens", "output_tokens", "image_tokens"), 2**32 - 1)}
    first, damaged, last = money(with_computed_costs(block(late, huge, late), catalogue))
    assert damaged == (None, "unknown", False)
    assert first == last == (30 * 10**9, "computed", True)


def test_a_block_that_needs_nothing_comes_back_untouched(catalogue: Catalogue) -> None:
    priced = with_computed_costs(block({}, {}), catalogue)
    assert with_computed_costs(priced, catalogue) is priced
    empty = block()
    assert with_computed_costs(empty, catalogue) is empty


def test_the_dictionaries_repeat_no_value(catalogue: Catalogue) -> None:
    given = block({}, {"cost_nanousd": 1, "cost_source": "computed", "price_version": "theirs"}, {})
    table = with_computed_costs(with_computed_costs(given, catalogue), catalogue).table
    for name in ("cost_source", "price_version"):
        values = table.column(name).combine_chunks().dictionary.to_pylist()
        assert len(values) == len(set(values)), name


rows = st.fixed_dictionaries(
    {
        **{bucket: st.integers(0, 3_000) for bucket in TOKEN_BUCKETS},
        "tool_calls": st.integers(0, 4),
        "outcome": st.sampled_from(["ok", "error", "cancelled"]),
        "usage_reported": st.booleans(),
        "request_model": st.sampled_from(["maker/one", "one", "maker/one:free", "openai/gpt-4o"]),
        "occurred_at": st.sampled_from(
            ["2026-01-05T00:00Z", "2026-01-10T00:00Z", "2026-01-20T00:00Z", "2025-06-01T00:00Z"]
        ),
        "provider": st.sampled_from(["host", "openai"]),
    }
)


@settings(max_examples=60, deadline=None)
@given(changes=st.lists(rows, min_size=1, max_size=12), split=st.integers(0, 12))
def test_every_row_costs_what_the_catalogue_says_in_any_split(
    catalogue: Catalogue, changes: list[dict[str, Any]], split: int
) -> None:
    given_rows = [{**change, "model": change["request_model"]} for change in changes]
    whole = block(*given_rows)
    parts = [
        Block(t, np.zeros(t.num_rows, np.int32), (t.num_rows,), ((),))
        for t in (whole.table.slice(0, split).combine_chunks(), whole.table.slice(split).combine_chunks())
    ]
    split_rows = [row for part in parts for row in with_computed_costs(part, catalogue).table.to_pylist()]
    assert split_rows == with_computed_costs(whole, catalogue).table.to_pylist()
    for row in split_rows:
        price = catalogue.price(row["provider"], row["model"], row["occurred_at"], _variant(row["request_model"]))
        if not row["usage_reported"] or price is None:
            assert (row["cost_nanousd"], row["cost_source"]) == (None, "unknown")
            continue
        tokens = {bucket: row[bucket] for bucket in TOKEN_BUCKETS}
        fee = 0 if row["outcome"] == "error" else 1
        expected = cost_nanousd(price, tokens=tokens, tool_calls=row["tool_calls"], requests=fee)
        assert (row["cost_nanousd"], row["cost_source"], row["price_version"]) == (expected, "computed", price.version)


def _variant(name: str) -> str:
    return "free" if name.endswith(":free") else ""


def test_wide_dictionaries_full_of_unused_values_do_not_mix_prices_up(catalogue: Catalogue) -> None:
    table = block({}, {"provider": "elsewhere"}).table
    for name in ("provider", "model", "request_model"):
        column = table.column(name).combine_chunks()
        unused = [f"{name} {number}" for number in range(2**21)]
        values = pa.array([*column.dictionary.to_pylist(), *unused])
        wide = pa.DictionaryArray.from_arrays(column.indices.cast(pa.int32()), values)
        table = table.set_column(table.schema.get_field_index(name), name, wide)
    priced = with_computed_costs(Block(table, np.zeros(2, np.int32), (2,), ((),)), catalogue)
    assert money(priced) == [(1_050_000, "computed", True), (None, "unknown", False)]
