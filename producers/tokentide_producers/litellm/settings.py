"""Settings of the LiteLLM callback, from `TOKENTIDE_...` variables."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from tokentide_producers.categories.settings import CategorySettings
from tokentide_producers.settings import EmitterSettings
from tokentide_schemas.kafka_settings import KafkaSecurity
from tokentide_schemas.settings import CatalogueSettings, Settings

ENV_PREFIX = "TOKENTIDE_LITELLM_"


class LiteLLMSettings(Settings):
    """Everything that LiteLLM with our callback reads: where events go and what is read beside the numbers."""

    model_config = SettingsConfigDict(env_prefix=ENV_PREFIX, populate_by_name=True)

    kafka_bootstrap_servers: str = Field(
        min_length=1,
        validation_alias="TOKENTIDE_KAFKA_BOOTSTRAP_SERVERS",
        description="host:port[,host:port] of the Kafka brokers.",
    )
    gateway: str = Field("litellm", description="Name of the gateway in every event.")
    gateway_region: str = Field("", description="Region of the gateway in every event.")
    app_from_key_alias: bool = Field(
        False,
        description="The virtual key's alias becomes `app` where the request names none; off, because an alias may be "
        "a person's name.",
    )
    retry_wait_s: float = Field(
        65.0,
        gt=0,
        description="How long a failed attempt may wait to learn whether it was the last one, where LiteLLM does not "
        "say; longer than LiteLLM's longest pause before a retry.",
    )
    max_open_requests: int = Field(100_000, gt=0, description="Requests that are remembered while they run.")
    emitter: EmitterSettings = Field(default_factory=EmitterSettings)
    categories: CategorySettings = Field(default_factory=CategorySettings)
    catalogue: CatalogueSettings = Field(default_factory=CatalogueSettings)
    kafka: KafkaSecurity = Field(default_factory=KafkaSecurity)
