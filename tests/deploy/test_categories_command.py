from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tokentide_deploy.commands.categories import app
from tokentide_producers.categories.taxonomy import NAMES

RULES = """
rules:
  - {name: ide, when: {app: [cursor, zed], route: {prefix: /v1/code}}, category: programming, subcategory: tools}
  - {name: shop, when: {tag: {glob: "shop-*"}}, category: marketing, confidence: 0.8}
"""


@pytest.fixture
def rules(tmp_path: Path) -> str:
    path = tmp_path / "rules.yaml"
    path.write_text(RULES)
    return str(path)


def test_it_says_which_rule_fits_and_why_the_others_do_not(rules: str) -> None:
    result = CliRunner().invoke(app, ["test", rules, "--case", "app=Zed route=/v2 tag=a tag=shop-1"])
    assert result.exit_code == 0
    assert "marketing" in result.output and "rule shop: tag glob 'shop-*'; confidence 0.8" in result.output
    assert "not ide: route is '/v2', not prefix '/v1/code'" in result.output


def test_its_exit_status_says_whether_the_cases_are_as_expected(rules: str, tmp_path: Path) -> None:
    cases = tmp_path / "cases.yaml"
    cases.write_text(
        "- {name: editor, app: cursor, route: /v1/code/x, expect: programming/tools}\n"
        "- {name: root, app: cursor, route: /v1/code, expect: programming}\n"
        "- {name: nobody, app: x, tag: [a, b], expect: none}\n"
    )
    fine = CliRunner().invoke(app, ["test", rules, "--file", str(cases)])
    assert fine.exit_code == 0 and "3 cases, 0 not as expected" in fine.output
    wrong = CliRunner().invoke(app, ["test", rules, "--file", str(cases), "--case", "app=x expect=legal", "--json"])
    assert wrong.exit_code == 1
    assert [one["is_expected"] for one in json.loads(wrong.output)].count(False) == 1


def test_a_wrong_case_is_explained(rules: str, tmp_path: Path) -> None:
    wrong = CliRunner().invoke(app, ["test", rules, "--case", "ap=x"])
    assert wrong.exit_code == 2 and "did you mean" in wrong.output
    cases = tmp_path / "cases.yaml"
    cases.write_text("- app: cursor\n- {ap: x, tag: 3}\n")
    listed = CliRunner().invoke(app, ["test", rules, "--file", str(cases)])
    assert listed.exit_code == 1 and "cases.yaml:2" in listed.output and "did you mean 'app'" in listed.output


def test_check_prints_the_rules_or_their_faults_and_list_the_roots(rules: str, tmp_path: Path) -> None:
    assert "1. ide: app = 'cursor' or 'zed' and route prefix" in CliRunner().invoke(app, ["check", rules]).output
    (tmp_path / "bad.yaml").write_text("rules: [{name: x, category: lagal}]")
    bad = CliRunner().invoke(app, ["check", str(tmp_path / "bad.yaml")])
    assert bad.exit_code == 1 and "did you mean 'legal'" in bad.output
    listed = CliRunner().invoke(app, ["list", "--json"])
    assert tuple(root["name"] for root in json.loads(listed.output)) == NAMES
