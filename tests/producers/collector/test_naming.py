"""Names of models, providers and people in spans."""

from __future__ import annotations

import pytest

from producers.collector.serving import Topic, counted, export, running_collector, span
from tokentide_producers.collector.naming import catalogue_or_none, naming
from tokentide_producers.hash_keys import HashKeyRing
from tokentide_producers.hashing import IdentifierHasher
from tokentide_schemas.columns import NO_HASH


def test_the_answering_model_counts_where_the_catalogue_knows_it() -> None:
    model = naming(catalogue_or_none(), None, lambda: None).model
    assert model("openrouter/auto", "openai/gpt-5-2025-08-07") == "openai/gpt-5"
    assert model("gpt-5", "my-deployment-7") == "openai/gpt-5"
    assert model("my-model", "") == "my-model"
    assert naming(None, None, lambda: None).model("gpt-5", "gpt-5") == "", "left to the readers"


def test_without_a_key_people_stay_unknown_and_that_is_counted() -> None:
    missing: list[int] = []
    without = naming(None, None, lambda: missing.append(1)).hashed
    assert (without(""), len(missing)) == (NO_HASH, 0)
    assert (without("user-1"), len(missing)) == (NO_HASH, 1)
    keyed = naming(None, HashKeyRing.single("a secret of the tests"), lambda: missing.append(1)).hashed
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
