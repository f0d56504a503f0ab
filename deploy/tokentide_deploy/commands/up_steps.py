"""The one-time step between the store's start and the first consumer's."""

from tokentide_deploy.errors import StartError
from tokentide_deploy.kafka_topics import TopicSetupError, ensure_topics
from tokentide_deploy.stack_state import StackAddresses
from tokentide_sinks.migrate import MigrationError, migrate
from tokentide_sinks.store import Store, StoreError


def prepare(addresses: StackAddresses, partitions: int) -> None:
    """Bring the store's tables and the Kafka topics to what this version needs; safe to run at every start.

    Raises StartError with the reason and what to do.
    """
    try:
        ensure_topics(addresses.kafka_bootstrap_servers, partitions)
        migrate(Store(addresses.clickhouse_writer.url))
    except (TopicSetupError, MigrationError, StoreError) as error:
        raise StartError(f"The topics or tables cannot be prepared: {error}") from error
