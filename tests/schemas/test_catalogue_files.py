"""The user's catalogue files: overriding the shipped ones, and being told exactly what is wrong."""

from __future__ import annotations

from datetime import UTC, datetime
from importlib import resources
from pathlib import Path

import pytest

from tokentide_schemas.catalogue import CatalogueError, Problem, load_catalogue

NOW = datetime(2026, 3, 1, tzinfo=UTC)

MODEL = """\
authors:
  - {id: acme, name: Acme, origin: rest_of_world}
providers:
  - {id: acme-cloud, name: Acme Cloud}
models:
  - id: acme/rocket-7b
    name: Rocket 7B
    open_weights: true
    reasoning: false
    total_parameters_billion: 7
    context_length_tokens: 32_768
    release_date: 2026-01-01
    aliases: [rocket]
prices:
  - provider: acme-cloud
    model: acme/rocket-7b
    valid_from: 2026-01-01
    usd_per_million_tokens: {input_uncached: 0.10, output: 0.40}
    confidence: list
    source: contract
"""


def price(valid_from: str, usd: str, *more: str) -> str:
    lines = [
        "  - provider: openai",
        "    model: openai/gpt-4o",
        f"    valid_from: {valid_from}",
        f"    usd_per_million_tokens: {{input_uncached: {usd}, output: 9}}",
        "    confidence: list",
        "    source: contract",
        *(f"    {line}" for line in more),
    ]
    return "\n".join(lines) + "\n"


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def problems_of(tmp_path: Path, text: str) -> tuple[Problem, ...]:
    with pytest.raises(CatalogueError) as caught:
        load_catalogue([write(tmp_path, "mine.yaml", text)])
    for problem in caught.value.problems:
        assert str(problem) in str(caught.value)
        assert problem.suggestion
    return caught.value.problems


def the_problem(tmp_path: Path, text: str) -> Problem:
    (problem,) = problems_of(tmp_path, text)
    return problem


def test_a_users_file_adds_models_authors_providers_and_prices(tmp_path: Path) -> None:
    catalogue = load_catalogue([write(tmp_path, "mine.yaml", MODEL)])
    assert catalogue.resolve("Rocket") == "acme/rocket-7b"
    row = catalogue.price("Acme Cloud", "rocket", NOW)
    assert row is not None
    assert row.tiers[0].nanousd_per_million_tokens[0] == 100_000_000
    assert catalogue.version != load_catalogue().version


def test_a_later_file_replaces_a_model_whole(tmp_path: Path) -> None:
    override = MODEL.split("models:\n")[1].split("prices:\n")[0].replace("aliases: [rocket]", "aliases: [rkt]")
    catalogue = load_catalogue(
        [
            write(tmp_path, "a.yaml", MODEL),
            write(tmp_path, "b.yaml", "models:\n" + override.replace("name: Rocket 7B", "name: New")),
        ]
    )
    model = catalogue.model("rkt")
    assert model is not None and model.name == "New"
    assert catalogue.resolve("rocket") == "rocket"


def test_a_folder_is_read_as_one_set_of_files(tmp_path: Path) -> None:
    write(tmp_path, "one.yaml", MODEL)
    write(tmp_path, "two.yaml", MODEL)
    with pytest.raises(CatalogueError) as caught:
        load_catalogue([tmp_path])
    duplicate = next(p for p in caught.value.problems if p.entry == "model acme/rocket-7b")
    assert str(duplicate.place) == f"{tmp_path / 'two.yaml'}:6"
    assert f"{tmp_path / 'one.yaml'}:6" in duplicate.message


def test_a_price_that_follows_keeps_the_earlier_ones(tmp_path: Path) -> None:
    catalogue = load_catalogue([write(tmp_path, "mine.yaml", "prices:\n" + price("2026-02-01", "1"))])
    earlier = catalogue.price("openai", "gpt-4o", datetime(2026, 1, 31, 23, 59, 59, tzinfo=UTC))
    later = catalogue.price("openai", "gpt-4o", datetime(2026, 2, 1, tzinfo=UTC))
    assert earlier is not None and earlier.tiers[0].nanousd_per_million_tokens[0] == 2_500_000_000
    assert later is not None and later.tiers[0].nanousd_per_million_tokens[0] == 1_000_000_000


def test_a_price_following_does_not_change_the_version_of_the_one_before(tmp_path: Path) -> None:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    before = load_catalogue().price("openai", "gpt-4o", at)
    after = load_catalogue([write(tmp_path, "mine.yaml", "prices:\n" + price("2026-02-01", "1"))]).price(
        "openai", "gpt-4o", at
    )
    assert before is not None and after is not None and before.version == after.version


def test_a_corrected_price_has_another_version(tmp_path: Path) -> None:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    before = load_catalogue().price("openai", "gpt-4o", at)
    after = load_catalogue([write(tmp_path, "mine.yaml", "prices:\n" + price("2024-10-02", "1"))]).price(
        "openai", "gpt-4o", at
    )
    assert before is not None and after is not None
    assert before.valid_from == after.valid_from
    assert before.version != after.version


