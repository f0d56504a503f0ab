"""Settings of the collector, from arguments or from the environment (`TOKENTIDE_COLLECTOR_...`)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from tokentide_producers.settings import SenderSettings

Bytes = Annotated[int, Field(gt=0)]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]

MIB: Final = 1024 * 1024
TOKEN_FILE_NAME: Final = "collector-tokens.json"
"""Of the token file in a stack's data directory."""


def _sender() -> SenderSettings:
    # Requests wait for the acknowledgement: what is gathered longer than this makes them slower, not cheaper.
    return SenderSettings(linger_ms=5)


class CollectorSettings(BaseSettings):
    """What a collector accepts and how it sends on.

    host, port: where it listens. token_file: hashed bearer tokens, re-read when it changes; needed beyond loopback.
    max_body_bytes: of a request as sent; max_unpacked_bytes: after decompression. max_in_flight_bytes: of all requests
    together until Kafka has them; beyond it the answer is 429. batch_wait_s: how long events of several requests are
    gathered for one envelope. ack_timeout_s: how long a request waits for Kafka before it gets a 503. stalled_after_s:
    once Kafka owes an acknowledgement for so long, new requests get the 503 at once. read_timeout_s: for a body to
    arrive. hash_key, hash_keys: as of the emitter, whose own (TOKENTIDE_EMITTER_HASH_KEY, ..._KEYS) count when
    these are not set; without any, users and sessions in spans stay unknown.
    """

    model_config = SettingsConfigDict(env_prefix="TOKENTIDE_COLLECTOR_", frozen=True, extra="forbid")

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 0
    token_file: Path | None = None
    max_body_bytes: Bytes = 16 * MIB
    max_unpacked_bytes: Bytes = 32 * MIB
    max_in_flight_bytes: Bytes = 256 * MIB
    max_events: Annotated[int, Field(gt=0, le=100_000)] = 100_000
    batch_wait_s: Seconds = 0.02
    ack_timeout_s: Seconds = 10.0
    stalled_after_s: Seconds = 3.0
    read_timeout_s: Seconds = 30.0
    hash_key: SecretStr = SecretStr("")
    hash_keys: SecretStr = SecretStr("")
    sender: SenderSettings = Field(default_factory=_sender)


class EmitterHashSettings(BaseSettings):
    """The emitters' keys: a user is the same one whichever way the events came."""

    model_config = SettingsConfigDict(env_prefix="TOKENTIDE_EMITTER_", frozen=True, extra="ignore")

    hash_key: SecretStr = SecretStr("")
    hash_keys: SecretStr = SecretStr("")
