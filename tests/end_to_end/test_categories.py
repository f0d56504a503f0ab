"""Labels of gateway, rules and classifier, sent by an emitter and a collector, are stored with their weights."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from end_to_end.harness import Stack, wait_until
from producers.collector.serving import EVENT, running_collector
from tokentide_producers.categories import Categorizer, CategoryInput, SampledClassifier, load_category_rules
from tokentide_producers.categories.builtin import load_builtin_classifier
from tokentide_producers.emitter import Emitter
from tokentide_producers.settings import EmitterSettings

MARKER = "Quokka Zeppelin 90210"
RULES = """
rules:
  - {name: ide, when: {app: categories-ide}, category: programming, confidence: 0.75}
  - {name: shop, when: {route: {prefix: /shop}}, category: marketing, subcategory: copy}
"""


def event(**fields: Any) -> dict[str, Any]:
    return {**{name: value for name, value in EVENT.items() if name != "occurred_at"}, **fields}


@pytest.mark.embedded
def test_labels_arrive_with_source_confidence_and_weight_and_without_the_text(
    stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rules = tmp_path / "categories.yaml"
    rules.write_text(RULES)
    classifier = SampledClassifier(load_builtin_classifier(), rate=0.1)
    categories = Categorizer(rules=load_category_rules(rules), classifier=classifier)
    asked = CategoryInput(text=f"What are the side effects of ibuprofen, and may I take it with a fever? {MARKER}")
    settings = EmitterSettings(label_wait_s=60)
    with Emitter(stack.kafka, gateway="categories-sdk", categories=categories, settings=settings) as emitter:
        for number in range(300):
            assert emitter.emit(**event(request_id=f"categories-{number}"), category_input=asked)
        assert emitter.emit(**event(app="categories-ide"), category_input=asked)
        assert emitter.emit(**event(category="legal", category_confidence=0.5))
        assert emitter.flush(90)
    monkeypatch.setenv("TOKENTIDE_CATEGORIES_FILE", str(rules))
    with running_collector(stack.kafka) as client:
        one = {**EVENT, "gateway": "categories-http"}
        beside = {"route": "/shop/1", "text": MARKER}
        sent = client.post("/v1/events", json=[{**one, "category_input": beside}, {**one, "category": "legal"}, one])
        assert sent.json()["accepted"] == 3 and sent.json()["content_fields_dropped"] == 1
    columns = "category, subcategory, category_source, category_confidence, category_weight"
    found = (
        f"SELECT {columns}, count() FROM events WHERE gateway = '%s' GROUP BY ALL ORDER BY category, category_source"
    )
    wait_until(
        lambda: stack.value("SELECT count() FROM events WHERE startsWith(gateway, 'categories-')") == 305, "events"
    )
    assert [tuple(row) for row in stack.rows(found % "categories-http")] == [
        ("", "", "none", None, 1.0, 1),
        ("legal", "", "gateway", None, 1.0, 1),
        ("marketing", "copy", "rule", 1.0, 1.0, 1),
    ]
    account = classifier.stats()
    rows = stack.rows(
        "SELECT category, category_source, count(), sum(category_weight), min(category_confidence) >= 0.5 "
        "FROM events WHERE gateway = 'categories-sdk' GROUP BY ALL ORDER BY category, category_source"
    )
    assert [tuple(row) for row in rows] == [
        ("", "none", 300 - account.labelled, 300 - account.labelled, None),
        ("health", "classifier", account.labelled, pytest.approx(10 * (account.sampled - account.not_stood_for)), 1),
        ("legal", "gateway", 1, 1.0, 1),
        ("programming", "rule", 1, 1.0, 1),
    ]
    assert account.labelled > 5
    stack.verify()
    assert stack.value(f"SELECT count() FROM events WHERE position(toString(tuple(*)), '{MARKER}') > 0") == 0
    files = subprocess.run(["grep", "-rlaF", MARKER, str(stack.data_dir)], capture_output=True, text=True, check=False)
    assert files.stdout == "" and files.returncode == 1
