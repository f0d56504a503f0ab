"""The status files that components write about once a second, and what they say together."""

from collections import deque
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

_STALE_AFTER_MS = 10_000
_RATE_WINDOW_MS = 10_000
_SECONDS_PER_DAY = 86_400


class ComponentStatus(BaseModel):
    """One component's figures; a component reports the ones that it knows. Totals count from its start."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    component: str
    updated_at_ms: int
    stored_events_total: int | None = None
    stored_tokens_total: int | None = None
    lag_records: int | None = None
    lag_s: float | None = None
    scenario: str = ""


class StackStatus(BaseModel):
    """The stack's figures. None is unknown, which is not zero. scenario: what the demo's traffic is about to do."""

    model_config = ConfigDict(frozen=True)

    events_per_s: float | None
    tokens_per_day: float | None
    stored_events_total: int | None
    lag_records: int | None
    lag_s: float | None
    scenario: str = ""


def read_status(path: Path) -> ComponentStatus | None:
    """The file's content; None while there is none or it is not a status."""
    try:
        return ComponentStatus.model_validate_json(path.read_bytes())
    except (FileNotFoundError, ValidationError):
        return None


class StatusHistory:
    """Turns the components' totals into rates over the last ten seconds. Time is an argument."""

    def __init__(self) -> None:
        self._samples: deque[ComponentStatus] = deque()

    def combine(self, statuses: Iterable[ComponentStatus | None], now: datetime) -> StackStatus:
        """Rates and totals come from the events sink (what is stored), the lag from the consumer furthest behind.

        A status that was not renewed for ten seconds counts as unknown.
        """
        now_ms = int(now.timestamp() * 1000)
        fresh = [one for one in statuses if one and now_ms - one.updated_at_ms <= _STALE_AFTER_MS]
        sink = next((one for one in fresh if one.component == "events-sink"), None)
        self._remember(sink, now_ms)
        tokens_per_s = self._rate([one.stored_tokens_total for one in self._samples])
        return StackStatus(
            events_per_s=self._rate([one.stored_events_total for one in self._samples]),
            tokens_per_day=None if tokens_per_s is None else tokens_per_s * _SECONDS_PER_DAY,
            stored_events_total=sink.stored_events_total if sink else None,
            lag_records=max((one.lag_records for one in fresh if one.lag_records is not None), default=None),
            lag_s=max((one.lag_s for one in fresh if one.lag_s is not None), default=None),
            scenario=next((one.scenario for one in fresh if one.scenario), ""),
        )

    def _remember(self, sink: ComponentStatus | None, now_ms: int) -> None:
        if sink is None:
            self._samples.clear()
            return
        if self._samples and (sink.stored_events_total or 0) < (self._samples[-1].stored_events_total or 0):
            # The sink was started again and counts from zero.
            self._samples.clear()
        if not self._samples or sink.updated_at_ms > self._samples[-1].updated_at_ms:
            self._samples.append(sink)
        while len(self._samples) > 2 and now_ms - self._samples[0].updated_at_ms > _RATE_WINDOW_MS:
            self._samples.popleft()

    def _rate(self, totals: list[int | None]) -> float | None:
        if len(totals) < 2 or totals[0] is None or totals[-1] is None:
            return None
        elapsed_ms = self._samples[-1].updated_at_ms - self._samples[0].updated_at_ms
        return (totals[-1] - totals[0]) * 1000 / elapsed_ms