def test_a_negotiated_price_can_replace_the_whole_history(tmp_path: Path) -> None:
    text = "prices:\n" + price("2024-01-01", "1", "replaces_earlier_files: true")
    catalogue = load_catalogue([write(tmp_path, "mine.yaml", text)])
    assert [row.valid_from.year for row in catalogue.series("openai", "gpt-4o")] == [2024]
    assert len(load_catalogue().series("openai", "gpt-4o")) > 1


def test_an_unknown_key_is_named_with_the_nearest_known_one(tmp_path: Path) -> None:
    found = problems_of(tmp_path, MODEL.replace("context_length_tokens", "context_lenght_tokens"))
    unknown = next(p for p in found if p.message == "unknown key")
    assert (unknown.place.line, unknown.entry, unknown.key) == (11, "model acme/rocket-7b", "context_lenght_tokens")
    assert unknown.suggestion == "did you mean 'context_length_tokens'?"
    assert any(p.key == "context_length_tokens" and p.message == "is missing" for p in found)


def test_an_unknown_key_inside_a_tier_is_named_with_its_line(tmp_path: Path) -> None:
    tier = [
        "tiers:",
        "  - above_input_tokens: 1000",
        "    usd_per_million_tokens: {input_uncached: 1, outputs: 2, output: 3}",
    ]
    problem = the_problem(tmp_path, "prices:\n" + price("2026-02-01", "1", *tier))
    assert problem.key == "tiers.0.usd_per_million_tokens.outputs"
    assert problem.place.line == 10
    assert problem.suggestion.startswith("did you mean 'output'")


def test_all_problems_of_all_files_are_reported_at_once(tmp_path: Path) -> None:
    first = write(tmp_path, "a.yaml", MODEL.replace("open_weights: true", "open_weights: maybe"))
    second = write(tmp_path, "b.yaml", "prices:\n" + price("soon", "-1"))
    missing = tmp_path / "none.yaml"
    with pytest.raises(CatalogueError) as caught:
        load_catalogue([first, second, missing])
    found = {(Path(p.place.file).name, p.place.line, p.key) for p in caught.value.problems}
    assert found == {
        ("a.yaml", 8, "open_weights"),
        ("b.yaml", 4, "valid_from"),
        ("b.yaml", 5, "usd_per_million_tokens.input_uncached"),
        ("none.yaml", 1, "-"),
    }
    assert str(caught.value).startswith("the catalogue has 4 problems:")


def test_a_model_defined_twice_names_both_places(tmp_path: Path) -> None:
    body = MODEL.split("models:\n")[1].split("prices:\n")[0]
    problem = the_problem(tmp_path, MODEL.replace("prices:\n", body.replace("rocket]", "rkt]") + "prices:\n"))
    assert (problem.place.line, problem.key) == (14, "id")
    assert problem.message == f"is also defined at {tmp_path / 'mine.yaml'}:6"


def test_an_alias_of_another_model_names_both_places(tmp_path: Path) -> None:
    problem = the_problem(tmp_path, MODEL.replace("[rocket]", "[GPT-4-0613]"))
    assert (problem.entry, problem.key, problem.place.line) == ("model acme/rocket-7b", "aliases", 6)
    assert "already means openai/gpt-4 ((shipped) models/openai.yaml:" in problem.message


def test_an_alias_that_is_another_models_id_is_refused(tmp_path: Path) -> None:
    problem = the_problem(tmp_path, MODEL.replace("[rocket]", "[openai/gpt-4]"))
    assert "'openai/gpt-4' already means openai/gpt-4" in problem.message


def test_an_unknown_model_in_prices_is_refused_once_with_a_suggestion(tmp_path: Path) -> None:
    text = "prices:\n" + price("2026-02-01", "1") + price("2026-03-01", "1")
    problem = the_problem(tmp_path, text.replace("openai/gpt-4o", "openai/gpt-4oo"))
    assert problem.message == "unknown model 'openai/gpt-4oo' (and in 1 more prices)"
    assert "'openai/gpt-4o'" in problem.suggestion


def test_an_alias_in_prices_is_refused_with_the_id_it_means(tmp_path: Path) -> None:
    problem = the_problem(tmp_path, "prices:\n" + price("2026-02-01", "1").replace("gpt-4o", "gpt-4-0613"))
    assert problem.suggestion == "write its id, openai/gpt-4"


def test_an_unknown_provider_in_prices_is_refused(tmp_path: Path) -> None:
    problem = the_problem(
        tmp_path, "prices:\n" + price("2026-02-01", "1").replace("provider: openai", "provider: opnai")
    )
    assert (problem.key, problem.message) == ("provider", "unknown provider 'opnai'")
    assert "'openai'" in problem.suggestion


def test_an_unknown_author_is_refused(tmp_path: Path) -> None:
    problem = the_problem(tmp_path, MODEL.replace("id: acme,", "id: acne,"))
    assert problem.message == "unknown author 'acme'"
    assert problem.suggestion == "did you mean 'acne'?"


