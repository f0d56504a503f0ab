"""ClickHouse's roles, grants and users from the declared rights, as SQL for an administrator. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

from tokentide_deploy.grants.kafka_acls import user_of
from tokentide_deploy.grants.rights import EVERYTHING, Rights, StoreRights
from tokentide_schemas.cluster_ddl import Cluster, parts_table
from tokentide_schemas.grants import DICTIONARIES, OWNER_RIGHTS, READER_ROLE, grants

_DICTIONARIES = (*DICTIONARIES, "repricing")


def role_of(part: str, rights: StoreRights) -> str:
    """A part's role; all readers share one."""
    return READER_ROLE if rights.limited else f"tokentide_{part.replace('-', '_')}"


def statements(
    parts: Mapping[str, Rights],
    database: str,
    readable: Sequence[str],
    passwords: Mapping[str, str],
    cluster: str = "",
) -> list[str]:
    """Each safe to run again, in an order that works.

    readable: every table and view. passwords: part -> password of its user, of which only the SHA-256 is in the
    statements; parts without one get a role and no user. Raises ValueError for a database name that needs quoting.
    """
    on = f" ON CLUSTER '{cluster}'" if cluster else ""
    where = Cluster(cluster, database) if cluster else None
    readers = grants(database, readable, cluster=cluster)  # checks the name
    # They name views, which `tokentide migrate` makes first.
    found = readers if any(one.store is not None and one.store.limited for one in parts.values()) else []
    for part, rights in parts.items():
        store = rights.store
        if store is None:
            continue
        role = role_of(part, store)
        if not store.limited:
            found.append(f"CREATE ROLE IF NOT EXISTS {role}{on}")
            found += (f"GRANT{on} {right} TO {role}" for right in _rights(store, database, where))
        if part in passwords:
            user = f"`{user_of(part)}`"
            secret = hashlib.sha256(passwords[part].encode()).hexdigest()
            found.append(f"CREATE USER IF NOT EXISTS {user}{on} IDENTIFIED WITH sha256_hash BY '{secret}'")
            found.append(f"GRANT{on} {role} TO {user}")
    return found


def _rights(rights: StoreRights, database: str, cluster: Cluster | None) -> list[str]:
    def on(right: str, names: Sequence[str]) -> list[str]:
        if names == EVERYTHING:
            return [f"{right} ON {database}.*"]
        # On a cluster a Distributed table stands in front of the one that holds the rows; both are asked as this user.
        every = [one for name in names for one in dict.fromkeys((name, parts_table(name, cluster)))]
        return [f"{right} ON {database}.{name}" for name in every]

    if rights.owns_database:
        found = [f"{OWNER_RIGHTS} ON {database}.*", "REMOTE, KILL QUERY ON *.*"]
    else:
        found = [
            *on("SELECT", rights.selects),
            *on("INSERT", rights.inserts),
            *on("ALTER DELETE", rights.deletes),
            *on("OPTIMIZE", rights.optimizes),
        ]
        if rights.selects == EVERYTHING:
            found += (f"dictGet ON {database}.{name}" for name in _DICTIONARIES)
    found += (f"SELECT ON system.{name}" for name in rights.system)
    if rights.reloads_dictionaries:
        found.append("SYSTEM RELOAD DICTIONARY ON *.*")
    return found
