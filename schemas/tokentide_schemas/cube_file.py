"""The configuration file with a user's own cubes, in TOML. Worker, sinks, migration and verification read the same.

[[cube]]
name = "team"
dimensions = ["tenant", "app", "model"]
tiers = [3600, 86400]            # optional: longer windows in seconds
emit_interval_s = 5              # optional
limits = { app = 500 }           # optional: distinct values, the rest is __other__
max_groups = 20000               # optional: of one window and partition, the rest is __other__
"""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from tokentide_schemas.cubes import CUBES, Cube, CubeError, stored_cubes, unknown_name

MAX_CUBES: Final = 32
"""Of one file: each costs the worker time for every event."""

_KEYS: Final[dict[str, str]] = {
    "name": "a text",
    "dimensions": "a list of texts",
    "window_s": "a whole number of seconds",
    "tiers": "a list of whole numbers of seconds",
    "emit_interval_s": "a number of seconds",
    "limits": "a table of whole numbers",
    "max_groups": "a whole number",
    "measures": "a list of texts",
}
_LISTS: Final = {"dimensions": str, "tiers": int, "measures": str}


class CubeFileError(ValueError):
    """The file cannot be used. The message has every problem: which cube, which key, what to write."""


def load_cubes(path: Path | None) -> tuple[Cube, ...]:
    """The shipped cubes and those of the file. Raises CubeFileError with all problems at once."""
    if path is None:
        return CUBES
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise CubeFileError(f"{path}: cannot be read: {error.strerror}. TOKENTIDE_CUBES_FILE names it.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise CubeFileError(f"{path}: not TOML: {error}") from error
    problems = [f"{unknown_name(key, ['cube'])}: the file holds [[cube]] tables only" for key in data if key != "cube"]
    tables = data.get("cube", [])
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        problems.append("cube: write each cube as [[cube]] with two brackets")
        tables = []
    if len(tables) > MAX_CUBES:
        problems.append(f"cube: {len(tables)} cubes; at most {MAX_CUBES} are allowed")
    own: list[Cube] = []
    for number, table in enumerate(tables, start=1):
        place = f"cube {number} ({table.get('name', 'without name')!s:.40})"
        wrong = _key_problems(table)
        if not wrong:
            try:
                own.append(_cube(table))
            except CubeError as error:
                wrong = list(error.problems)
        problems += [f"{place}: {problem}" for problem in wrong]
    problems += _clashes(own)
    if problems:
        raise CubeFileError(f"{path}:\n" + "\n".join(f"  {problem}" for problem in problems))
    return (*CUBES, *own)


def _key_problems(table: dict[str, Any]) -> list[str]:
    found = [unknown_name(key, _KEYS) for key in table if key not in _KEYS]
    found += [f"{key} is missing" for key in ("name", "dimensions") if key not in table]
    return found + [f"{key}: must be {_KEYS[key]}" for key, value in table.items() if not _fits(key, value)]


def _fits(key: str, value: Any) -> bool:
    if key in _LISTS:
        return isinstance(value, list) and all(type(item) is _LISTS[key] for item in value)
    if key == "limits":
        return isinstance(value, dict) and all(type(item) is int for item in value.values())
    if key == "emit_interval_s":
        return type(value) in (int, float)
    if key in ("window_s", "max_groups"):
        return type(value) is int
    return key != "name" or isinstance(value, str)


def _cube(table: dict[str, Any]) -> Cube:
    values: dict[str, Any] = {key: tuple(value) if key in _LISTS else value for key, value in table.items()}
    if "limits" in values:
        values["limits"] = tuple(sorted(values["limits"].items()))
    return Cube(**values)


def _clashes(own: Sequence[Cube]) -> list[str]:
    """Names that two cubes would share in the database or in the rollup topic."""
    owner: dict[str, str] = {}
    found = []
    for cube in (*CUBES, *own):
        names = {part.name for part in stored_cubes([cube])} | cube.views.keys()
        taken = sorted({owner[name] for name in names if name in owner})
        if taken:
            found.append(f"cube {cube.name}: name: clashes with cube {', '.join(taken)}; choose another")
        for name in names:
            owner.setdefault(name, cube.name)
    return found
