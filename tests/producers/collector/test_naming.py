"""Names of models, providers and people in spans."""

from __future__ import annotations

from pathlib import Path

import pytest

from producers.collector.serving import EVENT, Topic, counted, export, running_collector, span
from tokentide_producers.catalogue_names import CatalogueNames
from tokentide_producers.collector.build import build_collector
from tokentide_producers.collector.naming import naming
from tokentide_producers.collector.settings import CollectorSettings
from tokentide_producers.hash_keys import HashKeyRing
from tokentide_producers.hashing import IdentifierHasher
from tokentide_schemas.catalogue import load_catalogue
from tokentide_schemas.columns import NO_HASH

CATALOGUE = load_catalogue()
OWN_MODEL = """\
authors:
  - {id: acme, name: Acme, origin: rest_of_world}
models:
  - id: acme/house-llm-1
    name: House LLM
    open_weights: true
    reasoning: false
    total_parameters_billion: 7
    context_length_tokens: 32_768
    release_date: 2026-01-01
    aliases: [house-llm]
"""


def test_the_answering_model_counts_where_the_catalogue_knows_it() -> None:
    model = naming(CATALOGUE, None, lambda: None).model
    assert model("openrouter/auto", "openai/gpt-5-2025-08-07") == "openai/gpt-5"
    assert model("gpt-5", "my-deployment-7") == "openai/gpt-5"
    assert model("my-model", "") == "my-model"


def test_without_a_key_people_stay_unknown_and_that_is_counted() -> None:
    missing: list[int] = []
    without = naming(CATALOGUE, None, lambda: missing.append(1)).hashed
    assert (without(""), len(missing)) == (NO_HASH, 0)
    assert (without("user-1"), len(missing)) == (NO_HASH, 1)
    keyed = naming(CATALOGUE, HashKeyRing.single("a secret of the tests"), lambda: missing.append(1)).hashed
    assert keyed("user-1") == IdentifierHasher("a secret of the tests")("user-1")
    assert keyed("x" * 10_000) == NO_HASH


def test_a_user_is_the_same_one_as_through_an_emitter(topic: Topic, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKENTIDE_EMITTER_HASH_KEY", "the gateways' secret")
    call = {"gen_ai.operation.name": "chat", "gen_ai.system": "openai", "gen_ai.request.model": "m", "user.id": "u"}
    topic.take()
    with running_collector(topic.bootstrap_servers) as client:
        assert client.post("/v1/traces", json=export(span(call))).status_code == 200
    (stored,) = counted(topic.take())
    assert stored["user_hash"] == IdentifierHasher("the gateways' secret")("u")


def test_a_model_of_the_users_own_catalogue_has_its_name_there(
    topic: Topic, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    own = tmp_path / "own.yaml"
    own.write_text(OWN_MODEL)
    monkeypatch.setenv("TOKENTIDE_CATALOGUE_PATHS", str(own))
    call = {"gen_ai.operation.name": "chat", "gen_ai.system": "p", "gen_ai.request.model": "house-llm"}
    topic.take()
    with running_collector(topic.bootstrap_servers) as client:
        assert client.post("/v1/traces", json=export(span(call))).status_code == 200
        assert client.post("/v1/events", json={**EVENT, "request_model": "house-llm"}).status_code == 200
    assert [event["model"] for event in counted(topic.take())] == ["acme/house-llm-1"] * 2


def test_an_emitter_uses_the_users_own_catalogue_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    own = tmp_path / "own.yaml"
    own.write_text(OWN_MODEL)
    monkeypatch.setenv("TOKENTIDE_CATALOGUE_PATHS", str(own))
    assert CatalogueNames().resolve("house-llm") == "acme/house-llm-1"
    own.write_text("models: 5")
    names = CatalogueNames()
    assert (names.resolve("house-llm"), "own.yaml" in names.problem) == ("house-llm", True)


def test_a_collector_does_not_start_with_a_catalogue_that_cannot_be_used(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TOKENTIDE_CATALOGUE_PATHS", str(tmp_path / "missing.yaml"))
    with pytest.raises(ValueError, match=r"missing\.yaml"):
        build_collector("127.0.0.1:1", CollectorSettings())
