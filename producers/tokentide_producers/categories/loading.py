"""The categories file to rules; all faults at once, each with its line."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from tokentide_producers.categories import taxonomy
from tokentide_producers.categories.rules import CategoryName, Rule, RuleSet
from tokentide_schemas.alerting.reading import Reader
from tokentide_schemas.alerting.wording import in_words
from tokentide_schemas.catalogue.problems import Place, Problem, did_you_mean

SECTIONS: Final = ("categories", "rules")
MAX_RULES: Final = 500
MAX_FILE_BYTES: Final = 4 * 1024 * 1024


class CategoriesFileError(ValueError):
    """The file cannot be used; `problems` has every fault with its line."""

    def __init__(self, problems: Sequence[Problem], what: str = "the categories file") -> None:
        self.problems = tuple(sorted(problems, key=lambda one: (one.place.file, one.place.line)))
        count = len(self.problems)
        head = f"{what} has {count} problem{'' if count == 1 else 's'}:"
        super().__init__("\n  ".join([head, *map(str, self.problems)]))


def load_category_rules(path: Path) -> RuleSet:
    """The rules of a file. Raises CategoriesFileError."""
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise _unreadable(path, f"it is larger than {MAX_FILE_BYTES >> 20} MiB")
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise _unreadable(path, error.strerror or type(error).__name__) from error
    except UnicodeDecodeError as error:
        raise _unreadable(path, "not UTF-8 text") from error
    return parse_category_rules(text, str(path))


def parse_category_rules(text: str, file: str) -> RuleSet:
    """The rules of a file's text. Raises CategoriesFileError."""
    reader = Reader(file)
    rules = _rules(reader, reader.read(text))
    if reader.problems:
        raise CategoriesFileError(reader.problems)
    return RuleSet(rules)


def _unreadable(path: Path, reason: str) -> CategoriesFileError:
    hint = "TOKENTIDE_CATEGORIES_FILE or the command line names it"
    return CategoriesFileError([Problem(Place(str(path), 1), "file", "-", f"cannot be read: {reason}", hint)])


def _rules(reader: Reader, document: Any) -> list[Rule]:
    if not isinstance(document, dict):
        if not reader.problems:
            reader.add((), "file", "-", "has no rules", "start with 'rules:' and a list of them")
        return []
    for section in document:
        if section not in SECTIONS:
            hint = did_you_mean(section, SECTIONS, f"use {', '.join(SECTIONS)}")
            reader.add((section,), "file", section, "unknown section", hint)
    known = (*taxonomy.NAMES, *_own_categories(reader, document.get("categories")))
    items = document.get("rules")
    if not isinstance(items, list) or not items:
        reader.add(("rules",), "file", "rules", "must be a list of rules", "begin each rule with '- name: '")
        return []
    if len(items) > MAX_RULES:
        reader.add(("rules",), "file", "rules", f"has {len(items)} entries", f"at most {MAX_RULES} are read")
        return []
    rules: list[Rule] = []
    names: dict[str, int] = {}
    fits_all = ""
    for number, item in enumerate(items):
        rule = _rule(reader, number, item, known)
        if rule is None:
            continue
        at = ("rules", number)
        if rule.name in names:
            first = reader.place(("rules", names[rule.name]))
            reader.add(at, f"rule {rule.name}", "name", f"is at {first} too", "give each a name of its own")
        if fits_all:
            message = f"is never reached: {fits_all} before it fits every request"
            reader.add(at, f"rule {rule.name}", "-", message, f"move {fits_all} to the end")
        names.setdefault(rule.name, number)
        if not rule.when.given():
            fits_all = rule.name
        rules.append(rule)
    return rules


def _own_categories(reader: Reader, given: Any) -> list[str]:
    if given is None:
        return []
    if not isinstance(given, list):
        reader.add(("categories",), "file", "categories", "must be a list of names", "begin each with '- '")
        return []
    return [str(name) for name in given]


def _rule(reader: Reader, number: int, item: Any, known: Sequence[str]) -> Rule | None:
    at = ("rules", number)
    if not isinstance(item, dict):
        reader.add(at, f"rule number {number + 1}", "-", "must be a mapping", "write 'key: value' pairs")
        return None
    label = f"rule {item['name']}" if item.get("name") else f"rule number {number + 1}"
    try:
        rule = Rule.model_validate(item)
    except ValidationError as error:
        for detail in error.errors(include_url=False):
            message, suggestion = in_words(Rule, detail)
            key = ".".join(map(str, detail["loc"])) or "-"
            reader.add((*at, *detail["loc"]), label, key, message, suggestion)
        return None
    if rule.category not in known:
        hint = did_you_mean(rule.category, known, "list it under 'categories:', or use a root category")
        reader.add((*at, "category"), label, "category", f"no category {rule.category!r}", hint)
    return rule


__all__ = ["CategoriesFileError", "CategoryName", "load_category_rules", "parse_category_rules"]
