"""The rules: what is watched, and when it is worth telling."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from tokentide_schemas.alerting.values import Duration, Label, LabelName, Name, Section
from tokentide_schemas.alerts import Severity

WINDOWS_S: Final = {60: "1m", 300: "5m", 3_600: "1h"}


class Dimension(StrEnum):
    """What shares are taken of. `total` is everything together."""

    TOTAL = "total"
    MODEL = "model"
    CATEGORY = "category"
    AUTHOR = "author"
    PROVIDER = "provider"
    APP = "app"
    COUNTRY = "country"
    TENANT = "tenant"
    ORIGIN_GROUP = "origin_group"
    SIZE_CLASS = "size_class"
    OPEN_WEIGHTS = "open_weights"
    REASONING = "reasoning"


class MeasureName(StrEnum):
    """What is counted."""

    TOKENS = "tokens"
    REQUESTS = "requests"
    COST = "cost"


MODEL_DIMENSIONS: Final = frozenset(Dimension) - {Dimension.APP, Dimension.COUNTRY, Dimension.TENANT}
"""Dimensions that follow from the cube `model`, so that each can be the scope of another."""


class Scope(Section):
    """What a rule is limited to: events that have all of these values."""

    model: Label | None = None
    provider: Label | None = None
    category: Label | None = None
    author: Label | None = None

    @property
    def given(self) -> dict[str, str]:
        """Dimension -> value, of those that are given."""
        return {name: value for name, value in self.model_dump().items() if value is not None}

    def __str__(self) -> str:
        return ",".join(f"{name}={value}" for name, value in self.given.items())


def _kept_window(value: int) -> int:
    if value not in WINDOWS_S:
        raise ValueError(f"is not a window that is kept (write {', '.join(WINDOWS_S.values())})")
    return value


class Rule(Section):
    """What every rule has. Times are of the events.

    for: how long the condition must hold before it is told; 0 tells at the first window. resolve_after: how long it
    must be gone before the alert is over (hysteresis). cooldown: how long after that the same keys are not told again.
    """

    name: Name
    kind: str
    enabled: bool = True
    severity: Severity = Severity.WARNING
    window_s: Annotated[Duration, AfterValidator(_kept_window), Field(alias="window")] = 60
    for_s: Annotated[Duration, Field(alias="for")] = 0
    resolve_after_s: Annotated[Duration, Field(alias="resolve_after")] = 300
    cooldown_s: Annotated[Duration, Field(alias="cooldown")] = 3_600
    scope: Scope = Field(default_factory=Scope)
    labels: dict[LabelName, Label] = Field(default_factory=dict)
    runbook_url: Annotated[str, StringConstraints(max_length=500)] = ""
    description: Annotated[str, StringConstraints(max_length=500)] = ""


Keys = tuple[Label, ...]


class _KeyedRule(Rule):
    """A rule over the keys of a dimension. keys: only these; without: none of these."""

    dimension: Dimension
    keys: Keys = ()
    without: Keys = ()
    min_requests: Annotated[int, Field(ge=0)] = 30

    def watches(self, key: str) -> bool:
        """Whether the rule is about this key."""
        return (not self.keys or key in self.keys) and key not in self.without


def _scope_fits(rule: _KeyedRule) -> None:
    if rule.scope.given and rule.dimension not in (*MODEL_DIMENSIONS, Dimension.COUNTRY):
        raise ValueError(f"scope is not kept for {rule.dimension} (leave it out, or watch model, provider, category)")
    if rule.dimension is Dimension.COUNTRY and set(rule.scope.given) - {"category"}:
        raise ValueError("for country only category is kept as a scope (leave the others out)")
    if rule.dimension.value in rule.scope.given:
        raise ValueError("scope and dimension are the same (a part of itself is always everything)")


class ShareShiftRule(_KeyedRule):
    """A key's share has left its own seasonal reference by at least `min_change_pp` percentage points, beyond what the
    data's own scatter explains. min_requests: of the window, in all keys together."""

    kind: Literal["share_shift"] = "share_shift"
    measure: MeasureName = MeasureName.TOKENS
    min_change_pp: Annotated[float, Field(gt=0, le=100)] = 3.0

    @model_validator(mode="after")
    def _is_a_share(self) -> ShareShiftRule:
        if self.dimension is Dimension.TOTAL:
            raise ValueError("dimension: the total has no share (use volume_shift)")
        _scope_fits(self)
        return self


