"""Settings of the collector, from arguments, the environment (`TOKENTIDE_COLLECTOR_...`) or the settings file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

from tokentide_producers.categories.settings import CategorySettings
from tokentide_producers.settings import EmitterKeys, SenderSettings
from tokentide_schemas.settings import CatalogueSettings, HealthSettings, KafkaSettings, ProcessFiles, Settings

Bytes = Annotated[int, Field(gt=0)]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]

MIB: Final = 1024 * 1024
TOKEN_FILE_NAME: Final = "collector-tokens.json"
"""Of the token file in a stack's data directory."""


class CollectorSenderSettings(SenderSettings):
    """Requests wait for the acknowledgement: what is gathered longer makes them slower, not cheaper."""

    linger_ms: int = Field(5, ge=0, description="How long the client gathers records for one request.")


class CollectorSettings(Settings):
    """What a collector accepts and how it sends on.

    hash_key, hash_keys: as of the emitter, whose own (TOKENTIDE_EMITTER_HASH_KEY, ..._KEYS) count when these are not
    set; without any, users and sessions in spans stay unknown.
    """

    model_config = SettingsConfigDict(env_prefix="TOKENTIDE_COLLECTOR_", extra="forbid")

    host: str = Field("127.0.0.1", description="Address to listen on; beyond loopback senders need a token.")
    port: int = Field(0, ge=0, le=65535, description="Port to listen on; 0 picks a free one.")
    token_file: Path | None = Field(
        None, description="Hashed bearer tokens, read again when it changes; needed beyond loopback."
    )
    max_body_bytes: Bytes = Field(16 * MIB, description="Most bytes of a request as sent.")
    max_unpacked_bytes: Bytes = Field(32 * MIB, description="Most bytes of a request after decompression.")
    max_in_flight_bytes: Bytes = Field(
        256 * MIB, description="Most bytes of all requests together until Kafka has them; beyond it the answer is 429."
    )
    max_events: int = Field(100_000, gt=0, le=100_000, description="Most events of one request.")
    batch_wait_s: Seconds = Field(
        0.02, description="How long events of several requests are gathered for one envelope."
    )
    ack_timeout_s: Seconds = Field(10.0, description="How long a request waits for Kafka before it gets a 503.")
    stalled_after_s: Seconds = Field(
        3.0, description="Once Kafka owes an acknowledgement for so long, new requests get the 503 at once."
    )
    read_timeout_s: Seconds = Field(30.0, description="How long a body may take to arrive.")
    hash_key: SecretStr = Field(
        SecretStr(""), description="Secret key of the hashes of users and sessions; the emitter's without."
    )
    hash_keys: SecretStr = Field(SecretStr(""), description="Instead of it, several keys over time, as JSON.")
    sender: CollectorSenderSettings = Field(default_factory=CollectorSenderSettings)


class CollectorProcessSettings(CatalogueSettings, KafkaSettings, ProcessFiles, HealthSettings):
    """Everything that a collector's process reads."""

    collector: CollectorSettings = Field(default_factory=CollectorSettings)
    emitter: EmitterKeys = Field(default_factory=EmitterKeys)
    categories: CategorySettings = Field(default_factory=CategorySettings)
