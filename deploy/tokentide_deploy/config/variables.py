"""Every environment variable that any process reads, from the settings' models."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Final, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic import SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from tokentide_deploy.config.processes import PROCESSES, Process
from tokentide_schemas.crash_points import VARIABLE as CRASH_POINT_VARIABLE
from tokentide_schemas.settings_base import fields_of, variable_of
from tokentide_schemas.settings_sources import CONFIG_FILE_VARIABLE

UNITS: Final = {
    "_s": "seconds",
    "_ms": "milliseconds",
    "_bytes": "bytes",
    "_days": "days",
    "_ratio": "ratio",
    "_events": "events",
    "_rows": "rows",
    "_records": "records",
}
TEST_VARIABLES: Final = frozenset(
    {CRASH_POINT_VARIABLE, "TOKENTIDE_SCREENSHOTS", "TOKENTIDE_PROPERTY_CASES", "TOKENTIDE_TEST_SERVICES"}
)
"""Read by our own tests and by nothing else; known, so that no process warns of them."""


@dataclass(frozen=True)
class Variable:
    """One setting. field: in its settings class. type, default: in words. unit: '' for none. processes: who reads it.
    exceptions: the processes that have another default, and which."""

    name: str
    type: str
    default: str
    unit: str
    meaning: str
    is_secret: bool
    is_required: bool
    processes: tuple[str, ...]
    exceptions: tuple[tuple[str, str], ...] = ()


def variables_of(process: Process) -> list[Variable]:
    """The settings of one process, in the order of its models."""
    found: dict[str, Variable] = {}
    for kind, name, field in fields_of(process.settings):
        variable = variable_of(kind, name)
        found[variable] = Variable(
            name=variable,
            type=type_in_words(field),
            default="" if field.is_required() else value_in_words(field.get_default(call_default_factory=True)),
            unit=unit_of(name),
            meaning=field.description or "",
            is_secret=is_secret(field),
            is_required=field.is_required(),
            processes=(process.name,),
        )
    return list(found.values())


def all_variables() -> dict[str, Variable]:
    """Every variable of every process by its name, e.g. TOKENTIDE_KAFKA_BOOTSTRAP_SERVERS."""
    found: dict[str, Variable] = {
        CONFIG_FILE_VARIABLE: Variable(
            name=CONFIG_FILE_VARIABLE,
            type="path",
            default="",
            unit="",
            meaning="TOML file with settings; the environment wins over it.",
            is_secret=False,
            is_required=False,
            processes=tuple(process.name for process in PROCESSES if process.is_ours),
        )
    }
    for process in PROCESSES:
        for variable in variables_of(process):
            before = found.get(variable.name, variable)
            readers = tuple(dict.fromkeys((*before.processes, process.name)))
            exceptions = dict(before.exceptions)
            if variable.default != before.default:
                exceptions[process.name] = variable.default
            found[variable.name] = replace(before, processes=readers, exceptions=tuple(exceptions.items()))
    return dict(sorted(found.items()))


def unit_of(name: str) -> str:
    """By the name's suffix, as everywhere in this project."""
    return next((unit for suffix, unit in UNITS.items() if name.endswith(suffix)), "")


def is_secret(field: FieldInfo) -> bool:
    """Its value is never shown."""
    return field.annotation is SecretStr


def value_in_words(value: Any) -> str:
    """A default as a person writes it into the environment; '' for nothing and for secrets."""
    if value is None or value is PydanticUndefined or isinstance(value, SecretStr) or value in ((), Path()):
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value.value) if isinstance(value, Enum) else str(value)


def type_in_words(field: FieldInfo) -> str:
    """A field's type with its bounds."""
    annotation: Any = field.annotation
    if get_origin(annotation) in (Union, UnionType):
        annotation = next((one for one in get_args(annotation) if one is not NoneType), str)
    if get_origin(annotation) is Literal:
        return " or ".join(json.dumps(one).strip('"') for one in get_args(annotation))
    if get_origin(annotation) is tuple:
        return "paths"
    if isinstance(annotation, type) and issubclass(annotation, Path):
        return "path"
    words = {bool: "true or false", int: "integer", float: "number", SecretStr: "secret text", str: "text"}
    return str(words.get(annotation, "path")) + _bounds(field)


def _bounds(field: FieldInfo) -> str:
    said = []
    for one in field.metadata:
        for kind, attribute, words in ((Ge, "ge", "at least"), (Gt, "gt", "above"), (Le, "le", "at most")):
            if isinstance(one, kind):
                said.append(f"{words} {value_in_words(getattr(one, attribute))}")
        if isinstance(one, Lt):
            said.append(f"below {value_in_words(one.lt)}")
    return f" {', '.join(said)}" if said else ""
