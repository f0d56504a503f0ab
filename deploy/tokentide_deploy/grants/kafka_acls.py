"""Kafka's ACLs from the declared rights: as values for an AdminClient and as lines for `kafka-acls.sh`. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from tokentide_deploy.grants.rights import KafkaRights, Rights

Kind = Literal["topic", "group", "transactional-id"]
_OPTION: Mapping[Kind, str] = {"topic": "--topic", "group": "--group", "transactional-id": "--transactional-id"}


@dataclass(frozen=True, slots=True, order=True)
class Acl:
    """One permission. operation: as Kafka's tools spell it (Read, Write, DescribeConfigs ...)."""

    principal: str
    kind: Kind
    name: str
    operation: str


def acls(parts: Mapping[str, Rights], principals: Mapping[str, str]) -> list[Acl]:
    """In the order of the parts. principals: part -> `User:name`, where it is not `User:tokentide-PART`."""
    found: list[Acl] = []
    for part, rights in parts.items():
        if rights.kafka is not None:
            principal = principals.get(part, f"User:{user_of(part)}")
            found += (Acl(principal, kind, name, operation) for kind, name, operation in _permissions(rights.kafka))
    return list(dict.fromkeys(found))


def user_of(part: str) -> str:
    """A part's user at Kafka and at ClickHouse."""
    return f"tokentide-{part}"


def _permissions(rights: KafkaRights) -> Iterator[tuple[Kind, str, str]]:
    for names, operation in (
        (rights.reads, "Read"),
        (rights.writes, "Write"),
        (rights.creates, "Create"),
        (rights.describes, "Describe"),
        (rights.sees_settings, "DescribeConfigs"),
        (rights.alters_settings, "AlterConfigs"),
    ):
        for name in names:
            yield "topic", name, operation
    for name in rights.groups:
        yield "group", name, "Read"
    for name in rights.sees_groups:
        yield "group", name, "Describe"
    for name in rights.transactions:
        yield "transactional-id", name, "Write"


def shell_lines(found: list[Acl], bootstrap_servers: str, command_config: str) -> list[str]:
    """One `kafka-acls.sh` a principal and resource; repeating them changes nothing."""
    together: dict[tuple[str, Kind, str], list[str]] = {}
    for one in found:
        together.setdefault((one.principal, one.kind, one.name), []).append(one.operation)
    lines = []
    for (principal, kind, name), operations in together.items():
        words = ["kafka-acls.sh", "--bootstrap-server", bootstrap_servers]
        words += ["--command-config", command_config] if command_config else []
        words += ["--add", "--allow-principal", principal]
        words += [word for operation in operations for word in ("--operation", operation)]
        lines.append(shlex.join([*words, _OPTION[kind], name]))
    return lines
