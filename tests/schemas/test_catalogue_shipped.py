"""The shipped catalogue files: who is in them, under which names, and how they are grouped."""

from __future__ import annotations

import dataclasses
from collections import Counter
from datetime import UTC, date, datetime
from itertools import pairwise

import pytest

from tokentide_schemas.catalogue import (
    ALIAS_COLUMNS,
    MODEL_COLUMNS,
    OPEN_END,
    PRICE_COLUMNS,
    Catalogue,
    Model,
    OriginGroup,
    SizeClass,
    load_catalogue,
)

# The study's tables of open-weight authors and of prices, in the names that it prints.
STUDY_OPEN_AUTHORS = {
    "deepseek": OriginGroup.CHINESE_OPEN,
    "qwen": OriginGroup.CHINESE_OPEN,
    "meta-llama": OriginGroup.REST_OF_WORLD_OPEN,
    "mistralai": OriginGroup.REST_OF_WORLD_OPEN,
    "openai": OriginGroup.REST_OF_WORLD_OPEN,
    "minimax": OriginGroup.CHINESE_OPEN,
    "z-ai": OriginGroup.CHINESE_OPEN,
    "tngtech": OriginGroup.REST_OF_WORLD_OPEN,
    "moonshotai": OriginGroup.CHINESE_OPEN,
    "google": OriginGroup.REST_OF_WORLD_OPEN,
}
STUDY_PRICED_MODELS = [
    "google/gemini-2.0-flash",
    "deepseek/deepseek-v3-0324",
    "anthropic/claude-3.7-sonnet",
    "anthropic/claude-sonnet-4",
    "qwen/qwen-2-7b-instruct",
    "ibm/granite-4.0-micro",
    "openai/gpt-4",
    "openai/gpt-5-pro",
]
STUDY_REASONING_LEADERS = ["x-ai/grok-code-fast-1", "google/gemini-2.5-pro", "google/gemini-2.5-flash"]


@pytest.fixture(scope="module")
def shipped() -> Catalogue:
    return load_catalogue()


def test_there_are_models_of_all_groups_sizes_and_kinds(shipped: Catalogue) -> None:
    rows = shipped.model_rows()
    assert len(rows) >= 90
    assert {row["origin_group"] for row in rows} == {group.value for group in OriginGroup}
    assert {row["size_class"] for row in rows} == {size.value for size in SizeClass}
    assert {row["kind"] for row in rows} == {"chat", "embeddings"}


@pytest.mark.parametrize(("author", "group"), STUDY_OPEN_AUTHORS.items())
def test_every_open_author_of_the_study_has_open_models_in_its_group(
    shipped: Catalogue, author: str, group: OriginGroup
) -> None:
    groups = Counter(
        row["origin_group"] for row in shipped.model_rows() if row["author"] == author and row["open_weights"]
    )
    assert groups[group.value] >= 1
    assert set(groups) == {group.value}


@pytest.mark.parametrize("name", STUDY_PRICED_MODELS)
def test_every_model_of_the_studys_price_table_is_known_and_priced(shipped: Catalogue, name: str) -> None:
    model = shipped.model(name)
    assert model is not None
    assert any(row["model"] == model.id for row in shipped.price_rows())


@pytest.mark.parametrize("name", STUDY_REASONING_LEADERS)
def test_the_studys_leading_reasoning_models_are_marked_as_reasoning(shipped: Catalogue, name: str) -> None:
    model = shipped.model(name)
    assert model is not None and model.reasoning


def test_every_model_has_a_price_of_some_provider(shipped: Catalogue) -> None:
    assert {row["model"] for row in shipped.price_rows()} == set(shipped.models)


def test_many_models_have_several_providers_and_some_prices_change_over_time(shipped: Catalogue) -> None:
    rows = shipped.price_rows()
    providers = Counter(model for _, model in {(row["provider"], row["model"]) for row in rows})
    starts = Counter(
        (p, m, v) for p, m, v, _ in {(r["provider"], r["model"], r["variant"], r["valid_from"]) for r in rows}
    )
    assert sum(count >= 2 for count in providers.values()) >= 20
    assert sum(count >= 2 for count in starts.values()) >= 10


