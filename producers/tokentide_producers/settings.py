"""Settings of everything that sends, from arguments, the environment (`TOKENTIDE_...`) or the settings file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

from tokentide_schemas import topics
from tokentide_schemas.settings import KafkaSettings, ProcessFiles, Settings

Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Count = Annotated[int, Field(gt=0)]


class SenderSettings(Settings):
    """How envelopes get to Kafka."""

    model_config = SettingsConfigDict(env_prefix="TOKENTIDE_SENDER_", extra="forbid")

    topic: str = Field(topics.USAGE, description="Topic of usage events.")
    compression: Literal["lz4", "zstd", "none"] = Field("lz4", description="Compression of Kafka's records.")
    linger_ms: int = Field(50, ge=0, description="How long the client gathers records for one request.")
    delivery_timeout_ms: int = Field(
        120_000,
        ge=100,
        description="After this the client gives a record up, and the sender sends it again with the same identity.",
    )
    retry_backoff_s: float = Field(0.5, gt=0, description="Pause before that, and between attempts to reach a broker.")
    connect_timeout_s: float = Field(0.5, gt=0, description="Longest wait for a broker's answer about the topic.")


class SpoolSettings(Settings):
    """Where events wait on disk while Kafka is away."""

    model_config = SettingsConfigDict(env_prefix="TOKENTIDE_SPOOL_", extra="forbid")

    directory: Path | None = Field(
        None, description="The spool's folder, which the processes of one machine may share; none: no spool."
    )
    max_bytes: int = Field(1024 * 1024 * 1024, gt=0, description="Most bytes of the whole folder.")
    after_s: float = Field(2.0, gt=0, description="How long Kafka may take to acknowledge before events go to disk.")
    when_full: Literal["refuse", "drop_oldest"] = Field(
        "refuse",
        description="`refuse` new events (they fill the buffer, then `emit` drops them with a reason) or "
        "`drop_oldest` to keep the newest.",
    )


class EmitterKeys(Settings):
    """The secrets with which users and sessions are hashed: the same for all gateways, or a user is not the same."""

    model_config = SettingsConfigDict(env_prefix="TOKENTIDE_EMITTER_")

    hash_key: SecretStr = Field(SecretStr(""), description="Secret key of the hashes of users and sessions.")
    hash_keys: SecretStr = Field(
        SecretStr(""),
        description="Instead of it, several keys with the time from which each is used, as JSON.",
    )


class EmitterSettings(EmitterKeys):
    """How an `Emitter` gathers events and what it does when Kafka is slow or away.

    An envelope is closed at the first of `batch_events`, `batch_bytes` and `batch_wait_s`.
    """

    model_config = SettingsConfigDict(env_prefix="TOKENTIDE_EMITTER_", extra="forbid")

    batch_events: int = Field(2_000, gt=0, le=20_000, description="Most events of one envelope.")
    # An estimate in characters, at most four bytes each: an envelope stays below `topics.MAX_RECORD_BYTES`.
    batch_bytes: int = Field(
        1_000_000, gt=0, le=topics.MAX_RECORD_BYTES // 5, description="Most bytes of one envelope, as estimated."
    )
    batch_wait_s: float = Field(0.2, gt=0, description="Longest wait of an event for its envelope.")
    max_buffered_events: Count = Field(
        200_000, description="Most events that wait in memory for Kafka's acknowledgement."
    )
    max_buffered_bytes: Count = Field(128 * 1024 * 1024, description="Most bytes of them.")
    block_up_to_s: Seconds = Field(
        0.0, description="How long `emit` may wait when the buffer is full; 0 drops the event at once."
    )
    close_timeout_s: Seconds = Field(
        10.0, description="How long `close` and the interpreter's exit wait for acknowledgements."
    )
    label_wait_s: Seconds = Field(1.0, description="How long an envelope may wait for a classifier's labels.")
    sender: SenderSettings = Field(default_factory=SenderSettings)
    spool: SpoolSettings = Field(default_factory=SpoolSettings)


class SimulatorSettings(KafkaSettings, ProcessFiles):
    """Everything that the simulator's process reads."""

    sender: SenderSettings = Field(default_factory=SenderSettings)
