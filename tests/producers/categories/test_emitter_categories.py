from __future__ import annotations

from typing import Any

import pytest

from tokentide_producers.categories import (
    Categorizer,
    CategoryInput,
    Excerpt,
    RuleSet,
    SampledClassifier,
)
from tokentide_producers.categories.loading import parse_category_rules
from tokentide_producers.emitter import Emitter
from tokentide_producers.settings import EmitterSettings
from tokentide_schemas.block import assemble
from tokentide_schemas.envelope import decode

FIELDS: dict[str, Any] = {
    "request_model": "gpt-4o-2024-08-06",
    "provider": "openai",
    "input_uncached_tokens": 10,
    "output_tokens": 2,
    "usage_reported": True,
    "outcome": "ok",
}
MockKafka = Any  # the class of conftest.py, which tests cannot import
RULES = """
rules:
  - name: ide
    when: {app: [Cursor, zed], route: {prefix: /v1/code}}
    category: programming
    subcategory: development_tools
    confidence: 0.9
  - name: shop
    when: {tag: {glob: "team:shop*"}}
    category: marketing
  - name: mini-model
    when: {model: openai/gpt-4o-mini}
    category: translation
"""


class Parrot:
    """Says what the text's first word says, with the confidence in the second."""

    def classify(self, excerpt: Excerpt) -> tuple[str, str, float]:
        category, confidence, *_ = excerpt.user.split()
        return category, "", float(confidence)


def sent(kafka: MockKafka, categories: Categorizer, *events: dict[str, Any]) -> list[dict[str, Any]]:
    with Emitter(kafka.bootstrap_servers, categories=categories, settings=EmitterSettings(label_wait_s=30)) as emitter:
        for number, fields in enumerate(events):
            assert emitter.emit(**{**FIELDS, "request_id": f"request-{number}", **fields})
        assert emitter.flush(20)
    rows = assemble([decode(record) for record in kafka.records()]).table.to_pylist()
    assert len(rows) == len(events)
    return sorted(rows, key=lambda row: int(row["request_id"].partition("-")[2]))


def labels(rows: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    names = ("category", "subcategory", "category_source", "category_confidence", "category_weight")
    return [tuple(row[name] for name in names) for row in rows]


def test_the_gateways_own_label_wins_then_the_first_rule_then_the_classifier_then_nobody(kafka: MockKafka) -> None:
    categories = Categorizer(
        rules=parse_category_rules(RULES, "rules.yaml"), classifier=SampledClassifier(Parrot(), rate=1)
    )
    rows = sent(
        kafka,
        categories,
        {"category": "legal", "category_confidence": 0.25, "app": "cursor"},
        {"app": "cursor", "category_input": CategoryInput(route="/V1/code/x?q=1", tags=["team:shop-eu"])},
        {"category_input": CategoryInput(tags=("a", "Team:Shop-eu"), text="science 0.75")},
        {"request_model": "gpt-4o-mini", "category_input": CategoryInput(text="science 0.75")},
        {"category_input": CategoryInput(text="science 0.75")},
        {"category_input": CategoryInput(text="science 0.25")},
        {"app": "cursor"},
    )
    assert labels(rows) == [
        ("legal", "", "gateway", 0.25, 1.0),
        ("programming", "development_tools", "rule", pytest.approx(0.9), 1.0),
        ("marketing", "", "rule", 1.0, 1.0),
        ("translation", "", "rule", 1.0, 1.0),
        ("science", "", "classifier", 0.75, 1.0),
        ("", "", "none", None, 1.0),
        ("", "", "none", None, 1.0),
    ]
    stats = categories.stats()
    assert {str(source): count for source, count in stats.by_source.items()} == {
        "gateway": 1,
        "rule": 3,
        "classifier": 1,
        "none": 2,
    }
    assert stats.classifier is not None
    assert (stats.classifier.sampled, stats.classifier.labelled, stats.classifier.below_confidence) == (2, 1, 1)


def test_what_is_no_category_input_is_refused_with_words(kafka: MockKafka) -> None:
    with Emitter(kafka.bootstrap_servers, categories=Categorizer()) as emitter:
        refused = emitter.emit(**FIELDS, category_input={"text": "secret"})
        assert not refused and "give a CategoryInput" in refused.detail and "secret" not in refused.detail


def test_a_request_hands_over_what_the_categories_look_at_with_one_call(kafka: MockKafka) -> None:
    categories = Categorizer(rules=RuleSet(), classifier=SampledClassifier(Parrot(), rate=1))
    with (
        Emitter(kafka.bootstrap_servers, categories=categories, settings=EmitterSettings(label_wait_s=30)) as emitter,
        emitter.request(request_model="m", provider="p") as request,
    ):
        request.categorize(
            route="/v1/chat",
            messages=[
                {"role": "system", "content": "be kind"},
                {"role": "user", "content": [{"type": "text", "text": "finance 0.5"}, {"type": "image_url"}]},
                {"role": "assistant", "content": "no"},
            ],
        )
        request.update(input_uncached_tokens=1, output_tokens=1)
    (row,) = assemble([decode(record) for record in kafka.records()]).table.to_pylist()
    assert labels([row]) == [("finance", "", "classifier", 0.5, 1.0)]
