"""How settings are read: from arguments, the environment and a TOML file; all errors at once, without secrets."""

from __future__ import annotations

import difflib
import os
import sys
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar, get_args

from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict
from pydantic_settings import SettingsError as SourceError

from tokentide_schemas.settings_error import SettingsError
from tokentide_schemas.settings_sources import (
    ConfigFileError,
    EnvironmentSource,
    FileSource,
    given_in,
    load_config_file,
    unknown_variables,
)

SettingsT = TypeVar("SettingsT", bound=BaseSettings)


class Settings(BaseSettings):
    """Base of all settings: arguments win over TOKENTIDE_* variables, these over the TOML file, it over defaults."""

    model_config = SettingsConfigDict(env_prefix="TOKENTIDE_", extra="ignore", frozen=True, hide_input_in_errors=True)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments, environment, file."""
        return init_settings, EnvironmentSource(settings_cls), FileSource(settings_cls)


def variable_of(kind: type[BaseSettings], name: str) -> str:
    """The environment variable of a field."""
    alias = kind.model_fields[name].validation_alias if name in kind.model_fields else None
    return alias if isinstance(alias, str) else f"{kind.model_config.get('env_prefix', '')}{name}".upper()


def nested_of(field: FieldInfo) -> type[BaseSettings] | None:
    """The settings that a field holds as one object, None for a plain field."""
    annotation = field.annotation
    return annotation if isinstance(annotation, type) and issubclass(annotation, BaseSettings) else None


def problems_of(kind: type[BaseSettings], given: Mapping[str, Any] | None = None) -> list[str]:
    """What is wrong with a process's settings, a sentence each. given: arguments, which win over the environment."""
    problems: list[str] = []
    arguments = dict(given or {})
    for name, field in kind.model_fields.items():
        nested = nested_of(field)
        if nested is not None and name not in arguments and (found := problems_of(nested)):
            problems += found
            arguments[name] = _unchecked(nested)
    try:
        kind(**arguments)
    except ValidationError as error:
        problems += [_sentence(kind, item) for item in error.errors(include_input=False, include_url=False)]
    except SourceError as error:
        problems.append(f"{error.__cause__ or error}: not JSON, {error}")
    return problems


def _unchecked(kind: type[BaseSettings]) -> BaseSettings:
    """Stands in for settings that are wrong, at whatever depth, so that the rest can be judged."""
    parts: dict[str, Any] = {}
    for name, field in kind.model_fields.items():
        if (inner := nested_of(field)) is not None:
            parts[name] = _unchecked(inner)
    return kind.model_construct(**parts)


def _sentence(kind: type[BaseSettings], item: Mapping[str, Any]) -> str:
    loc = item["loc"]
    message = str(item["msg"]).removeprefix("Value error, ")
    if not loc:
        return message
    name = next((one for one, of in kind.model_fields.items() if of.validation_alias == loc[0]), str(loc[0]))
    field = kind.model_fields.get(name)
    variable = variable_of(kind, name)
    if item["type"] == "missing" and field is not None:
        return f"{variable} is not set: {field.description or 'it is needed'}"
    return f"{variable}: {message}{_closest(field, variable)}"


def _closest(field: FieldInfo | None, variable: str) -> str:
    """For a choice (which is never a secret), the option that was probably meant."""
    options = [one for one in get_args(field.annotation) if isinstance(one, str)] if field is not None else []
    if not options:
        return ""
    given = given_in(os.environ).get(variable) or load_config_file().values.get(variable, "")
    by_lower = {one.lower(): one for one in options}
    close = difflib.get_close_matches(str(given).lower(), list(by_lower), 1)
    return f" (did you mean {by_lower[close[0]]}?)" if close else ""


def read_settings(kind: type[SettingsT], **given: Any) -> SettingsT:
    """A process's settings from arguments, environment and file. Raises SettingsError with everything that is wrong."""
    problems: list[str] = []
    try:
        problems += load_config_file().problems
    except ConfigFileError as error:
        problems.append(str(error))
    problems += problems_of(kind, given)
    if problems:
        raise SettingsError(problems)
    return kind(**given)


def load_settings(kind: type[SettingsT], **given: Any) -> SettingsT:
    """As `read_settings`, for a process's start: prints what is wrong and exits with status 2; warns of variables
    that no process reads."""
    for warning in unknown_variables():
        sys.stderr.write(f"tokentide: {warning}\n")
    try:
        return read_settings(kind, **given)
    except SettingsError as error:
        sys.stderr.write(f"tokentide: {error}\n")
        raise SystemExit(2) from None


def fields_of(kind: type[BaseSettings]) -> Iterator[tuple[type[BaseSettings], str, FieldInfo]]:
    """Every plain setting of a process, those of nested settings as well."""
    for name, field in kind.model_fields.items():
        nested = nested_of(field)
        if nested is not None:
            yield from fields_of(nested)
        else:
            yield kind, name, field
