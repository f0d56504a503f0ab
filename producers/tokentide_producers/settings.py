"""Settings of everything that sends, from arguments or from the environment (`TOKENTIDE_...`)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from tokentide_schemas import topics

Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Count = Annotated[int, Field(gt=0)]


class SenderSettings(BaseSettings):
    """How envelopes get to Kafka.

    compression: of Kafka's records. linger_ms: how long the client gathers records for one request.
    delivery_timeout_ms: after this the client gives a record up, and the sender sends it again with the same identity.
    retry_backoff_s: pause before that, and between attempts to reach a broker.
    """

    model_config = SettingsConfigDict(env_prefix="TOKENTIDE_SENDER_", frozen=True, extra="forbid")

    topic: str = topics.USAGE
    compression: Literal["lz4", "zstd", "none"] = "lz4"
    linger_ms: Annotated[int, Field(ge=0)] = 50
    delivery_timeout_ms: Annotated[int, Field(ge=100)] = 120_000
    retry_backoff_s: Annotated[float, Field(gt=0)] = 0.5
    connect_timeout_s: Annotated[float, Field(gt=0)] = 0.5


class SpoolSettings(BaseSettings):
    """Where events wait on disk while Kafka is away.

    directory: the spool's folder, which the processes of one machine may share; none: no spool. max_bytes: of the
    whole folder. after_s: how long Kafka may take to acknowledge before events go to disk. when_full: `refuse` new
    events (they fill the buffer, then `emit` drops them with a reason) or `drop_oldest` to keep the newest.
    """

    model_config = SettingsConfigDict(env_prefix="TOKENTIDE_SPOOL_", frozen=True, extra="forbid")

    directory: Path | None = None
    max_bytes: Annotated[int, Field(gt=0)] = 1024 * 1024 * 1024
    after_s: Annotated[float, Field(gt=0)] = 2.0
    when_full: Literal["refuse", "drop_oldest"] = "refuse"


class EmitterSettings(BaseSettings):
    """How an `Emitter` gathers events and what it does when Kafka is slow or away.

    batch_events, batch_bytes, batch_wait_s: an envelope is closed at the first of the three. max_buffered_events,
    max_buffered_bytes: what may wait for Kafka's acknowledgement in memory. block_up_to_s: how long `emit` may wait
    when that is full; 0 drops the event at once. close_timeout_s: how long `close` and the interpreter's exit wait for
    acknowledgements. label_wait_s: how long an envelope may wait for a classifier's labels. hash_key: the secret for
    `IdentifierHasher`. hash_keys: instead of it, several with the time from which each is used, as JSON
    (`HashKeyRing.parse`).
    """

    model_config = SettingsConfigDict(env_prefix="TOKENTIDE_EMITTER_", frozen=True, extra="forbid")

    batch_events: Annotated[int, Field(gt=0, le=20_000)] = 2_000
    # An estimate in characters, at most four bytes each: an envelope stays below `topics.MAX_RECORD_BYTES`.
    batch_bytes: Annotated[int, Field(gt=0, le=topics.MAX_RECORD_BYTES // 5)] = 1_000_000
    batch_wait_s: Annotated[float, Field(gt=0)] = 0.2
    max_buffered_events: Count = 200_000
    max_buffered_bytes: Count = 128 * 1024 * 1024
    block_up_to_s: Seconds = 0.0
    close_timeout_s: Seconds = 10.0
    label_wait_s: Seconds = 1.0
    hash_key: SecretStr = SecretStr("")
    hash_keys: SecretStr = SecretStr("")
    sender: SenderSettings = Field(default_factory=SenderSettings)
    spool: SpoolSettings = Field(default_factory=SpoolSettings)
