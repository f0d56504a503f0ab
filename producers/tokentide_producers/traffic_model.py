"""Simulated gateway traffic as columns, calibrated by `data/traffic.yaml`. Pure: randomness and time are arguments."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tokentide_producers.calibration import (
    MIN_PROMPT_TOKENS,
    Cell,
    Table,
    build_cells,
    by_category,
    load_table,
    ranked_shares,
    zipf_shares,
)
from tokentide_producers.draws import (
    WIDE_PLACES,
    Randoms,
    code_table,
    log_normal_factors,
    part_table,
    thresholds,
)
from tokentide_producers.event_columns import binary16, constant_label, event_batch
from tokentide_producers.event_ids import EventIds
from tokentide_producers.simulated_labels import Labels
from tokentide_schemas.arrow import EVENT_SCHEMA
from tokentide_schemas.catalogue import TOKEN_BUCKETS, Catalogue
from tokentide_schemas.event import Source

_SEED: Final = 20_251_130
"""Of what is fixed between runs: the pools of users and keys, and each model's speed."""
_MIN_LATENCY_MS: Final = 20
_NANOUSD_UNIT: Final = 1_000_000
_HEX: Final = np.array([f"{byte:02x}".encode() for byte in range(256)], "S2").view(np.uint16)
_GATEWAY: Final = EVENT_SCHEMA.get_field_index("gateway")
_GATEWAY_REGION: Final = EVENT_SCHEMA.get_field_index("gateway_region")

Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False, slots=True)
class Mix:
    """What the traffic is like for some time, by cell. request_shares: any sum. failing: every request ends with a
    provider's error. price_factors: of the catalogue's price; where it is not 1 the gateway reports the cost."""

    request_shares: Floats
    failing: Mask | None = None
    price_factors: Floats | None = None


