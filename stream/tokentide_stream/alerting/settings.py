"""Settings of the alert engine."""

from __future__ import annotations

from pydantic import Field

from tokentide_schemas.alerting import AlertSettings
from tokentide_schemas.settings import PlatformSettings


class AlertingSettings(PlatformSettings, AlertSettings):
    """What the engine reads from TOKENTIDE_* variables. Times are in seconds."""

    alerting_grace_s: float = Field(
        4.0, ge=0, le=300, description="Wait after a window's close for events that are a little out of order."
    )
    alerting_slow_cubes_wait_s: float = Field(
        30.0, ge=0, le=300, description="Longest wait for the cubes that are published later than the model cube."
    )
    alerting_idle_s: int = Field(
        30, ge=5, le=3_600, description="After this a partition without events no longer holds windows open."
    )
    alerting_history_s: int = Field(
        90_000, ge=600, le=60 * 86_400, description="History from which references are learned at a start."
    )
    alerting_catch_up_s: int = Field(
        3_600, ge=120, le=86_400, description="After a pause, windows that are older are learned from and not told."
    )
    alerting_poll_s: float = Field(1.0, gt=0, le=60, description="Pause between two looks for closed windows.")
