"""Catalogue text to plain values with line numbers, and those to validated entries; no files are opened here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import yaml
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from tokentide_schemas.catalogue.entries import Author, Entry, Model, Price, Provider
from tokentide_schemas.catalogue.problems import Place, Problem, did_you_mean

Path = tuple[str | int, ...]
E = TypeVar("E", bound=Entry)

SECTIONS: Mapping[str, type[Entry]] = {"authors": Author, "providers": Provider, "models": Model, "prices": Price}

_TAG = "tag:yaml.org,2002:"
# libyaml's loader is about eight times as fast, but not every PyYAML build has it.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True, slots=True)
class Located(Generic[E]):
    """An entry with its place."""

    entry: E
    place: Place


@dataclass(slots=True)
class Layer:
    """The entries of one set of files that may not repeat each other (the shipped files, or one of the user's)."""

    authors: list[Located[Author]] = field(default_factory=list)
    providers: list[Located[Provider]] = field(default_factory=list)
    models: list[Located[Model]] = field(default_factory=list)
    prices: list[Located[Price]] = field(default_factory=list)
    # Ids of entries with problems: what refers to them is not reported as a second problem.
    unreadable_ids: set[str] = field(default_factory=set)


def read_into(layer: Layer, text: str, file: str) -> list[Problem]:
    """Adds the entries of one file's text to `layer`; gives the problems of those that are not usable."""
    try:
        root = yaml.compose(text, Loader=_LOADER)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        return [Problem(Place(file, line), "file", "-", f"not valid YAML: {error.problem}", "correct the syntax there")]
    except yaml.YAMLError as error:
        return [Problem(Place(file, 1), "file", "-", f"not valid YAML: {error}", "correct the syntax there")]
    if root is None:
        return []
    reader = _Reader(file)
    document = reader.value(root, ())
    if reader.problems:
        return reader.problems
    if not isinstance(document, dict):
        return [reader.problem((), "file", "-", "must be a mapping", f"start with one of {', '.join(SECTIONS)}")]
    for section, items in document.items():
        if section not in SECTIONS:
            hint = did_you_mean(section, SECTIONS, f"use {', '.join(SECTIONS)}")
            reader.add((section,), "file", section, "unknown section", hint)
        elif not isinstance(items, list):
            reader.add((section,), "file", section, "must be a list", "begin each entry with '- '")
        else:
            for number, item in enumerate(items):
                entry = reader.entry(SECTIONS[section], item, section, number)
                if entry is not None:
                    getattr(layer, section).append(Located(entry, reader.place((section, number))))
                elif isinstance(item, dict):
                    layer.unreadable_ids.add(str(item.get("id")))
    return reader.problems


class _Reader:
    def __init__(self, file: str) -> None:
        self.file = file
        self.problems: list[Problem] = []
        self._lines: dict[Path, int] = {}
        self._open: set[int] = set()

    def place(self, path: Path) -> Place:
        while path and path not in self._lines:
            path = path[:-1]
        return Place(self.file, self._lines.get(path, 1))

    def problem(self, path: Path, entry: str, key: str, message: str, suggestion: str) -> Problem:
        return Problem(self.place(path), entry, key, message, suggestion)

    def add(self, path: Path, entry: str, key: str, message: str, suggestion: str) -> None:
        self.problems.append(self.problem(path, entry, key, message, suggestion))

    def value(self, node: yaml.Node, path: Path) -> Any:
        """Plain values of a node. Numbers with a point and dates stay text: a float would lose the written digits."""
        self._lines[path] = node.start_mark.line + 1
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node)
        if id(node) in self._open:
            self.add(path, "file", "-", "an anchor contains itself", "write the values out")
            return None
        self._open.add(id(node))
        result: Any
        if isinstance(node, yaml.SequenceNode):
            result = [self.value(child, (*path, number)) for number, child in enumerate(node.value)]
        else:
            result = {}
            for key_node, child in node.value:
                key = str(key_node.value)
                if key in result:
                    where = self.place((*path, key))
                    self._lines[*path, key] = key_node.start_mark.line + 1
                    self.add((*path, key), "file", key, f"key written twice (first at {where})", "keep one of them")
                result[key] = self.value(child, (*path, key))
                self._lines[*path, key] = key_node.start_mark.line + 1
        self._open.discard(id(node))
        return result

    def _scalar(self, node: yaml.ScalarNode) -> Any:
        text = str(node.value)
        if node.tag == f"{_TAG}null":
            return None
        # YAML 1.1 would also read `no` and `on` as truth values and `1:30` as a number.
        if node.tag == f"{_TAG}bool" and text.lower() in ("true", "false"):
            return text.lower() == "true"
        if node.tag == f"{_TAG}int" and text.replace("_", "").isdecimal():
            return int(text)
        return text

    def entry(self, kind: type[Entry], item: object, section: str, number: int) -> Entry | None:
        label = _label(item, section, number)
        if not isinstance(item, dict):
            self.add((section, number), label, "-", "must be a mapping", "write 'key: value' pairs")
            return None
        try:
            return kind.model_validate(item)
        except ValidationError as error:
            for detail in error.errors(include_url=False):
                self._add_validation(kind, detail, (section, number), label)
            return None

    def _add_validation(self, kind: type[Entry], detail: ErrorDetails, at: Path, label: str) -> None:
        loc = detail["loc"]
        key = ".".join(str(part) for part in loc) or "-"
        message, suggestion = _words(kind, detail)
        self.add((*at, *loc), label, key, message, suggestion)


def _label(item: object, section: str, number: int) -> str:
    singular = section.removesuffix("s")
    if isinstance(item, dict):
        if "id" in item:
            return f"{singular} {item['id']}"
        if section == "prices":
            parts = [str(item.get(key, "?")) for key in ("provider", "model", "valid_from")]
            return f"price {parts[0]} {parts[1]} from {parts[2]}"
    return f"{singular} number {number + 1}"


def _fields(kind: type[Entry], loc: Sequence[str | int]) -> list[str]:
    """The keys that are allowed where `loc` points."""
    current: Any = kind
    for part in loc[:-1]:
        if isinstance(part, str):
            annotation = current.model_fields[part].annotation
            current = next(a for a in (annotation, *getattr(annotation, "__args__", ())) if hasattr(a, "model_fields"))
    return list(current.model_fields)


def _words(kind: type[Entry], detail: ErrorDetails) -> tuple[str, str]:
    """What is wrong and what to do, from pydantic's account of it."""
    what = detail["type"]
    last = str(detail["loc"][-1]) if detail["loc"] else ""
    if what == "extra_forbidden":
        known = _fields(kind, detail["loc"])
        return "unknown key", did_you_mean(last, known, f"remove it or use one of {', '.join(known)}")
    if what == "missing":
        return "is missing", f"add '{last}: ...'"
    given = detail["input"]
    shown = "" if isinstance(given, (dict, list)) else f" (got {given!r})"
    if what == "enum":
        expected = str(detail.get("ctx", {}).get("expected", ""))
        return f"not one of the allowed values{shown}", f"use {expected}"
    if what == "value_error":
        message = detail["msg"].removeprefix("Value error, ")
        return message, "correct it as the brackets say" if "(" in message else "correct it"
    if what == "string_pattern_mismatch":
        hint = (
            "write author/model in lower case" if last in ("id", "model") else "use lower case, digits, '.', '_', '-'"
        )
        return f"has characters or a form that an id cannot have{shown}", hint
    return f"{detail['msg'][:1].lower()}{detail['msg'][1:]}{shown}", "correct the value"
