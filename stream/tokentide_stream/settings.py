"""Settings of the stream worker."""

from __future__ import annotations

from pydantic import Field

from tokentide_schemas.settings import PlatformSettings


class StreamSettings(PlatformSettings):
    """What the worker reads from TOKENTIDE_* variables. Times are in seconds."""

    stream_allowed_lateness_s: int = Field(120, ge=0, le=86_400, description="How long a window stays open.")
    stream_emit_interval_s: float = Field(1.0, gt=0, le=60, description="Pause between two publications of changes.")
    stream_checkpoint_interval_s: float = Field(10.0, gt=0, le=300, description="Pause between two checkpoints.")
    stream_batch_records: int = Field(200, ge=1, le=10_000, description="Envelopes that are counted at once.")
    stream_batch_bytes: int = Field(16_777_216, ge=1, description="Bytes of envelopes that are counted at once.")
    stream_share_interval_s: float = Field(5.0, gt=0, le=300, description="Pause between two publications of shares.")
    stream_share_checkpoint_interval_s: float = Field(
        15.0, gt=0, le=300, description="Pause between two checkpoints of the global windows."
    )
    stream_idle_timeout_s: int = Field(
        30, ge=1, le=86_400, description="After this a partition without events no longer holds back final shares."
    )
    stream_mover_min_requests: int = Field(
        100, ge=0, description="Requests that a key needs in a window and the one before it to be ranked as a mover."
    )
    kafka_session_timeout_s: int = Field(10, ge=6, le=120, description="After this a silent process is replaced.")