class VolumeShiftRule(_KeyedRule):
    """Volume of the total or of a key: spike, drop, silence, drift. min_change_ratio: of the reference, up or down.
    min_requests: smallest change of a window that counts, as a number of the measure."""

    kind: Literal["volume_shift"] = "volume_shift"
    dimension: Dimension = Dimension.TOTAL
    measure: MeasureName = MeasureName.REQUESTS
    min_change_ratio: Annotated[float, Field(gt=0)] = 0.5
    watch: Annotated[tuple[Literal["spike", "drop", "silence", "drift"], ...], Field(min_length=1)] = (
        "spike",
        "drop",
        "silence",
        "drift",
    )

    @model_validator(mode="after")
    def _scope_is_kept(self) -> VolumeShiftRule:
        _scope_fits(self)
        return self


class ErrorRateRule(_KeyedRule):
    """Errors per attempt over the window's reference and over `min_rate`."""

    kind: Literal["error_rate"] = "error_rate"
    dimension: Dimension = Dimension.PROVIDER
    min_rate: Annotated[float, Field(gt=0, le=1)] = 0.05

    @model_validator(mode="after")
    def _outcome_is_kept(self) -> ErrorRateRule:
        if self.dimension in (Dimension.APP, Dimension.TENANT):
            raise ValueError(f"dimension: outcomes are not kept for {self.dimension} (use model, provider or total)")
        _scope_fits(self)
        return self


class UsageMissingRateRule(_KeyedRule):
    """Attempts without reported usage, per attempt, over the reference and over `min_rate`."""

    kind: Literal["usage_missing_rate"] = "usage_missing_rate"
    dimension: Dimension = Dimension.PROVIDER
    min_rate: Annotated[float, Field(gt=0, le=1)] = 0.1

    @model_validator(mode="after")
    def _scope_is_kept(self) -> UsageMissingRateRule:
        _scope_fits(self)
        return self


class LatencyRule(_KeyedRule):
    """A quantile of the latency (or of the time to the first token) over its reference by `min_change_ratio`, and over
    `min_ms`."""

    kind: Literal["latency"] = "latency"
    dimension: Dimension = Dimension.PROVIDER
    of: Literal["latency", "time_to_first_token"] = "latency"
    quantile: Annotated[float, Field(gt=0, lt=1)] = 0.95
    min_change_ratio: Annotated[float, Field(gt=0)] = 0.5
    min_ms: Annotated[float, Field(ge=0)] = 500.0

    @model_validator(mode="after")
    def _latency_is_kept(self) -> LatencyRule:
        if self.dimension not in (Dimension.TOTAL, Dimension.MODEL, Dimension.PROVIDER, Dimension.AUTHOR):
            raise ValueError(f"dimension: latency is not kept for {self.dimension} (use model, provider or author)")
        if set(self.scope.given) - {"model", "provider", "author"}:
            raise ValueError("scope: latency is kept by model and provider only (leave the others out)")
        _scope_fits(self)
        return self


class BudgetRule(Rule):
    """Tells when a budget of the section `budgets` is exceeded, or will be by the month's end (the forecast)."""

    kind: Literal["budget"] = "budget"
    forecast: bool = True


class PriceChangeRule(Rule):
    """What a model's tokens cost has changed: USD per million tokens of a provider and model, by `min_change_ratio`."""

    kind: Literal["price_change"] = "price_change"
    severity: Severity = Severity.INFO
    min_change_ratio: Annotated[float, Field(gt=0)] = 0.05
    min_requests: Annotated[int, Field(ge=1)] = 50


class NewModelRule(Rule):
    """A model's first appearance, once it has `min_requests` in all."""

    kind: Literal["new_model"] = "new_model"
    severity: Severity = Severity.INFO
    min_requests: Annotated[int, Field(ge=1)] = 20


class LateRateRule(Rule):
    """Events that came after their window's close, per event, over `min_rate`. Seen a quarter of an hour later."""

    kind: Literal["late_rate"] = "late_rate"
    min_rate: Annotated[float, Field(gt=0, le=1)] = 0.05
    min_requests: Annotated[int, Field(ge=1)] = 200


AnyRule = (
    ShareShiftRule
    | VolumeShiftRule
    | ErrorRateRule
    | UsageMissingRateRule
    | LatencyRule
    | BudgetRule
    | PriceChangeRule
    | NewModelRule
    | LateRateRule
)
RULE_KINDS: Final[dict[str, type[Rule]]] = {
    "share_shift": ShareShiftRule,
    "volume_shift": VolumeShiftRule,
    "error_rate": ErrorRateRule,
    "usage_missing_rate": UsageMissingRateRule,
    "latency": LatencyRule,
    "budget": BudgetRule,
    "price_change": PriceChangeRule,
    "new_model": NewModelRule,
    "late_rate": LateRateRule,
}


class Budget(Section):
    """What may be spent in a period. tenant: '' is everybody together, '*' is each tenant by itself."""

    name: Name
    usd: Annotated[float, Field(gt=0)]
    per: Literal["hour", "day", "month"]
    tenant: Label = ""
    severity: Severity | None = None
