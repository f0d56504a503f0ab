"""What a process's settings are at the moment and where each came from. Secrets never leave this module."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal

from pydantic import SecretStr, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from tokentide_deploy.config.processes import Process
from tokentide_deploy.config.variables import is_secret, value_in_words
from tokentide_schemas.settings_base import fields_of, problems_of, variable_of
from tokentide_schemas.settings_sources import ConfigFile, given_in

Origin = Literal["default", "file", "environment"]
MASK: Final = "********"
_URL_LOGIN: Final = re.compile(r"(?<=://)([^/@:\s]*):([^/@\s]*)(?=@)")


@dataclass(frozen=True)
class Shown:
    """One setting as it may be seen. is_wrong: the value cannot be used."""

    process: str
    variable: str
    value: str
    origin: Origin
    is_wrong: bool = False


def settings_of(process: Process, file: ConfigFile, environment: Mapping[str, str] | None = None) -> list[Shown]:
    """Every setting of a process with its present value and origin; secrets and URLs' passwords are masked."""
    given = given_in(os.environ if environment is None else environment)
    found = {}
    for kind, name, field in fields_of(process.settings):
        variable = variable_of(kind, name)
        origin: Origin
        if variable in given:
            origin, raw = "environment", given[variable]
        elif variable in file.values:
            origin, raw = "file", file.values[variable]
        else:
            origin, raw = "default", None
        shown = _shown(field, raw) if origin != "default" else _default(field)
        wrong = (origin == "default" and field.is_required()) or (origin != "default" and not _is_valid(field, raw))
        found[variable] = Shown(process.name, variable, shown, origin, wrong)
    return list(found.values())


def problems(process: Process) -> list[str]:
    """What is wrong with a process's settings; empty when it can start."""
    return problems_of(process.settings) if process.is_ours else []


def masked(text: str) -> str:
    """A text without the passwords of its URLs."""
    return _URL_LOGIN.sub(rf"\1:{MASK}", text)


def _shown(field: FieldInfo, raw: Any) -> str:
    if is_secret(field):
        return _masked_secret(str(raw))
    return masked(raw if isinstance(raw, str) else value_in_words(raw))


def _masked_secret(text: str) -> str:
    # An address with a password in it is still worth seeing as an address.
    if _URL_LOGIN.search(text) and text.startswith(("http://", "https://")):
        return masked(text).partition("?")[0]
    return MASK


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return ""
    value = field.get_default(call_default_factory=True)
    return "" if isinstance(value, SecretStr) else value_in_words(value)


def _is_valid(field: FieldInfo, raw: Any) -> bool:
    annotation: Any = field.annotation
    for metadata in field.metadata:
        annotation = Annotated[annotation, metadata]
    try:
        TypeAdapter(annotation).validate_python(raw)
    except (ValidationError, TypeError):
        return False
    return True
