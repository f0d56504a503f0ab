"""Where settings come from: the environment, and a TOML file that TOKENTIDE_CONFIG_FILE names.

A key of the file is a variable's name without its prefix, in small letters; tables are only another way to write it:
`kafka_bootstrap_servers = ".."` and `[kafka]` with `bootstrap_servers = ".."` both are
TOKENTIDE_KAFKA_BOOTSTRAP_SERVERS. The environment wins over the file.
"""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, Final

from pydantic.fields import FieldInfo
from pydantic_settings import EnvSettingsSource

PREFIX: Final = "TOKENTIDE_"
CONFIG_FILE_VARIABLE: Final = "TOKENTIDE_CONFIG_FILE"
NAMES_FILE: Final = "generated/setting_names.txt"
"""In this package: every variable of every process, written by `python -m tokentide_deploy.config.generate`."""

_CLOSE: Final = 0.75
_SERVICE_LINK: Final = re.compile(
    r"_SERVICE_(HOST|PORT(_\w+)?)$|_PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?$", re.IGNORECASE
)
_LINK_VALUE: Final = re.compile(r"(tcp|udp|sctp)://", re.IGNORECASE)


class ConfigFileError(ValueError):
    """The file that TOKENTIDE_CONFIG_FILE names cannot be read; the message says why and where."""


@dataclass(frozen=True)
class ConfigFile:
    """What the file sets. values: by variable name. problems: keys that are no setting, or set twice."""

    path: Path | None = None
    values: Mapping[str, Any] = field(default_factory=dict)
    problems: tuple[str, ...] = ()


@cache
def known_names() -> frozenset[str]:
    """Every variable that some process reads."""
    text = resources.files("tokentide_schemas").joinpath(NAMES_FILE).read_text(encoding="utf-8")
    return frozenset(line for line in text.splitlines() if line)


def did_you_mean(name: str, known: Iterable[str], show: str = "{}") -> str:
    """` (did you mean X?)`, '' when nothing is close. show: how X is written."""
    close = difflib.get_close_matches(name, list(known), 1, _CLOSE)
    return f" (did you mean {show.format(close[0])}?)" if close else ""


def is_service_link(name: str, value: str) -> bool:
    """True for what Kubernetes puts into the environment for each service near by: ..._PORT=tcp://..."""
    return _SERVICE_LINK.search(name) is not None or (
        name.upper().endswith("_PORT") and _LINK_VALUE.match(value) is not None
    )


def given_in(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment's TOKENTIDE_* variables in capital letters. Empty ones count as not set, so that a compose file
    may pass a variable on that its user has not set."""
    return {
        name.upper(): value
        for name, value in environment.items()
        if name.upper().startswith(PREFIX) and value and not is_service_link(name, value)
    }


def unknown_variables(environment: Mapping[str, str] | None = None) -> list[str]:
    """A sentence for each TOKENTIDE_* variable that no process reads, with what it may have meant."""
    known = known_names()
    return [
        f"{name} is not a setting of any process{did_you_mean(name, known)}; it has no effect"
        for name in sorted(given_in(os.environ if environment is None else environment))
        if name not in known
    ]


def load_config_file(environment: Mapping[str, str] | None = None) -> ConfigFile:
    """The file's settings; an empty one when TOKENTIDE_CONFIG_FILE is not set. Raises ConfigFileError."""
    named = given_in(os.environ if environment is None else environment).get(CONFIG_FILE_VARIABLE)
    if not named:
        return ConfigFile()
    path = Path(named).expanduser()
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigFileError(f"{path}: cannot be read: {error.strerror}. {CONFIG_FILE_VARIABLE} names it.") from error
    except UnicodeDecodeError as error:
        raise ConfigFileError(f"{path}: is not text in UTF-8. {CONFIG_FILE_VARIABLE} names it.") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigFileError(f"{path}: is not TOML: {error}.") from error
    return parse_config(document, path)


def parse_config(document: Mapping[str, Any], path: Path | None = None) -> ConfigFile:
    """A parsed TOML document as settings. path: only for the messages."""
    known = known_names()
    values: dict[str, Any] = {}
    problems: list[str] = []
    for key, value in _leaves(document, (), known):
        name = _name(key)
        dotted = ".".join(key)
        if name == CONFIG_FILE_VARIABLE or name not in known:
            keys = (one.removeprefix(PREFIX).lower() for one in known if one != CONFIG_FILE_VARIABLE)
            hint = did_you_mean("_".join(key).lower(), keys)
            problems.append(f"{path or 'the file'}: {dotted} is not a setting{hint}")
        elif name in values:
            problems.append(f"{path or 'the file'}: {dotted} is set a second time, in another spelling")
        else:
            values[name] = value
    return ConfigFile(path, values, tuple(problems))


def _leaves(
    table: Mapping[str, Any], above: tuple[str, ...], known: frozenset[str]
) -> Iterator[tuple[tuple[str, ...], Any]]:
    for key, value in table.items():
        path = (*above, key)
        # A setting may itself hold a table; everything else that is one only groups.
        if isinstance(value, dict) and _name(path) not in known:
            yield from _leaves(value, path, known)
        else:
            yield path, value


def _name(key: tuple[str, ...]) -> str:
    return PREFIX + "_".join(key).replace("-", "_").upper()


class EnvironmentSource(EnvSettingsSource):
    """The environment without Kubernetes' service links."""

    def _load_env_vars(self) -> Mapping[str, str | None]:
        return {name.lower(): value for name, value in given_in(os.environ).items()}


class FileSource(EnvSettingsSource):
    """The TOML file. Problems with it are told by `read_settings`; here a file that cannot be read sets nothing."""

    def _load_env_vars(self) -> Mapping[str, Any]:
        try:
            return {name.lower(): value for name, value in load_config_file().values.items()}
        except ConfigFileError:
            return {}

    def decode_complex_value(self, field_name: str, field: FieldInfo, value: Any) -> Any:
        """JSON in text as in a variable, tables and arrays as they are."""
        return super().decode_complex_value(field_name, field, value) if isinstance(value, str) else value
