"""A Faust assignor that gives all partitions to one member; the others stand by."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from faust.assignor.client_assignment import ClientAssignment
from faust.assignor.partition_assignor import PartitionAssignor


def choose_owner(held: Mapping[str, int]) -> str:
    """The member that owns everything, from member -> partitions that it holds: who holds most, then by name."""
    return min(held, key=lambda member: (-held[member], member))


class OneOwnerAssignor(PartitionAssignor):  # type: ignore[misc]  # faust ships no types for it
    """Global windows need every partition in one process. The owner keeps its work when a member joins."""

    def _perform_assignment(self, cluster: Any, member_metadata: Mapping[str, Any]) -> Any:
        clients = {member: self._get_client_metadata(metadata) for member, metadata in member_metadata.items()}
        held = {member: sum(map(len, client.assignment.actives.values())) for member, client in clients.items()}
        owner = choose_owner(held)
        assignments = super()._perform_assignment(cluster, {owner: member_metadata[owner]})
        self._update_member_urls(clients)
        nothing = {member: ClientAssignment(actives={}, standbys={}) for member in clients if member != owner}
        assignments.update(self._protocol_assignments(nothing, {}, {}, {}))
        return assignments
