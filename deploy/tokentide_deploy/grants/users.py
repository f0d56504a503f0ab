"""A user and a password for each part, as files that `TOKENTIDE_SECRETS_DIR` reads. Made once, never replaced."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from pathlib import Path

from tokentide_deploy.errors import DeployError
from tokentide_deploy.grants.kafka_acls import user_of
from tokentide_deploy.grants.rights import Rights
from tokentide_deploy.secret_making import write_once

KAFKA_PASSWORD = "TOKENTIDE_KAFKA_SASL_PASSWORD"
STORE_PASSWORD = "TOKENTIDE_CLICKHOUSE_PASSWORD"


def passwords(directory: Path, parts: Mapping[str, Rights], variable: str) -> dict[str, str]:
    """Part -> its password at Kafka or ClickHouse, from `directory/PART/VARIABLE`; what is missing is made.

    variable: KAFKA_PASSWORD or STORE_PASSWORD. Raises DeployError.
    """
    wanted = [p for p, r in parts.items() if (r.kafka if variable == KAFKA_PASSWORD else r.store) is not None]
    user_variable = "TOKENTIDE_KAFKA_SASL_USERNAME" if variable == KAFKA_PASSWORD else "TOKENTIDE_CLICKHOUSE_USER"
    found = {}
    try:
        for part in wanted:
            folder = directory / part
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_once(folder / user_variable, user_of(part))
            write_once(folder / variable, secrets.token_urlsafe(32))
            found[part] = (folder / variable).read_text(encoding="utf-8").strip()
    except OSError as error:
        raise DeployError(
            f"The secrets cannot be kept below {directory} ({error.strerror}): name a folder that this user may write "
            "to."
        ) from error
    return found
