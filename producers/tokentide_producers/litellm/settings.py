"""Settings of the LiteLLM callback, from `TOKENTIDE_...` variables."""

from __future__ import annotations

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from tokentide_producers.settings import EmitterSettings
from tokentide_schemas.settings import Settings

ENV_PREFIX = "TOKENTIDE_LITELLM_"


class LiteLLMSettings(Settings):
    """Where events go and what is read beside the numbers."""

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


class SettingsError(ValueError):
    """Settings are missing or wrong; the message names each variable."""


def load() -> tuple[LiteLLMSettings, EmitterSettings]:
    """Both settings from the environment, all errors together. Raises SettingsError; values are never shown."""
    problems: list[str] = []
    loaded: list[BaseSettings] = []
    for kind, prefix in ((LiteLLMSettings, ENV_PREFIX), (EmitterSettings, "TOKENTIDE_EMITTER_")):
        try:
            loaded.append(kind())
        except ValidationError as error:
            # The emitter's parts (sender, spool) read variables of their own: the error's title names the part.
            part = {"SenderSettings": "TOKENTIDE_SENDER_", "SpoolSettings": "TOKENTIDE_SPOOL_"}.get(error.title, prefix)
            for item in error.errors(include_input=False, include_url=False):
                name = "_".join(map(str, item["loc"])).upper()
                problems.append(f"  {name if name.startswith('TOKENTIDE_') else part + name}: {item['msg']}")
    if problems:
        raise SettingsError("tokentide: these settings are missing or wrong:\n" + "\n".join(problems))
    own, emitter = loaded
    assert isinstance(own, LiteLLMSettings) and isinstance(emitter, EmitterSettings)
    return own, emitter
