"""Settings of the sinks."""

from __future__ import annotations

from pydantic import Field

from tokentide_schemas.settings import PlatformSettings


class SinkSettings(PlatformSettings):
    """What the sinks read from TOKENTIDE_* variables. Times are in seconds."""

    sink_max_rows: int = Field(250_000, ge=1, le=1_000_000, description="Rows of one insert.")
    sink_max_bytes: int = Field(67_108_864, ge=1, description="Bytes of envelopes that wait for one insert.")
    sink_max_wait_s: float = Field(0.7, gt=0, le=60, description="Longest wait of an envelope for its insert.")
    sink_sample_interval_s: float = Field(5.0, gt=0, le=300, description="Pause between two lag samples.")
    kafka_session_timeout_s: int = Field(10, ge=6, le=120, description="After this a silent sink is replaced.")
