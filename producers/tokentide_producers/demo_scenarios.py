"""What changes in the simulated traffic while one looks: a launch, an outage, a price cut. Pure: time is an argument.

Each moves one thing only. Who loses is of the same kind as who gains (category, open weights, reasoning), so that the
shares of everything else stay where they are and an alert about them would be a false one.
"""

from __future__ import annotations

import copy
import datetime as dt
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from tokentide_producers.calibration import Cell, Table
from tokentide_producers.traffic_model import Floats, Mask, Mix

LAUNCH: Final = "launch"
OUTAGE: Final = "outage"
PRICE_CUT: Final = "price-cut"
SCENARIOS: Final = (LAUNCH, OUTAGE, PRICE_CUT)

LAUNCHED_MODEL: Final = "openai/gpt-5.1-codex"
LAUNCHED_GROUP: Final = "OpenAI"
LAUNCHED_TOKEN_SHARE: Final = 0.08
FAILING_PROVIDER: Final = "amazon-bedrock"
FAILING_S: Final = 30.0
"""How long a gateway sends to the provider that is down before it sends elsewhere."""
CUT_MODEL: Final = "google/gemini-2.5-flash"
CUT_PRICE: Final = 0.5
CUT_TOKEN_SHARE: Final = 0.11
RAMP_S: Final = 60.0
RAMP_STEP_S: Final = 10.0

NORMAL_S: Final = 90.0
"""Live traffic before anything changes, at least."""
TOLD_WITHIN_S: Final = 180.0

_MINUTE_MS: Final = 60_000
_MOST_OF_A_KIND: Final = 0.9


class DemoScenario:
    """One scenario over the cells of `table`. Raises ValueError for a name that is not one of `SCENARIOS`."""

    def __init__(self, name: str, cells: Sequence[Cell]) -> None:
        if name not in SCENARIOS:
            raise ValueError(f"there is no scenario {name!r}; the scenarios are {', '.join(SCENARIOS)}")
        self.name = name
        self._tokens = np.array([cell.token_share for cell in cells])
        # Mean tokens of a request, up to one common factor. A launched model's cells have none yet: their category's.
        shares = np.array([cell.request_share for cell in cells])
        of_category = {cell.category: cell.token_share / cell.request_share for cell in cells if cell.request_share > 0}
        rarely = np.array([of_category[cell.category] for cell in cells])
        self._per_request = np.divide(self._tokens, shares, out=rarely, where=shares > 0)
        self._kind = [(cell.category, cell.model.open_weights, cell.model.reasoning) for cell in cells]
        self._model = np.array([cell.model.id for cell in cells])
        self._provider = np.array([cell.provider for cell in cells])
        self._served = [(cell.model.id, cell.category) for cell in cells]

    def step(self, since_s: float) -> int:
        """Number of the mix that holds `since_s` seconds after the scenario's begin; -1 before it."""
        if since_s < 0:
            return -1
        if self.name == OUTAGE:
            return int(since_s >= FAILING_S)
        return int(min(since_s, RAMP_S) // RAMP_STEP_S)

    def mix(self, step: int) -> Mix:
        """The mix of one step."""
        if step < 0:
            return Mix(self._tokens / self._per_request)
        if self.name == OUTAGE:
            down: Mask = self._provider == FAILING_PROVIDER
            if step == 0:
                return Mix(self._tokens / self._per_request, failing=down)
            return Mix(self._moved_to_other_providers(down) / self._per_request)
        part = min(1.0, (step + 1) * RAMP_STEP_S / RAMP_S)
        model, wanted = (LAUNCHED_MODEL, LAUNCHED_TOKEN_SHARE) if self.name == LAUNCH else (CUT_MODEL, CUT_TOKEN_SHARE)
        gains: Mask = self._model == model
        before = float(self._tokens[gains].sum())
        tokens = self._moved_to(gains, before + (wanted - before) * part)
        factors = np.where(gains, CUT_PRICE, 1.0) if self.name == PRICE_CUT else None
        return Mix(tokens / self._per_request, price_factors=factors)

    def _moved_to(self, gains: Mask, wanted: float) -> Floats:
        """Token shares when these cells have `wanted` of all, taken evenly from others of their kind.

        They grow evenly; where they had nothing, they get the same part of each kind's tokens.
        """
        kinds = {self._kind[place] for place in np.flatnonzero(gains)}
        of_kinds = np.array([kind in kinds for kind in self._kind])
        had = float(self._tokens[gains].sum())
        tokens = self._tokens.copy()
        for kind in kinds:
            here = np.array([one == kind for one in self._kind])
            winners, losers = here & gains, here & ~gains
            whole, own = float(self._tokens[here].sum()), float(self._tokens[winners].sum())
            if had > 0:
                weights, part = self._tokens[winners], min(own / had * wanted / whole, _MOST_OF_A_KIND)
            else:
                weights, part = _first_is_largest(winners), wanted / float(self._tokens[of_kinds].sum())
            tokens[winners] = whole * part * weights / weights.sum()
            tokens[losers] *= whole * (1 - part) / float(self._tokens[losers].sum())
        return tokens

    def _moved_to_other_providers(self, down: Mask) -> Floats:
        """Token shares when each model's requests go to its providers that are up."""
        tokens = np.where(down, 0.0, self._tokens)
        served: dict[tuple[str, str], list[int]] = {}
        for place, key in enumerate(self._served):
            served.setdefault(key, []).append(place)
        for places in served.values():
            left = tokens[places].sum()
            if left > 0:
                tokens[places] *= self._tokens[places].sum() / left
        return tokens


def _first_is_largest(mask: Mask) -> Floats:
    """Weights of a launched model's providers: its own first."""
    return 1.0 / (1 + np.arange(int(mask.sum()))) ** 2


def table_of(name: str | None, table: Table) -> Table:
    """The calibration table that a scenario starts from: a model that is launched is in it without any traffic."""
    if name != LAUNCH:
        return table
    changed: dict[str, Any] = copy.deepcopy(dict(table))
    group = next(group for group in changed["groups"] if group["name"] == LAUNCHED_GROUP)
    group["models"][LAUNCHED_MODEL] = 0.0
    return changed


def begins_at_ms(live_ms: int) -> int:
    """When a scenario begins whose traffic is live since `live_ms`: on a whole minute, after some normal traffic."""
    earliest = live_ms + round(NORMAL_S * 1000)
    return -(-earliest // _MINUTE_MS) * _MINUTE_MS


def announcement(name: str, begin_ms: int) -> str:
    """One line for who looks: what happens when, and when to expect the alert."""
    begin = dt.datetime.fromtimestamp(begin_ms / 1000, dt.UTC)
    what = {
        LAUNCH: f"{LAUNCHED_MODEL} takes {LAUNCHED_TOKEN_SHARE:.0%} of all tokens",
        OUTAGE: f"{FAILING_PROVIDER} fails, {FAILING_S:.0f} s later its traffic goes elsewhere",
        PRICE_CUT: f"{CUT_MODEL} costs {1 - CUT_PRICE:.0%} less and grows to {CUT_TOKEN_SHARE:.0%} of all tokens",
    }[name]
    told = begin + dt.timedelta(seconds=TOLD_WITHIN_S)
    return f"scenario: {name} begins at {begin:%H:%M:%S} UTC ({what}): expect an alert by {told:%H:%M}"
