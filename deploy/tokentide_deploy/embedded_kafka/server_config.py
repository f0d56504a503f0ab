"""The broker's `server.properties`: KRaft, one node that is broker and controller, loopback only."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

MIB = 1024 * 1024
# An envelope may carry a large micro-batch; clients must allow the same (message.max.bytes, fetch sizes).
MAX_MESSAGE_BYTES = 16 * MIB


@dataclass(frozen=True)
class ServerConfig:
    """What differs between two embedded brokers."""

    log_dir: Path
    port: int
    controller_port: int
    host: str = "127.0.0.1"
    retention_hours: int = 168
    retention_bytes_per_partition: int = 4 * 1024 * MIB
    more_listeners: Mapping[str, str] = field(default_factory=dict)
    """Further listeners, name -> host:port. Their protocol and keys are in `more_properties`."""
    more_properties: Mapping[str, str] = field(default_factory=dict)

    def properties(self) -> dict[str, str]:
        """All settings as Kafka names them."""
        more = "".join(f",{name}://{address}" for name, address in self.more_listeners.items())
        settings: dict[str, str | int] = {
            "process.roles": "broker,controller",
            "node.id": 1,
            "controller.quorum.voters": f"1@{self.host}:{self.controller_port}",
            "listeners": f"PLAINTEXT://{self.host}:{self.port},CONTROLLER://{self.host}:{self.controller_port}{more}",
            "advertised.listeners": f"PLAINTEXT://{self.host}:{self.port}{more}",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "controller.listener.names": "CONTROLLER",
            "inter.broker.listener.name": "PLAINTEXT",
            "log.dirs": str(self.log_dir),
            # Topics are declared by the platform; a typing error must not create one.
            "auto.create.topics.enable": "false",
            # One node: one replica of everything, and few partitions to load at start.
            "offsets.topic.replication.factor": 1,
            "offsets.topic.num.partitions": 8,
            "offsets.topic.segment.bytes": 16 * MIB,
            "transaction.state.log.replication.factor": 1,
            "transaction.state.log.min.isr": 1,
            "transaction.state.log.num.partitions": 4,
            "transaction.state.log.segment.bytes": 16 * MIB,
            "share.coordinator.state.topic.replication.factor": 1,
            "share.coordinator.state.topic.min.isr": 1,
            "share.coordinator.state.topic.num.partitions": 1,
            # Consumers: join at once, and short sessions so that a crashed member's partitions move in seconds.
            "group.initial.rebalance.delay.ms": 0,
            "group.min.session.timeout.ms": 1000,
            "group.consumer.min.session.timeout.ms": 6000,
            "group.consumer.session.timeout.ms": 10000,
            "group.consumer.min.heartbeat.interval.ms": 1000,
            "group.consumer.heartbeat.interval.ms": 3000,
            # The sinks keep their pending offset ranges in the commit's metadata.
            "offset.metadata.max.bytes": 64 * 1024,
            "message.max.bytes": MAX_MESSAGE_BYTES,
            "replica.fetch.max.bytes": MAX_MESSAGE_BYTES,
            # Retention follows the time of arrival: replayed history carries old times (which would be deleted at
            # once), and a broken clock's future time would be refused or kept for ever.
            "log.message.timestamp.type": "LogAppendTime",
            "log.retention.hours": self.retention_hours,
            "log.retention.bytes": self.retention_bytes_per_partition,
            "log.segment.bytes": 64 * MIB,
            "log.index.size.max.bytes": 2 * MIB,
            # The default takes 128 MiB of heap for the compaction of a few small topics.
            "log.cleaner.dedupe.buffer.size": 16 * MIB,
            # After a kill -9 the controller refuses the broker until the killed one's session is over: with the
            # default of 9 s a restart takes 13 s. Heartbeats stay inside the process, so a short session is safe.
            "broker.session.timeout.ms": 3000,
            "broker.heartbeat.interval.ms": 500,
            "num.network.threads": 2,
            "num.io.threads": 4,
            "background.threads": 2,
            "num.recovery.threads.per.data.dir": 2,
            "auto.leader.rebalance.enable": "false",
        }
        return {name: str(value) for name, value in settings.items()} | dict(self.more_properties)

    def text(self) -> str:
        """The file's content."""
        return "".join(f"{name}={_escape(value)}\n" for name, value in self.properties().items())


def _escape(value: str) -> str:
    # Java properties: a backslash starts an escape, and everything outside Latin-1 must be written as one.
    return "".join("\\\\" if char == "\\" else char if " " <= char <= "~" else _unicode_escapes(char) for char in value)


def _unicode_escapes(char: str) -> str:
    encoded = char.encode("utf-16-be")
    return "".join(f"\\u{encoded[i]:02x}{encoded[i + 1]:02x}" for i in range(0, len(encoded), 2))
