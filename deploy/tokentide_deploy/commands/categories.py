"""`tokentide categories`: the rules that give requests their category, tried before they are trusted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from tokentide_producers.categories import RuleSet
    from tokentide_producers.categories.cases import Case, Outcome

app = typer.Typer(no_args_is_help=True, help="Rules that give requests their category.")

FILE = Annotated[
    Path | None, typer.Argument(help="The categories file.", show_default="what TOKENTIDE_CATEGORIES_FILE names")
]
JSON = Annotated[bool, typer.Option("--json", help="One JSON array.")]


@app.command()
def check(file: FILE = None) -> None:
    """Read a categories file and print its rules in order, or everything that is wrong with it (exit status 1)."""
    from tokentide_deploy.alerts_view import new_console

    rules = _load(file)
    console = new_console()
    for number, rule in enumerate(rules.rules, 1):
        label = rule.category + (f"/{rule.subcategory}" if rule.subcategory else "")
        conditions = " and ".join(f"{name} {condition}" for name, condition in rule.when.given().items())
        line = f"{number}. {rule.name}: {conditions or 'every other request'} -> {label} ({rule.confidence:g})"
        console.print(line, markup=False, highlight=False, soft_wrap=True)


@app.command("list")
def list_roots(as_json: JSON = False) -> None:
    """The root categories, what belongs to each, and the subcategories that the dashboards know."""
    from rich.table import Table

    from tokentide_deploy.alerts_view import new_console
    from tokentide_producers.categories.taxonomy import ROOTS

    if as_json:
        typer.echo(json.dumps([root._asdict() for root in ROOTS]))
        return
    table = Table("category", "what belongs to it", "subcategories", box=None, pad_edge=False)
    for root in ROOTS:
        table.add_row(root.name, root.meaning, ", ".join(root.subcategories))
    new_console().print(table)


@app.command()
def test(
    file: FILE = None,
    case: Annotated[
        list[str] | None,
        typer.Option(
            "--case",
            help="A request as input=value pairs: 'app=cursor tag=a expect=programming'. May be repeated.",
        ),
    ] = None,
    cases_file: Annotated[
        Path | None, typer.Option("--file", help="YAML list of cases: inputs, and expect (a category, or none).")
    ] = None,
    as_json: JSON = False,
) -> None:
    """Say which rule gives a request its category, and why. Exit status 1 when a case is not as expected."""
    from tokentide_deploy.alerts_view import new_console
    from tokentide_producers.categories.cases import run_case

    rules = _load(file)
    cases = _cases(case or [], cases_file)
    if not cases:
        raise typer.BadParameter("give --case 'app=... route=...' or --file CASES.yaml", param_hint="--case")
    outcomes = [run_case(rules, one) for one in cases]
    wrong = [one for one in outcomes if not one.is_expected]
    if as_json:
        typer.echo(json.dumps([_plain(one) for one in outcomes]))
    else:
        console = new_console()
        for line in (line for one in outcomes for line in _lines(one)):
            console.print(line, markup=False, highlight=False, soft_wrap=True)
        if len(outcomes) > 1:
            console.print(f"{len(outcomes)} cases, {len(wrong)} not as expected", highlight=False)
    if wrong:
        raise typer.Exit(1)


def _lines(outcome: Outcome) -> list[str]:
    case, rule = outcome.case, outcome.rule
    verdict = "" if outcome.is_expected else f"   EXPECTED {case.expect}"
    lines = [f"{case.name}: {outcome.category}{verdict}"]
    lines += [
        f"    not {one.rule.name}: {one.failed} is {one.value}, not {one.condition}"
        for one in outcome.steps
        if one.failed
    ]
    if rule is None:
        lines.append("    no rule fits: the classifier may label it, if there is one")
    else:
        why = " and ".join(f"{name} {condition}" for name, condition in rule.when.given().items())
        lines.append(f"    rule {rule.name}: {why or 'it fits every request'}; confidence {rule.confidence:g}")
    return lines


def _plain(outcome: Outcome) -> dict[str, object]:
    rule = outcome.rule
    return {
        "case": outcome.case.name,
        "category": rule.category if rule else None,
        "subcategory": rule.subcategory if rule else None,
        "confidence": rule.confidence if rule else None,
        "rule": rule.name if rule else None,
        "expected": outcome.case.expect or None,
        "is_expected": outcome.is_expected,
        "not_fitting": [
            {"rule": one.rule.name, "input": one.failed, "value": one.value, "condition": one.condition}
            for one in outcome.steps
            if one.failed
        ],
    }


def _cases(texts: list[str], file: Path | None) -> list[Case]:
    from tokentide_deploy.errors import DeployError
    from tokentide_producers.categories import CategoriesFileError
    from tokentide_producers.categories.cases import CaseError, parse_case, parse_cases

    try:
        cases = [parse_case(text) for text in texts]
    except CaseError as error:
        raise typer.BadParameter(str(error), param_hint="--case") from None
    if file is not None:
        try:
            cases += parse_cases(file.read_text(encoding="utf-8"), str(file))
        except CategoriesFileError as error:
            typer.echo(str(error), err=True)
            raise typer.Exit(1) from None
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
            raise DeployError(f"{file} cannot be read: {reason}") from error
    return cases


def _load(file: Path | None) -> RuleSet:
    from tokentide_deploy.errors import DeployError
    from tokentide_producers.categories import CategoriesFileError, load_category_rules
    from tokentide_producers.categories.settings import CategorySettings
    from tokentide_schemas.settings import load_settings

    path = file or load_settings(CategorySettings).file
    if path is None:
        raise DeployError("No categories file: name one, or set TOKENTIDE_CATEGORIES_FILE.")
    try:
        return load_category_rules(path)
    except CategoriesFileError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None
