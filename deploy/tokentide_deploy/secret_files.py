"""Secrets as files: what Docker and Kubernetes mount, one file a variable, becomes the process's environment.

A password in a file is in no process list, no `docker inspect` and no pod description.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from tokentide_deploy.errors import DeployError

DIRECTORY_VARIABLE: Final = "TOKENTIDE_SECRETS_DIR"
_NAME: Final = re.compile(r"TOKENTIDE_[A-Z0-9_]+")


def secret_variables(directory: Path) -> dict[str, str]:
    """Variable -> content of each file of `directory` that is named like one, without its last line break.

    Other files are left alone (a mounted volume has entries of its own). Raises DeployError for a folder or a file that
    cannot be read, without the content.
    """
    try:
        files = [path for path in sorted(directory.iterdir()) if _NAME.fullmatch(path.name) and path.is_file()]
    except OSError as error:
        raise DeployError(
            f"{DIRECTORY_VARIABLE}={directory} cannot be read ({error.strerror}): mount the secrets there, one file a "
            "variable, for instance TOKENTIDE_CLICKHOUSE_URL."
        ) from error
    found = {}
    for path in files:
        try:
            found[path.name] = path.read_text(encoding="utf-8").rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            raise DeployError(f"The secret {path} cannot be read as UTF-8 text ({type(error).__name__}).") from None
    return found


def environment_with_secrets(environment: Mapping[str, str]) -> dict[str, str]:
    """`environment` with the files of TOKENTIDE_SECRETS_DIR under it: a variable that is set already wins."""
    directory = environment.get(DIRECTORY_VARIABLE, "")
    return {**secret_variables(Path(directory)), **environment} if directory else dict(environment)


def apply_secrets() -> None:
    """Do that for this process and those it starts."""
    os.environ.update(environment_with_secrets(os.environ))
