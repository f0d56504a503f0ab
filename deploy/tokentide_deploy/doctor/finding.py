"""What doctor says about one thing, and the list of everything that it looks at."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

PAGE: Final = "docs/doctor.md"


class Level(Enum):
    """How bad it is. UNKNOWN: it could not be looked at, because of something else that is told."""

    OK = "ok"
    WARNING = "warning"
    FAILURE = "failure"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Finding:
    """check: a key of CHECKS. what: what was seen. advice: what to do, '' when nothing is to be done."""

    check: str
    level: Level
    what: str
    advice: str = ""

    @property
    def runbook(self) -> str:
        """Where to read on."""
        return f"{PAGE}#{self.check}"


CHECKS: Final[dict[str, str]] = {
    "settings": "Settings can be used",
    "kafka-reachable": "Kafka answers",
    "kafka-tls": "Kafka's TLS fits",
    "kafka-credentials": "Kafka accepts our user",
    "topics": "Topics are there",
    "partitions": "Partitions suffice for the workers",
    "topic-settings": "Topics take our records and survive a broker",
    "consumer-groups": "Every consumer group has a member",
    "clickhouse-reachable": "ClickHouse answers",
    "clickhouse-tls": "ClickHouse's TLS fits",
    "clickhouse-credentials": "ClickHouse accepts our user",
    "grants": "The user may do what it must",
    "schema": "The tables are of this version",
    "clock": "Clocks agree",
    "disk": "Disks have room",
    "lag": "Consumers keep up",
    "worker": "The worker reports",
    "gateways": "Gateways that sent still send",
    "dead-letters": "Few events are refused",
    "unknown-models": "Models have names and prices",
    "hash-key": "Users are hashed with a good key",
    "catalogue": "Catalogue and cubes files can be used",
    "alerts-file": "The alerts file can be used",
    "receivers": "Receivers of alerts can be reached",
    "spool": "No events wait on disk",
    "stack": "One stack a data folder",
    "processes": "Every process is ready",
    "ports": "Ports are free for a start",
}
"""Every check by its name, in the order of the report. Each has a section in docs/doctor.md."""


def ok(check: str, what: str) -> Finding:
    """Nothing to do."""
    return Finding(check, Level.OK, what)


def warning(check: str, what: str, advice: str) -> Finding:
    """Works, but not for long or not well."""
    return Finding(check, Level.WARNING, what, advice)


def failure(check: str, what: str, advice: str) -> Finding:
    """Does not work."""
    return Finding(check, Level.FAILURE, what, advice)


def unknown(check: str, what: str) -> Finding:
    """Could not be looked at."""
    return Finding(check, Level.UNKNOWN, what)
