"""Doctor's look at Kafka: facts, then what they mean."""

from __future__ import annotations

import logging
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # exported at run time
    AdminClient,
    ConfigResource,
    OffsetSpec,
    ResourceType,
)

from tokentide_deploy.doctor.connection import Connection, look
from tokentide_deploy.doctor.finding import Finding, failure, ok, unknown, warning
from tokentide_schemas import topics
from tokentide_schemas.kafka_settings import KafkaSecurity, kafka_client
from tokentide_schemas.settings import read_settings
from tokentide_sinks.kafka import GROUP_EVENTS, GROUP_ROLLUPS
from tokentide_sinks.notify.notifier import GROUP_NOTIFY

GROUPS: Final = {
    topics.STREAM_APP_ID: "python -m tokentide_stream",
    topics.SHARES_APP_ID: "python -m tokentide_stream.shares",
    GROUP_EVENTS: "python -m tokentide_sinks events",
    GROUP_ROLLUPS: "python -m tokentide_sinks rollups",
    GROUP_NOTIFY: "python -m tokentide_sinks.notify",
}
_AUTHENTICATION: Final = frozenset(
    {KafkaError._AUTHENTICATION, KafkaError.SASL_AUTHENTICATION_FAILED, KafkaError.UNSUPPORTED_SASL_MECHANISM}
)
DEPENDENT: Final = ("topics", "partitions", "topic-settings", "consumer-groups")


@dataclass(frozen=True)
class KafkaFacts:
    """topics: name -> (partitions, replicas of the first). settings: topic -> its configuration, none when it may not
    be read. groups: consumer group -> members, None when unknown. newest_ms: of the newest usage record."""

    connection: Connection
    brokers: int = 0
    topics: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    settings: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    groups: Mapping[str, int | None] = field(default_factory=dict)
    newest_ms: int | None = None


def gather(servers: str, timeout_s: float = 6.0) -> KafkaFacts:
    """Ask Kafka; reads only. Never raises for what Kafka does or does not do."""
    security = read_settings(KafkaSecurity)
    try:
        context = security.ssl_context()
    except (OSError, ssl.SSLError) as error:
        return KafkaFacts(Connection(servers, "tls", f"the TLS files cannot be used: {error.strerror or error}"))
    found = [look(*_split(one), security.uses_tls, context, timeout_s / 3) for one in servers.split(",")]
    # A client needs one of them.
    best = next((one for one in found if not one.trouble), found[0])
    if best.trouble:
        return KafkaFacts(best)
    errors: list[KafkaError] = []
    quiet = logging.getLogger("tokentide_deploy.doctor.librdkafka")
    quiet.addHandler(logging.NullHandler())
    quiet.propagate = False
    config: dict[str, Any] = {**kafka_client(servers), "error_cb": errors.append}
    admin = AdminClient(config, logger=quiet)
    try:
        metadata = admin.list_topics(timeout=timeout_s)
    except KafkaException as error:
        admin.poll(0)
        return KafkaFacts(_trouble(best.address, [*errors, error.args[0]]))
    present = {
        name: (len(one.partitions), len(one.partitions[0].replicas) if one.partitions else 0)
        for name, one in metadata.topics.items()
    }
    return KafkaFacts(
        best,
        len(metadata.brokers),
        present,
        _settings(admin, [one.name for one in topics.topics() if one.name in present], timeout_s),
        _groups(admin, timeout_s),
        _newest_ms(admin, present.get(topics.USAGE, (0, 0))[0], timeout_s),
    )


def _split(server: str) -> tuple[str, int]:
    host, _, port = server.strip().rpartition(":")
    return host.strip("[]") or server, int(port) if port.isdigit() else 9092


def _trouble(address: str, errors: Sequence[KafkaError]) -> Connection:
    for error in errors:
        if error.code() in _AUTHENTICATION or "uthenticat" in error.str():
            return Connection(address, "credentials", f"{address}: {error.str().rpartition(': ')[2]}")
    for error in errors:
        if error.code() == KafkaError._SSL:
            return Connection(address, "tls", f"{address}: {error.str()}")
    return Connection(address, "other", f"{address}: {errors[-1].str()}")


def _settings(admin: Any, names: Sequence[str], timeout_s: float) -> dict[str, dict[str, str]]:
    asked = [ConfigResource(ResourceType.TOPIC, name) for name in names]
    found = {}
    for resource, future in (admin.describe_configs(asked, request_timeout=timeout_s) if asked else {}).items():
        try:
            found[resource.name] = {name: str(entry.value) for name, entry in future.result(timeout_s).items()}
        except (KafkaException, TimeoutError):
            continue
    return found


def _groups(admin: Any, timeout_s: float) -> dict[str, int | None]:
    found: dict[str, int | None] = {}
    for name, future in admin.describe_consumer_groups(list(GROUPS), request_timeout=timeout_s).items():
        try:
            found[name] = len(future.result(timeout_s).members)
        except KafkaException as error:
            gone = error.args[0].code() == KafkaError.GROUP_ID_NOT_FOUND
            found[name] = 0 if gone else None
        except TimeoutError:
            found[name] = None
    return found


