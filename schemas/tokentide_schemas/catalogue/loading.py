"""Reads the shipped catalogue files and the user's. The only IO of the catalogue."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources
from pathlib import Path

from tokentide_schemas.catalogue.catalogue import Catalogue
from tokentide_schemas.catalogue.merging import merge
from tokentide_schemas.catalogue.problems import CatalogueError, Place, Problem
from tokentide_schemas.catalogue.reading import Layer, read_into


def load_catalogue(paths: Sequence[Path] | None = None) -> Catalogue:
    """The shipped catalogue, overridden by the user's files or folders (`*.yaml` in them, by name) in the given order.

    An entry of a later path replaces the one with the same id whole; a price replaces the one with the same provider,
    model, variant and `valid_from`, or, with `replaces_earlier_files: true`, all earlier ones of that provider, model
    and variant. Within the shipped files, and within one path, nothing may be defined twice.

    Raises CatalogueError with all problems of all files.
    """
    problems: list[Problem] = []
    layers = [_shipped(problems), *(_of_user(path, problems) for path in paths or ())]
    merged, contradictions = merge(layers)
    # The files' own problems come first: mending them may settle contradictions that are only their echo.
    problems += contradictions
    if problems:
        raise CatalogueError(problems)
    return Catalogue(merged)


def _shipped(problems: list[Problem]) -> Layer:
    layer = Layer()
    data = resources.files("tokentide_schemas.catalogue") / "data"
    for folder in (data, data / "models", data / "prices"):
        for file in sorted(folder.iterdir(), key=lambda each: each.name):
            if file.name.endswith(".yaml"):
                name = file.name if folder == data else f"{folder.name}/{file.name}"
                problems += read_into(layer, file.read_text(encoding="utf-8"), f"(shipped) {name}")
    return layer


def user_files(path: Path) -> list[Path]:
    """The files that a path of the settings stands for: itself, or the folder's `*.yaml`, by name."""
    return sorted(path.glob("*.yaml")) if path.is_dir() else [path]


def _of_user(path: Path, problems: list[Problem]) -> Layer:
    layer = Layer()
    files = user_files(path)
    for file in files:
        try:
            text = file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
            hint = "correct the path of the catalogue file" if isinstance(error, OSError) else "save it as UTF-8"
            problems.append(Problem(Place(str(file), 1), "file", "-", f"cannot be read: {reason}", hint))
            continue
        problems += read_into(layer, text, str(file))
    if path.is_dir() and not files:
        hint = "add catalogue files or take the folder out of the settings"
        problems.append(Problem(Place(str(path), 1), "folder", "-", "holds no *.yaml files", hint))
    return layer
