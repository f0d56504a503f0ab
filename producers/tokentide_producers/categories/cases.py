"""Cases for a rules file: what is given, what is expected, and what came of it. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from tokentide_producers.categories.inputs import CategoryInput
from tokentide_producers.categories.loading import CategoriesFileError
from tokentide_producers.categories.rules import INPUTS, Rule, RuleSet, Step, Value
from tokentide_schemas.alerting.reading import Reader
from tokentide_schemas.catalogue.problems import did_you_mean

NO_CATEGORY: Final = "none"
"""As an expectation: no rule fits."""
_KEYS: Final = (*INPUTS, "expect", "name")
MAX_CASES: Final = 10_000


class CaseError(ValueError):
    """A case on the command line cannot be read; the message says why."""


@dataclass(frozen=True)
class Case:
    """One request. given: input -> value, of `tag` all tags. expect: category(/subcategory) or `none`; '': not said."""

    name: str
    given: Mapping[str, Value]
    expect: str = ""


@dataclass(frozen=True)
class Outcome:
    """What the rules say of a case: the rules that were tried, of which the last one fits when `rule` is not None."""

    case: Case
    steps: tuple[Step, ...]
    rule: Rule | None

    @property
    def category(self) -> str:
        """Category, with its subcategory after a slash; `none` when no rule fits."""
        if self.rule is None:
            return NO_CATEGORY
        return self.rule.category + (f"/{self.rule.subcategory}" if self.rule.subcategory else "")

    @property
    def is_expected(self) -> bool:
        """Whether it is what the case expects; true when it expects nothing."""
        expect = self.case.expect
        return expect in ("", self.category) or (self.rule is not None and expect == self.rule.category)


def run_case(rules: RuleSet, case: Case) -> Outcome:
    """Try the rules on one case, with the values cut and cleaned as those of a request are."""
    steps = tuple(rules.explain(case.given))
    found = steps[-1].rule if steps and not steps[-1].failed else None
    return Outcome(case, steps, found)


def parse_case(text: str) -> Case:
    """`app=cursor tag=a tag="b c" expect=programming`. Raises CaseError."""
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise CaseError(f"{text!r}: {error}") from None
    pairs: list[tuple[str, str]] = []
    for word in words:
        key, sign, value = word.partition("=")
        if not sign:
            raise CaseError(f"{word!r} is not input=value; inputs are {', '.join(INPUTS)}")
        if key not in _KEYS:
            raise CaseError(f"no input {key!r}: {did_you_mean(key, _KEYS, 'there are ' + ', '.join(INPUTS))}")
        if key != "tag" and any(key == other for other, _ in pairs):
            raise CaseError(f"{key} is given twice; only tag may be")
        pairs.append((key, value))
    if not pairs:
        raise CaseError("the case is empty; give input=value, such as app=cursor")
    values = dict(pairs)
    return _case(text, values, tuple(value for key, value in pairs if key == "tag"))


def parse_cases(text: str, file: str) -> list[Case]:
    """A file with a list of cases, each a mapping of inputs, `expect` and `name`. Raises CategoriesFileError."""
    reader = Reader(file)
    document = reader.read(text)
    items = document.get("cases") if isinstance(document, dict) else document
    cases: list[Case] = []
    if not isinstance(items, list) or not items:
        if not reader.problems:
            reader.add((), "file", "cases", "must be a list of cases", "begin each with '- app: ' or another input")
        items = []
    prefix: tuple[str, ...] = ("cases",) if isinstance(document, dict) else ()
    for number, item in enumerate(items[:MAX_CASES]):
        at: tuple[str | int, ...] = (*prefix, number)
        label = f"case number {number + 1}"
        if not isinstance(item, dict):
            reader.add(at, label, "-", "must be a mapping", "write 'input: value' pairs")
            continue
        cases.append(_checked(reader, at, label, item))
    if reader.problems:
        raise CategoriesFileError(reader.problems, "the cases file")
    return cases


def _checked(reader: Reader, at: tuple[str | int, ...], label: str, item: Mapping[str, Any]) -> Case:
    values: dict[str, str] = {}
    tags: tuple[str, ...] = ()
    for key, value in item.items():
        if key not in _KEYS:
            hint = did_you_mean(key, _KEYS, f"inputs are {', '.join(INPUTS)}; besides expect and name")
            reader.add((*at, key), label, key, "unknown key", hint)
        elif key == "tag" and isinstance(value, list) and all(isinstance(tag, str) for tag in value):
            tags = tuple(value)
        elif key == "expect" and value is None:
            values[key] = NO_CATEGORY
        elif not isinstance(value, str):
            reader.add((*at, key), label, key, f"{value!r} is not text", "put it in quotes")
        elif key == "tag":
            tags = (value,)
        else:
            values[key] = value
    return _case(values.get("name") or label, values, tags)


def _case(name: str, values: Mapping[str, str], tags: Sequence[str]) -> Case:
    names = CategoryInput(values.get("route", ""), values.get("referer", ""), tags).names()
    given: dict[str, Value] = {key: value for key, value in values.items() if key in INPUTS and key != "tag"}
    given |= {"route": names.route, "referer": names.referer, "tag": names.tags}
    return Case(values.get("name", name), given, values.get("expect", ""))
