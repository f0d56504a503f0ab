"""Which settings object each process has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from pydantic_settings import BaseSettings

from tokentide_deploy.config.settings import (
    BoardProcessSettings,
    CommandSettings,
    GatewaySettings,
    GrafanaVariables,
    StoreProcessSettings,
)
from tokentide_producers.collector.settings import CollectorProcessSettings
from tokentide_producers.litellm.settings import LiteLLMSettings
from tokentide_producers.settings import SimulatorSettings
from tokentide_sinks.settings import NotifySettings, SinkSettings
from tokentide_stream.alerting.settings import AlertingSettings
from tokentide_stream.settings import StreamSettings


@dataclass(frozen=True)
class Process:
    """One kind of process. name: as `tokentide up` calls it. command: how it is started. is_ours: its settings are
    read by our code, so that `config check` can judge them."""

    name: str
    command: str
    settings: type[BaseSettings]
    is_ours: bool = True


PROCESSES: Final = (
    Process("stream", "python -m tokentide_stream", StreamSettings),
    Process("shares", "python -m tokentide_stream.shares", StreamSettings),
    Process("events-sink", "python -m tokentide_sinks events", SinkSettings),
    Process("rollups-sink", "python -m tokentide_sinks rollups", SinkSettings),
    Process("maintenance", "python -m tokentide_sinks maintenance", SinkSettings),
    Process("alerts", "python -m tokentide_stream.alerting", AlertingSettings),
    Process("notify", "python -m tokentide_sinks.notify", NotifySettings),
    Process("collector", "python -m tokentide_deploy.collector_process", CollectorProcessSettings),
    Process("board", "python -m tokentide_deploy.board", BoardProcessSettings),
    Process("store", "python -m tokentide_deploy.store", StoreProcessSettings),
    Process("simulator", "python -m tokentide_producers.simulator", SimulatorSettings),
    Process("gateway", "your gateway, with `tokentide_producers.emitter.Emitter`", GatewaySettings),
    Process("litellm", "LiteLLM, with our callback", LiteLLMSettings),
    Process("command", "tokentide ...", CommandSettings),
    Process("grafana", "Grafana, with our provisioning files", GrafanaVariables, is_ours=False),
)


def process_of(name: str) -> Process | None:
    """The process of a name, None for an unknown one."""
    return next((process for process in PROCESSES if process.name == name), None)
