"""Run the statements: ACLs and SCRAM users by Kafka's admin interface, SQL at ClickHouse. Safe to repeat."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from confluent_kafka import KafkaException
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # exported at run time
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialAlteration,
    UserScramCredentialUpsertion,
)

from tokentide_deploy.errors import DeployError
from tokentide_deploy.grants.kafka_acls import Acl, user_of
from tokentide_schemas.kafka_settings import kafka_client
from tokentide_sinks.store import Store, StoreError

_KINDS = {
    "topic": ResourceType.TOPIC,
    "group": ResourceType.GROUP,
    "transactional-id": ResourceType.TRANSACTIONAL_ID,
}
_OPERATIONS = {
    "Read": AclOperation.READ,
    "Write": AclOperation.WRITE,
    "Create": AclOperation.CREATE,
    "Describe": AclOperation.DESCRIBE,
    "DescribeConfigs": AclOperation.DESCRIBE_CONFIGS,
    "AlterConfigs": AclOperation.ALTER_CONFIGS,
}
_SCRAM_ITERATIONS = 4096
_TIMEOUT_S = 30.0


def apply_acls(bootstrap_servers: str, acls: Sequence[Acl]) -> None:
    """As the user of the settings, who must be an administrator there. Raises DeployError."""
    bindings = [
        AclBinding(
            _KINDS[one.kind],
            one.name,
            ResourcePatternType.LITERAL,
            one.principal,
            "*",
            _OPERATIONS[one.operation],
            AclPermissionType.ALLOW,
        )
        for one in acls
    ]
    admin = _admin(bootstrap_servers)  # named: futures end with it
    futures = admin.create_acls(bindings, request_timeout=_TIMEOUT_S)
    _wait(futures.values(), bootstrap_servers, "ACLs")


def apply_scram_users(bootstrap_servers: str, passwords: Mapping[str, str], mechanism: str) -> None:
    """Users by SCRAM, part -> password; an existing one gets this password. Raises DeployError."""
    info = ScramCredentialInfo(ScramMechanism[mechanism.replace("-", "_")], _SCRAM_ITERATIONS)
    upsertions: list[UserScramCredentialAlteration] = [
        UserScramCredentialUpsertion(user_of(part), info, secret.encode()) for part, secret in passwords.items()
    ]
    admin = _admin(bootstrap_servers)
    futures = admin.alter_user_scram_credentials(upsertions, request_timeout=_TIMEOUT_S)
    _wait(futures.values(), bootstrap_servers, "SCRAM users")


def _admin(bootstrap_servers: str) -> AdminClient:
    return AdminClient({**kafka_client(bootstrap_servers), "log_level": 0})


def _wait(futures: object, bootstrap_servers: str, what: str) -> None:
    try:
        for future in futures:  # type: ignore[attr-defined]
            future.result(_TIMEOUT_S)
    except (KafkaException, TimeoutError) as error:
        said = error.args[0].str() if isinstance(error, KafkaException) else "no answer in time"
        raise DeployError(
            f"Kafka at {bootstrap_servers} does not make the {what}: {said}. The user of TOKENTIDE_KAFKA_SASL_USERNAME "
            "must be an administrator (Alter on the cluster), and the brokers need an authorizer."
        ) from error


def apply_sql(url: str, statements: Sequence[str]) -> None:
    """As the user of the URL, who must be an administrator there. Raises DeployError."""
    store = Store(url)
    try:
        for statement in statements:
            store.command(statement)
    except StoreError as error:
        raise DeployError(
            f"ClickHouse refuses the grants: {str(error)[:400]}. Its user must be an administrator "
            "(access_management, or GRANT OPTION on the database). The embedded store has its two users built in."
        ) from error
    finally:
        store.close()
