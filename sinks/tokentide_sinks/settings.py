"""Settings of the sinks."""

from __future__ import annotations

from pydantic import Field

from tokentide_schemas.alerting.loading import AlertSettings
from tokentide_schemas.settings import PlatformSettings


class ConsumerSettings(PlatformSettings):
    """A member of a consumer group that writes at its own pace."""

    kafka_session_timeout_s: int = Field(10, ge=6, le=120, description="After this a silent process is replaced.")
    kafka_max_poll_interval_s: int = Field(
        600, ge=6, le=3600, description="After this a sink that hangs in an insert is replaced; waiting is not hanging."
    )


class NotifySettings(ConsumerSettings, AlertSettings):
    """What the notifier reads."""


class SinkSettings(ConsumerSettings):
    """What the sinks read. Times are in seconds."""

    sink_max_rows: int = Field(250_000, ge=1, le=1_000_000, description="Rows of one insert.")
    sink_max_bytes: int = Field(67_108_864, ge=1, description="Bytes of envelopes that wait for one insert.")
    sink_max_wait_s: float = Field(0.7, gt=0, le=60, description="Longest wait of an envelope for its insert.")
    sink_max_store_refusals: int = Field(
        100, ge=1, le=200, description="Rows of one insert that the store may refuse before the sink stops."
    )
    sink_max_refused_ratio: float = Field(
        0.5, gt=0, le=1, description="Refused share of a partition's records at which the sink stops; 1 turns it off."
    )
    sink_refused_window_s: int = Field(60, ge=1, le=3600, description="Log time over which that share is taken.")
    sink_refused_min_records: int = Field(1_000, ge=1, description="Records in that time before the share counts.")
    sink_max_consecutive_refused: int = Field(
        10_000, ge=0, description="Records refused one after another at which the sink stops; 0 turns it off."
    )
    sink_sample_interval_s: float = Field(5.0, gt=0, le=300, description="Pause between two lag samples.")
    sink_maintenance_interval_s: float = Field(30.0, gt=0, le=3600, description="Pause between two counts of users.")
