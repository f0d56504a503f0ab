from __future__ import annotations

from typing import Any

import pytest

from tokentide_producers.categories import Categorizer
from tokentide_producers.categories.loading import parse_category_rules
from tokentide_producers.collector.intake import EventReader
from tokentide_producers.collector.labelling import Labelling
from tokentide_producers.rows import PLACE
from tokentide_schemas.rejections import Reason

NOW_MS = 1_770_000_000_000
EVENT: dict[str, Any] = {
    "occurred_at": "2026-02-02T02:00:00Z",
    "request_model": "gpt-4o-mini",
    "provider": "openai",
    "input_uncached_tokens": 1,
    "output_tokens": 1,
    "usage_reported": True,
    "outcome": "ok",
}
RULES = parse_category_rules(
    """
rules:
  - {name: code, when: {route: {prefix: /v1/code}}, category: programming, confidence: 0.75}
  - {name: shop, when: {tag: shop, gateway: gw-1}, category: marketing}
  - {name: page, when: {referer_host: {glob: "*.example.org"}}, category: legal, subcategory: contracts}
  - {name: mini, when: {model: openai/gpt-4o-mini, app: mini}, category: trivia}
""",
    "rules.yaml",
)


def read(*events: dict[str, Any], gateway: str = "gw-1") -> Any:
    labelling = Labelling(Categorizer(rules=RULES), lambda name: f"openai/{name}")
    return EventReader(gateway, labelling=labelling).read([{**EVENT, **event} for event in events], NOW_MS)


def labels(intake: Any) -> list[tuple[Any, ...]]:
    names = ("category", "subcategory", "category_source", "category_confidence", "category_weight")
    return [tuple(row[PLACE[name]] for name in names) for row in intake.rows]


def test_rules_label_what_has_no_label_and_a_label_without_a_source_is_the_gateways() -> None:
    intake = read(
        {"category": "science", "category_input": {"route": "/v1/code"}},
        {"category": "science", "category_source": "classifier", "category_weight": 400.0},
        {"category_input": {"route": "/v1/code/x"}},
        {"category_input": {"tags": ["other", "Shop"]}},
        {"category_input": {"tags": ["shop"]}, "gateway": "gw-2"},
        {"category_input": {"referer": "https://docs.example.org/a?q=secret"}},
        {"app": "mini"},
        {"app": "none"},
        {"category_input": None},
    )
    assert not intake.rejections
    assert labels(intake) == [
        ("science", "", "gateway", None, 1.0),
        ("science", "", "classifier", None, 400.0),
        ("programming", "", "rule", 0.75, 1.0),
        ("marketing", "", "rule", 1.0, 1.0),
        ("", "", "none", None, 1.0),
        ("legal", "contracts", "rule", 1.0, 1.0),
        ("trivia", "", "rule", 1.0, 1.0),
        ("", "", "none", None, 1.0),
        ("", "", "none", None, 1.0),
    ]


def test_text_beside_an_event_is_dropped_and_counted() -> None:
    intake = read({"category_input": {"route": "/v1/code", "messages": [{"content": "secret"}], "text": "secret"}})
    assert intake.content_fields == 2 and labels(intake)[0][0] == "programming"
    assert "secret" not in repr(intake)


@pytest.mark.parametrize("given", ["/v1", ["a"], {"path": "/v1"}, {"route": 1}, {"tags": "a"}, {"tags": [1]}])
def test_what_is_no_category_input_is_refused_with_a_hint(given: Any) -> None:
    intake = read({"category_input": given})
    (rejection,) = intake.rejections
    assert (rejection.field, rejection.reason) == ("category_input", Reason.INVALID_VALUE) and rejection.hint