def test_two_prices_with_one_start_name_both_places(tmp_path: Path) -> None:
    problem = the_problem(tmp_path, "prices:\n" + price("2026-02-01", "1") + price("2026-02-01T00:00:00Z", "2"))
    assert (problem.place.line, problem.key) == (8, "valid_from")
    assert problem.message == f"a price with the same start is at {tmp_path / 'mine.yaml'}:2"


def test_prices_that_overlap_name_both_places(tmp_path: Path) -> None:
    text = "prices:\n" + price("2026-02-01", "1", "valid_until: 2026-04-01") + price("2026-03-01", "2")
    problem = the_problem(tmp_path, text)
    assert (problem.place.line, problem.key) == (2, "valid_until")
    assert f"{tmp_path / 'mine.yaml'}:9 is valid from 2026-03-01" in problem.message


@pytest.mark.parametrize(
    ("written", "says"),
    [
        ("2026-02-30", "is not a date or time"),
        ("2026-02-01T10:00:00", "has no time zone"),
        ("2026-02-01T10:00:00+02:00", "is not in UTC"),
        ("20 minutes ago", "is not a date or time"),
    ],
)
def test_times_that_are_not_utc_are_refused(tmp_path: Path, written: str, says: str) -> None:
    problem = the_problem(tmp_path, "prices:\n" + price(written, "1"))
    assert problem.key == "valid_from"
    assert says in problem.message


@pytest.mark.parametrize(
    ("usd", "says"),
    [
        ("-0.1", "greater than or equal to 0"),
        ("0.0000000001", "no more than 9 decimal places"),
        ("cheap", "valid decimal"),
        ("1000000.1", "less than or equal to 1000000"),
        (".inf", "valid decimal"),
        (".nan", "valid decimal"),
    ],
)
def test_prices_that_are_not_exact_amounts_are_refused(tmp_path: Path, usd: str, says: str) -> None:
    problem = the_problem(tmp_path, "prices:\n" + price("2026-02-01", usd))
    assert problem.key == "usd_per_million_tokens.input_uncached"
    assert says in problem.message


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        (["valid_until: 2026-02-01"], "valid_until must be after valid_from"),
        (["free_periods: [{start: 2026-01-01, end: 2026-03-01}]"], "not before valid_from"),
        (["free_periods: [{start: 2026-03-01, end: 2026-03-01}]"], "must end after it starts"),
        (
            ["free_periods: [{start: 2026-03-01, end: 2026-04-01}, {start: 2026-03-15, end: 2026-05-01}]"],
            "must be in order, apart",
        ),
        (
            ["valid_until: 2026-03-01", "free_periods: [{start: 2026-02-15, end: 2026-04-01}]"],
            "ends after valid_until",
        ),
        (
            [
                "tiers:",
                "  - {above_input_tokens: 9, usd_per_million_tokens: {input_uncached: 1, output: 1}}",
                "  - {above_input_tokens: 9, usd_per_million_tokens: {input_uncached: 1, output: 1}}",
            ],
            "rising above_input_tokens",
        ),
    ],
)
def test_periods_and_tiers_that_are_ambiguous_are_refused(tmp_path: Path, lines: list[str], says: str) -> None:
    problem = the_problem(tmp_path, "prices:\n" + price("2026-02-01", "1", *lines))
    assert says in problem.message


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("models: [\n", 2, "not valid YAML"),
        ("- a\n", 1, "must be a mapping"),
        ("modells: []\n", 1, "unknown section"),
        ("models: {}\n", 1, "must be a list"),
        ("models:\n  - just text\n", 2, "must be a mapping"),
        ("models: []\nprices: []\nmodels: []\n", 3, "key written twice"),
        ("models: &a\n  - *a\n", 1, "contains itself"),
    ],
)
def test_files_of_the_wrong_form_are_refused_with_the_line(tmp_path: Path, text: str, line: int, says: str) -> None:
    problem = problems_of(tmp_path, text)[0]
    assert says in problem.message
    assert problem.place.line == line


def test_an_empty_file_changes_nothing(tmp_path: Path) -> None:
    assert load_catalogue([write(tmp_path, "mine.yaml", "# nothing yet\n")]).version == load_catalogue().version


def test_layout_and_order_do_not_change_the_version(tmp_path: Path) -> None:
    head, models = MODEL.split("models:\n")
    other = "models:\n" + models.replace("0.10", "0.1") + "\n\n# a comment\n" + head
    first = load_catalogue([write(tmp_path, "a.yaml", MODEL)])
    second = load_catalogue([write(tmp_path, "b.yaml", other)])
    assert first.version == second.version


def test_the_example_of_the_readme_can_be_used_as_it_is(tmp_path: Path) -> None:
    readme = (resources.files("tokentide_schemas.catalogue") / "data" / "README.md").read_text(encoding="utf-8")
    example = readme.split("```yaml\n")[1].split("```")[0]
    catalogue = load_catalogue([write(tmp_path, "mine.yaml", example)])
    row = catalogue.price("acme_ai", "rocket", NOW)
    assert row is not None and len(row.tiers) == 2
