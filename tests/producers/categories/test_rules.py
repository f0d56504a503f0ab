from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tokentide_producers.categories import CategoriesFileError, RuleSet, load_category_rules
from tokentide_producers.categories.conditions import Condition
from tokentide_producers.categories.loading import parse_category_rules
from tokentide_producers.categories.rules import CACHED_ANSWERS, Rule, When

WORDS = st.sampled_from(["", "a", "b", "ab", "A", "ba"])
CONDITIONS = st.builds(
    Condition, st.sampled_from(["exact", "prefix"]), st.lists(WORDS, min_size=1, max_size=2).map(tuple)
)


def when(**conditions: Condition | None) -> When:
    return When(**{name: one for name, one in conditions.items() if one is not None})


def holds(condition: Condition, value: str) -> bool:
    known = [one.casefold() for one in condition.values]
    text = value.casefold()
    return text in known if condition.kind == "exact" else any(text.startswith(one) for one in known)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.none() | CONDITIONS, st.none() | CONDITIONS), max_size=5),
    WORDS,
    st.lists(WORDS, max_size=3),
)
def test_the_first_rule_whose_conditions_all_hold_wins(
    conditions: list[tuple[Condition | None, Condition | None]], app: str, tags: list[str]
) -> None:
    rules = [
        Rule(name=f"r{number}", when=when(app=of_app, tag=of_tag), category="legal")
        for number, (of_app, of_tag) in enumerate(conditions)
    ]
    expected = next(
        (
            rule.name
            for rule, (of_app, of_tag) in zip(rules, conditions, strict=True)
            if (of_app is None or holds(of_app, app)) and (of_tag is None or any(holds(of_tag, tag) for tag in tags))
        ),
        None,
    )
    made = RuleSet(rules)
    for _ in range(2):  # the second answer comes from memory
        found = made.match_named({"app": app, "tag": tuple(tags)})
        assert (found[0].name if found else None) == expected
    steps = made.explain({"app": app, "tag": tuple(tags)})
    assert [one.rule.name for one in steps if not one.failed] == ([expected] if expected else [])


@pytest.mark.parametrize(
    ("condition", "fits", "does_not"),
    [
        ("{glob: 'team-*'}", "Team-9", "my-team-9"),
        ("{glob: 'a?c.d'}", "abc.d", "abcxd"),
        ("{regex: '^v[12]/(chat|code)$'}", "V1/Code", "v3/code"),
        ("{prefix: [x, /v1]}", "/V1/chat", "v1"),
        ("[one, two]", "TWO", "three"),
        ("7", "7", "77"),
    ],
)
def test_each_kind_of_condition_compares_without_case(condition: str, fits: str, does_not: str) -> None:
    rules = parse_category_rules(f"rules: [{{name: r, when: {{app: {condition}}}, category: legal}}]", "f")
    assert rules.match_named({"app": fits}) is not None and rules.match_named({"app": does_not}) is None


def test_no_pattern_can_hold_a_request_up() -> None:
    rules = parse_category_rules("rules: [{name: r, when: {app: {regex: '^(a+)+$'}}, category: legal}]", "f")
    started_s = time.thread_time()
    assert rules.match_named({"app": "a" * 500 + "b"}) is None
    # A backtracking engine needs 2^500 steps for this.
    assert time.thread_time() - started_s < 5


def test_the_memory_of_answers_is_bounded() -> None:
    rules = parse_category_rules("rules: [{name: r, when: {app: x}, category: legal}]", "f")
    for number in range(CACHED_ANSWERS + 10):
        rules.match_named({"app": str(number)})
    assert len(rules._answers) <= CACHED_ANSWERS


def test_every_fault_of_a_file_is_told_with_its_line_at_once(tmp_path: Path) -> None:
    path = tmp_path / "rules.yaml"
    path.write_text(
        """categories: [support]
rules:
  - name: fine
    when: {app: x}
    category: support
  - name: typo
    when: {ap: x}
    category: legal
  - name: unknown-category
    when: {app: x}
    category: programing
  - name: pattern
    when:
      app: {regex: "(?=x)"}
    category: legal
  - name: star
    when: {app: "x*"}
    category: legal
    confidence: 2
  - name: fine
    category: legal
  - name: late
    when: {app: x}
    category: legal
"""
    )
    with pytest.raises(CategoriesFileError) as caught:
        load_category_rules(path)
    told = [str(one).removeprefix(str(path)) for one in caught.value.problems]
    for line, words in [
        (7, "did you mean 'app'"),
        (11, "did you mean 'programming'"),
        (14, "RE2"),
        (17, "write {glob: 'x*'}"),
        (19, "less than or equal to 1"),
        (20, "give each a name of its own"),
        (22, "is never reached"),
    ]:
        assert any(one.startswith(f":{line}:") and words in one for one in told), (line, words, told)
    assert len(told) == 7


@pytest.mark.parametrize("text", ["", "rules: []", "a: [", "rules: 3", "- x", "rules:\n  - 3"])
def test_a_file_without_rules_says_so(text: str) -> None:
    with pytest.raises(CategoriesFileError):
        parse_category_rules(text, "f")


def test_a_missing_file_says_what_names_it(tmp_path: Path) -> None:
    with pytest.raises(CategoriesFileError, match="TOKENTIDE_CATEGORIES_FILE"):
        load_category_rules(tmp_path / "none.yaml")


def test_an_emitter_without_rules_does_not_load_the_engine_of_patterns() -> None:
    asked = "import sys, tokentide_producers.emitter; sys.exit('re2' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", asked], check=False, timeout=60).returncode == 0
