"""The one-time step between the store's start and the first consumer's."""

from tokentide_deploy.stack_state import StackAddresses


def prepare(addresses: StackAddresses, partitions: int) -> None:
    """Bring the store's tables and the Kafka topics to what this version needs; safe to run at every start."""
