"""YAML text to plain values, each with its line. No files are opened here."""

from __future__ import annotations

from typing import Any, Final

import yaml

from tokentide_schemas.catalogue.problems import Place, Problem

Path = tuple[str | int, ...]
_TAG: Final = "tag:yaml.org,2002:"


class Reader:
    """Values of one file's text. Numbers with a point become floats, everything that YAML 1.1 reads oddly (`no`, `on`,
    `1:30`, dates) stays the text that was written."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.problems: list[Problem] = []
        self._lines: dict[Path, int] = {}
        self._open: set[int] = set()

    def read(self, text: str) -> Any:
        """The document's plain value; None when it is empty or cannot be read, with the reason in `problems`."""
        try:
            root = yaml.compose(text, Loader=yaml.SafeLoader)
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            reason = getattr(error, "problem", None) or str(error)
            place = Place(self.file, mark.line + 1 if mark else 1)
            self.problems.append(Problem(place, "file", "-", f"not valid YAML: {reason}", "correct the syntax there"))
            return None
        return None if root is None else self._value(root, ())

    def place(self, path: Path) -> Place:
        """Where a value stands, or the nearest thing around it."""
        while path and path not in self._lines:
            path = path[:-1]
        return Place(self.file, self._lines.get(path, 1))

    def add(self, path: Path, entry: str, key: str, message: str, suggestion: str) -> None:
        """Note a problem at a path."""
        self.problems.append(Problem(self.place(path), entry, key, message, suggestion))

    def _value(self, node: yaml.Node, path: Path) -> Any:
        self._lines[path] = node.start_mark.line + 1
        if isinstance(node, yaml.ScalarNode):
            return _scalar(node)
        if id(node) in self._open:
            self.add(path, "file", "-", "an anchor contains itself", "write the values out")
            return None
        self._open.add(id(node))
        result: Any
        if isinstance(node, yaml.SequenceNode):
            result = [self._value(child, (*path, number)) for number, child in enumerate(node.value)]
        else:
            result = self._mapping(node, path)
        self._open.discard(id(node))
        return result

    def _mapping(self, node: yaml.Node, path: Path) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key_node, child in node.value:
            key = str(key_node.value)
            if key in result:
                where = self.place((*path, key))
                self._lines[*path, key] = key_node.start_mark.line + 1
                self.add((*path, key), "file", key, f"key written twice (first at {where})", "keep one of them")
            result[key] = self._value(child, (*path, key))
            self._lines[*path, key] = key_node.start_mark.line + 1
        return result


def _scalar(node: yaml.ScalarNode) -> Any:
    text = str(node.value)
    if node.tag == f"{_TAG}null":
        return None
    if node.tag == f"{_TAG}bool" and text.lower() in ("true", "false"):
        return text.lower() == "true"
    if node.tag == f"{_TAG}int" and text.lstrip("+-").replace("_", "").isdecimal():
        return int(text)
    if node.tag == f"{_TAG}float":
        try:
            return float(text)
        except ValueError:
            return text
    return text
