"""The calibration table (`data/traffic.yaml`) joined with the catalogue: a cell for each model, provider and category.

Shares in the study are of tokens, and traffic is drawn by request: a cell's request rate is its token share divided by
its mean tokens.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import yaml

from tokentide_schemas.catalogue import Catalogue, Model, PriceRow

MAX_PROVIDERS: Final = 4
MIN_PROVIDERS: Final = 2
MIN_PROMPT_TOKENS: Final = 8
COMPLETION_ROOM: Final = 0.9
"""Prompts fill at most this part of a model's context."""

Table = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Cell:
    """Requests of one kind. token_share sums to 1 over all cells; request_share too. price: None when unknown."""

    model: Model
    provider: str
    category: str
    token_share: float
    request_share: float
    prompt_mean: float
    prompt_limit: float
    completion_mean: float
    price: PriceRow | None


def load_table() -> dict[str, Any]:
    """The shipped calibration table."""
    text = (resources.files("tokentide_producers") / "data" / "traffic.yaml").read_text(encoding="utf-8")
    table: dict[str, Any] = yaml.safe_load(text)
    return table


def clipped_mean(mean: float, sigma: float, limit: float) -> float:
    """Mean of min(X, limit) for a log-normal X with this mean before clipping."""
    mu = math.log(mean) - sigma**2 / 2
    z = (math.log(limit) - mu) / sigma
    return mean * _normal_cdf(z - sigma) + limit * (1 - _normal_cdf(z))


def _normal_cdf(z: float) -> float:
    return 0.5 * math.erfc(-z / math.sqrt(2))


def zipf_shares(n: int, exponent: float) -> npt.NDArray[np.float64]:
    """Shares of n ranks that fall by 1 / rank^exponent and sum to 1."""
    weights = 1 / np.arange(1, n + 1) ** exponent
    shares: npt.NDArray[np.float64] = weights / weights.sum()
    return shares


def ranked_shares(first: Mapping[str, float], others: float, rest: Sequence[str]) -> dict[str, float]:
    """Named shares, and a common share spread over further names so that none of them outranks a named one."""
    spread = np.minimum(zipf_shares(len(rest), 0.55) * others, min(first.values()) * 0.95)
    return {**first, **dict(zip(rest, spread.tolist(), strict=True))}


def category_shares(group: Table, table: Table) -> dict[str, float]:
    """A group's token share of each category, summing to 1."""
    shares = {name: float(share) for name, share in group["categories"].items() if name != "rest"}
    for name, share in table["rest_categories"].items():
        shares[name] = shares.get(name, 0.0) + group["categories"]["rest"] * share
    total = sum(shares.values())
    return {name: share / total for name, share in shares.items()}


def providers_of(model: Model, catalogue: Catalogue, at: dt.datetime, table: Table) -> dict[str, PriceRow | None]:
    """Two to four providers of a model with their prices at an instant; dearest last."""
    priced = {
        name: price
        for name in sorted(catalogue.providers)
        if (price := catalogue.price(name, model.id, at)) is not None
    }
    by_price = sorted(priced, key=lambda name: priced[name].tiers[0].nanousd_per_million_tokens)
    most = min(MAX_PROVIDERS, len(table["provider_weights"]))
    chosen: dict[str, PriceRow | None] = {name: priced[name] for name in by_price[:most]}
    for name in table["more_providers"]["open" if model.open_weights else "closed"]:
        if len(chosen) < MIN_PROVIDERS and name not in chosen:
            chosen[name] = None
    return chosen


def build_cells(table: Table, catalogue: Catalogue, at: dt.datetime) -> tuple[Cell, ...]:
    """All cells. Raises ValueError for a model of the table that the catalogue does not have."""
    tokens = table["tokens"]
    drafts: list[tuple[Model, str, str, float, float, float, float, PriceRow | None]] = []
    for group in table["groups"]:
        models = group["models"]
        for model_id, part in models.items():
            model = catalogue.models.get(model_id)
            if model is None:
                raise ValueError(f"data/traffic.yaml: group {group['name']}: the catalogue has no model {model_id}")
            share = group["token_share"] * part / sum(models.values())
            limit = model.context_length_tokens * COMPLETION_ROOM
            providers = providers_of(model, catalogue, at, table)
            weights = table["provider_weights"][: len(providers)]
            for category, category_share in category_shares(group, table).items():
                prompt, completion = tokens["prompt_mean"][category], tokens["completion_mean"][category]
                for (provider, price), weight in zip(providers.items(), weights, strict=True):
                    token_share = share * category_share * weight / sum(weights)
                    drafts.append((model, provider, category, token_share, prompt, limit, completion, price))
    total_tokens = sum(draft[3] for draft in drafts)
    rates = [draft[3] / _mean_tokens(draft[4], draft[5], draft[6], tokens) for draft in drafts]
    return tuple(
        Cell(model, provider, category, share / total_tokens, rate / sum_rates, prompt, limit, completion, price)
        for sum_rates in [sum(rates)]
        for (model, provider, category, share, prompt, limit, completion, price), rate in zip(
            drafts, rates, strict=True
        )
    )


def _mean_tokens(prompt: float, limit: float, completion: float, tokens: Table) -> float:
    return clipped_mean(prompt, tokens["prompt_sigma"], limit) + completion


def by_category(values: Mapping[str, float], category: str) -> float:
    """A category's value in a table that has `rest` for the others."""
    return float(values.get(category, values["rest"]))
