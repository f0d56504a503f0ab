"""Rules: the first whose conditions all hold gives the category. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Final

from pydantic import BeforeValidator, Field, StringConstraints

from tokentide_producers.categories.conditions import Condition, parse_condition
from tokentide_producers.categories.inputs import host_of
from tokentide_producers.categories.label import Label
from tokentide_schemas.alerting.values import Name, Section
from tokentide_schemas.event import CategorySource

CACHED_ANSWERS: Final = 10_000
"""Combinations of inputs whose answer is remembered; beyond it the memory starts again, so that it stays bounded."""

OfEvent = ("app", "tenant", "gateway", "provider", "operation", "language", "request_model", "model")
Beside = ("route", "referer", "referer_host", "tag")
INPUTS: Final = OfEvent + Beside
"""What conditions may look at: fields of the event, then what is beside it."""

Given = Annotated[Condition | None, BeforeValidator(parse_condition)]
CategoryName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_.-]{0,63}$")]


class When(Section):
    """Conditions, all of which must hold. Texts are compared without regard to case; an absent value is ''.

    tag: one of the request's tags fits. referer: scheme, host and path. referer_host: its host alone.
    """

    app: Given = None
    tenant: Given = None
    gateway: Given = None
    provider: Given = None
    operation: Given = None
    language: Given = None
    request_model: Given = None
    model: Given = None
    route: Given = None
    referer: Given = None
    referer_host: Given = None
    tag: Given = None

    def given(self) -> dict[str, Condition]:
        """Input -> its condition, of those that are given, the cheapest first."""
        conditions = {name: value for name in INPUTS if isinstance(value := getattr(self, name), Condition)}
        return dict(sorted(conditions.items(), key=lambda item: _COST[item[1].kind]))


_COST: Final = {"exact": 0, "prefix": 1, "glob": 2, "regex": 2}


class Rule(Section):
    """One rule. Without `when` it fits every request. confidence: how sure its label is, 0 to 1."""

    name: Name
    when: When = Field(default_factory=When)
    category: CategoryName
    subcategory: CategoryName | None = None
    confidence: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] = 1.0
    description: Annotated[str, StringConstraints(max_length=500)] = ""

    @property
    def label(self) -> Label:
        """What a request gets that fits."""
        return Label(self.category, self.subcategory or "", CategorySource.RULE, self.confidence)


@dataclass(frozen=True)
class Step:
    """One rule as it was tried. failed: the first input that did not fit, '' when the rule fits; value: what it was."""

    rule: Rule
    failed: str
    condition: str
    value: str


Value = str | tuple[str, ...]
_Test = tuple[int, Callable[[str], bool], bool]


class RuleSet:
    """Rules in their order, compiled. Threads may share it."""

    def __init__(self, rules: Sequence[Rule] = ()) -> None:
        self.rules = tuple(rules)
        self.inputs = tuple(name for name in INPUTS if any(name in rule.when.given() for rule in self.rules))
        """Inputs that some rule looks at; `match` takes their values in this order."""
        self._tests: list[tuple[Rule, Label, list[_Test]]] = []
        for rule in self.rules:
            tests = [
                (self.inputs.index(name), condition.compiled(), name == "tag")
                for name, condition in rule.when.given().items()
            ]
            self._tests.append((rule, rule.label, tests))
        self._answers: dict[tuple[Value, ...], tuple[Rule, Label] | None] = {}

    def match(self, values: tuple[Value, ...]) -> tuple[Rule, Label] | None:
        """The first rule that fits, and its label. values: of `inputs`, in their order; of `tag` a tuple."""
        answers = self._answers
        try:
            return answers[values]
        except KeyError:
            found = self._first(values)
        if len(answers) >= CACHED_ANSWERS:
            answers.clear()
        answers[values] = found
        return found

    def match_named(self, given: Mapping[str, Value]) -> tuple[Rule, Label] | None:
        """`match` of values by name; what is left out is ''. The referer's host follows from the referer."""
        return self.match(self.values_of(given))

    def values_of(self, given: Mapping[str, Value]) -> tuple[Value, ...]:
        """Named values in the order that `match` takes."""
        return tuple(_value(name, given) for name in self.inputs)

    def explain(self, given: Mapping[str, Value]) -> list[Step]:
        """Each rule that was tried, up to the one that fits."""
        values = dict(zip(self.inputs, self.values_of(given), strict=True))
        steps = []
        for rule in self.rules:
            step = Step(rule, "", "", "")
            for name, condition in rule.when.given().items():
                if not _holds(condition.compiled(), values[name]):
                    step = Step(rule, name, str(condition), _shown(values[name]))
                    break
            steps.append(step)
            if not step.failed:
                break
        return steps

    def _first(self, values: tuple[Value, ...]) -> tuple[Rule, Label] | None:
        folded = tuple(_folded(value) for value in values)
        for rule, label, tests in self._tests:
            for place, test, is_tag in tests:
                value = folded[place]
                if not (any(map(test, value)) if is_tag else test(value)):  # type: ignore[arg-type]
                    break
            else:
                return rule, label
        return None


def _value(name: str, given: Mapping[str, Value]) -> Value:
    if name == "tag":
        tags = given.get("tag", ())
        return (tags,) if isinstance(tags, str) else tuple(tags)
    if name == "referer_host" and "referer_host" not in given:
        return host_of(str(given.get("referer", "")))
    return given.get(name, "")


def _folded(value: Value) -> Value:
    return value.casefold() if isinstance(value, str) else tuple(one.casefold() for one in value)


def _holds(test: Callable[[str], bool], value: Value) -> bool:
    folded = _folded(value)
    return test(folded) if isinstance(folded, str) else any(map(test, folded))


def _shown(value: Value) -> str:
    if isinstance(value, str):
        return repr(value) if value else "not given"
    return ", ".join(map(repr, value)) if value else "no tags"
