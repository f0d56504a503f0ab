"""The simulator's traffic against the study's published figures, and against its own calibration table."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

import numpy as np
import polars as pl
import pytest

from tokentide_producers.calibration import clipped_mean
from tokentide_producers.event_columns import slices, tokens_in
from tokentide_producers.event_ids import EventIds
from tokentide_producers.traffic_model import TrafficModel, from_gateway
from tokentide_schemas.block import assemble
from tokentide_schemas.catalogue import TOKEN_COLUMNS, Catalogue, cost_nanousd, load_catalogue
from tokentide_schemas.envelope import CONTENT_TYPE_ARROW, Record, decode, encode_arrow, headers_for
from tokentide_schemas.event import UsageEvent

START_MS = 1_767_225_600_000
AT = dt.datetime.fromtimestamp(START_MS / 1000, dt.UTC)
EVENTS = 600_000
SPAN_MS = 60_000


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return load_catalogue()


@pytest.fixture(scope="module")
def model(catalogue: Catalogue) -> TrafficModel:
    return TrafficModel(catalogue, AT)


@pytest.fixture(scope="module")
def traffic(model: TrafficModel, catalogue: Catalogue) -> pl.DataFrame:
    batch = model.generate(EVENTS, np.random.default_rng(3), START_MS, SPAN_MS, "gw-1", EventIds(1))
    batch.validate(full=True)
    frame = pl.from_arrow(batch)
    assert isinstance(frame, pl.DataFrame)
    names = frame["model"].unique().cast(pl.String).to_list()
    origins = {name: str(catalogue.origin_group(name)) for name in names}
    reasoning = {name: catalogue.models[name].reasoning for name in names}
    text = pl.col("model").cast(pl.String)
    prompt = sum((pl.col(name).cast(pl.Int64) for name in TOKEN_COLUMNS[:3]), pl.lit(0))
    completion = pl.col("output_tokens").cast(pl.Int64) + pl.col("output_reasoning_tokens").cast(pl.Int64)
    return frame.with_columns(
        author=text.str.split("/").list.first(),
        origin=text.replace_strict(origins),
        reasoning=text.replace_strict(reasoning),
        prompt=prompt,
        completion=completion,
        tokens=prompt + completion,
    )


def share(frame: pl.DataFrame, condition: pl.Expr) -> float:
    """Of all tokens."""
    return float(frame.filter(condition)["tokens"].sum() / frame["tokens"].sum())


def within(frame: pl.DataFrame, within_: pl.Expr, condition: pl.Expr) -> float:
    return share(frame.filter(within_), condition)


PROGRAMMING = pl.col("category") == "programming"
ROLEPLAY = pl.col("category") == "roleplay"
TECHNOLOGY = pl.col("category") == "technology"
OPEN = pl.col("origin") != "proprietary"
CHINESE = pl.col("origin") == "chinese_open"


def author(name: str) -> pl.Expr:
    return pl.col("author") == name


@pytest.mark.parametrize(
    ("figure", "low", "high", "value"),
    [
        ("F1 open weights about a third", 0.27, 0.36, lambda f: share(f, OPEN)),
        ("F2 Chinese open models between mean and peak", 0.12, 0.30, lambda f: share(f, CHINESE)),
        ("F6 open models: roleplay about 52 %", 0.46, 0.58, lambda f: within(f, OPEN, ROLEPLAY)),
        ("F7 Chinese open: roleplay about 33 %", 0.28, 0.38, lambda f: within(f, CHINESE, ROLEPLAY)),
        ("F7 Chinese open: coding 39 %", 0.34, 0.44, lambda f: within(f, CHINESE, PROGRAMMING | TECHNOLOGY)),
        ("F9 roleplay: RoW open ~ 43 %", 0.37, 0.49, lambda f: within(f, ROLEPLAY, OPEN & ~CHINESE)),
        ("F9 roleplay: closed ~ 42 %", 0.32, 0.48, lambda f: within(f, ROLEPLAY, ~OPEN)),
        ("F10 reasoning models > 50 %", 0.50, 0.75, lambda f: share(f, pl.col("reasoning"))),
        ("F14 prompt > 6K", 5_800, 6_800, lambda f: f["prompt"].mean()),
        ("F15 completion about 400", 360, 440, lambda f: f["completion"].mean()),
        ("F16 programming prompts > 20K", 19_000, 23_000, lambda f: answered(f.filter(PROGRAMMING))["prompt"].mean()),
        ("F17 sequences > 5,400", 5_400, 7_200, lambda f: f["tokens"].mean()),
        ("F18 programming 3 to 4 x", 3, 4, lambda f: f.filter(PROGRAMMING)["tokens"].mean() / f["tokens"].mean()),
        ("F19 programming > 50 %", 0.50, 0.62, lambda f: share(f, PROGRAMMING)),
        ("F20 Anthropic's part of programming", 0.53, 0.65, lambda f: within(f, PROGRAMMING, author("anthropic"))),
        ("F20 Google's part of programming", 0.11, 0.17, lambda f: within(f, PROGRAMMING, author("google"))),
        ("F20 OpenAI's part of programming", 0.05, 0.09, lambda f: within(f, PROGRAMMING, author("openai"))),
        ("F22 roleplay: RPG ~ 60 %", 0.57, 0.63, lambda f: within(f, ROLEPLAY, pl.col("subcategory") == "rpg")),
        ("F23 Anthropic coding > 80 %", 0.80, 0.92, lambda f: within(f, author("anthropic"), PROGRAMMING | TECHNOLOGY)),
        ("F25 xAI programming > 80 %", 0.80, 0.90, lambda f: within(f, author("x-ai"), PROGRAMMING)),
        ("F27 DeepSeek roleplay > 2/3", 0.63, 0.75, lambda f: within(f, author("deepseek"), ROLEPLAY)),
        ("F28 Qwen programming 40 to 60 %", 0.40, 0.60, lambda f: within(f, author("qwen"), PROGRAMMING)),
        ("T3 US", 0.455, 0.49, lambda f: share(f, pl.col("country") == "US")),
        ("T3 Singapore", 0.08, 0.105, lambda f: share(f, pl.col("country") == "SG")),
        ("T3 over 60 other countries", 60, 80, lambda f: f["country"].n_unique() - 10),
        ("T4 English", 0.81, 0.85, lambda f: share(f, pl.col("language") == "en")),
        ("T4 Chinese", 0.04, 0.06, lambda f: share(f, pl.col("language") == "zh")),
        ("errors", 0.02, 0.03, lambda f: (f["outcome"] == "error").mean()),
        ("cancelled", 0.008, 0.012, lambda f: (f["outcome"] == "cancelled").mean()),
        ("streamed", 0.79, 0.81, lambda f: f["streamed"].mean()),
        ("bring your own key", 0.035, 0.045, lambda f: f["is_byok"].mean()),
        ("answers without usage", 0.003, 0.005, lambda f: (~f["usage_reported"] & (f["outcome"] == "ok")).mean()),
        ("F12 tokens of tool calls", 0.05, 0.30, lambda f: share(f, pl.col("finish_reason") == "tool_calls")),
    ],
)
def test_the_traffic_gives_the_published_figure(
    figure: str, low: float, high: float, value: Callable[[pl.DataFrame], float], traffic: pl.DataFrame
) -> None:
    assert low <= value(traffic) <= high, figure


def answered(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.filter(pl.col("usage_reported"))


def test_the_top_reasoning_models_are_in_the_published_order(traffic: pl.DataFrame) -> None:
    sums = traffic.filter(pl.col("reasoning")).group_by(pl.col("model").cast(pl.String)).agg(pl.col("tokens").sum())
    top = sums.sort("tokens", descending=True)["model"].to_list()
    assert top[:3] == ["x-ai/grok-code-fast-1", "google/gemini-2.5-pro", "google/gemini-2.5-flash"]


def test_no_open_model_has_more_than_a_quarter_and_five_or_more_matter(traffic: pl.DataFrame) -> None:
    frame = traffic.filter(OPEN)
    sums = frame.group_by(pl.col("model").cast(pl.String)).agg(pl.col("tokens").sum() / frame["tokens"].sum())
    shares = sums["tokens"].sort(descending=True)
    assert shares[0] < 0.25 and (shares > 0.04).sum() >= 5


@pytest.mark.parametrize("dimension", ["model", "provider", "category"])
def test_token_shares_follow_the_calibrated_cells(dimension: str, traffic: pl.DataFrame, model: TrafficModel) -> None:
    expected: dict[str, float] = {}
    for cell in model.cells:
        name = cell.model.id if dimension == "model" else getattr(cell, dimension)
        expected[name] = expected.get(name, 0.0) + cell.token_share
    labelled = traffic.filter(pl.col("category") != "")
    sums = labelled.group_by(pl.col(dimension).cast(pl.String)).agg(pl.col("tokens").sum() / labelled["tokens"].sum())
    got = dict(sums.iter_rows())
    assert sum(expected.values()) == pytest.approx(1)
    for name, share_ in expected.items():
        assert got.get(name, 0.0) == pytest.approx(share_, rel=0.10, abs=0.0015), name


def test_each_model_has_two_to_four_providers(traffic: pl.DataFrame) -> None:
    counts = traffic.group_by(pl.col("model").cast(pl.String)).agg(pl.col("provider").cast(pl.String).n_unique())
    assert set(counts["provider"]) <= {2, 3, 4}


def test_costs_are_the_catalogues_where_it_has_a_price_and_unknown_elsewhere(
    traffic: pl.DataFrame, catalogue: Catalogue
) -> None:
    sample = traffic.sample(4_000, seed=1)
    known = 0
    for row in sample.iter_rows(named=True):
        price = catalogue.price(row["provider"], row["model"], AT)
        if price is None or not row["usage_reported"]:
            assert (row["cost_nanousd"], row["cost_source"], row["price_version"]) == (None, "unknown", "")
            continue
        known += 1
        tokens = {name: row[name] for name in TOKEN_COLUMNS}
        assert row["price_version"] == price.version and row["cost_source"] == "computed"
        assert row["cost_nanousd"] == cost_nanousd(price, tokens=tokens, tool_calls=row["tool_calls"])
    assert known > 3_000


def test_rows_are_valid_events_and_their_parts_agree(traffic: pl.DataFrame) -> None:
    names = list(UsageEvent.model_fields)
    for row in traffic.select(names).sample(1_000, seed=2).iter_rows(named=True):
        event = UsageEvent(**{name: value for name, value in row.items() if value is not None})
        assert event.usage_reported or event.input_uncached_tokens + event.output_tokens == 0
        assert (event.http_status >= 400) == (event.outcome != "ok")
        assert (event.finish_reason == "tool_calls") == (event.tool_calls > 0)
        assert event.streamed or event.time_to_first_token_ms is None
        assert event.latency_ms is not None and event.latency_ms >= (event.time_to_first_token_ms or 0)
    assert traffic["event_id"].n_unique() == EVENTS and traffic["request_id"].n_unique() == EVENTS


def test_times_rise_and_stay_inside_the_span(traffic: pl.DataFrame) -> None:
    ms = traffic["occurred_at"].dt.epoch("ms")
    assert ms.is_sorted() and ms[0] >= START_MS and ms[-1] < START_MS + SPAN_MS


def test_the_same_seed_and_clock_give_the_same_events(model: TrafficModel) -> None:
    def make(seed: int) -> bytes:
        batch = model.generate(1_000, np.random.default_rng(seed), START_MS, 100, "gw-1", EventIds(1))
        return encode_arrow(batch)

    assert make(5) == make(5)
    assert make(5) != make(6)


def test_slices_are_acceptable_envelopes_that_hold_every_event_once(model: TrafficModel) -> None:
    block = model.generate(5_000, np.random.default_rng(1), START_MS, 1_000, "gw-1", EventIds(1))
    pieces = [from_gateway(piece, "gw-2") for piece in slices(block, 2_000)]
    assert [piece.num_rows for piece in pieces] == [2_000, 2_000, 1_000]
    records = [
        Record(0, n, START_MS + 1_000, encode_arrow(p), dict(headers_for(CONTENT_TYPE_ARROW, p.num_rows, "p", n)))
        for n, p in enumerate(pieces)
    ]
    joined = assemble([decode(record) for record in records])
    assert not any(joined.rejections)
    assert set(joined.table.column("gateway").to_pylist()) == {"gw-2"}
    whole = block.to_pylist()
    for got, expected in zip(joined.table.to_pylist(), whole, strict=True):
        assert {**got, "gateway": "", "gateway_region": ""} == {**expected, "gateway": "", "gateway_region": ""}
    assert sum(tokens_in(piece) for piece in pieces) == sum(row[name] for row in whole for name in TOKEN_COLUMNS)


def test_the_mean_of_a_clipped_log_normal_is_right() -> None:
    draws = np.random.default_rng(1).lognormal(np.log(1000) - 1.25**2 / 2, 1.25, 2_000_000)
    assert clipped_mean(1000, 1.25, 3000) == pytest.approx(np.minimum(draws, 3000).mean(), rel=0.005)