def test_every_name_in_the_files_resolves_to_its_model_in_any_case(shipped: Catalogue) -> None:
    for model in shipped.models.values():
        for name in (model.id, *model.aliases):
            assert shipped.resolve(name) == model.id
            assert shipped.resolve(f"  {name.upper()} ") == model.id


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("claude-sonnet-4-20250514", "anthropic/claude-sonnet-4"),
        ("anthropic/claude-sonnet-4-20250514", "anthropic/claude-sonnet-4"),
        ("us.anthropic.claude-sonnet-4-20250514-v1:0", "anthropic/claude-sonnet-4"),
        ("bedrock/eu.anthropic.claude-3-haiku-20240307-v1:0", "anthropic/claude-3-haiku"),
        ("anthropic.claude-3-5-sonnet-20241022-v2:0", "anthropic/claude-3.5-sonnet"),
        ("claude-sonnet-4@20250514", "anthropic/claude-sonnet-4"),
        ("claude-sonnet-4-5-20250929", "anthropic/claude-sonnet-4.5"),
        ("claude-3-7-sonnet-latest", "anthropic/claude-3.7-sonnet"),
        ("anthropic/claude-3.7-sonnet:thinking", "anthropic/claude-3.7-sonnet"),
        ("openrouter/anthropic/claude-sonnet-4.5", "anthropic/claude-sonnet-4.5"),
        ("gpt-4o-2024-08-06", "openai/gpt-4o"),
        ("azure/gpt-4o-mini-2024-07-18", "openai/gpt-4o-mini"),
        ("openai.gpt-oss-120b-1:0", "openai/gpt-oss-120b"),
        ("models/gemini-2.5-pro", "google/gemini-2.5-pro"),
        ("publishers/google/models/gemini-2.0-flash-001", "google/gemini-2.0-flash-001"),
        ("gemini-1.5-pro-002", "google/gemini-1.5-pro"),
        ("deepseek/deepseek-r1:free", "deepseek/deepseek-r1"),
        ("deepseek-ai/DeepSeek-R1-0528", "deepseek/deepseek-r1-0528"),
        ("accounts/fireworks/models/llama-v3p1-405b-instruct", "meta-llama/llama-3.1-405b-instruct"),
        ("together_ai/meta-llama/Llama-3.3-70B-Instruct-Turbo", "meta-llama/llama-3.3-70b-instruct"),
        ("amazon.nova-lite-v1:0", "amazon/nova-lite-v1"),
        ("zai-org/GLM-4.6", "z-ai/glm-4.6"),
        ("Qwen/Qwen3-235B-A22B-Instruct-2507", "qwen/qwen3-235b-a22b-2507"),
    ],
)
def test_names_as_providers_and_gateways_write_them_resolve(shipped: Catalogue, name: str, model: str) -> None:
    assert shipped.resolve(name) == model


@pytest.mark.parametrize(
    "name",
    ["", "nobody/Gpt-9", "llama3:8b", "gpt-4o-mini-tuned", "someone/claude-sonnet-4", "/", ":free", "a/b/c/d:free"],
)
def test_unknown_names_come_back_unchanged(shipped: Catalogue, name: str) -> None:
    assert shipped.resolve(name) == name
    assert shipped.model(name) is None


def test_a_dated_model_that_is_catalogued_itself_is_not_taken_for_its_undated_namesake(shipped: Catalogue) -> None:
    assert shipped.resolve("cohere/command-r-08-2024") == "cohere/command-r-08-2024"
    assert shipped.resolve("deepseek/deepseek-chat-v3-0324") == "deepseek/deepseek-chat-v3-0324"
    assert shipped.resolve("google/gemini-2.0-flash-lite-001") == "google/gemini-2.0-flash-lite-001"


@pytest.mark.parametrize(
    ("name", "provider"),
    [
        ("Amazon Bedrock", "amazon-bedrock"),
        ("aws.bedrock", "amazon-bedrock"),
        ("vertex_ai", "google-vertex"),
        ("Together", "together"),
        ("together_ai", "together"),
        ("DeepInfra", "deepinfra"),
        ("x-ai", "xai"),
        ("My Own Cluster", "My Own Cluster"),
    ],
)
def test_providers_resolve_from_the_names_that_gateways_report(shipped: Catalogue, name: str, provider: str) -> None:
    assert shipped.resolve_provider(name) == provider


