"""The alerts topic's records: one JSON object for each change of an alert's state.

An alert is one cause that a rule has found. Its `alert_id` follows from what was found, so that whoever finds it again,
after a restart or in a replay, gives it the same one; (alert_id, state) identifies a change.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Final

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

HEADER_KIND: Final = "tokentide-kind"
KIND_CHANGE: Final = b"alert"
"""Header value of a record with an `AlertChange`."""
KIND_PROGRESS: Final = b"progress"
"""Header value of a record with the engine's `EngineProgress`, which readers of alerts pass over."""
_NAMESPACE: Final = uuid.UUID("6f0c1f0e-8c55-5c0a-9b53-5d0f2d1c7b1e")


class AlertState(StrEnum):
    """pending: the condition holds, not yet for as long as the rule asks. firing: told. resolved: it has ended."""

    PENDING = "pending"
    FIRING = "firing"
    RESOLVED = "resolved"


class AlertKind(StrEnum):
    """What has happened, as far as the numbers say.

    Shares: launch (a new key takes share), substitution (one key's loss is another's gain), price_cut (share moves to a
    key whose unit cost fell), outage (a key's share is gone), burst (a short rise), verbosity (tokens per request have
    moved, the request share has not), drift (slowly, over days). Volumes: spike, drop, silence, volume_drift. The rest:
    error_rate, usage_missing_rate, latency, budget, price_change, new_model, late_rate.
    """

    LAUNCH = "launch"
    SUBSTITUTION = "substitution"
    PRICE_CUT = "price_cut"
    OUTAGE = "outage"
    BURST = "burst"
    VERBOSITY = "verbosity"
    DRIFT = "drift"
    SPIKE = "spike"
    DROP = "drop"
    SILENCE = "silence"
    VOLUME_DRIFT = "volume_drift"
    ERROR_RATE = "error_rate"
    USAGE_MISSING_RATE = "usage_missing_rate"
    LATENCY = "latency"
    BUDGET = "budget"
    PRICE_CHANGE = "price_change"
    NEW_MODEL = "new_model"
    LATE_RATE = "late_rate"


class Severity(StrEnum):
    """How soon somebody should look."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


class Contribution(BaseModel):
    """One key's part in an alert. Shares in percentage points; mix and volume split the change of the key's measure:
    what its share alone would have changed, and what the total alone would have changed, in the measure's unit."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: str
    before: float
    after: float
    change_pp: float | None = None
    mix_change: float | None = None
    volume_change: float | None = None


class AlertChange(BaseModel):
    """One change of state. Unknown is None.

    scope: what the rule is limited to, '' for everything. keys: most responsible first. value, reference, change: of
    the first key, in `unit` (pp for shares, ratio, requests, tokens, nanousd, ms). started_at: start of the first
    window of the cause. detected_at: end of the window that showed it, event time. changed_at: when this state began,
    event time. emitted_at: wall clock. is_silenced: stored but not told.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    alert_id: uuid.UUID
    state: AlertState
    rule: str
    kind: AlertKind
    severity: Severity
    measure: str
    dimension: str
    scope: str = ""
    keys: Annotated[tuple[str, ...], Field(min_length=1)]
    direction: Annotated[str, Field(pattern="^(up|down)$")]
    value: float | None
    reference: float | None
    change: float | None
    unit: str
    window_s: Annotated[int, Field(gt=0)]
    started_at: AwareDatetime
    detected_at: AwareDatetime
    changed_at: AwareDatetime
    emitted_at: AwareDatetime
    summary: str
    contributions: tuple[Contribution, ...] = ()
    labels: Mapping[str, str] = Field(default_factory=dict)
    runbook_url: str = ""
    is_silenced: bool = False
    silenced_by: str = ""


class EngineProgress(BaseModel):
    """Every change that windows up to `evaluated_until` (their end, event time) give is in the topic before this."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    evaluated_until: AwareDatetime
    emitted_at: AwareDatetime


def alert_id(rule: str, scope: str, dimension: str, kind: str, key: str, started_at: dt.datetime) -> uuid.UUID:
    """The same for the same finding, wherever and whenever it is made."""
    text = "\x1f".join((rule, scope, dimension, kind, key, started_at.astimezone(dt.UTC).isoformat()))
    return uuid.uuid5(_NAMESPACE, text)