def _newest_ms(admin: Any, partitions: int, timeout_s: float) -> int | None:
    newest_offset = OffsetSpec.max_timestamp()  # type: ignore[no-untyped-call]
    asked = {TopicPartition(topics.USAGE, number): newest_offset for number in range(partitions)}
    newest = None
    for future in (admin.list_offsets(asked, request_timeout=timeout_s) if asked else {}).values():
        try:
            newest = max(newest or 0, int(future.result(timeout_s).timestamp))
        except (KafkaException, TimeoutError):
            continue
    return newest if newest and newest > 0 else None


def judge(facts: KafkaFacts) -> list[Finding]:
    """Pure."""
    trouble = facts.connection
    if trouble.trouble:
        first = {"tls": "kafka-tls", "credentials": "kafka-credentials"}.get(trouble.trouble, "kafka-reachable")
        advice = {
            "kafka-reachable": "Check TOKENTIDE_KAFKA_BOOTSTRAP_SERVERS, that the broker runs, and that it advertises "
            "addresses that this machine reaches.",
            "kafka-tls": "TOKENTIDE_KAFKA_SECURITY_PROTOCOL must be the listener's, and TOKENTIDE_KAFKA_SSL_CA_FILE "
            "the authority that signed its certificate.",
            "kafka-credentials": "Check TOKENTIDE_KAFKA_SASL_USERNAME, _PASSWORD and _MECHANISM, and that the user "
            "exists.",
        }[first]
        blind = ("kafka-reachable", "kafka-tls", "kafka-credentials", *DEPENDENT)
        return [
            failure(first, trouble.detail, advice)
            if name == first
            else ok(name, f"{trouble.address} answers")
            if name == "kafka-reachable"
            else unknown(name, f"not looked at: {first}")
            for name in blind
        ]
    return [
        ok("kafka-reachable", f"{facts.brokers} brokers"),
        ok("kafka-tls", "as configured"),
        ok("kafka-credentials", "as configured"),
        *_judge_topics(facts),
        _judge_groups(facts),
    ]


def _judge_topics(facts: KafkaFacts) -> list[Finding]:
    wanted = topics.topics()
    missing = [one.name for one in wanted if one.name not in facts.topics]
    if missing:
        found = [failure("topics", f"missing: {', '.join(missing)}", "Run tokentide migrate.")]
    else:
        found = [ok("topics", f"{len(wanted)} topics")]
    return [*found, _judge_partitions(facts), _judge_settings(facts)]


def _judge_partitions(facts: KafkaFacts) -> Finding:
    shared = [one.name for one in topics.topics() if one.partitions is None]
    alike = {name: facts.topics[name][0] for name in shared if name in facts.topics}
    if not alike:
        return unknown("partitions", "not looked at: topics")
    if len(set(alike.values())) > 1:
        counts = ", ".join(f"{name}: {count}" for name, count in alike.items())
        advice = "They must be partitioned alike: make the topics anew, or give all of them the larger count."
        return failure("partitions", counts, advice)
    count = next(iter(alike.values()))
    workers = max(facts.groups.get(name) or 0 for name in (topics.STREAM_APP_ID, GROUP_EVENTS))
    if workers > count:
        advice = f"Stop {workers - count} of them, or plan a topic with more partitions: see docs/performance.md."
        return warning("partitions", f"{workers} processes share {count} partitions: some have no work", advice)
    return ok("partitions", f"{count} partitions, at most {workers} processes in a group")


def _judge_settings(facts: KafkaFacts) -> Finding:
    problems, hints = [], []
    for one in topics.topics():
        wanted = int(one.config.get("max.message.bytes", "0"))
        has = facts.settings.get(one.name, {}).get("max.message.bytes")
        if has is not None and int(has) < wanted:
            problems.append(f"{one.name} takes records of {int(has):,} bytes, {wanted:,} are needed")
        if facts.brokers > 1 and facts.topics.get(one.name, (0, 2))[1] < 2:
            hints.append(one.name)
    if problems:
        advice = "Raise max.message.bytes of these topics (kafka-configs --alter)."
        return failure("topic-settings", "; ".join(problems), advice)
    if hints:
        advice = "Raise their replication factor to 3 (kafka-reassign-partitions): a broker's loss would stop them."
        return warning("topic-settings", f"one replica only, of {facts.brokers} brokers: {', '.join(hints)}", advice)
    if not facts.settings:
        return unknown("topic-settings", "Kafka does not show them: the user lacks DescribeConfigs")
    return ok("topic-settings", "records of the needed size, replicas as many as brokers allow")


def _judge_groups(facts: KafkaFacts) -> Finding:
    empty = [name for name, members in facts.groups.items() if members == 0]
    if empty:
        starts = "; ".join(GROUPS[name] for name in empty)
        advice = f"Start or look into the log of: {starts}."
        return failure("consumer-groups", f"without a member: {', '.join(empty)}", advice)
    if any(members is None for members in facts.groups.values()) or not facts.groups:
        return unknown("consumer-groups", "Kafka does not show them: the user lacks Describe on groups")
    return ok("consumer-groups", ", ".join(f"{name}: {members}" for name, members in facts.groups.items()))
