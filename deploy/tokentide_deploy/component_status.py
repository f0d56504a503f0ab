"""The status files that components write about once a second, and what they say together."""

from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

_STALE_AFTER_S = 10.0
_SECONDS_PER_DAY = 86_400


class ComponentStatus(BaseModel):
    """One component's figures; a component reports the ones that it knows."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    component: str
    updated_at: AwareDatetime
    stored_events_total: int | None = None
    stored_rows_total: int | None = None
    events_per_s: float | None = None
    tokens_per_s: float | None = None
    lag_records: int | None = None
    lag_s: float | None = None


class StackStatus(BaseModel):
    """The stack's figures. None is unknown, which is not zero."""

    model_config = ConfigDict(frozen=True)

    events_per_s: float | None
    tokens_per_day: float | None
    stored_events_total: int | None
    lag_records: int | None
    lag_s: float | None


def read_status(path: Path) -> ComponentStatus | None:
    """The file's content; None while there is none or it is not a status."""
    try:
        return ComponentStatus.model_validate_json(path.read_bytes())
    except (FileNotFoundError, ValidationError):
        return None


def combine(statuses: Iterable[ComponentStatus | None], now: datetime) -> StackStatus:
    """Rates and totals come from the events sink (what is stored), the lag from whichever consumer is furthest behind.

    A status that was not renewed for ten seconds counts as unknown.
    """
    fresh = [one for one in statuses if one and (now - one.updated_at).total_seconds() <= _STALE_AFTER_S]
    sink = next((one for one in fresh if one.component == "events-sink"), None)
    tokens_per_s = sink.tokens_per_s if sink else None
    return StackStatus(
        events_per_s=sink.events_per_s if sink else None,
        tokens_per_day=None if tokens_per_s is None else tokens_per_s * _SECONDS_PER_DAY,
        stored_events_total=sink.stored_events_total if sink else None,
        lag_records=max((one.lag_records for one in fresh if one.lag_records is not None), default=None),
        lag_s=max((one.lag_s for one in fresh if one.lag_s is not None), default=None),
    )