class TrafficModel:
    """Draws usage events. catalogue: models and prices. at: the instant whose prices are charged (aware)."""

    def __init__(self, catalogue: Catalogue, at: dt.datetime, table: Table | None = None) -> None:
        self.table: Table = table if table is not None else load_table()
        self.cells: tuple[Cell, ...] = build_cells(self.table, catalogue, at)
        fixed = np.random.default_rng(_SEED)
        self._of_cells(fixed)
        requests, tokens = self.table["requests"], self.table["tokens"]
        self._cell_table = code_table([cell.request_share for cell in self.cells], WIDE_PLACES)
        self._prompt = log_normal_factors(tokens["prompt_sigma"])
        self._completion = log_normal_factors(tokens["completion_sigma"])
        self._reasoning = part_table(tokens["reasoning_part"])
        self._cache = part_table(tokens["cache_part"])
        self._cache_write = part_table(tokens["cache_write_part"])
        self._speed = log_normal_factors(requests["first_token_sigma"])
        self._countries = _ranked(
            self.table["countries"], self.table["countries_others"], self.table["other_countries"]
        )
        self._languages = _ranked(
            self.table["languages"], self.table["languages_others"], self.table["other_languages"]
        )
        self._apps = _names("app-{:04d}.example.com", requests["apps"], requests["zipf_exponent"])
        self._tenants = _names("team-{:05d}", requests["tenants"], requests["zipf_exponent"])
        self._user_table = code_table(zipf_shares(requests["users"], requests["zipf_exponent"])[:32_000], WIDE_PLACES)
        self._users, self._keys = _hashes(fixed, 32_000), _hashes(fixed, requests["tenants"])
        self._sessions = _hashes(fixed, 8 * 32_000)
        self._results = _results(requests)
        self._failing: Mask | None = None
        self._reported_price = np.zeros(len(self.cells), np.bool_)

    def _of_cells(self, fixed: np.random.Generator) -> None:
        """What follows from a row's cell, as arrays to take from."""
        cells, tokens, requests = self.cells, self.table["tokens"], self.table["requests"]
        self._model = Labels(cell.model.id for cell in cells)
        self._provider = Labels(cell.provider for cell in cells)
        self._category = Labels(["", *(cell.category for cell in cells)])
        self._price_version = Labels(["", *(cell.price.version if cell.price else "" for cell in cells)])
        self._prompt_mean = np.array([cell.prompt_mean for cell in cells], np.float32)
        self._prompt_limit = np.array([cell.prompt_limit for cell in cells], np.float32)
        self._completion_mean = np.array([cell.completion_mean for cell in cells], np.float32)
        self._is_reasoning = np.array([cell.model.reasoning for cell in cells])
        self._cache_hit = thresholds([by_category(tokens["cache_hit"], cell.category) for cell in cells])
        self._cache_writes = thresholds([tokens["cache_write"].get(cell.model.author, 0.0) for cell in cells])
        self._tool_call = thresholds([by_category(requests["tool_call"], cell.category) for cell in cells])
        self._tools_unused = thresholds([by_category(requests["tools_unused"], cell.category) for cell in cells])
        speed = {model: fixed.lognormal(0, 0.4) for model in sorted({cell.model.id for cell in cells})}
        self._slowness = np.array([speed[cell.model.id] for cell in cells], np.float32)
        self._list_rates, self._tier_from = _price_tables(cells)
        self._rates = self._list_rates
        self._request_fees = np.array([cell.price.per_request_nanousd if cell.price else 0 for cell in cells])
        self._tool_call_fees = np.array([cell.price.per_tool_call_nanousd if cell.price else 0 for cell in cells])
        self._priced: Mask = np.array([cell.price is not None for cell in cells])
        self._subcategory_names, self._subcategory_tables = _subcategories(
            self.table["subcategories"], [cell.category for cell in cells]
        )
        self._subcategory_row = np.array(
            [self._subcategory_tables[0].get(cell.category, 0) for cell in cells], np.int16
        )

    def use(self, mix: Mix) -> None:
        """Draw by another mix from now on. Its arrays are in the order of `cells`."""
        self._cell_table = code_table(mix.request_shares, WIDE_PLACES)
        self._failing = mix.failing
        factors = mix.price_factors if mix.price_factors is not None else np.ones(len(self.cells))
        by_tier = np.repeat(factors, self._tier_from.shape[1])
        self._rates = [np.round(bucket * by_tier).astype(np.int64) for bucket in self._list_rates]
        self._reported_price = self._priced & (factors != 1)

    def generate(
        self, n: int, rng: np.random.Generator, start_ms: int, span_ms: int, gateway: str, ids: EventIds
    ) -> pa.RecordBatch:
        """n events in `EVENT_SCHEMA`, ascending in time over [start_ms, start_ms + span_ms).

        The same generator state, times and ids give the same events. Dictionaries hold used values only.
        """
        draw = Randoms(rng, n)
        cell = self._cell_table[draw.wide_places()]
        kind = self._results.table[draw.places()]
        if self._failing is not None:
            kind = np.where(self._failing[cell], self._results.provider_error, kind)
        reported = self._results.reported[kind]
        cancelled = self._results.cancelled[kind]
        failed = self._results.failed[kind]
        tokens = self._tokens(draw, cell, reported, cancelled)
        called = draw.below(self._tool_call[cell]) & (kind == 0)
        finish = np.where(called, self._results.tool_calls, self._results.finish[kind])
        columns: dict[str, Any] = {f"{name}_tokens": column for name, column in tokens.items()}
        columns |= self._who(draw) | self._speeds(draw, cell, tokens, failed)
        priced = self._priced[cell] & reported
        computed = priced & ~self._reported_price[cell]
        tool_calls = np.where(called, 1 + (cell & 1), 0)
        unlabelled = draw.below(float(self.table["requests"]["unlabelled"]))
        times = start_ms + (np.arange(n, dtype=np.int64) * span_ms) // max(n, 1)
        model = self._model.take(cell)
        columns |= {
            "event_id": ids.block(times),
            "request_id": _request_ids(times, rng),
            "occurred_at": pa.array(times).cast(EVENT_SCHEMA.field("occurred_at").type),
            "is_final_attempt": ~(failed & draw.below(float(self.table["requests"]["retried"]))),
            "source": Source.SIMULATOR.value,
            "gateway": gateway,
            "gateway_region": _region(gateway),
            "request_model": model,
            "model": model,
            "provider": self._provider.take(cell),
            "category": self._category.take(np.where(unlabelled, -1, cell), offset=1),
            "subcategory": self._subcategory(draw, cell, unlabelled),
            "category_source": Labels(("none", "gateway")).take((~unlabelled).astype(np.int16)),
            "usage_reported": reported,
            "cost_nanousd": pa.array(self._cost(cell, tokens, tool_calls), pa.int64(), mask=~priced),
            "cost_source": Labels(("unknown", "reported", "computed")).take(priced.astype(np.int16) + computed),
            "price_version": self._price_version.take(np.where(computed, cell, -1), offset=1),
            "is_byok": draw.below(float(self.table["requests"]["byok"])),
            "outcome": self._results.outcomes.take(kind),
            "error_type": self._results.error_types.take(kind),
            "http_status": self._results.http_status[kind],
            "finish_reason": self._results.finish_reasons.take(finish),
            "tools_offered": np.where(called | draw.below(self._tools_unused[cell]), 6, 0),
            "tool_calls": tool_calls,
        }
        return event_batch(n, columns)

    def _tokens(self, draw: Randoms, cell: Any, reported: Mask, cancelled: Mask) -> dict[str, Ints]:
        prompt = self._prompt_mean[cell] * self._prompt[draw.places()]
        prompt = np.clip(prompt, MIN_PROMPT_TOKENS, self._prompt_limit[cell]) * reported
        completion = self._completion_mean[cell] * self._completion[draw.places()] * reported
        completion = np.where(cancelled, completion * 0.3, completion).astype(np.int64)
        read = np.where(draw.below(self._cache_hit[cell]), prompt * self._cache[draw.places()], 0).astype(np.int64)
        whole = prompt.astype(np.int64)
        rest = whole - read
        write = np.where(draw.below(self._cache_writes[cell]), rest * self._cache_write[draw.places()], 0).astype(
            np.int64
        )
        reasoning = (completion * self._reasoning[draw.places()] * self._is_reasoning[cell]).astype(np.int64)
        return {
            "input_uncached": rest - write,
            "input_cache_read": read,
            "input_cache_write": write,
            "output": completion - reasoning,
            "output_reasoning": reasoning,
        }

    def _cost(self, cell: Any, tokens: Mapping[str, Ints], tool_calls: Ints) -> Ints:
        """As `catalogue.cost_nanousd`: in millionths of a nano-USD, rounded once, halves up. Fits 64 bits by far."""
        context = tokens["input_uncached"] + tokens["input_cache_read"] + tokens["input_cache_write"]
        tier = np.zeros(len(context), np.int64)
        for number in range(1, self._tier_from.shape[1]):
            tier += context >= self._tier_from[cell, number]
        flat = cell.astype(np.int64) * self._tier_from.shape[1] + tier
        millionths = np.full(len(context), _NANOUSD_UNIT // 2, np.int64)
        for place, bucket in enumerate(TOKEN_BUCKETS):
            if bucket in tokens:
                millionths += tokens[bucket] * self._rates[place][flat]
        fees = self._request_fees[cell] + tool_calls * self._tool_call_fees[cell]
        cost: Ints = millionths // _NANOUSD_UNIT + fees
        return cost

    def _who(self, draw: Randoms) -> dict[str, Any]:
        user = self._user_table[draw.wide_places()].astype(np.int64)
        tenant = self._tenants[1][draw.places()]
        return {
            "country": self._countries[0].take(self._countries[1][draw.places()]),
            "language": self._languages[0].take(self._languages[1][draw.places()]),
            "app": self._apps[0].take(self._apps[1][draw.places()]),
            "tenant": self._tenants[0].take(tenant),
            "user_hash": binary16(self._users[user]),
            "session_hash": binary16(self._sessions[user * 8 + (draw.places() & 7)]),
            "api_key_hash": binary16(self._keys[tenant]),
        }

    def _speeds(self, draw: Randoms, cell: Any, tokens: Mapping[str, Ints], failed: Mask) -> dict[str, Any]:
        requests = self.table["requests"]
        streamed = draw.below(float(requests["streamed"]))
        # The table's mean is 1; the median of a log-normal lies below it by exp(-sigma^2 / 2).
        mean_ms = requests["first_token_median_ms"] * np.exp(requests["first_token_sigma"] ** 2 / 2)
        first = self._slowness[cell] * self._speed[draw.places()] * np.float32(mean_ms) + _MIN_LATENCY_MS
        output = tokens["output"] + tokens["output_reasoning"]
        rest = output * self._slowness[cell] * self._speed[draw.places()] * np.float32(requests["output_token_ms"])
        # The first token of a reasoning model that users see comes after the reasoning: it is measured by the gateway
        # at the first token of any kind, as the field is defined.
        return {
            "streamed": streamed,
            "time_to_first_token_ms": pa.array(first.astype(np.uint32), mask=~streamed | failed),
            "latency_ms": (first + rest).astype(np.uint32),
        }

    def _subcategory(self, draw: Randoms, cell: Any, unlabelled: Mask) -> pa.Array:
        row = self._subcategory_row[cell].astype(np.int64) * ~unlabelled
        codes = self._subcategory_tables[1].reshape(-1)[(row << 16) + draw.places()]
        return self._subcategory_names.take(codes)


class _Results:
    """Kinds of ending: 0 is an answer; the others are cut answers, cancelled ones, errors, and lost usage figures."""

    def __init__(self, kinds: Sequence[tuple[float, str, str, int, str, bool]]) -> None:
        self.table = code_table([kind[0] for kind in kinds])
        self.outcomes = Labels(kind[1] for kind in kinds)
        self.error_types = Labels(kind[2] for kind in kinds)
        self.http_status = np.array([kind[3] for kind in kinds], np.uint16)
        self.finish_reasons = Labels([*(kind[4] for kind in kinds), "tool_calls"])
        self.finish = np.arange(len(kinds), dtype=np.int16)
        self.tool_calls = np.int16(len(kinds))
        self.reported = np.array([kind[5] for kind in kinds])
        self.cancelled = np.array([kind[1] == "cancelled" for kind in kinds])
        self.failed = np.array([kind[1] == "error" for kind in kinds])
        self.provider_error = next(place for place, kind in enumerate(kinds) if kind[2] == "provider_error")


def _results(requests: Mapping[str, Any]) -> _Results:
    errors = [
        (requests["error"] * share, "error", name, status, "error", False)
        for name, (share, status) in requests["error_types"].items()
    ]
    others = [
        (requests["cut_by_length"], "ok", "", 200, "length", True),
        (requests["cancelled"], "cancelled", "", 499, "", True),
        (requests["usage_missing"], "ok", "", 200, "stop", False),
    ]
    answered = 1 - sum(kind[0] for kind in (*errors, *others))
    return _Results([(answered, "ok", "", 200, "stop", True), *others, *errors])


def _price_tables(cells: Sequence[Cell]) -> tuple[list[Ints], Ints]:
    """Nano-USD per million tokens, by bucket, at cell x tier; and from how many input tokens each tier holds."""
    depth = max(len(cell.price.tiers) if cell.price else 1 for cell in cells)
    rates = np.zeros((len(TOKEN_BUCKETS), len(cells), depth), np.int64)
    tier_from = np.full((len(cells), depth), np.iinfo(np.int64).max, np.int64)
    for row, cell in enumerate(cells):
        for number, tier in enumerate(cell.price.tiers if cell.price else ()):
            tier_from[row, number] = tier.min_input_tokens
            rates[:, row, number] = tier.nanousd_per_million_tokens
    return [bucket.reshape(-1) for bucket in rates], tier_from


def _subcategories(
    table: Mapping[str, Mapping[str, float]], categories: Sequence[str]
) -> tuple[Labels, tuple[dict[str, int], npt.NDArray[np.int16]]]:
    """The names, each category's row, and one draw table a row; row 0 is for categories without subcategories."""
    names = ["", *sorted({name for shares in table.values() for name in shares})]
    rows = {category: number for number, category in enumerate(sorted(table), start=1) if category in categories}
    tables = np.zeros((len(table) + 1, 1 << 16), np.int16)
    for category, number in rows.items():
        shares = [table[category].get(name, 0.0) for name in names]
        shares[0] = 1 - sum(shares)
        tables[number] = code_table(shares)
    return Labels(names), (rows, tables)


def _ranked(first: Mapping[str, float], others: float, rest: Sequence[str]) -> tuple[Labels, npt.NDArray[np.int16]]:
    shares = ranked_shares(first, others, rest)
    return Labels(shares), code_table(list(shares.values()))


def _names(pattern: str, count: int, exponent: float) -> tuple[Labels, npt.NDArray[np.int16]]:
    return Labels(pattern.format(number) for number in range(count)), code_table(zipf_shares(count, exponent))


def _hashes(rng: np.random.Generator, count: int) -> npt.NDArray[Any]:
    """Stands for keyed hashes: 16 random bytes each."""
    return np.frombuffer(rng.bytes(16 * count), "V16")


def _request_ids(times_ms: Ints, rng: np.random.Generator) -> pa.Array:
    """Sixteen hexadecimal digits: 4 random bytes of the block, then the row's number."""
    n = len(times_ms)
    numbers = (np.uint64(rng.integers(0, 1 << 32)) << np.uint64(32)) + np.arange(n, dtype=np.uint64)
    digits = _HEX[numbers.astype(">u8").view(np.uint8)]
    offsets = np.arange(n + 1, dtype=np.int32) * 16
    return pa.StringArray.from_buffers(n, pa.py_buffer(offsets), pa.py_buffer(digits))


def _region(gateway: str) -> str:
    regions = ("us-east-1", "eu-central-1", "ap-southeast-1", "us-west-2")
    number = "".join(char for char in gateway if char.isdigit()) or "0"
    return regions[int(number) % len(regions)]


def from_gateway(batch: pa.RecordBatch, gateway: str) -> pa.RecordBatch:
    """The same events, sent by another gateway."""
    columns = batch.columns
    columns[_GATEWAY] = constant_label(batch.num_rows, gateway)
    columns[_GATEWAY_REGION] = constant_label(batch.num_rows, _region(gateway))
    return pa.RecordBatch.from_arrays(columns, schema=EVENT_SCHEMA)
