"""The embedded store with a user for each part, who has the rights of `tokentide deploy grants` and nothing else.

    python -m deploy.store_with_roles --data-dir DIR --port PORT

ClickHouse's SQL for users needs a server; the engine's own roles and its checks are the same here.
TOKENTIDE_TEST_SECRETS names the folder of the parts' passwords.
"""

from __future__ import annotations

import os
import re
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from tokentide_deploy.grants.clickhouse_sql import role_of
from tokentide_deploy.grants.kafka_acls import user_of
from tokentide_deploy.grants.plan import Choice, plan
from tokentide_deploy.grants.rights import rights
from tokentide_deploy.grants.users import STORE_PASSWORD
from tokentide_deploy.store import engine_config, execute, server
from tokentide_deploy.store.access import AccessPolicy, User
from tokentide_schemas.cubes import CUBES

SECRETS = Path(os.environ["TOKENTIDE_TEST_SECRETS"])
ROLES = {
    user_of(part): (part, role_of(part, one.store)) for part, one in rights(CUBES).items() if one.store is not None
}


def granted() -> dict[str, list[str]]:
    """Role -> what the printed statements grant to it."""
    found: dict[str, list[str]] = defaultdict(list)
    for line in plan("clickhouse", Choice()).lines:
        match = re.fullmatch(r"GRANT (.+) TO (\w+);", line)
        if match:
            found[match[2]].append(match[1])
    return found


def with_roles(written: str) -> str:
    """The engine's users file with the parts' roles in it."""
    roles = "".join(
        f"<{role}><grants>{''.join(f'<query>GRANT {escape(one)}</query>' for one in rights)}</grants></{role}>\n"
        for role, rights in granted().items()
    )
    held = "".join(f"<query>GRANT {role}</query>\n" for role in granted())
    return written.replace("</roles>", f"{roles}</roles>").replace(
        "</grants>\n    </default>", f"{held}</grants></default>"
    )


def main() -> int:
    users_xml, find, lease = engine_config.users_xml, AccessPolicy.user, execute.Executor._lease

    def user(policy: AccessPolicy, name: str) -> User | None:
        if name not in ROLES:
            return find(policy, name)
        return User(name, (SECRETS / ROLES[name][0] / STORE_PASSWORD).read_text().strip(), is_reader=False)

    def restricted(service: Any, request: Any, who: User, statement: Any) -> Any:
        found = lease(service, request, who, statement)
        if who.name in ROLES:
            found.connection.execute(f"SET ROLE {ROLES[who.name][1]}")
        return found

    engine_config.users_xml = lambda settings: with_roles(users_xml(settings))
    AccessPolicy.user = user  # type: ignore[method-assign]
    execute.Executor._lease = restricted  # type: ignore[method-assign]
    return server.main()


if __name__ == "__main__":
    sys.exit(main())
