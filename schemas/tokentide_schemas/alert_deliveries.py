"""What became of telling an alert: records of the alerts topic, each after the change that it is about.

The notifier writes them and reads them again when it starts, which is how it knows what it has told; the rollup sink
stores them for people.
"""

from __future__ import annotations

import uuid
from enum import StrEnum
from typing import Annotated, Final

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from tokentide_schemas.alerts import AlertState

KIND_DELIVERY: Final = b"delivery"
"""Header value (`alerts.HEADER_KIND`) of a record with an `AlertDelivery`."""


class DeliveryOutcome(StrEnum):
    """retrying: an attempt failed, another follows. Everything else is final; superseded: the alert had ended before it
    could be told, and its end was told instead."""

    DELIVERED = "delivered"
    RETRYING = "retrying"
    REFUSED = "refused"
    GIVEN_UP = "given_up"
    SUPERSEDED = "superseded"

    @property
    def is_final(self) -> bool:
        """Whether nothing more will be tried."""
        return self is not DeliveryOutcome.RETRYING


class AlertDelivery(BaseModel):
    """How far one receiver has been told one change. error: what went wrong and what to do, '' when nothing did; never
    an address or a secret. http_status: of the last attempt, None without an answer."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    receiver: str
    receiver_type: str
    alert_id: uuid.UUID
    state: AlertState
    outcome: DeliveryOutcome
    attempts: Annotated[int, Field(ge=0)]
    http_status: int | None = None
    error: str = ""
    changed_at: AwareDatetime
    attempted_at: AwareDatetime
    latency_ms: Annotated[int, Field(ge=0)] = 0
