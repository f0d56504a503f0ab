"""The platform's processes by name, as `tokentide run NAME`, the compose file and the Helm chart start them."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import Final


@dataclass(frozen=True, slots=True)
class Part:
    """One process. module, arguments: of `python -m`. help: what it does, in one line."""

    module: str
    help: str
    arguments: tuple[str, ...] = ()


PARTS: Final = MappingProxyType(
    {
        "worker": Part(
            "tokentide_stream", "Faust worker: usage topic to rollups, one of as many as there are partitions."
        ),
        "shares": Part("tokentide_stream.shares", "Merges all partitions into global windows; a second one stands by."),
        "events-sink": Part("tokentide_sinks", "Usage topic to the raw table, exactly once.", ("events",)),
        "rollups-sink": Part("tokentide_sinks", "Rollup, share and alert topics to their tables.", ("rollups",)),
        "maintenance": Part(
            "tokentide_sinks", "Distinct users, sums of weeks, kept views; one is enough.", ("maintenance",)
        ),
        "alerts": Part("tokentide_stream.alerting", "The alert engine; a second one stands by."),
        "notify": Part("tokentide_sinks.notify", "Tells alerts to the receivers of the alerts file."),
        "collector": Part("tokentide_deploy.collector_process", "Usage events over HTTP."),
        "board": Part("tokentide_deploy.board", "The dashboards in a browser, read-only."),
    }
)