@pytest.mark.parametrize(
    ("parameters", "size"),
    [
        (None, SizeClass.UNKNOWN),
        (0.5, SizeClass.SMALL),
        (14.999, SizeClass.SMALL),
        (15, SizeClass.MEDIUM),
        (69.999, SizeClass.MEDIUM),
        (70, SizeClass.LARGE),
        (1000, SizeClass.LARGE),
    ],
)
def test_size_classes_begin_at_15_and_70_billion_parameters(parameters: float | None, size: SizeClass) -> None:
    model = Model(
        id="a/b",
        name="B",
        open_weights=True,
        reasoning=False,
        context_length_tokens=1,
        release_date=date(2025, 1, 1),
        total_parameters_billion=parameters,
    )
    assert model.size_class is size


def test_open_weights_decide_the_group_before_origin_does(shipped: Catalogue) -> None:
    assert shipped.origin_group("qwen/qwen3-max") is OriginGroup.PROPRIETARY
    assert shipped.origin_group("qwen/qwen3-8b") is OriginGroup.CHINESE_OPEN
    assert shipped.origin_group("gpt-5") is OriginGroup.PROPRIETARY
    assert shipped.origin_group("gpt-oss-20b") is OriginGroup.REST_OF_WORLD_OPEN
    assert shipped.origin_group("nobody/gpt-9") is None


def test_rows_have_exactly_the_declared_columns_and_types(shipped: Catalogue) -> None:
    python_types: dict[str, type | tuple[type, ...]] = {
        "Bool": bool,
        "String": str,
        "LowCardinality(String)": str,
        "UInt32": int,
        "UInt64": int,
        "Nullable(Float64)": (float, type(None)),
        "Date": date,
        "DateTime64(3, 'UTC')": datetime,
    }
    for rows, columns in (
        (shipped.model_rows(), MODEL_COLUMNS),
        (shipped.alias_rows(), ALIAS_COLUMNS),
        (shipped.price_rows(), PRICE_COLUMNS),
    ):
        assert rows
        for row in rows:
            assert list(row) == list(columns)
            for column, kind in columns.items():
                assert isinstance(row[column], python_types[kind]), (column, row[column])


def test_alias_rows_are_unique_and_lead_to_models(shipped: Catalogue) -> None:
    rows = shipped.alias_rows()
    assert len({row["alias"] for row in rows}) == len(rows)
    assert {row["model"] for row in rows} == set(shipped.models)


def test_price_rows_of_one_model_provider_variant_and_tier_never_overlap(shipped: Catalogue) -> None:
    spans: dict[tuple[str, str, str, int], list[tuple[datetime, datetime]]] = {}
    for row in shipped.price_rows():
        key = (row["provider"], row["model"], row["variant"], row["min_input_tokens"])
        spans.setdefault(key, []).append((row["valid_from"], row["valid_until"]))
    for where, each in spans.items():
        each.sort()
        assert all(start < end <= OPEN_END for start, end in each), where
        assert all(before[1] <= after[0] for before, after in pairwise(each)), where


def test_versions_name_one_price_row_each(shipped: Catalogue) -> None:
    rows = [row for row in shipped.price_rows() if row["min_input_tokens"] == 0]
    assert len({row["version"] for row in rows}) == len(rows)


def test_the_catalogue_version_is_stable_and_the_rows_carry_it(shipped: Catalogue) -> None:
    assert load_catalogue().version == shipped.version
    assert {row["catalogue_version"] for row in shipped.price_rows()} == {shipped.version}


def test_price_rows_cannot_be_changed(shipped: Catalogue) -> None:
    price = shipped.price("openai", "gpt-4", datetime(2025, 1, 1, tzinfo=UTC))
    assert price is not None
    with pytest.raises(dataclasses.FrozenInstanceError):
        price.per_request_nanousd = 1  # type: ignore[misc]
    with pytest.raises(TypeError):
        shipped.models["x"] = None  # type: ignore[index]
